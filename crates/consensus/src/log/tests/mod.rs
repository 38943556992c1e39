//! Tests of the log, on a disk that knows *written* from *durable*.

mod contract;
mod crash;
mod damage;
mod disk;
mod format;
mod full;
mod model;
mod random;
mod real;
mod torn;
pub(crate) mod world;
