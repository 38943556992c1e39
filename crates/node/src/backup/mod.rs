//! Backups: one file that holds the state at one index, made while the node goes on, restored into a
//! new cluster.
//!
//! `file` is its bytes, `making` how they leave a node, `restoring` how they become a directory. A backup
//! is read to its end and found whole before anything is made of it.

mod file;
mod making;
mod restoring;

pub use file::{BackupError, Header};
pub(crate) use making::back_up;
pub use restoring::{
    Checked, Progress, RestoreError, Restored, Verified, check, check_place, restore, verify,
};
