//! Why a command ends before its last line: with a reply already, or because the engine failed.

use quorate_api::Reply;
use quorate_engine::EngineError;

/// Leaves a command early, through `?`.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The answer is known; mostly an error that is a result.
    Answer(Reply),
    /// The replica must stop.
    Engine(EngineError),
}

/// What a command's implementation returns.
pub(crate) type Outcome = Result<Reply, Stop>;

impl From<Reply> for Stop {
    fn from(reply: Reply) -> Self {
        Self::Answer(reply)
    }
}

impl From<EngineError> for Stop {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

/// A command's reply, however it ended.
pub(crate) fn settle(outcome: Outcome) -> Result<Reply, EngineError> {
    match outcome {
        Ok(reply) | Err(Stop::Answer(reply)) => Ok(reply),
        Err(Stop::Engine(error)) => Err(error),
    }
}
