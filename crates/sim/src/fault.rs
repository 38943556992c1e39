//! Faults: what the world does to a cluster.
//!
//! Why the cluster must survive each of them, and what is not covered, stands in `docs/RELIABILITY.md`. Each
//! seed draws which kinds it uses at all, how often and how long: a few kinds in a tight sequence find
//! more than all of them in every run.

pub mod act;
pub mod ambush;
pub mod effect;
pub mod kind;
pub mod partition;
pub mod plan;
pub mod profile;
pub mod room;
pub mod scene;

pub use act::Act;
pub use ambush::Ambush;
pub use effect::Effects;
pub use kind::Kind;
pub use plan::{Fault, Plan, Step};
pub use profile::Profile;
pub use scene::Scene;
