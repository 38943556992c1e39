//! The binary from outside: what it says, what it leaves alone, and how it ends.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "test code outside of test functions"
)]

mod cluster;
mod config;
mod demo;
mod directory;
mod process;
mod stopping;
mod usage;
