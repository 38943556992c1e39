//! A walk over keys, page by page.

use std::collections::VecDeque;

use bytes::Bytes;
use quorate_api::{OwnedArgs, Reply};

use crate::error::Error;
use crate::kv::odd;
use crate::store::Store;

/// Index entries that one page looks at.
const PAGE: &str = "1000";

/// A walk under way: see [`Store::scan`].
///
/// A key that is there from the first page to the last is found once; one that comes or goes meanwhile is
/// found or not. The walk is valid on any node and across any failure, and holds nothing on the node.
#[derive(Clone, Debug)]
pub struct Scan {
    store: Store,
    pattern: Vec<u8>,
    /// Where to go on; `None` behind the last page.
    cursor: Option<Bytes>,
    page: VecDeque<Bytes>,
}

/// A pattern for exactly this beginning.
fn beginning(prefix: &[u8]) -> Vec<u8> {
    let mut pattern = Vec::with_capacity(prefix.len() + 1);
    for byte in prefix {
        if matches!(byte, b'*' | b'?' | b'[' | b']' | b'\\' | b'^' | b'-') {
            pattern.push(b'\\');
        }
        pattern.push(*byte);
    }
    pattern.push(b'*');
    pattern
}

impl Scan {
    pub(crate) fn new(store: Store, prefix: &[u8]) -> Self {
        let cursor = Some(Bytes::from_static(b"0"));
        Self { store, pattern: beginning(prefix), cursor, page: VecDeque::new() }
    }

    /// The next key, in no particular order; `None` behind the last one.
    ///
    /// # Errors
    /// [`Error`]; the same call again goes on where this one failed.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if let Some(key) = self.page.pop_front() {
                return Ok(Some(key));
            }
            let Some(cursor) = &self.cursor else { return Ok(None) };
            let parts: [&[u8]; 6] =
                [b"SCAN", cursor, b"MATCH", &self.pattern, b"COUNT", PAGE.as_bytes()];
            let reply = self.store.call(OwnedArgs::new(parts)).await?;
            self.take(&reply)?;
        }
    }

    fn take(&mut self, reply: &Reply) -> Result<(), Error> {
        let Reply::Array(parts) = reply else { return Err(odd(reply)) };
        let [Reply::Bulk(cursor), Reply::Array(keys)] = parts.as_slice() else {
            return Err(odd(reply));
        };
        for key in keys {
            let Reply::Bulk(key) = key else { return Err(odd(key)) };
            self.page.push_back(key.clone());
        }
        self.cursor = Some(cursor.clone()).filter(|cursor| cursor.as_ref() != b"0");
        Ok(())
    }

    /// All keys that are left, at once; for few of them.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn collect(mut self) -> Result<Vec<Bytes>, Error> {
        let mut keys = Vec::new();
        while let Some(key) = self.next().await? {
            keys.push(key);
        }
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_means_itself() {
        assert_eq!(beginning(b""), b"*");
        assert_eq!(beginning(b"a*[b]\\"), br"a\*\[b\]\\*");
    }
}
