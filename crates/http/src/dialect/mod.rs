//! The ancestors' HTTP dialects, so that their users' curl lines go on working; one file each.

pub(crate) mod hraftd;
pub(crate) mod huffleraft;
pub(crate) mod raftkv;

use quorate_api::{Consistency, Reply};

use crate::door::Door;
use crate::error::{Kind, Problem};

/// A key's text, empty when it does not exist: so the ancestors have it.
///
/// # Errors
/// The value is binary, or as [`Door::read`].
async fn get(door: &Door, key: &str, consistency: Consistency) -> Result<String, Problem> {
    match door.read(["GET", key], consistency).await? {
        Reply::Nil => Ok(String::new()),
        Reply::Bulk(value) => String::from_utf8(value.into()).map_err(|_| {
            Problem::new(
                Kind::NotText,
                "The value is not UTF-8 and can't be shown in JSON. Get its bytes from \
                 /v1/kv/<key>.",
            )
        }),
        _ => Err(Problem::unexpected_reply()),
    }
}
