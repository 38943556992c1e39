//! The gym: a whole cluster on one thread from one seed.
//!
//! - [`world`]: simulated machines, with clocks, disks, a wire and chance; knows no cluster.
//! - [`cluster`]: which machines are nodes, and what a node's program is given.
//! - [`member`]: the real node as such a program, the one place where the product is plugged in.
//! - [`cellar`]: what stands in the disk engine's place, on simulated disks.
//! - [`client`], [`history`]: what clients do, and what they heard.
//! - [`fault`]: what happens to the cluster, and why it must survive it.
//! - [`check`]: the judges, one file per property.
//! - [`observe`]: what members show of themselves to judges.
//! - [`mod@run`]: all of it together, for one seed.
//! - [`campaign`], [`mod@shrink`], [`coverage`]: many seeds, failing ones made small, nothing left out.
//! - [`toy`]: programs in a node's place, right and wrong, by which the gym itself is tested.

pub mod campaign;
pub mod cellar;
pub mod check;
pub mod client;
pub mod cluster;
pub mod coverage;
pub mod fault;
pub mod history;
pub mod http;
pub mod member;
pub mod observe;
pub mod resp;
pub mod run;
pub mod shrink;
pub mod toy;
pub mod world;
