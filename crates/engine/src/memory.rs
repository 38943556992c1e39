//! placeholder
/// x
#[derive(Debug)] pub struct MemoryEngine;
