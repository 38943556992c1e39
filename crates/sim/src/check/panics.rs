//! No panic: a node that can't go on says why and stops (`GUARANTEES`, *A node that can't be right*); one that panics
//! has met a state that nobody thought of.

use super::Violation;
use crate::world::Ending;

/// Judges how the process of the node `name` has ended.
pub fn check(name: &str, ending: &Ending) -> Option<Violation> {
    let Ending::Panicked(message) = ending else { return None };
    Some(Violation::new("no panic", format!("{name} panicked: {message}")))
}
