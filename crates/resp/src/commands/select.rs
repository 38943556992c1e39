//! SELECT: the database of the connection's next commands.

use quorate_api::limits::DATABASES;
use quorate_api::{Args, Reply};

use crate::decode::integer;
use crate::session::Session;

/// The database that `argument` names.
pub(crate) fn database(argument: &[u8]) -> Result<u8, Reply> {
    let number = integer(argument).ok_or_else(Reply::not_an_integer)?;
    if i32::try_from(number).is_err() {
        let (low, high) = (i32::MIN, i32::MAX);
        let text = format!("value is out of range, value must between {low} and {high}");
        return Err(Reply::err(text));
    }
    u8::try_from(number)
        .ok()
        .filter(|db| *db < DATABASES)
        .ok_or_else(|| Reply::err("DB index is out of range"))
}

impl Session {
    pub(crate) fn select(&mut self, args: Args<'_>) -> Reply {
        match database(args.at(1)) {
            Ok(db) => {
                self.set_db(db);
                Reply::Ok
            }
            Err(reply) => reply,
        }
    }
}
