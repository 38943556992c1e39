//! Links: how long the way from one host to another takes, and whether it is cut.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::world::host::HostId;
use crate::world::overlap::Overlap;
use crate::world::rng::Chance;

/// One packet in so many is as late as a lost one that had to be sent again.
const LATE_ONE_IN: u64 = 300;

struct Pace {
    base_us: u64,
    slow: Overlap<u32>,
}

/// All links, by direction.
pub(crate) struct Links {
    chance: Chance,
    paces: BTreeMap<(HostId, HostId), Pace>,
    /// How many cuts there are of each.
    cuts: BTreeMap<(HostId, HostId), u32>,
}

impl Links {
    pub(crate) fn new(seed: u64) -> Self {
        let chance = Chance::new(seed, "links");
        Self { chance, paces: BTreeMap::new(), cuts: BTreeMap::new() }
    }

    /// Each link has a pace of its own, both ways apart.
    fn pace(&mut self, from: HostId, to: HostId) -> &mut Pace {
        let chance = &mut self.chance;
        self.paces.entry((from, to)).or_insert_with(|| {
            let base_us = if from == to { 10 } else { chance.within(60..800) };
            Pace { base_us, slow: Overlap::default() }
        })
    }

    pub(crate) fn latency(&mut self, from: HostId, to: HostId) -> Duration {
        let pace = self.pace(from, to);
        let (base_us, factor) = (pace.base_us, pace.slow.factor());
        let mut us = base_us + self.chance.below(base_us);
        if from != to && self.chance.one_in(LATE_ONE_IN) {
            us += self.chance.within(1_000..200_000);
        }
        Duration::from_micros(us) * factor
    }

    pub(crate) fn slow(&mut self, from: HostId, to: HostId, factor: u32) {
        self.pace(from, to).slow.begin(factor);
    }

    pub(crate) fn hasten(&mut self, from: HostId, to: HostId, factor: u32) {
        self.pace(from, to).slow.end(factor);
    }

    pub(crate) fn set_all_even(&mut self) {
        for pace in self.paces.values_mut() {
            pace.slow.end_all();
        }
    }

    pub(crate) fn is_cut(&self, from: HostId, to: HostId) -> bool {
        self.cuts.contains_key(&(from, to))
    }

    /// False when it was cut before. No host can be cut from itself.
    pub(crate) fn cut(&mut self, from: HostId, to: HostId) -> bool {
        if from == to {
            return false;
        }
        let cuts = self.cuts.entry((from, to)).or_default();
        *cuts += 1;
        *cuts == 1
    }

    /// Takes one cut back; true when it was the last one.
    pub(crate) fn heal(&mut self, from: HostId, to: HostId) -> bool {
        let Some(cuts) = self.cuts.get_mut(&(from, to)) else { return false };
        *cuts -= 1;
        let last = *cuts == 0;
        if last {
            self.cuts.remove(&(from, to));
        }
        last
    }

    /// Every link that is cut, each as often as it is.
    pub(crate) fn cuts(&self) -> Vec<(HostId, HostId)> {
        let times = |count: u32| usize::try_from(count).unwrap_or(0);
        self.cuts.iter().flat_map(|(link, count)| vec![*link; times(*count)]).collect()
    }
}
