//! Waiting for a state: asked again and again until it holds, never for longer than a deadline.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, Instant};

/// For whatever takes an election, a restart or a join on a machine that is busy with something else.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(10);

/// Asks until there is an answer.
///
/// # Panics
/// At the deadline, with the last reason why there was none.
#[track_caller]
pub(crate) fn until<T>(
    what: &str,
    limit: Duration,
    mut ask: impl FnMut() -> Result<T, String>,
) -> T {
    let deadline = Instant::now() + limit;
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(reason) if Instant::now() >= deadline => {
                panic!("{what}: not within {limit:?}: {reason}")
            }
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

/// A figure for whoever reads the run's output; libtest does not swallow it.
pub(crate) fn measured(what: &str, figure: &impl std::fmt::Debug) {
    say(&format!("measured: {what}: {figure:?}"));
}

/// A line on standard error, also from a test that passes.
pub(crate) fn say(text: &str) {
    let mut line = String::new();
    writeln!(line, "{text}").unwrap();
    // Nobody may be reading.
    drop(std::io::stderr().write_all(line.as_bytes()));
}
