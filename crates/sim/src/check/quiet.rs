//! Quiet: a run comes to rest. Tasks that wake each other without end are a machine at full load for nothing, which
//! clients see as a node that does not answer.

use super::Violation;

/// Judges whether the world had to be stopped.
pub fn check(is_exhausted: bool) -> Option<Violation> {
    let evidence = "the cluster does not come to rest: the run was cut short";
    is_exhausted.then(|| Violation::new("quiet", evidence))
}
