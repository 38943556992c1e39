//! Damage is found only where there was some.
//!
//! A node that finds damage gives up its vote, and alone it refuses to start: right for a disk that has changed
//! what it was given, and the loss of data where it has not. A kill, a loss of power, a full disk, a write or
//! a sync that fails change nothing that was ever acknowledged, however they meet: a start must tell what they
//! leave behind from damage. (Alagappan et al., *Protocol-aware recovery for consensus-based storage*, 2018, who tell
//! crashes from corruption; `GUARANTEES`, *never starts with less than it once acknowledged*.)

use std::collections::BTreeMap;

use super::Violation;
use crate::fault::Kind;
use crate::fault::kind::Tally;

/// What the gym says of a node that found damage at its start and knew of nobody to fetch its state from.
pub const REFUSED: &str = "not started: damage, and nobody to fetch the state from";
/// What nodes say when they have found some.
const SAID: &[&str] = &["damage found", REFUSED];

/// Judges a run by the faults there were (`tally`) and by what its nodes have said.
pub fn check(tally: &Tally, said: &BTreeMap<String, u64>) -> Option<Violation> {
    if Kind::ALL.iter().any(|kind| kind.is_damage() && tally.count(*kind) > 0) {
        return None;
    }
    let found = |line: &&String| SAID.iter().any(|words| line.starts_with(words));
    let evidence = said.keys().find(found)?;
    Some(Violation::new("whole", format!("no disk was damaged, and a node says {evidence:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_no_finding_where_a_disk_was_damaged() {
        let said = |words: &str| BTreeMap::from([(words.to_owned(), 1)]);
        let (mut power, mut damage) = (Tally::default(), Tally::default());
        power.add(Kind::PowerOffAll);
        damage.add(Kind::StrayWrite);
        for words in ["damage found; this node gives up its vote", REFUSED] {
            assert!(check(&power, &said(words)).is_some(), "{words}");
            assert!(check(&damage, &said(words)).is_none(), "{words}");
        }
        assert!(check(&power, &said("snapshot made")).is_none());
    }
}
