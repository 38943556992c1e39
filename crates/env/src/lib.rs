//! The windows: everything a Quorate node may see of the outside world.
//!
//! Time, chance, wire, disk and tasks are reached only through an [`Env`], so that the simulator can
//! run a whole cluster on one thread from one seed. Nothing here knows what a key, an entry or a
//! member is. Seams are poll-style trait objects, one per connection or file: never a boxed future
//! per operation.

pub mod blocks;
pub mod clock;
pub mod disk;
pub mod local;
pub mod mux;
pub mod net;
pub mod overlay;
pub mod real;
pub mod rng;
pub mod suite;
pub mod tasks;
pub mod usage;

use std::sync::Arc;

pub use blocks::{BLOCK_BYTES, Blocks};
pub use clock::{Clock, Mono};
pub use disk::{Disk, DiskFile, OpenMode};
pub use net::{Listener, Net, Stream};
pub use rng::Rng;
pub use tasks::{Lane, Tasks};
pub use usage::{CpuTime, Usage};

/// One node's view of the outside world. Cheap to clone; plain data, no type parameter travels
/// through the house.
#[derive(Clone)]
pub struct Env {
    /// Monotonic and wall time, timers.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub rng: Arc<dyn Rng>,
    /// Listeners and connections.
    pub net: Arc<dyn Net>,
    /// Files and directories.
    pub disk: Arc<dyn Disk>,
    /// Tasks on the shard's thread, and lanes off it.
    pub tasks: Arc<dyn Tasks>,
}

impl std::fmt::Debug for Env {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Env")
    }
}
