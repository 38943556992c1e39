//! The model that engines are compared with, and the dice that drive the comparison.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use bytes::Bytes;

use super::Open;
use crate::engine::{Engine, Found, Reader, Replaced, View};
use crate::work::{Fetch, Need};

/// What an engine should hold.
pub(super) type Model = BTreeMap<Vec<u8>, Bytes>;

/// Reruns one seed: `QUORATE_ENGINE_SEED=42 cargo test -p quorate-engine`.
const SEED_VARIABLE: &str = "QUORATE_ENGINE_SEED";
/// Seeds of a normal run, and operations per seed.
const SEEDS: std::ops::Range<u64> = 0..12;
const OPERATIONS: usize = 6_000;
/// Views of a random run that live at the same time.
const VIEWS_MAX: usize = 6;

/// The seeds to run.
pub(super) fn seeds() -> Vec<u64> {
    match std::env::var(SEED_VARIABLE).map(|seed| seed.parse()) {
        Ok(Ok(seed)) => vec![seed],
        Ok(Err(error)) => panic!("{SEED_VARIABLE}: {error}"),
        Err(_) => SEEDS.collect(),
    }
}

/// Random numbers that repeat (splitmix64). The engine knows no `Rng`, and needs no good one.
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// A place in something of length `len`.
    pub(super) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).expect("below a usize")
    }

    /// Keys that meet again, of several kinds: short, prefixes of each other, longer than any inline form.
    pub(super) fn key(&mut self) -> Vec<u8> {
        let n = self.below(600);
        match self.below(4) {
            0 => format!("k{n:04}").into_bytes(),
            1 => format!("a common prefix of 28 bytes:{:03}", n % 200).into_bytes(),
            2 => vec![0; 1 + self.index(70)],
            _ => n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes().to_vec(),
        }
    }

    /// Values, some of them empty, few of them large.
    pub(super) fn value(&mut self) -> Bytes {
        let len = match self.below(50) {
            0 => self.index(70_000),
            // Of one length, so that one may be written over another.
            1..30 => 40,
            _ => self.index(100),
        };
        Bytes::from(vec![self.next().to_le_bytes()[0]; len])
    }
}

/// Fails unless `reader` holds just what `model` does, by visits and by gets.
pub(super) fn assert_same<R>(reader: &R, model: &Model, at: &dyn Fn() -> String)
where
    R: Reader + ?Sized,
{
    assert_same_range(reader, model, b"", b"", at);
    // A hint, about what is there and what is not, may change no answer.
    let absent: [&[u8]; 2] = [b"\0absent", &[u8::MAX; 40]];
    let hinted: Vec<&[u8]> = model.keys().map(Vec::as_slice).take(40).chain(absent).collect();
    reader.expect(&hinted);
    for (key, value) in model {
        assert_eq!(
            reader.get(key).expect("get").as_deref(),
            Some(&value[..]),
            "{}: get {key:?}",
            at()
        );
    }
}

/// Fails unless a visit from `from` to `to` shows just what the model has there.
pub(super) fn assert_same_range<R>(
    reader: &R,
    model: &Model,
    from: &[u8],
    to: &[u8],
    at: &dyn Fn() -> String,
) where
    R: Reader + ?Sized,
{
    let mut expected = model
        .range::<[u8], _>((std::ops::Bound::Included(from), std::ops::Bound::Unbounded))
        .take_while(|(key, _)| to.is_empty() || key.as_slice() < to);
    let visited = reader.visit(from, to, &mut |key, value| {
        let next = expected.next();
        let seen = (key, &**value);
        assert_eq!(
            next.map(|(key, value)| (key.as_slice(), &value[..])),
            Some(seen),
            "{}: visit from {from:?} to {to:?}",
            at()
        );
        ControlFlow::Continue(())
    });
    visited.expect("visit");
    assert_eq!(expected.next(), None, "{}: visit from {from:?} to {to:?} ended early", at());
}

struct Run {
    seed: u64,
    step: usize,
    dice: Dice,
    engine: Box<dyn Engine>,
    model: Model,
    /// Those whose last put was marked.
    plain: BTreeSet<Vec<u8>>,
    in_batch: bool,
    views: Vec<(Box<dyn View>, Model)>,
    /// Reads that are late.
    late: Option<Fetch>,
}

/// Random operations have the same effect on an engine as on a `BTreeMap`, and none on its views.
///
/// A failure names its seed; `QUORATE_ENGINE_SEED=<seed> cargo test -p quorate-engine` repeats it.
pub fn random_operations_equal_the_model(open: Open<'_>, seed: u64) {
    let mut run = Run {
        seed,
        step: 0,
        dice: Dice::new(seed),
        engine: open(),
        model: Model::new(),
        plain: BTreeSet::new(),
        in_batch: false,
        views: Vec::new(),
        late: None,
    };
    // Waves of growth and shrinking reach splits as well as merges.
    for step in 0..OPERATIONS {
        run.step = step;
        let deletes = if step / 1_500 % 2 == 0 { 15 } else { 60 };
        match run.dice.below(120) {
            roll if roll < deletes => run.delete(),
            0..84 => run.put(),
            84..90 => run.hinted(),
            90..96 => run.end_batch(),
            96..99 => run.look(),
            99..103 => run.view(),
            103..106 => run.drop_view(),
            106..109 => drop(run.engine.maintain(run.dice.index(50))),
            109..119 => run.read_ahead(),
            _ => run.reset_rarely(),
        }
    }
    run.finish();
}

impl Run {
    fn at(&self) -> String {
        let Self { seed, step, .. } = self;
        format!("step {step}; repeat: {SEED_VARIABLE}={seed} cargo test -p quorate-engine")
    }

    fn put(&mut self) {
        let (key, value) = (self.dice.key(), self.dice.value());
        self.put_either_way(key, value);
    }

    fn put_either_way(&mut self, key: Vec<u8>, value: Bytes) {
        if self.dice.below(2) == 0 {
            self.engine.put(&key, value.clone()).expect("put");
        } else {
            self.engine.put_copy(&key, &value).expect("put a copy");
        }
        self.plain.remove(&key);
        if self.dice.below(2) == 0 {
            self.engine.mark_plain(&key);
            self.plain.insert(key.clone());
        }
        self.model.insert(key, value);
        self.in_batch = true;
    }

    /// What a write is told of `key` is true, if not always the whole truth.
    fn assert_replaced(&self, key: &[u8]) {
        let is_true = match self.engine.replaced(key).expect("replaced") {
            Replaced::Absent => !self.model.contains_key(key),
            Replaced::Plain => self.model.contains_key(key) && self.plain.contains(key),
            Replaced::Record(found) => self.model.get(key).is_some_and(|it| **it == *found),
        };
        assert!(is_true, "{}: {key:?}", self.at());
    }

    fn delete(&mut self) {
        let key = self.dice.key();
        self.engine.delete(&key).expect("delete");
        self.model.remove(&key);
        self.plain.remove(&key);
        self.in_batch = true;
        self.assert_replaced(&key);
        assert!(self.engine.get(&key).expect("get").is_none(), "{}", self.at());
    }

    /// What was hinted at is changed before it is looked at: a hint is no promise.
    fn hinted(&mut self) {
        let keys: Vec<Vec<u8>> = (0..=self.dice.index(20)).map(|_| self.dice.key()).collect();
        let hinted: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        self.engine.expect(&hinted);
        for key in keys {
            self.assert_replaced(&key);
            let got = self.engine.get(&key).expect("get").map(Found::into_bytes);
            assert_eq!(got.as_ref(), self.model.get(&key), "{}: {key:?}", self.at());
            if self.dice.below(3) == 0 {
                self.delete();
                continue;
            }
            let value = self.dice.value();
            self.put_either_way(key.clone(), value.clone());
            let got = self.engine.get(&key).expect("get").map(Found::into_bytes);
            assert_eq!(got.as_ref(), Some(&value), "{}: {key:?}", self.at());
        }
    }

    /// Has some keys read ahead, and looks at them, or at what was read before.
    fn read_ahead(&mut self) {
        let need = |dice: &mut Dice| Need { key: dice.key(), only_replaced: dice.below(2) == 0 };
        let needs: Vec<Need> = (0..=self.dice.index(20)).map(|_| need(&mut self.dice)).collect();
        let mut fetch = self.engine.fetch(&needs);
        if self.dice.below(3) == 0 {
            std::mem::swap(&mut fetch, &mut self.late);
        }
        if let Some(fetched) = fetch.map(Fetch::run) {
            if self.dice.below(2) == 0 {
                self.engine.admit(fetched);
            } else {
                self.engine.hold(fetched);
            }
        }
        for Need { key, only_replaced } in needs {
            self.assert_replaced(&key);
            if !only_replaced {
                let got = self.engine.get(&key).expect("get").map(Found::into_bytes);
                assert_eq!(got.as_ref(), self.model.get(&key), "{}: {key:?}", self.at());
            }
        }
    }

    fn end_batch(&mut self) {
        let applied = self.engine.applied() + 1 + self.dice.below(3);
        self.engine.write(applied).expect("write");
        self.engine.release();
        assert_eq!(self.engine.applied(), applied, "{}", self.at());
        self.in_batch = false;
    }

    fn look(&mut self) {
        let (from, to) = (self.dice.key(), self.dice.key());
        self.assert_replaced(&from);
        assert_same_range(self.engine.as_ref(), &self.model, &from, &to, &|| self.at());
        let expected = self.model.get(&from).map(|value| &value[..]);
        assert_eq!(self.engine.get(&from).expect("get").as_deref(), expected, "{}", self.at());
        if let Some((view, frozen)) = self.views.first() {
            assert_same_range(view.as_ref(), frozen, &from, &to, &|| self.at());
        }
        let stats = self.engine.stats();
        assert_eq!(stats.views, self.views.len() as u64, "{}", self.at());
        if stats.estimated {
            return;
        }
        let payload: usize = self.model.iter().map(|(key, value)| key.len() + value.len()).sum();
        assert_eq!(
            (stats.records, stats.payload_bytes),
            (self.model.len() as u64, payload as u64),
            "{}",
            self.at()
        );
    }

    fn view(&mut self) {
        if self.in_batch {
            self.end_batch();
        }
        if self.views.len() < VIEWS_MAX {
            self.views.push((self.engine.view(), self.model.clone()));
        }
    }

    fn drop_view(&mut self) {
        if self.views.is_empty() {
            return;
        }
        let (view, frozen) = self.views.swap_remove(self.dice.index(self.views.len()));
        assert_same(view.as_ref(), &frozen, &|| self.at());
    }

    fn reset_rarely(&mut self) {
        if self.dice.below(20) == 0 {
            self.engine.reset();
            self.model.clear();
            self.plain.clear();
            self.in_batch = false;
        }
    }

    fn finish(mut self) {
        assert_same(self.engine.as_ref(), &self.model, &|| self.at());
        while !self.views.is_empty() {
            self.drop_view();
        }
        for key in std::mem::take(&mut self.model).keys() {
            self.engine.delete(key).expect("delete");
        }
        // A thread that works for the engine may be about to let go of the last it has read.
        for _ in 0..1_000_000 {
            while self.engine.maintain(1_000) {}
            if self.engine.stats().reclaimable == 0 {
                break;
            }
            std::thread::yield_now();
        }
        let stats = self.engine.stats();
        assert_eq!((stats.views, stats.reclaimable), (0, 0), "{}", self.at());
        if !stats.estimated {
            assert_eq!((stats.records, stats.payload_bytes), (0, 0), "{}", self.at());
        }
    }
}
