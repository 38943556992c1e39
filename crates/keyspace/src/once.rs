//! The idempotency table: (client, sequence) -> what was asked, as a fingerprint, and what was answered.
//!
//! A request that is sent again within the window is answered from here and changes nothing. Records
//! are evicted by the time of entries, never by a clock, so that all replicas forget alike; and beyond
//! a number or a total size, so that the table stays bounded.

use quorate_api::limits::VALUE_BYTES_MAX;
use quorate_api::{ErrorCode, Reply};
use quorate_engine::EngineError;

use crate::codec::Decoder;
use crate::reply_codec;
use crate::space::{KeyBuf, damaged};
use crate::store::Store;
use crate::system;

/// For how long a request is remembered, by the stamps of entries.
pub const ONCE_WINDOW_MS: u64 = 15 * 60 * 1000;
/// How many requests are remembered; beyond it the oldest is forgotten before its time.
pub const ONCE_RECORDS_MAX: u64 = 1 << 20;
/// How many bytes the records may take together; beyond it the oldest is forgotten before its time.
pub const ONCE_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// The largest reply that is kept: any value fits. What a larger one said is lost to a retry; that it
/// took effect is not.
pub(crate) const REPLY_BYTES_MAX: usize = VALUE_BYTES_MAX + 64 * 1024;

const _: () = assert!((REPLY_BYTES_MAX as u64) < ONCE_BYTES_MAX);

/// The table's own figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OnceTable {
    /// Requests remembered.
    records: u64,
    /// Bytes of their records, keys included.
    bytes: u64,
    /// The number of the next request.
    next: u64,
}

impl OnceTable {
    /// The bytes of the system record: three words.
    pub(crate) fn encode(&self) -> Vec<u8> {
        [self.records, self.bytes, self.next].map(u64::to_be_bytes).concat()
    }

    /// The reverse of [`OnceTable::encode`].
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut decoder = Decoder::new(bytes);
        let (records, bytes, next) = (decoder.u64()?, decoder.u64()?, decoder.u64()?);
        decoder.is_empty().then_some(Self { records, bytes, next })
    }
}

/// What the order of the table says of one request: when it came, and where its record is.
struct Remembered {
    number: u64,
    stamp_ms: u64,
    bytes: u64,
    key: Vec<u8>,
}

impl Remembered {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(16 + self.key.len());
        bytes.extend_from_slice(&self.stamp_ms.to_be_bytes());
        bytes.extend_from_slice(&self.bytes.to_be_bytes());
        bytes.extend_from_slice(&self.key);
        bytes
    }

    fn decode(order_key: &[u8], value: &[u8]) -> Result<Self, EngineError> {
        let (mut at, mut decoder) = (Decoder::new(order_key), Decoder::new(value));
        let decoded = (|| {
            at.u16()?;
            Some(Self {
                number: at.u64()?,
                stamp_ms: decoder.u64()?,
                bytes: decoder.u64()?,
                key: decoder.rest().to_vec(),
            })
        })();
        decoded.ok_or_else(|| damaged("idempotency order"))
    }
}

/// The stored answer to a request that was seen before, or a Conflict error when the name was used for
/// another request; `None` when it is new.
pub(crate) fn before(
    store: &Store,
    key: &KeyBuf,
    fingerprint: u64,
) -> Result<Option<Reply>, EngineError> {
    let Some(stored) = store.engine().get(key.as_slice())? else { return Ok(None) };
    let mut decoder = Decoder::new(&stored);
    let asked = decoder.u64().ok_or_else(|| damaged("idempotency record"))?;
    if asked != fingerprint {
        let text = "the idempotency key was already used for another request";
        return Ok(Some(Reply::error(ErrorCode::Conflict, text)));
    }
    decoder.u64().ok_or_else(|| damaged("idempotency record"))?;
    if decoder.is_empty() {
        let text = "this request has already taken effect; its reply was too large to be kept";
        return Ok(Some(Reply::error(ErrorCode::Conflict, text)));
    }
    let reply = reply_codec::decode(decoder.rest());
    reply.map(Some).ok_or_else(|| damaged("idempotency record"))
}

/// Remembers what a request was answered.
pub(crate) fn after(
    store: &mut Store,
    key: &KeyBuf,
    fingerprint: u64,
    stamp_ms: u64,
    reply: &Reply,
) -> Result<(), EngineError> {
    assert!(
        store.engine().get(key.as_slice())?.is_none(),
        "a request that is remembered is not executed again"
    );
    let number = store.once.get().next;
    let mut value = Vec::with_capacity(64);
    value.extend_from_slice(&fingerprint.to_be_bytes());
    value.extend_from_slice(&number.to_be_bytes());
    let head_bytes = value.len();
    if !reply_codec::encode(reply, &mut value, REPLY_BYTES_MAX) {
        value.truncate(head_bytes);
    }
    value.shrink_to_fit();
    let bytes = length(key.as_slice()) + length(&value);
    let remembered = Remembered { number, stamp_ms, bytes, key: key.as_slice().to_vec() };
    store.put(key.as_slice(), value.into())?;
    store.put(system::once_order_key(number).as_slice(), remembered.encode().into())?;
    let table = store.once.change();
    table.next += 1;
    table.records += 1;
    table.bytes += bytes;
    trim(store, ONCE_RECORDS_MAX, ONCE_BYTES_MAX)
}

/// Forgets the oldest requests until the table is within its bounds.
fn trim(store: &mut Store, records_max: u64, bytes_max: u64) -> Result<(), EngineError> {
    while store.once.get().records > records_max || store.once.get().bytes > bytes_max {
        let Some(oldest) = oldest(store)? else { return Err(damaged("idempotency order")) };
        forget(store, &oldest)?;
    }
    Ok(())
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn oldest(store: &Store) -> Result<Option<Remembered>, EngineError> {
    let first = store.first_of(&system::once_order_prefix())?;
    first.map(|(key, value)| Remembered::decode(&key, &value)).transpose()
}

fn forget(store: &mut Store, remembered: &Remembered) -> Result<(), EngineError> {
    store.delete(&remembered.key)?;
    store.delete(system::once_order_key(remembered.number).as_slice())?;
    let table = store.once.change();
    table.records = table.records.saturating_sub(1);
    table.bytes = table.bytes.saturating_sub(remembered.bytes);
    Ok(())
}

/// True when the oldest record is out of the window at `now_ms`.
pub(crate) fn due(store: &Store, now_ms: u64) -> Result<bool, EngineError> {
    if store.once.get().records == 0 {
        return Ok(false);
    }
    Ok(oldest(store)?
        .is_some_and(|oldest| oldest.stamp_ms.saturating_add(ONCE_WINDOW_MS) <= now_ms))
}

/// Forgets up to `budget` requests that are out of the window; how many.
pub(crate) fn evict(store: &mut Store, now_ms: u64, budget: usize) -> Result<usize, EngineError> {
    let mut evicted = 0;
    while evicted < budget && due(store, now_ms)? {
        if let Some(oldest) = oldest(store)? {
            forget(store, &oldest)?;
        }
        evicted += 1;
    }
    Ok(evicted)
}

#[cfg(test)]
mod tests;
