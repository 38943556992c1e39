//! Who this data directory belongs to: a small file, replaced atomically, that is read before anything
//! else is touched.
//!
//! `"QUORNODE" | format u8 | crc32c u32 LE of the rest | cluster | node | name | instance |
//! lost number | peers | pledge | engine`, and `1` where the node was removed

use std::io;
use std::path::Path;

use quorate_consensus::NodeId;
use quorate_consensus::codec::{DecodeError, Reader, put_bytes, put_varint};
use quorate_consensus::peers::ClusterId;
use quorate_engine::EngineKind;
use quorate_env::disk::{DirLock, read_file, replace_file};
use quorate_env::{Disk, Rng};

const MAGIC: &[u8; 8] = b"QUORNODE";
const FORMAT: u8 = 3;
/// Of a node that was not removed: all the others have nothing to say that older versions do not know.
const FORMAT_OF_MEMBERS: u8 = 2;
/// Without a pledge and without the kind of engine, which was memory.
const FORMAT_OF_MEMORY: u8 = 1;
/// Numbers of the engines.
const MEMORY: u8 = 1;
const DISK: u8 = 2;
const HEADER_BYTES: usize = 13;
/// The file's name.
pub(crate) const FILE: &str = "identity";
pub(crate) const LOCK: &str = "lock";

/// What a node is, for as long as its data directory lives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The cluster; 0 while it is in none.
    pub(crate) cluster: ClusterId,
    /// Its number; 0 while it is in no cluster.
    pub(crate) node: NodeId,
    /// Its name.
    pub(crate) name: String,
    /// Drawn when the directory was made.
    pub(crate) instance: u64,
    /// The number it had before it lost part of its log; 0: none.
    pub(crate) lost_node: NodeId,
    /// Other members' addresses, as last known: whom to ask after damage.
    pub(crate) peers: Vec<String>,
    /// The cluster to whose founding it has committed itself, for as long as the directory lives; 0: none.
    pub(crate) pledge: ClusterId,
    /// The engine that its data is kept in.
    pub(crate) engine: EngineKind,
    /// Whether it was removed from the cluster, for good. Who told it may be gone when it starts again, and its log
    /// need not say so.
    pub(crate) removed: bool,
}

/// Why a data directory can't be used. Nothing in it was touched.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The device failed.
    #[error("data directory {dir}: {source}")]
    Io {
        /// The directory.
        dir: String,
        /// What the device said.
        source: io::Error,
    },
    /// Another process uses it.
    #[error(
        "data directory {dir} is in use by another process; stop that one first, or give this node a directory of its own"
    )]
    Locked {
        /// The directory.
        dir: String,
    },
    /// It is no directory.
    #[error("{dir} is a file; give a directory, or the name of a new one")]
    File {
        /// What was given.
        dir: String,
    },
    /// It holds something else.
    #[error("{dir} is not empty and not a Quorate data directory; give an empty or new one")]
    Foreign {
        /// The directory.
        dir: String,
    },
    /// A newer version has written it.
    #[error(
        "data directory {dir} has format {found}, this binary knows {FORMAT}; start it with the version that wrote it"
    )]
    Newer {
        /// The directory.
        dir: String,
        /// Its format.
        found: u8,
    },
    /// The identity file is damaged.
    #[error(
        "{dir}/identity is damaged ({what}); this node can't know who it is: move the directory away and let the node join again under a new id"
    )]
    Damaged {
        /// The directory.
        dir: String,
        /// What is wrong, and where.
        what: String,
    },
    /// Its data is kept in another kind of engine.
    #[error(
        "data directory {dir} was made with the {found} engine and can't be opened with the {asked} engine; \
         to change a member's engine, replace it by a new node (`quorate member replace`); a lone node's, \
         make a backup and restore it into a new directory (`quorate backup create`, `quorate backup restore`)"
    )]
    OtherEngine {
        /// The directory.
        dir: String,
        /// Its kind of engine.
        found: EngineKind,
        /// What was asked for.
        asked: EngineKind,
    },
    /// Its node has left its cluster for good.
    #[error(
        "data directory {dir} belongs to a node that was removed from the cluster for good; to add one again, give it a new id and a new directory \
         (should the whole cluster be lost, `quorate recover` still reads this one)"
    )]
    Removed {
        /// The directory.
        dir: String,
    },
    /// It belongs to another node.
    #[error(
        "data directory {dir} belongs to node {found:?}, not to {asked:?}; a node keeps its name for life"
    )]
    OtherName {
        /// The directory.
        dir: String,
        /// Its node.
        found: String,
        /// What was asked for.
        asked: String,
    },
}

impl Identity {
    fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        put_varint(&mut body, self.cluster.0);
        put_varint(&mut body, self.node.0);
        put_bytes(&mut body, self.name.as_bytes());
        put_varint(&mut body, self.instance);
        put_varint(&mut body, self.lost_node.0);
        put_varint(&mut body, self.peers.len() as u64);
        for peer in &self.peers {
            put_bytes(&mut body, peer.as_bytes());
        }
        put_varint(&mut body, self.pledge.0);
        body.push(match self.engine {
            EngineKind::Memory => MEMORY,
            EngineKind::Disk => DISK,
        });
        let mut out = MAGIC.to_vec();
        if self.removed {
            body.push(1);
            out.push(FORMAT);
        } else {
            out.push(FORMAT_OF_MEMBERS);
        }
        out.extend_from_slice(&crc32c::crc32c(&body).to_le_bytes());
        out.extend_from_slice(&body);
        out
    }

    /// The identity in a file's `bytes`.
    pub(crate) fn of(bytes: Vec<u8>) -> Result<Self, DecodeError> {
        let known =
            bytes.starts_with(MAGIC) && bytes.get(MAGIC.len()).is_some_and(|it| *it <= FORMAT);
        if known { Self::decode(bytes) } else { Err(DecodeError::Range) }
    }

    fn decode(bytes: Vec<u8>) -> Result<Self, DecodeError> {
        let header = bytes.first_chunk::<HEADER_BYTES>().ok_or(DecodeError::Short)?;
        let [.., format, s0, s1, s2, s3] = *header;
        if !(FORMAT_OF_MEMORY..=FORMAT).contains(&format) {
            return Err(DecodeError::Range);
        }
        let sum = u32::from_le_bytes([s0, s1, s2, s3]);
        let body = bytes::Bytes::from(bytes).slice(HEADER_BYTES..);
        if crc32c::crc32c(&body) != sum {
            return Err(DecodeError::Range);
        }
        let mut reader = Reader::new(body);
        let mut identity = Self {
            cluster: ClusterId(reader.varint()?),
            node: NodeId(reader.varint()?),
            name: reader.text()?,
            instance: reader.varint()?,
            lost_node: NodeId(reader.varint()?),
            peers: Vec::new(),
            pledge: ClusterId(0),
            engine: EngineKind::Memory,
            removed: false,
        };
        for _ in 0..reader.count(1)? {
            identity.peers.push(reader.text()?);
        }
        if format != FORMAT_OF_MEMORY {
            identity.pledge = ClusterId(reader.varint()?);
            identity.engine = match reader.u8()? {
                MEMORY => EngineKind::Memory,
                DISK => EngineKind::Disk,
                _ => return Err(DecodeError::Range),
            };
        }
        if format == FORMAT {
            identity.removed = reader.bool()?;
        }
        reader.end()?;
        Ok(identity)
    }

    /// Makes this the directory's identity, durably.
    ///
    /// # Errors
    /// The device failed; then the old one stands.
    pub(crate) fn save(&self, disk: &dyn Disk, dir: &Path) -> io::Result<()> {
        replace_file(disk, &dir.join(FILE), &self.encode())
    }
}

/// Whether `dir` is anybody's.
pub(crate) fn is_there(disk: &dyn Disk, dir: &Path) -> io::Result<bool> {
    disk.exists(&dir.join(FILE))
}

/// Whose `dir` is, as far as it can be read; changes nothing.
pub(crate) fn look(disk: &dyn Disk, dir: &Path) -> Option<Identity> {
    let bytes = read_file(disk, &dir.join(FILE)).ok()?;
    bytes.starts_with(MAGIC).then(|| Identity::decode(bytes).ok()).flatten()
}

/// Locks `dir` and reads whose it is; a new or empty one becomes `name`'s.
///
/// # Errors
/// [`IdentityError`].
pub(crate) fn open(
    disk: &dyn Disk,
    rng: &dyn Rng,
    dir: &Path,
    name: &str,
    engine: EngineKind,
) -> Result<(Identity, Box<dyn DirLock>), IdentityError> {
    let text = dir.display().to_string();
    let failed = |source: io::Error| IdentityError::Io { dir: text.clone(), source };
    disk.create_dir_all(dir).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
            IdentityError::File { dir: text.clone() }
        }
        _ => failed(source),
    })?;
    let files = disk.list(dir).map_err(failed)?;
    let known = files.iter().any(|file| file == FILE);
    let ours = |file: &String| file == LOCK || file == "lost+found/" || file.ends_with(".tmp");
    // Order matters: advice to take an empty directory would have somebody throw a node's data away.
    let has_log = disk.exists(&dir.join("log").join("manifest")).map_err(failed)?;
    let lost = |what: &str| IdentityError::Damaged { dir: text.clone(), what: what.to_owned() };
    if !known && has_log {
        return Err(lost("it is missing, beside a log"));
    }
    if !known && !files.iter().all(ours) {
        return Err(IdentityError::Foreign { dir: text });
    }
    let lock = disk.lock(&dir.join(LOCK)).map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => IdentityError::Locked { dir: text.clone() },
        _ => failed(source),
    })?;
    if !known {
        let instance = rng.next_u64() | 1;
        let identity = Identity { name: name.to_owned(), instance, engine, ..Identity::default() };
        identity.save(disk, dir).map_err(failed)?;
        return Ok((identity, lock));
    }
    let bytes = read_file(disk, &dir.join(FILE)).map_err(failed)?;
    if !bytes.starts_with(MAGIC) && has_log {
        let length = bytes.len();
        return Err(lost(&format!("its {length} bytes do not begin as they should, beside a log")));
    }
    if !bytes.starts_with(MAGIC) {
        return Err(IdentityError::Foreign { dir: text });
    }
    if let Some(found) = bytes.get(MAGIC.len()).copied().filter(|found| *found > FORMAT) {
        return Err(IdentityError::Newer { dir: text, found });
    }
    let length = bytes.len();
    let identity = Identity::decode(bytes).map_err(|error| {
        let what = if length < HEADER_BYTES {
            format!("it ends at byte {length}, within its header")
        } else {
            format!("{error}; the checksum at byte 9 stands for bytes {HEADER_BYTES} to {length}")
        };
        IdentityError::Damaged { dir: text.clone(), what }
    })?;
    if identity.name != name {
        let (found, asked) = (identity.name, name.to_owned());
        return Err(IdentityError::OtherName { dir: text, found, asked });
    }
    if identity.engine != engine {
        let (found, asked) = (identity.engine, engine);
        return Err(IdentityError::OtherEngine { dir: text, found, asked });
    }
    Ok((identity, lock))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_an_identity_are_fixed_and_come_back() {
        let identity = Identity {
            cluster: ClusterId(5),
            node: NodeId(2),
            name: "n2".to_owned(),
            instance: 9,
            lost_node: NodeId(8),
            peers: vec!["a:1".to_owned()],
            pledge: ClusterId(7),
            engine: EngineKind::Memory,
            removed: false,
        };
        let bytes = identity.encode();
        assert_eq!(bytes[..9], *b"QUORNODE\x02");
        assert_eq!(bytes[13..], [5, 2, 2, b'n', b'2', 9, 8, 1, 3, b'a', b':', b'1', 7, 1]);
        assert_eq!(Identity::decode(bytes), Ok(identity.clone()));
        let on_disk = Identity { engine: EngineKind::Disk, ..identity.clone() };
        let bytes = on_disk.encode();
        assert_eq!(bytes.last(), Some(&2));
        assert_eq!(Identity::decode(bytes), Ok(on_disk));
        let removed = Identity { removed: true, ..identity.clone() };
        let bytes = removed.encode();
        assert_eq!(bytes[..9], *b"QUORNODE\x03");
        assert_eq!(bytes[13..], [5, 2, 2, b'n', b'2', 9, 8, 1, 3, b'a', b':', b'1', 7, 1, 1]);
        assert_eq!(Identity::decode(bytes), Ok(removed));
        let first = [5, 2, 2, b'n', b'2', 9, 8, 1, 3, b'a', b':', b'1'];
        let sum = crc32c::crc32c(&first).to_le_bytes();
        let bytes = [&b"QUORNODE\x01"[..], &sum, &first].concat();
        assert_eq!(Identity::decode(bytes), Ok(Identity { pledge: ClusterId(0), ..identity }));
    }

    #[test]
    fn a_flipped_bit_is_noticed() {
        let bytes = Identity { name: "n1".to_owned(), ..Identity::default() }.encode();
        for bit in 8 * 8..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Identity::decode(damaged).is_err(), "bit {bit}");
        }
    }
}
