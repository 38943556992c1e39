//! Links: how long the way from one host to another takes, and whether it is cut.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::world::host::HostId;
use crate::world::rng::Chance;

/// One packet in so many is as late as a lost one that had to be sent again.
const LATE_ONE_IN: u64 = 300;

#[derive(Clone, Copy)]
struct Pace {
    base_us: u64,
    factor: u32,
}

/// All links, by direction.
pub(crate) struct Links {
    chance: Chance,
    paces: BTreeMap<(HostId, HostId), Pace>,
    cuts: BTreeSet<(HostId, HostId)>,
}

impl Links {
    pub(crate) fn new(seed: u64) -> Self {
        let chance = Chance::new(seed, "links");
        Self { chance, paces: BTreeMap::new(), cuts: BTreeSet::new() }
    }

    /// Each link has a pace of its own, both ways apart.
    fn pace(&mut self, from: HostId, to: HostId) -> &mut Pace {
        let chance = &mut self.chance;
        self.paces.entry((from, to)).or_insert_with(|| {
            let base_us = if from == to { 10 } else { chance.within(60..800) };
            Pace { base_us, factor: 1 }
        })
    }

    pub(crate) fn latency(&mut self, from: HostId, to: HostId) -> Duration {
        let Pace { base_us, factor } = *self.pace(from, to);
        let mut us = base_us + self.chance.below(base_us);
        if from != to && self.chance.one_in(LATE_ONE_IN) {
            us += self.chance.within(1_000..200_000);
        }
        Duration::from_micros(us) * factor
    }

    pub(crate) fn set_factor(&mut self, from: HostId, to: HostId, factor: u32) {
        self.pace(from, to).factor = factor.max(1);
    }

    pub(crate) fn set_all_even(&mut self) {
        for pace in self.paces.values_mut() {
            pace.factor = 1;
        }
    }

    pub(crate) fn is_cut(&self, from: HostId, to: HostId) -> bool {
        self.cuts.contains(&(from, to))
    }

    /// False when it was cut before. No host can be cut from itself.
    pub(crate) fn cut(&mut self, from: HostId, to: HostId) -> bool {
        from != to && self.cuts.insert((from, to))
    }

    pub(crate) fn heal(&mut self, from: HostId, to: HostId) -> bool {
        self.cuts.remove(&(from, to))
    }

    pub(crate) fn cuts(&self) -> Vec<(HostId, HostId)> {
        self.cuts.iter().copied().collect()
    }
}
