//! Visits several layers at once: the newest that knows a key decides.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use bytes::Bytes;

use super::below::Below;
use super::is_gone;
use crate::engine::{EngineError, Found, Reader, Visitor};

/// Records that a cursor takes from its layer at once: few at first, since most visits are short.
const FIRST_TAKE: usize = 4;
const TAKE_MAX: usize = 512;

/// Goes through a layer in memory.
struct Cursor<'a> {
    layer: &'a dyn Reader,
    to: &'a [u8],
    from: Vec<u8>,
    ahead: VecDeque<(Vec<u8>, Bytes)>,
    take: usize,
    ended: bool,
}

impl<'a> Cursor<'a> {
    fn new(layer: &'a dyn Reader, from: &[u8], to: &'a [u8]) -> Self {
        let (ahead, from) = (VecDeque::new(), from.to_vec());
        Self { layer, to, from, ahead, take: FIRST_TAKE, ended: false }
    }

    fn peek(&mut self) -> Result<Option<&[u8]>, EngineError> {
        if self.ahead.is_empty() && !self.ended {
            let (ahead, take) = (&mut self.ahead, self.take);
            self.layer.visit(&self.from, self.to, &mut |key, value| {
                ahead.push_back((key.to_vec(), value.to_bytes()));
                if ahead.len() < take { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
            self.ended = self.ahead.len() < self.take;
            self.take = (self.take * 4).min(TAKE_MAX);
            if let Some((last, _)) = self.ahead.back() {
                self.from.clone_from(last);
                self.from.push(0);
            }
        }
        Ok(self.ahead.front().map(|(key, _)| key.as_slice()))
    }

    /// Passes `key`, if it is the next one, and gives its value.
    fn pass(&mut self, key: &[u8]) -> Option<Bytes> {
        self.ahead.pop_front_if(|(next, _)| next == key).map(|(_, value)| value)
    }
}

/// Visits `layers`, the newest first, over the records of the tree.
pub(super) fn visit(
    layers: &[&dyn Reader],
    mut range: Option<&mut Below<'_>>,
    from: &[u8],
    to: &[u8],
    visitor: Visitor<'_>,
) -> Result<(), EngineError> {
    let mut cursors: Vec<_> = layers.iter().map(|layer| Cursor::new(*layer, from, to)).collect();
    let mut below = range.as_deref_mut().map_or(Ok(None), Below::next)?;
    loop {
        let mut key: Option<Vec<u8>> = None;
        for cursor in &mut cursors {
            if let Some(next) = cursor.peek()?
                && key.as_deref().is_none_or(|key| next < key)
            {
                key = Some(next.to_vec());
            }
        }
        let in_memory = key.is_some();
        // Where memory has nothing more to say, or not yet, the tree's record is the answer as it is.
        if let Some((next, value)) =
            below.take_if(|(next, _)| key.as_ref().is_none_or(|key| *next < *key))
        {
            if visitor(&next, &Found::Lent(&value)).is_break() {
                return Ok(());
            }
            below = range.as_deref_mut().map_or(Ok(None), Below::next)?;
            continue;
        }
        let Some(key) = key.filter(|_| in_memory) else { return Ok(()) };
        let mut newest = None;
        for cursor in &mut cursors {
            let value = cursor.pass(&key);
            newest = newest.or(value);
        }
        if below.take_if(|(next, _)| *next == key).is_some() {
            below = range.as_deref_mut().map_or(Ok(None), Below::next)?;
        }
        if let Some(value) = newest.filter(|value| !is_gone(value))
            && visitor(&key, &Found::Lent(&value)).is_break()
        {
            return Ok(());
        }
    }
}
