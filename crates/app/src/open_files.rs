//! The limit on open files, raised as far as the system allows: a connection is an open file.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files besides connections of Redis clients: the log, snapshots, peers, HTTP clients.
const OTHERS: u64 = 512;

/// Makes room for so many connections, and says so if there is not enough.
pub(crate) fn make_room(connections: usize) {
    let wanted = (connections as u64).saturating_add(OTHERS);
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return;
    }
    let possible = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(possible), ..limit });
    let have = if raised.is_ok() { possible } else { limit.current.unwrap_or_default() };
    if have < wanted {
        tracing::warn!(
            "this process may open {have} files, too few for --max-connections {connections}: raise the limit \
             (ulimit -n {wanted}) or lower the number"
        );
    }
}
