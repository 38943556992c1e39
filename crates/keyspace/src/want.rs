//! What an entry will look at, and which records lie behind that: they are read ahead where reading waits for a device.

use quorate_api::limits::{DATABASES, IDEMPOTENCY_KEY_BYTES_MAX};
use quorate_api::{Args, CommandId as Id};
use quorate_engine::Need;

use crate::database::Databases;
use crate::types::string::set;
use crate::{space, system, watch};

/// Something that an entry will look at.
#[derive(Clone, Copy, Debug)]
pub enum Want<'a> {
    /// A key of a command.
    Key {
        /// The logical database.
        db: u8,
        /// The command.
        command: Id,
        /// Its arguments.
        args: Args<'a>,
        /// The key.
        key: &'a [u8],
    },
    /// A key that is watched.
    Watch {
        /// The logical database.
        db: u8,
        /// The key.
        key: &'a [u8],
    },
    /// The name of a request.
    Once {
        /// Who asks.
        client: &'a [u8],
        /// Which request.
        sequence: u64,
    },
}

/// Commands which remove keys rarely or never: the tombstones of their keys are not worth a look ahead.
fn removes(command: Id) -> bool {
    !matches!(
        command,
        Id::Set
            | Id::Setnx
            | Id::Setex
            | Id::Psetex
            | Id::Getset
            | Id::Mset
            | Id::Msetnx
            | Id::Append
            | Id::Setrange
            | Id::Incr
            | Id::Decr
            | Id::Incrby
            | Id::Decrby
            | Id::Incrbyfloat
            | Id::KvPut
    )
}

/// Commands that replace or remove their keys' records and never look at them. A wrong yes costs the loop a wait for
/// the device, a wrong no a read that nobody needed.
fn only_replaces(command: Id, args: Args<'_>) -> bool {
    match command {
        Id::Setnx | Id::Setex | Id::Psetex | Id::Mset | Id::Msetnx | Id::Del | Id::Unlink => true,
        Id::Set => set::is_blind(args),
        Id::KvPut => args.at(3).is_empty(),
        Id::KvDelete => args.at(2).is_empty(),
        _ => false,
    }
}

/// The records behind `want`.
pub(crate) fn needs_of(want: &Want<'_>, databases: &Databases, needs: &mut Vec<Need>) {
    let mut read = |key: &space::KeyBuf| needs.push(Need::from(key.as_slice().to_vec()));
    match *want {
        Want::Key { db, command, args, key } if db < DATABASES => {
            if removes(command) {
                read(&watch::tombstone_key(db, key));
            }
            let record = space::meta(databases.row(db).physical, key);
            let only_replaced = only_replaces(command, args);
            needs.push(Need { key: record.as_slice().to_vec(), only_replaced });
        }
        Want::Watch { db, key } if db < DATABASES => {
            read(&space::meta(databases.row(db).physical, key));
            read(&watch::tombstone_key(db, key));
        }
        Want::Once { client, sequence } if client.len() <= IDEMPOTENCY_KEY_BYTES_MAX => {
            read(&system::once_key(client, sequence));
        }
        Want::Key { .. } | Want::Watch { .. } | Want::Once { .. } => {}
    }
}
