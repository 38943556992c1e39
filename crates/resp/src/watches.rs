//! The keys a connection watches, each with the revision it had.

use std::collections::BTreeMap;

use bytes::Bytes;
use quorate_api::limits::{COMMAND_BYTES_MAX, WATCHES_MAX};
use quorate_api::{Reply, Watch};

/// Watched keys by database and name.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    keys: BTreeMap<(u8, Bytes), Seen>,
    bytes: usize,
    /// A WATCH failed: the next EXEC must not take effect, as the client may not have noticed.
    pub(crate) failed: bool,
}

/// See [`Watch`].
#[derive(Clone, Copy, Debug)]
struct Seen {
    revision: u64,
    state: u64,
}

impl Watches {
    /// How many keys are watched.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// True when EXEC need not ask anybody.
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether so many more keys with so many bytes may be watched.
    pub(crate) fn check(&self, count: usize, bytes: usize) -> Result<(), Reply> {
        if self.keys.len() + count > WATCHES_MAX || self.bytes + bytes > COMMAND_BYTES_MAX {
            return Err(Reply::err(format!("a connection watches at most {WATCHES_MAX} keys")));
        }
        Ok(())
    }

    /// Takes the node's answer to REVISIONS: one revision for each key, then that of the state.
    /// A key that is watched already keeps its older revision.
    pub(crate) fn add(&mut self, db: u8, keys: Vec<Bytes>, revisions: &[Reply]) -> Option<()> {
        let number = |reply: &Reply| match reply {
            Reply::Int(number) => u64::try_from(*number).ok(),
            _ => None,
        };
        let (state, revisions) = revisions.split_last()?;
        let state = number(state)?;
        if revisions.len() != keys.len() {
            return None;
        }
        let revisions: Vec<u64> = revisions.iter().map(number).collect::<Option<_>>()?;
        for (key, revision) in keys.into_iter().zip(revisions) {
            let bytes = key.len();
            if let std::collections::btree_map::Entry::Vacant(vacant) = self.keys.entry((db, key)) {
                vacant.insert(Seen { revision, state });
                self.bytes += bytes;
            }
        }
        Some(())
    }

    /// What EXEC hands to the node.
    pub(crate) fn into_vec(self) -> Vec<Watch> {
        let watch = |((db, key), seen): ((u8, Bytes), Seen)| Watch {
            db,
            key,
            revision: seen.revision,
            seen: seen.state,
        };
        self.keys.into_iter().map(watch).collect()
    }
}
