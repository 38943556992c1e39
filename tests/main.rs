//! Clusters of real `quorate serve` processes on loopback, killed, paused, starved of disk, cut off
//! from power and restarted under load, and spoken to by stock clients.
//!
//! `cargo test -p quorate-app --test processes -- --test-threads=2`. A failure prints the seed and the
//! command that repeats it, and the end of every node's log. A missing tool (redis-cli, curl, ...) is a
//! skip that says so; with `CI=true` it is a failure, but for power loss, see there.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stderr,
    reason = "test code outside of test functions, which drives processes of this machine"
)]

mod backup;
mod client;
mod cluster;
mod crash;
mod curl;
mod damage;
mod directory;
mod engine;
mod expiry;
mod failing_sync;
#[cfg(feature = "failpoints")]
mod failpoints;
mod founding;
mod full_disk;
mod handover;
mod http;
mod idempotency;
mod image;
mod inspect;
mod joining;
mod leaving;
mod members;
mod other_syncs;
mod partition;
mod patience;
mod pause;
mod power_loss;
mod process;
mod quorate;
mod recovery;
mod redis_differential;
mod redis_py;
mod redis_rs;
mod redis_tools;
mod replicas;
mod scripts;
mod seed;
mod sessions;
mod shutdown;
mod snapshot;
mod strace;
mod tool;
mod torture;
mod tour;
mod translation;
mod upgrade;
mod wall_clock;
mod wire;
mod writer;
