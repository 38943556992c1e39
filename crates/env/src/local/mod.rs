//! Windows that do not leave the process: a network without ports and a disk without a device.
//!
//! Several nodes of one program reach each other over a [`Network`]; a node that keeps everything in
//! memory has a [`MemoryDisk`]. Time, chance and threads stay the machine's: whoever wants to repeat a
//! run to the byte needs the simulator.

mod disk;
mod file;
mod network;
mod stream;
#[cfg(test)]
mod tests;

pub use disk::MemoryDisk;
pub use network::{Host, Network};
