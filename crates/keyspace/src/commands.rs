//! From a command's number to the function that carries it out.

use quorate_api::{Args, CommandId as Id, Reply};

use crate::applying::Applying;
use crate::reading::Reading;
use crate::stop::Outcome;
use crate::types::string;
use crate::{generic, kv};

/// Carries out a write.
pub(crate) fn write(on: &mut Applying<'_>, id: Id, args: Args<'_>) -> Outcome {
    match id {
        Id::Set => string::set::set(on, args),
        Id::Setnx => string::set::setnx(on, args),
        Id::Setex | Id::Psetex => string::set::setex(on, id, args),
        Id::Getset => string::set::getset(on, args),
        Id::Getdel => string::get::getdel(on, args),
        Id::Getex => string::get::getex(on, args),
        Id::Mset => string::set::mset(on, args),
        Id::Msetnx => string::set::msetnx(on, args),
        Id::Append => string::range::append(on, args),
        Id::Setrange => string::range::setrange(on, args),
        Id::Incr | Id::Decr => string::counter::step(on, id, args),
        Id::Incrby => string::counter::incrby(on, args),
        Id::Decrby => string::counter::decrby(on, args),
        Id::Incrbyfloat => string::counter::incrbyfloat(on, args),
        Id::Del | Id::Unlink => generic::keys::delete(on, args),
        Id::Expire | Id::Pexpire | Id::Expireat | Id::Pexpireat => {
            generic::expire::expire(on, id, args)
        }
        Id::Persist => generic::expire::persist(on, args),
        Id::Rename | Id::Renamenx => generic::transfer::rename(on, id, args),
        Id::Copy => generic::transfer::copy(on, args),
        Id::Move => generic::transfer::move_key(on, args),
        Id::Flushdb | Id::Flushall => generic::databases::flush(on, id, args),
        Id::Swapdb => generic::databases::swap(on, args),
        Id::KvPut => kv::put(on, args),
        Id::KvDelete => kv::delete(on, args),
        _ => Ok(no_such(on.name)),
    }
}

/// Carries out a read.
pub(crate) fn read(on: &Reading<'_>, id: Id, args: Args<'_>) -> Outcome {
    match id {
        Id::Get => string::get::get(on, args),
        Id::Mget => string::get::mget(on, args),
        Id::Strlen => string::get::strlen(on, args),
        Id::Getrange | Id::Substr => string::range::getrange(on, args),
        Id::Exists | Id::Touch => generic::keys::exists(on, args),
        Id::Type => generic::keys::type_of(on, args),
        Id::Ttl | Id::Pttl | Id::Expiretime | Id::Pexpiretime => generic::expire::ttl(on, id, args),
        Id::Keys => generic::keys::keys(on, args),
        Id::Randomkey => generic::random::randomkey(on),
        Id::Scan => generic::scan::scan(on, args),
        Id::Dbsize => Ok(generic::databases::dbsize(on)),
        Id::Object => generic::object::object(on, args),
        Id::KvGet => kv::get(on, args),
        Id::Revisions => kv::revisions(on, args),
        _ => Ok(no_such(on.name)),
    }
}

/// A log may only hold commands of the table that touch keys; the answer to any other one is still
/// the same on every replica.
fn no_such(name: &str) -> Reply {
    Reply::err(format!("command '{}' does not work on keys", name.to_lowercase()))
}

/// The error for a wrong number of arguments.
pub(crate) fn wrong_arity(name: &str) -> Reply {
    Reply::err(format!("wrong number of arguments for '{}' command", name.to_lowercase()))
}
