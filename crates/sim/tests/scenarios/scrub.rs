//! What has rotted where nobody reads is found by reading it again.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use quorate_engine::engine::Visitor;
use quorate_engine::{
    Cellar, Engine, EngineError, EngineKind, EngineStats, Found, MemoryCellar, Reader, View,
};
use quorate_node::Config;
use quorate_sim::cluster::NodeSpec;
use quorate_sim::world::Kill;

use crate::gym::{Gym, ok};

const EVERY: Duration = Duration::from_secs(4);

/// Memory whose content changes by itself, once `rotten` is set.
#[derive(Clone, Debug)]
struct Rotting {
    rotten: Arc<AtomicBool>,
}

impl Cellar for Rotting {
    fn kind(&self) -> EngineKind {
        EngineKind::Memory
    }

    fn open(&self, dir: &Path) -> Result<Option<Box<dyn Engine>>, EngineError> {
        MemoryCellar.open(dir)
    }

    fn look(&self, dir: &Path) -> Result<Option<Box<dyn Engine>>, EngineError> {
        MemoryCellar.look(dir)
    }

    fn fresh(&self, dir: &Path) -> Result<Box<dyn Engine>, EngineError> {
        let inner = MemoryCellar.fresh(dir)?;
        Ok(Box::new(Shelf { inner, rotten: Arc::clone(&self.rotten) }))
    }

    fn clear(&self, dir: &Path) -> Result<(), EngineError> {
        MemoryCellar.clear(dir)
    }
}

/// An engine, or a view of one.
struct Shelf<T> {
    inner: T,
    rotten: Arc<AtomicBool>,
}

impl<T: Reader> Reader for Shelf<T> {
    fn get(&self, key: &[u8]) -> Result<Option<Found<'_>>, EngineError> {
        self.inner.get(key)
    }

    fn visit(&self, from: &[u8], to: &[u8], visitor: Visitor<'_>) -> Result<(), EngineError> {
        let rotten = self.rotten.load(Ordering::Relaxed);
        self.inner.visit(from, to, &mut |key, value| -> ControlFlow<()> {
            let mut changed = value.to_vec();
            match changed.last_mut().filter(|_| rotten && key.ends_with(b"precious")) {
                Some(last) => *last ^= 1,
                None => return visitor(key, value),
            }
            visitor(key, &Found::Given(changed.into()))
        })
    }
}

impl View for Shelf<Box<dyn View>> {
    fn applied(&self) -> u64 {
        self.inner.applied()
    }
}

impl Engine for Shelf<Box<dyn Engine>> {
    fn put(&mut self, key: &[u8], value: Bytes) -> Result<(), EngineError> {
        self.inner.put(key, value)
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), EngineError> {
        self.inner.delete(key)
    }

    fn write(&mut self, applied: u64) -> Result<(), EngineError> {
        self.inner.write(applied)
    }

    fn applied(&self) -> u64 {
        self.inner.applied()
    }

    fn durable_applied(&self) -> u64 {
        self.inner.durable_applied()
    }

    fn view(&self) -> Box<dyn View> {
        Box::new(Shelf { inner: self.inner.view(), rotten: Arc::clone(&self.rotten) })
    }

    fn reset(&mut self) {
        self.inner.reset();
    }

    fn maintain(&mut self, budget: usize) -> bool {
        self.inner.maintain(budget)
    }

    fn stats(&self) -> EngineStats {
        self.inner.stats()
    }

    fn resident(&self) -> &dyn Reader {
        self.inner.resident()
    }
}

/// Three nodes that scrub often; the second one's memory rots when the flag is set.
fn gym() -> (Gym, Arc<AtomicBool>) {
    let rotten = Arc::<AtomicBool>::default();
    let cellar = Rotting { rotten: Arc::clone(&rotten) };
    let adjust = move |spec: &NodeSpec, config: &mut Config| {
        config.scrub_every = EVERY;
        config.entries_kept = 10_000;
        config.snapshot_log_bytes = 1 << 30;
        if spec.number == 2 {
            config.cellar = Arc::new(cellar.clone());
        }
    };
    let mut gym = Gym::with(1, 3, |_| (), adjust, |_| ());
    for step in 0..20 {
        let leader = gym.leader().unwrap();
        assert_eq!(gym.ask(leader, &["SET", &format!("k{step}"), &"v".repeat(1000)]).0, ok());
        assert_eq!(gym.ask(leader, &["SET", "precious", "intact"]).0, ok());
    }
    (gym, rotten)
}

fn scrubs(gym: &Gym, number: u64) -> u64 {
    gym.status(number).scrubs
}

#[test]
fn an_idle_cluster_reads_everything_again_at_the_same_index_and_agrees() {
    let (mut gym, _) = gym();
    gym.until("all have scrubbed", |gym| (1..=3).all(|number| scrubs(gym, number) >= 2));
    gym.run_for(EVERY / 4);
    let index = gym.status(1).scrub_index;
    assert!(index > 0);
    assert!((2..=3).all(|number| gym.status(number).scrub_index == index));
    assert!((1..=3).all(|number| gym.world.is_up(gym.host(number))));
}

#[test]
fn a_member_whose_memory_has_rotted_stops_and_the_others_go_on() {
    let (mut gym, rotten) = gym();
    rotten.store(true, Ordering::Relaxed);
    gym.until("the odd one out has stopped", |gym| !gym.world.is_up(gym.host(2)));
    gym.run_for(3 * EVERY);
    assert!([1, 3].iter().all(|number| gym.world.is_up(gym.host(*number))), "the others are right");
    let leader = gym.leader().unwrap();
    assert_eq!(gym.ask(leader, &["SET", "after", "v"]).0, ok());
}

fn segments(gym: &Gym, number: u64) -> Vec<PathBuf> {
    let paths = gym.world.disk(gym.host(number)).paths();
    paths.into_iter().filter(|path| path.extension().is_some_and(|it| it == "log")).collect()
}

/// Flips bits in the middle of what `number` has written to its log.
fn harm(gym: &Gym, number: u64) {
    for path in segments(gym, number) {
        let flipped =
            (0..50).filter_map(|_| gym.world.disk(gym.host(number)).flip_bit(&path)).count();
        assert!(flipped > 0, "{}", path.display());
    }
}

#[test]
fn damage_in_a_log_that_nobody_reads_is_found_and_mended_while_there_is_time() {
    let (mut gym, _) = gym();
    let leader = gym.leader().unwrap();
    let (damaged, other) = (leader % 3 + 1, (leader + 1) % 3 + 1);
    gym.stop(other, Kill::Process);
    harm(&gym, damaged);
    gym.run_for(3 * EVERY);
    assert!(gym.world.is_up(gym.host(damaged)), "without it there would be no majority");
    gym.start(other);
    gym.until("the damaged one has stopped", |gym| !gym.world.is_up(gym.host(damaged)));
    let leader = gym.leader().unwrap();
    assert_eq!(gym.ask(leader, &["SET", "after", "v"]).0, ok());
    gym.start(damaged);
    gym.until("it has fetched the state", |gym| {
        gym.status(damaged).applied == gym.status(leader).applied
    });
    assert_eq!(
        gym.ask(damaged, &["GET", "precious"]).0,
        quorate_sim::resp::Frame::Bulk("intact".into())
    );
}
