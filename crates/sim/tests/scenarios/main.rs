//! Scenarios: real nodes in the gym, with faults placed by hand and answers looked at one by one.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that meets something else than it expects is to fail there"
)]

mod addresses;
mod catching_up;
mod clocks;
mod damage;
mod founding;
mod full_disk;
mod gym;
mod handshakes;
mod lanes;
mod leaderless;
mod links;
mod long;
mod older_disk;
mod removal;
mod scrub;
mod slow_disk;
mod snapshots;
mod succession;
