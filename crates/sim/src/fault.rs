//! Faults: what the world does to a cluster, and why the cluster must survive it.
//!
//! # The fault model
//!
//! Safety (the judges of [`crate::check`]) must hold at every moment, whatever is listed here happens,
//! in any number and combination. Liveness must hold once it has stopped: links healed, clocks right,
//! disks with room, every node started.
//!
//! - **A process is killed** (kill -9, out of memory, a bug). The kernel keeps what was written and
//!   closes the connections. Nothing acknowledged may live in the process' memory alone.
//! - **The power fails**, of one node or of all at once. What was not synced is kept, lost or torn, write by
//!   write and name by name; peers hear nothing until the machine is back. An acknowledgement
//!   stands for an fsync on a majority, so even all nodes at once may lose power.
//! - **The power fails at a disk operation**, any of them: between write and sync, sync and rename, in
//!   the middle of recovery. Recovery must be able to crash and start again.
//! - **Links are cut**: a node is isolated; one direction only is cut; the cluster is split; links are cut at random
//!   so that nobody sees the same picture. A minority may not answer from what it knows; two leaders may not
//!   both acknowledge.
//! - **Links are slow, connections break.** TCP neither loses nor doubles bytes within a connection, but
//!   what was sent before a reset may or may not have arrived: a request is then in doubt, and may
//!   not be sent again as if it were not.
//! - **A process or a whole machine is paused** for longer than any timeout. It wakes up believing in a
//!   past that is over: it may be leader no more, and its lease has run out while its clock stood still.
//! - **Clocks jump and drift.** Default reads trust no clock. A jump on a minority may delay, never
//!   confuse.
//! - **A disk is slow**: late acknowledgements, not wrong ones.
//! - **A disk is full, an fsync fails, a bit flips** (next: drawn by [`Profile::harsh`] only). Full: refuse before
//!   proposing. Failed: trust nothing written since the last success. Flipped: checksums; never on
//!   more than a minority, for no protocol replicates what most replicas have lost.
//!
//! Not in the model: nodes that lie, and the loss of a majority's disks.
//!
//! Each seed draws which kinds it uses at all, how often and how long: a few kinds in a tight sequence
//! find more than all of them in every run.

pub mod act;
pub mod kind;
pub mod plan;

pub use act::Act;
pub use kind::Kind;
pub use plan::{Plan, Profile};
