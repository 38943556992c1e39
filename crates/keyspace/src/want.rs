//! What an entry will look at, and which records lie behind that: they are read ahead where reading waits for a device.

use std::iter;

use quorate_api::limits::{DATABASES, IDEMPOTENCY_KEY_BYTES_MAX};
use quorate_api::{Args, CommandId as Id};
use quorate_engine::Need;

use crate::database::Databases;
use crate::generic::transfer;
use crate::types::string::set;
use crate::{space, system, watch};

/// Something that an entry will look at.
#[derive(Clone, Copy, Debug)]
pub enum Want<'a> {
    /// A key of a command.
    Key {
        /// The logical database of the command.
        db: u8,
        /// The command.
        command: Id,
        /// Its arguments.
        args: Args<'a>,
        /// Which of them is the key.
        at: usize,
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

/// The logical databases in which `command`, given in `db`, looks at its key at `at`. A number that is none is
/// refused before anything is looked at.
fn databases_of(db: u8, command: Id, args: Args<'_>, at: usize) -> (u8, Option<u8>) {
    match command {
        Id::Move => (db, transfer::destination_of_move(args).ok()),
        Id::Copy if at == transfer::COPY_DESTINATION => {
            let chosen = transfer::CopyOptions::parse(args).ok().and_then(|options| options.db);
            (chosen.unwrap_or(db), None)
        }
        _ => (db, None),
    }
}

/// The records behind `want`.
pub(crate) fn needs_of(want: &Want<'_>, databases: &Databases, needs: &mut Vec<Need>) {
    let mut read = |key: space::KeyBuf, only_replaced| {
        needs.push(Need { key: key.as_slice().to_vec(), only_replaced });
    };
    match *want {
        Want::Key { db, command, args, at } => {
            let key = args.at(at);
            let only_replaced = only_replaces(command, args);
            let (first, second) = databases_of(db, command, args, at);
            for db in iter::once(first).chain(second).filter(|db| *db < DATABASES) {
                if removes(command) {
                    read(watch::tombstone_key(db, key), false);
                }
                read(space::meta(databases.row(db).physical, key), only_replaced);
            }
        }
        Want::Watch { db, key } if db < DATABASES => {
            read(space::meta(databases.row(db).physical, key), false);
            read(watch::tombstone_key(db, key), false);
        }
        Want::Once { client, sequence } if client.len() <= IDEMPOTENCY_KEY_BYTES_MAX => {
            read(system::once_key(client, sequence), false);
        }
        Want::Watch { .. } | Want::Once { .. } => {}
    }
}
