//! Values that the tree keeps outside of its tables, in files of their own.
//!
//! ```text
//!   "BLOB" | checksum u128 | seqno u64 | key length u16 | value length u32 | stored length u32 | key | value
//! ```
//!
//! Little endian; the checksum is XXH3-128 of key and value, which are not compressed (lsm-tree 3.1,
//! `vlog/blob_file/writer.rs`). The tree's own reader is not to be had without its lock, see [`super::tables`].

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;
use lsm_tree::coding::Decode;
use lsm_tree::{
    AbstractTree, AnyTree, BlobFile, Cache, DescriptorTable, Error, GlobalTableId, InternalValue,
    TreeId, UserValue,
};
use xxhash_rust::xxh3::Xxh3Default;

const MAGIC: &[u8; 4] = b"BLOB";
/// What stands before the key.
const HEADER_BYTES: usize = 4 + 16 + 8 + 2 + 4 + 4;

/// The files of one state of a tree. They stay as long as somebody has them.
pub(super) struct Separated {
    tree: TreeId,
    files: BTreeMap<u64, BlobFile>,
    cache: Arc<Cache>,
    open: Option<Arc<DescriptorTable>>,
}

impl Separated {
    /// These files of `tree`, by their numbers.
    pub(super) fn new(files: BTreeMap<u64, BlobFile>, tree: &AnyTree) -> Self {
        let config = tree.tree_config();
        let (cache, open) = (Arc::clone(&config.cache), config.descriptor_table.clone());
        Self { tree: tree.id(), files, cache, open }
    }

    /// True when they were taken down from `tree`, and not from one that was open before it.
    pub(super) fn is_of(&self, tree: &AnyTree) -> bool {
        self.tree == tree.id()
    }

    /// The value that `item` points to.
    pub(super) fn get(&self, item: &InternalValue) -> lsm_tree::Result<UserValue> {
        let place = Decode::decode_from(&mut &*item.value)?;
        if let Some(value) = self.cache.get_blob(self.tree, &place) {
            return Ok(value);
        }
        let key = &*item.key.user_key;
        let file = self.file(place.blob_file_id)?;
        let mut bytes = vec![0; HEADER_BYTES + key.len() + place.on_disk_size as usize];
        file.read_exact_at(&mut bytes, place.offset)?;
        let value = UserValue::from(value_of(key, &bytes.into())?);
        self.cache.insert_blob(self.tree, &place, value.clone());
        Ok(value)
    }

    #[expect(clippy::disallowed_methods, reason = "the engine's own files")]
    fn file(&self, number: u64) -> lsm_tree::Result<Arc<File>> {
        let id = GlobalTableId::from((self.tree, number));
        let open = self.open.as_ref();
        if let Some(file) = open.and_then(|open| open.access_for_blob_file(&id)) {
            return Ok(file);
        }
        let known = self.files.get(&number);
        let known = known.ok_or(Error::InvalidHeader("a value in a file that is not there"))?;
        let file = Arc::new(File::open(known.path())?);
        if let Some(open) = open {
            open.insert_for_blob_file(id, Arc::clone(&file));
        }
        Ok(file)
    }
}

/// The value in `record`, which is to be that of `key`.
fn value_of(key: &[u8], record: &Bytes) -> lsm_tree::Result<Bytes> {
    let wrong = Error::InvalidHeader("a separated value");
    let Some((magic, rest)) = record.split_first_chunk::<4>() else { return Err(wrong) };
    let Some((checksum, _)) = rest.split_first_chunk::<16>() else { return Err(wrong) };
    let Some(body) = record.get(HEADER_BYTES..) else { return Err(wrong) };
    let mut hasher = Xxh3Default::new();
    hasher.update(body);
    let whole = hasher.digest128() == u128::from_le_bytes(*checksum);
    if magic != MAGIC || !whole || !body.starts_with(key) {
        return Err(wrong);
    }
    Ok(record.slice(HEADER_BYTES + key.len()..))
}
