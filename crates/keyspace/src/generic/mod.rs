//! Commands on keys of any type, and on databases.

pub(crate) mod databases;
pub(crate) mod expire;
pub(crate) mod keys;
pub(crate) mod object;
pub(crate) mod random;
pub(crate) mod scan;
pub(crate) mod transfer;

#[cfg(test)]
mod tests;
