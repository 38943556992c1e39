//! Strings.

pub(crate) mod counter;
pub(crate) mod get;
mod options;
pub(crate) mod range;
pub(crate) mod set;

#[cfg(test)]
mod tests;
