//! What a key means: data types, record layout, expiry.
//!
//! Pure: a [`Keyspace`] knows no clock, no chance and no I/O besides its engine. Time and a seed come
//! with each entry ([`Moment`]), so applying is a function of state and entry, the same on every
//! replica; a rolling digest in the system space proves it.
//!
//! Entry file: [`keyspace`]. Every byte is drawn in `docs/FORMAT.md`, section "Records", and in
//! `space`, `record` and `system`.

mod applying;
mod codec;
mod commands;
mod copies;
mod database;
mod digest;
mod expiry;
mod frozen;
mod generic;
mod glob;
mod hint;
mod housekeep;
pub mod keyspace;
mod kv;
mod long_double;
mod number;
mod once;
mod reading;
mod record;
pub mod reply_codec;
mod revision;
mod slot;
pub mod snapshot;
mod space;
mod stop;
mod store;
mod system;
#[cfg(test)]
mod testing;
mod types;
mod want;
mod watch;

pub use frozen::{Frozen, Rehearsal, Thawed};
pub use housekeep::Housekept;
pub use keyspace::{Counters, DatabaseFigures, Keyspace, Read};
pub use once::{ONCE_BYTES_MAX, ONCE_RECORDS_MAX, ONCE_WINDOW_MS};
pub use revision::Moment;
pub use slot::{SLOTS, slot};
pub use want::Want;
pub use watch::WatchRef;
