//! The handshake: who are you, whom do you look for, and do we share the cluster's secret.
//!
//! ```text
//! dialler  -> acceptor   magic (8), HELLO:   format, purpose, card, whom it looks for, nonce
//! acceptor -> dialler    WELCOME: verdict, card, wall clock, nonce, proof over both nonces
//! dialler  -> acceptor   PROOF:   proof over both nonces
//! acceptor -> dialler    VERDICT: 1, or 0 and why not
//! ```
//!
//! Each proof is HMAC-SHA-256 with the cluster's secret over a label that differs per side and all
//! bytes said so far, so that neither can be replayed nor reflected. Nothing is believed before the
//! proof: an acceptor acts on HELLO only after PROOF.

use bytes::Bytes;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::{Card, ClusterId, Formats, WIRE_FORMAT};
use crate::codec::{DecodeError, Reader, put_bytes, put_varint};
use crate::{Index, NodeId, Term};

/// What the members of a cluster share, from `--cluster-secret-file`; empty where none is set.
#[derive(Clone, Default)]
pub struct Secret(Bytes);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Secret {
    /// From a file's content; white space around it does not count.
    pub fn new(bytes: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(bytes.trim_ascii()))
    }

    /// True when there is none: then whoever reaches a peer's port is taken for a member.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn mac(&self, side: &[u8], said: &[&[u8]]) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        mac.update(side);
        for part in said {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        Some(mac)
    }

    pub(super) fn prove(&self, side: &[u8], said: &[&[u8]]) -> Vec<u8> {
        self.mac(side, said).map_or_else(Vec::new, |mac| mac.finalize().into_bytes().to_vec())
    }

    pub(super) fn verify(&self, side: &[u8], said: &[&[u8]], proof: &[u8]) -> bool {
        self.mac(side, said).is_some_and(|mac| mac.verify_slice(proof).is_ok())
    }
}

/// The labels of the two sides' proofs.
pub(super) const ACCEPTOR: &[u8] = b"quorate acceptor 1";
pub(super) const DIALLER: &[u8] = b"quorate dialler 1";

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A control link.
    Control,
    /// A bulk link.
    Bulk,
    /// Only the card.
    Probe,
    /// Add me to the cluster.
    Enrol,
}

impl Purpose {
    const ALL: [(u8, Self); 4] =
        [(1, Self::Control), (2, Self::Bulk), (3, Self::Probe), (4, Self::Enrol)];
}

/// What the dialler says first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// What it wants.
    pub purpose: Purpose,
    /// Who it is.
    pub card: Card,
    /// Which member it looks for; 0: whoever answers.
    pub to: NodeId,
    /// That member's instance.
    pub to_instance: u64,
}

/// What the acceptor says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Welcome {
    /// Who it is.
    pub card: Card,
    /// Its wall clock, Unix milliseconds.
    pub wall_ms: u64,
}

/// The first word names the run of the speaker's process, for all of its handshakes: the other three make a nonce
/// of it all the same, and what is on the wire has one format.
fn put_nonce(out: &mut Vec<u8>, run: u64, nonce: &[u64; 4]) {
    let [first, rest @ ..] = nonce;
    out.extend_from_slice(&(if run == 0 { *first } else { run }).to_le_bytes());
    rest.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
}

/// The run that it names. (One of a version that names none is never met twice.)
fn read_nonce(reader: &mut Reader) -> Result<u64, DecodeError> {
    let nonce = reader.take(32)?;
    let first = nonce.first_chunk().copied().ok_or(DecodeError::Range)?;
    Ok(u64::from_le_bytes(first))
}

fn put_card(out: &mut Vec<u8>, card: &Card) {
    put_varint(out, card.cluster.0);
    put_varint(out, card.node.0);
    put_bytes(out, card.name.as_bytes());
    put_varint(out, card.instance);
    put_bytes(out, card.peer_addr.as_bytes());
    put_bytes(out, card.client_addr.as_bytes());
    put_varint(out, card.last.0.0);
    put_varint(out, card.last.1.0);
    put_varint(out, card.max_memory_bytes);
    put_varint(out, card.lost_node.0);
    out.push(u8::from(card.in_doubt));
    out.push(u8::from(card.learner));
    for number in [card.replaces.0, card.expect, card.pledge.0] {
        put_varint(out, number);
    }
    put_varint(out, card.formats.lowest);
    put_varint(out, card.formats.highest);
}

fn read_card(reader: &mut Reader) -> Result<Card, DecodeError> {
    Ok(Card {
        cluster: ClusterId(reader.varint()?),
        node: NodeId(reader.varint()?),
        name: reader.text()?,
        instance: reader.varint()?,
        peer_addr: reader.text()?,
        client_addr: reader.text()?,
        last: (Index(reader.varint()?), Term(reader.varint()?)),
        max_memory_bytes: reader.varint()?,
        lost_node: NodeId(reader.varint()?),
        run: 0,
        in_doubt: reader.bool()?,
        learner: reader.bool()?,
        replaces: NodeId(reader.varint()?),
        expect: reader.varint()?,
        pledge: ClusterId(reader.varint()?),
        formats: Formats { lowest: reader.varint()?, highest: reader.varint()? },
    })
}

/// Why a handshake did not come about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HelloError {
    #[error("malformed handshake: {0}")]
    Malformed(#[from] DecodeError),
    #[error(
        "the other side speaks format {0}, this one {WIRE_FORMAT}: run the same version on all members"
    )]
    Format(u64),
}

impl Hello {
    /// To whoever listens there.
    pub fn to_anyone(card: Card, purpose: Purpose) -> Self {
        Self { purpose, card, to: NodeId(0), to_instance: 0 }
    }

    pub(super) fn encode(&self, nonce: &[u64; 4]) -> Vec<u8> {
        let mut out = Vec::with_capacity(160);
        put_varint(&mut out, WIRE_FORMAT);
        let tag = Purpose::ALL.iter().find(|(_, purpose)| *purpose == self.purpose);
        out.push(tag.map_or(0, |(tag, _)| *tag));
        put_card(&mut out, &self.card);
        put_varint(&mut out, self.to.0);
        put_varint(&mut out, self.to_instance);
        put_nonce(&mut out, self.card.run, nonce);
        out
    }

    pub(super) fn decode(bytes: Bytes) -> Result<Self, HelloError> {
        let mut reader = Reader::new(bytes);
        let format = reader.varint()?;
        if format != WIRE_FORMAT {
            return Err(HelloError::Format(format));
        }
        let tag = reader.u8()?;
        let purpose = Purpose::ALL.iter().find(|(known, _)| *known == tag);
        let (_, purpose) = *purpose.ok_or(DecodeError::Tag(tag.into()))?;
        let card = read_card(&mut reader)?;
        let mut hello =
            Self { purpose, card, to: NodeId(reader.varint()?), to_instance: reader.varint()? };
        hello.card.run = read_nonce(&mut reader)?;
        reader.end()?;
        Ok(hello)
    }
}

impl Welcome {
    /// Everything but the proof, which is over these bytes.
    pub(super) fn encode(&self, nonce: &[u64; 4]) -> Vec<u8> {
        let mut out = Vec::with_capacity(160);
        put_varint(&mut out, WIRE_FORMAT);
        put_card(&mut out, &self.card);
        put_varint(&mut out, self.wall_ms);
        put_nonce(&mut out, self.card.run, nonce);
        out
    }

    pub(super) fn decode(bytes: Bytes) -> Result<Self, HelloError> {
        let mut reader = Reader::new(bytes);
        let format = reader.varint()?;
        if format != WIRE_FORMAT {
            return Err(HelloError::Format(format));
        }
        let mut welcome = Self { card: read_card(&mut reader)?, wall_ms: reader.varint()? };
        welcome.card.run = read_nonce(&mut reader)?;
        reader.end()?;
        Ok(welcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hello() -> Hello {
        let card = Card {
            cluster: ClusterId(7),
            node: NodeId(2),
            name: "n2".to_owned(),
            instance: 99,
            run: 12,
            peer_addr: "127.0.0.1:1".to_owned(),
            client_addr: "127.0.0.1:2".to_owned(),
            last: (Index(5), Term(3)),
            max_memory_bytes: 1 << 30,
            lost_node: NodeId(0),
            in_doubt: true,
            learner: true,
            replaces: NodeId(9),
            expect: 3,
            pledge: ClusterId(u64::MAX),
            formats: Formats { lowest: 1, highest: 2 },
        };
        Hello { purpose: Purpose::Bulk, card, to: NodeId(1), to_instance: 4 }
    }

    #[test]
    fn a_hello_and_a_welcome_come_back_as_they_were_said() {
        assert_eq!(Hello::decode(hello().encode(&[1, 2, 3, 4]).into()), Ok(hello()));
        let welcome = Welcome { card: hello().card, wall_ms: 123_456 };
        assert_eq!(Welcome::decode(welcome.encode(&[0; 4]).into()), Ok(welcome));
    }

    #[test]
    fn another_format_is_named() {
        let mut bytes = hello().encode(&[0; 4]);
        bytes[0] = 9;
        assert_eq!(Hello::decode(bytes.into()), Err(HelloError::Format(9)));
    }

    #[test]
    fn a_proof_holds_for_its_secret_side_and_words_only() {
        let secret = Secret::new(b" s3cret\n");
        let proof = secret.prove(DIALLER, &[b"a", b"bc"]);
        assert!(Secret::new(b"s3cret").verify(DIALLER, &[b"a", b"bc"], &proof));
        assert!(!secret.verify(ACCEPTOR, &[b"a", b"bc"], &proof));
        assert!(!secret.verify(DIALLER, &[b"ab", b"c"], &proof));
        assert!(!Secret::new(b"other").verify(DIALLER, &[b"a", b"bc"], &proof));
        assert!(!secret.verify(DIALLER, &[b"a", b"bc"], b""));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            drop(Hello::decode(bytes.clone().into()));
            drop(Welcome::decode(bytes.into()));
        }
    }
}
