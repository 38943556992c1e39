//! Replay: what the records of a log, one after the other, amount to.

use std::collections::BTreeMap;

use super::index::{GroupIndex, Sink};
use super::judge::Lost;
use super::record::{Kind, Position};
use super::segment::Segments;
use super::state::Doubt;
use super::walk::{Located, Walk};
use crate::id::{GroupId, NodeId};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Replay {
    /// The groups so far.
    pub(super) groups: BTreeMap<GroupId, GroupIndex>,
    /// Their segments; the caller adds the names.
    pub(super) segments: Segments,
}

impl Replay {
    /// Takes in all records of a segment; the offset and the reason if one contradicts the others.
    pub(super) fn walk(&mut self, walk: &Walk) -> Result<(), (u32, &'static str)> {
        for record in &walk.records {
            self.record(walk.segment, record).map_err(|what| (record.offset, what))?;
        }
        Ok(())
    }

    fn record(&mut self, segment: u64, record: &Located) -> Result<(), &'static str> {
        let header = &record.header;
        if header.kind == Kind::End {
            return Ok(());
        }
        let group = self.groups.entry(header.group).or_default();
        let sink = &mut Sink { segments: &mut self.segments, batch: 0 };
        let point = (header.index, header.term);
        match header.kind {
            Kind::Entry => {
                if header.index <= group.state.purged.0 {
                    return Err("an entry below the purge point");
                }
                if header.index > group.next() {
                    return Err("entries are missing before this one");
                }
                let at = Position { segment, offset: record.offset };
                group.append(header.index, header.term, header.data_bytes, at, sink);
                group.state.append(header.index);
            }
            Kind::HardState => {
                let hard = &mut group.state.hard;
                (hard.commit, hard.term, hard.vote) =
                    (header.index, header.term, NodeId(header.aux));
            }
            Kind::Purge => {
                group.purge(header.index, sink);
                group.state.purge(point);
            }
            Kind::Reset => {
                group.reset(header.index, sink);
                group.state.reset(point);
            }
            Kind::State => match record.state {
                Some(state) => group.adopt(state, sink),
                None => return Err("a state without data"),
            },
            Kind::Settled => group.state.doubt = None,
            Kind::End => {}
        }
        Ok(())
    }

    /// Checks that every group's entries are all there.
    pub(super) fn check(&self) -> Result<(), String> {
        for (id, group) in &self.groups {
            let state = &group.state;
            if group.first() != state.purged.0.next() || group.next() != state.last.next() {
                let (first, next) = (group.first(), group.next());
                let (purged, last) = (state.purged.0, state.last);
                return Err(format!(
                    "group {id} has the entries {first}..{next}, but should have all behind {purged} \
                     up to {last}"
                ));
            }
        }
        Ok(())
    }

    /// Remembers what was cut in doubt.
    pub(super) fn doubt(&mut self, lost: &Lost) {
        for group in lost.seen.keys() {
            self.groups.entry(*group).or_default();
        }
        for (id, group) in &mut self.groups {
            // A vote behind the cut is still a promise.
            if let Some((term, vote)) = lost.votes.get(id) {
                let hard = &mut group.state.hard;
                if *term > hard.term || (*term == hard.term && hard.vote == NodeId(0)) {
                    (hard.term, hard.vote) = (*term, *vote);
                }
            }
            let seen = lost.seen.get(id).copied().unwrap_or_default();
            if seen.term > group.state.hard.term {
                // Who has appended an entry of this term takes none from a leader of an earlier one.
                (group.state.hard.term, group.state.hard.vote) = (seen.term, NodeId(0));
            }
            let last = group.state.last;
            let last_term = group.term(last).unwrap_or_default();
            let index = seen.reach(last, lost.missing);
            let mut term = seen.term.max(last_term);
            if index > seen.index {
                // Its term is not known, but it was none that the node had not heard of.
                term = term.max(group.state.hard.term);
            }
            // An entry of a later term takes the place of all from its index on, also where those were more.
            if index > last || seen.term > last_term {
                group.raise_doubt(Doubt { index: index.max(last.next()), term });
            }
        }
    }

    /// Makes hard states fit the entries: a torn write may have kept entries of a new term without
    /// the hard state that follows them, and a cut may have taken entries that were committed.
    pub(super) fn normalize(&mut self) {
        for group in self.groups.values_mut() {
            let last = group.state.last;
            let last_term = group.term(last).unwrap_or_default();
            let hard = &mut group.state.hard;
            if last_term > hard.term {
                // It can't have voted in that term: the vote would have been durable before.
                (hard.term, hard.vote) = (last_term, NodeId(0));
            }
            let commit = hard.commit;
            hard.commit = commit.clamp(group.state.purged.0, last);
            if commit > last {
                group.raise_doubt(Doubt { index: commit, term: last_term });
            }
            group.placed = group.state;
        }
    }
}
