//! Who was removed stops by itself: a node without a vote and without anybody who talks to it must not go on as if it
//! were a member, ask for votes (Ongaro, *Consensus*, 2014, section 4.2.3: disruptive servers) or answer clients.

use super::Violation;

/// Judges who of those that were removed still runs.
pub fn check(running: impl IntoIterator<Item = String>) -> Vec<Violation> {
    let tell = |name| Violation::new("removed", format!("{name} was removed and goes on"));
    running.into_iter().map(tell).collect()
}
