//! RANDOMKEY: every key about as likely as any other, though nobody counts which slot holds how many.
//!
//! The slot index is the order to draw from. A random place in it alone is no random key: a key is met as often
//! as the gap before it is wide, and CRC16 puts names like `k0` to `k9` side by side with wide gaps around them.
//! So a run of slots is drawn instead, its keys are counted, and a run with few keys is mostly rejected: what is
//! left is the same chance for every key. Where all keys lie in few slots (hash tags), or many in those of one
//! run, these slots are looked for, and weighed.
//!
//! Not seen are slots that are much fuller than the average while most keys lie elsewhere: their keys come up
//! less often than the others.

use std::ops::ControlFlow;

use quorate_api::Reply;
use quorate_engine::EngineError;

use crate::reading::Reading;
use crate::slot::{HASH_BITS, SLOTS};
use crate::space;
use crate::stop::Outcome;

/// So many keys are simply counted through.
const FEW_KEYS: u64 = 128;
/// Runs are so long that they hold about as many keys, or twice as many.
const RUN_KEYS: u64 = 16;
/// A run with so many keys is never rejected. The more, the truer, and the more rejections.
const RUN_KEYS_MAX: u64 = 8 * RUN_KEYS;
/// With runs that are filled evenly, one in a thousand commands meets so many rejections.
const TRIES_MAX: u32 = 64;
/// So many slots are all weighed, where no others have keys.
const FEW_SLOTS: usize = 16;
/// Slots of a run that are weighed.
const SLOTS_WEIGHED_MAX: usize = 32;
/// Keys from which the weight of a slot is told. Within a slot they lie where their hashes say, evenly.
const SAMPLE_KEYS: u64 = 64;
/// Draws that may meet a key whose time has come.
const EXPIRED_MAX: u32 = 16;

/// RANDOMKEY.
pub(crate) fn randomkey(on: &Reading<'_>) -> Outcome {
    let mut draw = Draw { on, state: on.random() };
    for _ in 0..EXPIRED_MAX {
        let Some(key) = draw.key()? else { break };
        if on.peek(&key)?.is_some() {
            return Ok(Reply::Bulk(key.into()));
        }
    }
    // Nearly all have expired: any one that has not.
    let (all, middle) = (ALL, draw.below(ALL.to));
    for span in [Span { from: middle, ..all }, Span { to: middle, ..all }] {
        if let Some(key) = draw.first_visible(span)? {
            return Ok(Reply::Bulk(key.into()));
        }
    }
    Ok(Reply::Nil)
}

/// Positions of the slot index, the last excluded.
#[derive(Clone, Copy)]
struct Span {
    from: u64,
    to: u64,
}

const ALL: Span = Span { from: 0, to: (SLOTS as u64) << HASH_BITS };

impl Span {
    /// Of `count` slots from `first` on.
    fn slots(first: u64, count: u64) -> Self {
        Self { from: first << HASH_BITS, to: (first + count) << HASH_BITS }
    }
}

/// What a visit has met.
#[derive(Default)]
struct Met {
    count: u64,
    /// One of the keys, each as likely as the others.
    one: Vec<u8>,
    /// The position of the last.
    last: u64,
}

/// A command's draws.
struct Draw<'a, 'b> {
    on: &'a Reading<'b>,
    state: u64,
}

impl Draw<'_, '_> {
    /// A number below `bound`: SplitMix64 (Steele, Lea and Flood 2014), seeded by the command's chance, so that
    /// every replica draws the same.
    fn below(&mut self, bound: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let scaled = (u128::from(mixed) * u128::from(bound)) >> 64;
        u64::try_from(scaled).unwrap_or_default()
    }

    /// A key, expired or not; `None` when there is none.
    fn key(&mut self) -> Result<Option<Vec<u8>>, EngineError> {
        let keys = self.on.row().keys;
        if keys <= FEW_KEYS {
            let met = self.visit(ALL, u64::MAX)?;
            return Ok((met.count > 0).then_some(met.one));
        }
        let few = self.filled_slots(ALL, FEW_SLOTS + 1)?;
        if few.len() <= FEW_SLOTS {
            return self.of_slots(&few);
        }
        let slots = u64::from(SLOTS);
        let length = (slots * RUN_KEYS / keys).clamp(1, slots).next_power_of_two();
        for _ in 0..TRIES_MAX {
            let run = Span::slots(self.below(slots / length) * length, length);
            let met = self.visit(run, RUN_KEYS_MAX + 1)?;
            if met.count > RUN_KEYS_MAX {
                let filled = self.filled_slots(run, SLOTS_WEIGHED_MAX)?;
                return self.of_slots(&filled);
            }
            if self.below(RUN_KEYS_MAX) < met.count {
                return Ok(Some(met.one));
            }
        }
        let some = self.filled_slots(ALL, SLOTS_WEIGHED_MAX)?;
        self.of_slots(&some)
    }

    /// Visits at most `most` keys of `span`.
    fn visit(&mut self, span: Span, most: u64) -> Result<Met, EngineError> {
        let (physical, reader) = (self.on.row().physical, self.on.reader);
        let [from, to] = [span.from, span.to].map(|position| space::slot(physical, position, b""));
        let (mut met, mut failed) = (Met::default(), None);
        reader.visit(from.as_slice(), to.as_slice(), &mut |index, _| {
            let (position, key) = match space::parts_of_slot(index) {
                Ok(parts) => parts,
                Err(error) => {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            };
            met.count += 1;
            met.last = position;
            if self.below(met.count) == 0 {
                met.one.clear();
                met.one.extend_from_slice(key);
            }
            if met.count < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        failed.map_or(Ok(met), Err)
    }

    /// A key of `span`, which has more than can be counted: one of the next behind a random place, which evens
    /// out how wide the gaps are.
    fn within(&mut self, span: Span) -> Result<Vec<u8>, EngineError> {
        let middle = span.from + self.below(span.to - span.from);
        let behind = self.visit(Span { from: middle, ..span }, SAMPLE_KEYS)?;
        let missing = SAMPLE_KEYS - behind.count;
        if missing == 0 {
            return Ok(behind.one);
        }
        let ahead = self.visit(Span { to: middle, ..span }, missing)?;
        let takes_ahead = self.below(behind.count + ahead.count) < ahead.count;
        Ok(if takes_ahead { ahead.one } else { behind.one })
    }

    /// At most `most` slots of `span` that have keys, from a random one on.
    fn filled_slots(&mut self, span: Span, most: usize) -> Result<Vec<u64>, EngineError> {
        let [first, end] = [span.from, span.to].map(|position| position >> HASH_BITS);
        let start = first + self.below(end - first);
        let mut filled = Vec::new();
        for (mut at, end) in [(start, end), (first, start)] {
            while at < end && filled.len() < most {
                let Some(slot) = self.first_slot(at, end)? else { break };
                filled.push(slot);
                at = slot + 1;
            }
        }
        Ok(filled)
    }

    /// A key of these slots, by what they seem to hold.
    fn of_slots(&mut self, slots: &[u64]) -> Result<Option<Vec<u8>>, EngineError> {
        let weighed: Vec<(u64, u64)> = slots
            .iter()
            .map(|slot| Ok((*slot, self.weight(*slot)?)))
            .collect::<Result<_, EngineError>>()?;
        let sum = weighed.iter().map(|(_, weight)| weight).sum();
        let mut drawn = self.below(sum);
        for (slot, weight) in weighed {
            if drawn < weight {
                return self.within(Span::slots(slot, 1)).map(Some);
            }
            drawn -= weight;
        }
        Ok(None)
    }

    /// The first slot from `at` up to `end` that has keys.
    fn first_slot(&mut self, at: u64, end: u64) -> Result<Option<u64>, EngineError> {
        let met = self.visit(Span::slots(at, end - at), 1)?;
        Ok((met.count > 0).then_some(met.last >> HASH_BITS))
    }

    /// About how many keys `slot` has: counted where they are few, else from how close they lie.
    fn weight(&mut self, slot: u64) -> Result<u64, EngineError> {
        let span = Span::slots(slot, 1);
        let met = self.visit(span, SAMPLE_KEYS)?;
        if met.count < SAMPLE_KEYS {
            return Ok(met.count);
        }
        let taken = u128::from(met.last - span.from).max(1);
        let estimate = (u128::from(met.count) << HASH_BITS) / taken;
        // Below the number of positions in all, so that sums of weights can't overflow.
        Ok(u64::try_from(estimate).unwrap_or(u64::MAX).min(1 << HASH_BITS))
    }

    /// The first key of `span` that has not expired.
    fn first_visible(&self, span: Span) -> Result<Option<Vec<u8>>, EngineError> {
        let (on, physical) = (self.on, self.on.row().physical);
        let mut from = space::slot(physical, span.from, b"").as_slice().to_vec();
        let to = space::slot(physical, span.to, b"");
        while let Some((mut index, _)) = on.reader.first(&from, to.as_slice())? {
            let (_, key) = space::parts_of_slot(&index)?;
            if on.peek(key)?.is_some() {
                return Ok(Some(key.to_vec()));
            }
            index.push(0);
            from = index;
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use quorate_api::{OwnedArgs, command};

    use super::*;
    use crate::keyspace::Read;
    use crate::testing::{Dice, Play};

    /// What a key's count may be, as a share of the mean.
    struct Bounds {
        least: f64,
        most: f64,
    }

    /// Draws `each` times as many keys as there are, at moments drawn from `seed`.
    fn spread(names: &[String], each: u32, seed: u64) -> Bounds {
        let mut play = Play::default();
        for name in names {
            play.run(&format!("SET {name} v"));
        }
        let mut counts: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
        let (args, spec) = (OwnedArgs::new(["RANDOMKEY"]), command::lookup(b"RANDOMKEY").unwrap());
        let mut dice = Dice(seed);
        for _ in 0..names.len() * usize::try_from(each).unwrap() {
            let moment = play.now_ms + dice.below(1 << 30);
            let read = play.keyspace.read(moment, 0, spec, args.as_args()).unwrap();
            let Read::Reply(Reply::Bulk(key)) = read else { panic!("no key (seed {seed})") };
            *counts.entry(key.to_vec()).or_default() += 1;
        }
        let share = |name: &String| {
            f64::from(counts.get(name.as_bytes()).copied().unwrap_or_default()) / f64::from(each)
        };
        let shares: Vec<f64> = names.iter().map(share).collect();
        let bounds = Bounds {
            least: shares.iter().copied().fold(f64::INFINITY, f64::min),
            most: shares.iter().copied().fold(0.0, f64::max),
        };
        println!(
            "seed {seed}: {} keys, from {:.2} to {:.2}",
            names.len(),
            bounds.least,
            bounds.most
        );
        bounds
    }

    fn names(prefix: &str, count: u32) -> Vec<String> {
        (0..count).map(|number| format!("{prefix}{number}")).collect()
    }

    #[test]
    fn few_keys_are_equally_likely() {
        // 400 draws each: a standard deviation is 5 %.
        for (prefix, seed) in [("k", 1), ("{tag}", 2), ("user:", 3)] {
            let spread = spread(&names(prefix, 10), 400, seed);
            assert!(spread.least > 0.75 && spread.most < 1.25, "{prefix} (seed {seed})");
        }
    }

    #[test]
    fn keys_of_all_slots_are_equally_likely() {
        // 100 draws each: a standard deviation is 10 %, and there are hundreds of keys.
        for (prefix, count, seed) in [("k", 129, 4), ("k", 500, 5), ("user:", 300, 6)] {
            let spread = spread(&names(prefix, count), 100, seed);
            assert!(spread.least > 0.5 && spread.most < 1.6, "{prefix} {count} (seed {seed})");
        }
    }

    #[test]
    fn keys_of_few_hash_tags_are_about_equally_likely() {
        // A slot's weight is right by an eighth, and gaps are evened out by as much.
        let mut all = names("{one}", 150);
        all.extend(names("{two}", 600));
        all.extend(names("{three}", 30));
        let spread = spread(&all, 50, 7);
        assert!(spread.least > 0.3 && spread.most < 2.5, "seed 7");
    }
}
