//! From a view to a stream.

use std::ops::ControlFlow;

use quorate_engine::{EngineError, View};

use super::stream::{StreamWriter, head};
use super::{END, MAGIC};

/// Bytes that are collected before the sink gets them.
const PIECE_BYTES: usize = 64 * 1024;

/// How an export ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exported {
    /// The sink has the whole stream.
    Whole {
        /// Records in it.
        records: u64,
        /// Bytes of it.
        bytes: u64,
    },
    /// The sink said `Break`.
    Stopped,
}

/// Collects small writes into pieces.
struct Pieces<'a> {
    sink: &'a mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    piece: Vec<u8>,
    bytes: u64,
}

impl Pieces<'_> {
    fn push(&mut self, bytes: &[u8]) -> ControlFlow<()> {
        if self.piece.len() + bytes.len() > PIECE_BYTES {
            self.flush()?;
        }
        if bytes.len() < PIECE_BYTES {
            self.piece.extend_from_slice(bytes);
            return ControlFlow::Continue(());
        }
        self.bytes += u64::try_from(bytes.len()).unwrap_or_default();
        (self.sink)(bytes)
    }

    fn flush(&mut self) -> ControlFlow<()> {
        if self.piece.is_empty() {
            return ControlFlow::Continue(());
        }
        self.bytes += u64::try_from(self.piece.len()).unwrap_or_default();
        let flow = (self.sink)(&self.piece);
        self.piece.clear();
        flow
    }

    fn record(&mut self, key: &[u8], value: &[u8]) -> ControlFlow<()> {
        self.push(&head(key, value))?;
        self.push(key)?;
        self.push(value)
    }
}

/// Gives all records of `view` to `sink`, in pieces of any size; its `Break` stops the export.
///
/// # Errors
/// The engine failed.
pub fn export(
    view: &dyn View,
    sink: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
) -> Result<Exported, EngineError> {
    let mut pieces = Pieces { sink, piece: Vec::with_capacity(PIECE_BYTES), bytes: 0 };
    let mut records: u64 = 0;
    let mut flow = pieces.push(&MAGIC);
    if flow.is_continue() {
        flow = pieces.push(&view.applied().to_be_bytes());
    }
    if flow.is_continue() {
        view.visit(&[], &[], &mut |key, value| {
            records += 1;
            flow = pieces.record(key, value);
            flow
        })?;
    }
    let mut end = || {
        flow?;
        pieces.push(&[END])?;
        pieces.push(&records.to_be_bytes())?;
        pieces.flush()
    };
    Ok(match end() {
        ControlFlow::Continue(()) => Exported::Whole { records, bytes: pieces.bytes },
        ControlFlow::Break(()) => Exported::Stopped,
    })
}

/// The stream of [`export()`], on demand, for a taker that may be slow: between two pieces it holds the view
/// and nothing else.
pub struct Export {
    view: Box<dyn View>,
    from: Vec<u8>,
    stream: StreamWriter,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Head,
    Records,
    Over,
}

impl std::fmt::Debug for Export {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Export({} records, {:?})", self.stream.records(), self.stage)
    }
}

impl Export {
    /// All records of `view`.
    #[must_use]
    pub fn new(view: Box<dyn View>) -> Self {
        Self { view, from: Vec::new(), stream: StreamWriter::default(), stage: Stage::Head }
    }

    /// Appends the stream's next bytes to `out`, about `enough` of them; false when that was the end.
    ///
    /// # Errors
    /// The engine failed.
    pub fn next(&mut self, enough: usize, out: &mut Vec<u8>) -> Result<bool, EngineError> {
        match self.stage {
            Stage::Head => {
                self.stream = StreamWriter::begin(self.view.applied(), out);
                self.stage = Stage::Records;
            }
            Stage::Records => self.next_records(enough, out)?,
            Stage::Over => {}
        }
        Ok(self.stage != Stage::Over)
    }

    fn next_records(&mut self, enough: usize, out: &mut Vec<u8>) -> Result<(), EngineError> {
        let (from, stream) = (std::mem::take(&mut self.from), &mut self.stream);
        let end = out.len() + enough.max(1);
        let mut whole = true;
        self.view.visit(&from, &[], &mut |key, value| {
            if out.len() >= end {
                self.from = key.to_vec();
                whole = false;
                return ControlFlow::Break(());
            }
            stream.record(key, value, out);
            ControlFlow::Continue(())
        })?;
        if whole {
            self.stream.end(out);
            self.stage = Stage::Over;
        }
        Ok(())
    }
}
