//! Runs two engines side by side and panics on the first difference. For tests and for the doubtful.
//!
//! The first one answers; the second one is asked the same, and must say the same. What [`Engine::replaced`] says is
//! held against the second one's record and against what was marked. Views are compared record by record as they are
//! read.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use bytes::Bytes;

use crate::engine::{Engine, EngineError, EngineStats, Found, Reader, Replaced, View, Visitor};
use crate::work::{Fetch, Fetched, Need, Work};

/// Two engines that must agree. Durability, work and figures are the first one's.
#[derive(Debug)]
pub struct MirrorEngine<A, B> {
    both: Both<A, B>,
    /// Keys whose last put was marked.
    plain: BTreeSet<Vec<u8>>,
}

/// What the first one knows without the device, compared with all that the second one knows.
#[derive(Debug)]
struct Both<A, B> {
    first: A,
    second: B,
}

impl<A: Engine, B: Engine> Reader for Both<A, B> {
    fn get(&self, key: &[u8]) -> Result<Option<Found<'_>>, EngineError> {
        get_both(self.first.resident(), &self.second, key)
    }

    fn visit(&self, from: &[u8], to: &[u8], visitor: Visitor<'_>) -> Result<(), EngineError> {
        visit_both(self.first.resident(), &self.second, from, to, visitor)
    }
}

impl<A: Engine, B: Engine> MirrorEngine<A, B> {
    /// Runs both, which must hold the same by now.
    ///
    /// # Panics
    /// When they don't.
    pub fn new(first: A, second: B) -> Self {
        assert_eq!(first.applied(), second.applied(), "the mirrored engines differ from the start");
        compare_all(&first, &second);
        Self { both: Both { first, second }, plain: BTreeSet::new() }
    }

    /// Compares all records of both.
    ///
    /// # Panics
    /// When one differs.
    pub fn compare(&self) {
        compare_all(&self.both.first, &self.both.second);
    }

    /// The two engines.
    pub fn into_inner(self) -> (A, B) {
        (self.both.first, self.both.second)
    }
}

/// Fails unless both hold the same records.
fn compare_all(first: &dyn Reader, second: &dyn Reader) {
    let seen = visit_both(first, second, b"", b"", &mut |_, _| ControlFlow::Continue(()));
    seen.expect("the mirrored engines can be read");
}

fn get_both<'a>(
    first: &'a dyn Reader,
    second: &dyn Reader,
    key: &[u8],
) -> Result<Option<Found<'a>>, EngineError> {
    let one = first.get(key)?;
    let other = second.get(key)?;
    assert_eq!(one.as_deref(), other.as_deref(), "mirror: get {}", key.escape_ascii());
    Ok(one)
}

fn visit_both(
    first: &dyn Reader,
    second: &dyn Reader,
    from: &[u8],
    to: &[u8],
    visitor: Visitor<'_>,
) -> Result<(), EngineError> {
    // In stretches, so that a long visit is not kept in memory twice.
    const STRETCH: usize = 1024;
    let mut from = from.to_vec();
    loop {
        let mut records: Vec<(Vec<u8>, Bytes)> = Vec::new();
        second.visit(&from, to, &mut |key, value| {
            records.push((key.to_vec(), value.to_bytes()));
            if records.len() < STRETCH { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        let whole = records.len() < STRETCH;
        let mut expected = records.into_iter();
        let (mut flow, mut seen) = (ControlFlow::Continue(()), 0);
        first.visit(&from.clone(), to, &mut |key, value| {
            if seen == STRETCH {
                return ControlFlow::Break(());
            }
            seen += 1;
            let next = expected.next();
            let next = next.as_ref().map(|(key, value)| (key.as_slice(), &value[..]));
            assert_eq!(next, Some((key, &**value)), "mirror: visit at {}", key.escape_ascii());
            from = key.to_vec();
            from.push(0);
            flow = visitor(key, value);
            flow
        })?;
        if flow.is_break() {
            return Ok(());
        }
        assert_eq!(expected.next(), None, "mirror: one visit ended before the other");
        if whole {
            return Ok(());
        }
    }
}

impl<A: Engine, B: Engine> Reader for MirrorEngine<A, B> {
    fn get(&self, key: &[u8]) -> Result<Option<Found<'_>>, EngineError> {
        get_both(&self.both.first, &self.both.second, key)
    }

    fn expect(&self, keys: &[&[u8]]) {
        self.both.first.expect(keys);
        self.both.second.expect(keys);
    }

    fn visit(&self, from: &[u8], to: &[u8], visitor: Visitor<'_>) -> Result<(), EngineError> {
        visit_both(&self.both.first, &self.both.second, from, to, visitor)
    }
}

impl<A: Engine, B: Engine> Engine for MirrorEngine<A, B> {
    fn put(&mut self, key: &[u8], value: Bytes) -> Result<(), EngineError> {
        self.plain.remove(key);
        self.both.second.put(key, value.clone())?;
        self.both.first.put(key, value)
    }

    fn put_copy(&mut self, key: &[u8], value: &[u8]) -> Result<(), EngineError> {
        self.plain.remove(key);
        self.both.second.put_copy(key, value)?;
        self.both.first.put_copy(key, value)
    }

    fn mark_plain(&mut self, key: &[u8]) {
        self.plain.insert(key.to_vec());
        self.both.second.mark_plain(key);
        self.both.first.mark_plain(key);
    }

    fn replaced(&self, key: &[u8]) -> Result<Replaced<'_>, EngineError> {
        let told = self.both.first.replaced(key)?;
        let other = self.both.second.get(key)?;
        match &told {
            Replaced::Plain => assert!(
                other.is_some() && self.plain.contains(key),
                "mirror: {} is not plain",
                key.escape_ascii()
            ),
            Replaced::Absent => {
                assert!(other.is_none(), "mirror: {} is not absent", key.escape_ascii());
            }
            Replaced::Record(one) => {
                assert_eq!(Some(&**one), other.as_deref(), "mirror: {}", key.escape_ascii());
            }
        }
        Ok(told)
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), EngineError> {
        self.plain.remove(key);
        self.both.second.delete(key)?;
        self.both.first.delete(key)
    }

    fn write(&mut self, applied: u64) -> Result<(), EngineError> {
        self.both.second.write(applied)?;
        self.both.first.write(applied)
    }

    fn applied(&self) -> u64 {
        assert_eq!(self.both.first.applied(), self.both.second.applied(), "mirror: applied");
        self.both.first.applied()
    }

    fn durable_applied(&self) -> u64 {
        self.both.first.durable_applied()
    }

    fn view(&self) -> Box<dyn View> {
        Box::new(MirrorView { first: self.both.first.view(), second: self.both.second.view() })
    }

    fn reset(&mut self) {
        self.plain.clear();
        self.both.first.reset();
        self.both.second.reset();
    }

    fn maintain(&mut self, budget: usize) -> bool {
        let more = self.both.second.maintain(budget);
        self.both.first.maintain(budget) || more
    }

    fn stats(&self) -> EngineStats {
        self.both.first.stats()
    }

    fn resident(&self) -> &dyn Reader {
        &self.both
    }

    fn may_block(&self) -> bool {
        self.both.first.may_block()
    }

    fn fetch(&mut self, needs: &[Need]) -> Option<Fetch> {
        self.both.first.fetch(needs)
    }

    fn admit(&mut self, fetched: Fetched) {
        self.both.first.admit(fetched);
    }

    fn hold(&mut self, fetched: Fetched) -> bool {
        self.both.first.hold(fetched)
    }

    fn release(&mut self) {
        self.both.first.release();
    }

    fn take_work(&mut self) -> Option<Work> {
        self.both.first.take_work()
    }

    fn settle(&mut self) -> Result<(), EngineError> {
        self.both.first.settle()
    }

    fn has_room(&self) -> bool {
        self.both.first.has_room()
    }

    fn checkpoint(&mut self) {
        self.both.first.checkpoint();
    }

    fn seal(&mut self, note: &[u8]) -> Result<(), EngineError> {
        self.both.first.seal(note)
    }

    fn note(&self) -> &[u8] {
        self.both.first.note()
    }

    fn retire(&mut self) {
        self.both.first.retire();
    }
}

/// Two views that must agree.
struct MirrorView {
    first: Box<dyn View>,
    second: Box<dyn View>,
}

impl Reader for MirrorView {
    fn get(&self, key: &[u8]) -> Result<Option<Found<'_>>, EngineError> {
        get_both(&*self.first, &*self.second, key)
    }

    fn visit(&self, from: &[u8], to: &[u8], visitor: Visitor<'_>) -> Result<(), EngineError> {
        visit_both(&*self.first, &*self.second, from, to, visitor)
    }
}

impl View for MirrorView {
    fn applied(&self) -> u64 {
        assert_eq!(self.first.applied(), self.second.applied(), "mirror: a view's applied index");
        self.first.applied()
    }

    fn remember_ranges(&mut self) {
        self.first.remember_ranges();
    }

    fn take_fetched(&mut self) -> Fetched {
        self.first.take_fetched()
    }
}
