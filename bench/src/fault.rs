//! Why a benchmark could not be run: a sentence for whoever started it.

use std::fmt;

#[derive(Debug, Clone)]
pub(crate) struct Fault(String);

impl Fault {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What was tried, in front of why it failed.
pub(crate) trait Context<T> {
    fn context(self, tried: impl fmt::Display) -> Result<T, Fault>;
}

impl<T, E: fmt::Display> Context<T> for Result<T, E> {
    fn context(self, tried: impl fmt::Display) -> Result<T, Fault> {
        self.map_err(|error| Fault(format!("{tried}: {error}")))
    }
}
