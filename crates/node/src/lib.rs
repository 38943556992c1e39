//! One member of a cluster: where meaning, agreement and speech meet.
//!
//! `dispatch` takes commands in, `entry` is their bytes, `writes` and `barrier` send them down to
//! consensus, `machine` applies what comes back, and `turn` is the loop that drives it all. A node is
//! single-threaded; what blocks runs on lanes. It never looks at a socket's bytes (resp, http) and
//! never at a log's (consensus).

mod admin;
mod away;
mod backlog;
pub mod backup;
mod barrier;
mod batch;
pub mod config;
mod core;
mod describe;
mod dispatch;
mod door;
mod entry;
mod events;
mod failure;
mod format;
mod founding;
mod frames;
mod fresh_log;
mod gather;
mod handover;
mod identity;
pub mod inspect;
mod jobs;
mod machine;
mod members;
mod membership;
mod new_state;
mod node;
pub mod observer;
mod open;
mod passing;
mod pulse;
mod reads;
pub mod recover;
mod registration;
mod remains;
mod replicas;
mod scrub;
mod session;
mod silence;
mod snapshots;
mod stamp;
mod status;
mod storage;
mod turn;
mod upkeep;
mod votes;
mod waiting;
mod writes;

pub use config::{Config, Entrance};
pub use core::Stop;
pub use format::FORMATS;
pub use identity::IdentityError;
pub use node::Node;
pub use open::StartError;
pub use quorate_consensus::Pace;
pub use quorate_consensus::peers::{Formats, Secret};
#[cfg(feature = "failpoints")]
pub use quorate_engine::point;
