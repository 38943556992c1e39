//! The machine's entropy, through a cryptographically strong generator.

use std::sync::{Mutex, PoisonError};

use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};

use crate::rng::Rng;

/// Seeded once from the operating system. The lock is never on a hot path: one draw per entry.
#[derive(Debug)]
pub(super) struct RealRng(Mutex<StdRng>);

impl Default for RealRng {
    fn default() -> Self {
        Self(Mutex::new(StdRng::from_os_rng()))
    }
}

impl Rng for RealRng {
    fn next_u64(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).next_u64()
    }
}
