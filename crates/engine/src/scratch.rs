//! An engine on top of a view, for trying something out: what is written is forgotten with it.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::engine::{Engine, EngineError, EngineStats, Found, Reader, View, Visitor};
use crate::work::Fetched;

/// Writes of one trial, over a frozen state.
pub struct Scratch {
    view: Box<dyn View>,
    /// `None`: deleted. Small, and gone soon.
    written: std::collections::BTreeMap<Vec<u8>, Option<Bytes>>,
    applied: u64,
    fetched: Arc<Mutex<Fetched>>,
}

impl std::fmt::Debug for Scratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Scratch(at {})", self.applied)
    }
}

impl Scratch {
    /// A trial over `view`. When it is dropped, `fetched` holds what was read from the device.
    #[must_use]
    pub fn new(mut view: Box<dyn View>, fetched: &Arc<Mutex<Fetched>>) -> Self {
        view.remember_ranges();
        let applied = view.applied();
        Self { view, written: Default::default(), applied, fetched: Arc::clone(fetched) }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let mut fetched = self.fetched.lock().unwrap_or_else(PoisonError::into_inner);
        *fetched = self.view.take_fetched();
    }
}

impl Reader for Scratch {
    fn get(&self, key: &[u8]) -> Result<Option<Found<'_>>, EngineError> {
        match self.written.get(key) {
            Some(written) => Ok(written.as_ref().map(Found::Lent)),
            None => self.view.get(key),
        }
    }

    fn visit(&self, from: &[u8], to: &[u8], visitor: Visitor<'_>) -> Result<(), EngineError> {
        let bounds = (std::ops::Bound::Included(from), std::ops::Bound::Unbounded);
        let mut above = self.written.range::<[u8], _>(bounds).peekable();
        let within = |key: &[u8]| to.is_empty() || key < to;
        let mut ended = false;
        self.view.visit(from, to, &mut |key, value| {
            while let Some((next, written)) = above.next_if(|(next, _)| next.as_slice() < key) {
                if let Some(written) = written
                    && visitor(next, &Found::Lent(written)).is_break()
                {
                    ended = true;
                    return std::ops::ControlFlow::Break(());
                }
            }
            let written = above.next_if(|(next, _)| next.as_slice() == key);
            let flow = match written {
                Some((_, None)) => std::ops::ControlFlow::Continue(()),
                Some((_, Some(written))) => visitor(key, &Found::Lent(written)),
                None => visitor(key, value),
            };
            ended = flow.is_break();
            flow
        })?;
        if ended {
            return Ok(());
        }
        for (next, written) in above.take_while(|(next, _)| within(next)) {
            if let Some(written) = written
                && visitor(next, &Found::Lent(written)).is_break()
            {
                return Ok(());
            }
        }
        Ok(())
    }
}

impl Engine for Scratch {
    fn put(&mut self, key: &[u8], value: Bytes) -> Result<(), EngineError> {
        self.written.insert(key.to_vec(), Some(value));
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), EngineError> {
        self.written.insert(key.to_vec(), None);
        Ok(())
    }

    fn write(&mut self, applied: u64) -> Result<(), EngineError> {
        assert!(applied > self.applied, "entry {applied} after {}", self.applied);
        self.applied = applied;
        Ok(())
    }

    fn applied(&self) -> u64 {
        self.applied
    }

    fn durable_applied(&self) -> u64 {
        0
    }

    /// # Panics
    /// A trial has no views: nobody is to see it.
    fn view(&self) -> Box<dyn View> {
        panic!("a view of a trial")
    }

    /// # Panics
    /// A trial is dropped, not reset.
    fn reset(&mut self) {
        panic!("a reset of a trial")
    }

    fn maintain(&mut self, _budget: usize) -> bool {
        false
    }

    fn stats(&self) -> EngineStats {
        EngineStats { estimated: true, ..EngineStats::default() }
    }

    fn resident(&self) -> &dyn Reader {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryEngine;

    #[test]
    fn a_trial_sees_its_writes_over_the_view_and_leaves_no_trace() {
        let mut engine = MemoryEngine::new();
        for key in [b"b", b"d", b"f"] {
            engine.put(key, Bytes::from_static(b"old")).unwrap();
        }
        engine.write(7).unwrap();
        let fetched = Arc::default();
        let mut trial = Scratch::new(engine.view(), &fetched);
        trial.put(b"a", Bytes::from_static(b"new")).unwrap();
        trial.put(b"d", Bytes::from_static(b"new")).unwrap();
        trial.delete(b"f").unwrap();
        trial.put(b"g", Bytes::from_static(b"new")).unwrap();
        trial.write(8).unwrap();
        let visit = |from: &[u8], to: &[u8], max: usize| {
            let mut seen = String::new();
            let visited = trial.visit(from, to, &mut |key, value| {
                seen += &format!("{}{} ", char::from(key[0]), char::from(value[0]));
                if seen.len() / 3 < max {
                    std::ops::ControlFlow::Continue(())
                } else {
                    std::ops::ControlFlow::Break(())
                }
            });
            visited.unwrap();
            seen
        };
        assert_eq!(visit(b"", b"", 9), "an bo dn gn ");
        assert_eq!((visit(b"b", b"g", 9), visit(b"", b"", 1)), ("bo dn ".into(), "an ".into()));
        assert_eq!(trial.get(b"f").unwrap().as_deref(), None);
        drop(trial);
        assert_eq!(engine.get(b"d").unwrap().as_deref(), Some(&b"old"[..]));
    }
}
