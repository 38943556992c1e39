//! From a view to a stream that is taken piece by piece, by a reader that may be slow.

use std::ops::ControlFlow;

use quorate_engine::{EngineError, View};

use super::{END, MAGIC, RECORD};

/// Where an [`Exporter`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Header,
    Records,
    Nothing,
}

/// The stream of [`super::export()`], on demand: between two pieces it holds the view and nothing else.
pub struct Exporter {
    view: Box<dyn View>,
    next: Next,
    /// The smallest key that is not in the stream yet.
    from: Vec<u8>,
    records: u64,
}

impl std::fmt::Debug for Exporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exporter").field("records", &self.records).finish_non_exhaustive()
    }
}

impl Exporter {
    /// Of everything in `view`.
    pub fn new(view: Box<dyn View>) -> Self {
        Self { view, next: Next::Header, from: Vec::new(), records: 0 }
    }

    /// Appends whole records to `out` until it has `bytes` or more, or the stream is at its end: then
    /// true.
    ///
    /// # Errors
    /// The engine failed.
    pub fn fill(&mut self, out: &mut Vec<u8>, bytes: usize) -> Result<bool, EngineError> {
        if self.next == Next::Header {
            out.extend_from_slice(&MAGIC);
            out.extend_from_slice(&self.view.applied().to_be_bytes());
            self.next = Next::Records;
        }
        if self.next == Next::Records && !self.fill_records(out, bytes)? {
            out.push(END);
            out.extend_from_slice(&self.records.to_be_bytes());
            self.next = Next::Nothing;
        }
        Ok(self.next == Next::Nothing)
    }

    /// False when there are no more records.
    fn fill_records(&mut self, out: &mut Vec<u8>, bytes: usize) -> Result<bool, EngineError> {
        let (mut more, mut last) = (false, None);
        let records = &mut self.records;
        self.view.visit(&self.from, &[], &mut |key, value| {
            if out.len() >= bytes {
                more = true;
                return ControlFlow::Break(());
            }
            let length = |bytes: &[u8]| {
                u32::try_from(bytes.len()).expect("records are far below 4 GiB").to_be_bytes()
            };
            out.push(RECORD);
            out.extend_from_slice(&length(key));
            out.extend_from_slice(&length(value));
            out.extend_from_slice(key);
            out.extend_from_slice(value);
            *records += 1;
            last.get_or_insert_with(Vec::new).clear();
            last.get_or_insert_with(Vec::new).extend_from_slice(key);
            ControlFlow::Continue(())
        })?;
        if let Some(mut last) = last {
            // The smallest key above it.
            last.push(0);
            self.from = last;
        }
        Ok(more)
    }
}
