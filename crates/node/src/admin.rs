//! Administrative requests and answers between members: `tag u8 | fields`.
//!
//! Only what the leader must do itself travels: leave, promote, demote, transfer, cluster status.

use bytes::Bytes;
use quorate_api::status::{MemberStatus, Role, Wish};
use quorate_api::{AdminReply, AdminRequest, Caution, Error, Status};
use quorate_consensus::codec::{DecodeError, Reader, put_bytes, put_varint};

use crate::failure;
use crate::membership::Outcome;

fn put_option(out: &mut Vec<u8>, text: Option<&str>) {
    out.push(u8::from(text.is_some()));
    put_bytes(out, text.unwrap_or_default().as_bytes());
}

fn read_option(reader: &mut Reader) -> Result<Option<String>, DecodeError> {
    let some = reader.bool()?;
    let text = reader.text()?;
    Ok(some.then_some(text))
}

fn read_caution(reader: &mut Reader) -> Result<Caution, DecodeError> {
    Ok(if reader.bool()? { Caution::Force } else { Caution::KeepMajority })
}

/// The bytes of a request.
pub(crate) fn encode_request(request: &AdminRequest) -> Bytes {
    let mut out = Vec::new();
    match request {
        AdminRequest::Leave { member, caution } => {
            out.push(1);
            put_bytes(&mut out, member.as_bytes());
            out.push(u8::from(*caution == Caution::Force));
        }
        AdminRequest::Promote { member } => {
            out.push(4);
            put_bytes(&mut out, member.as_bytes());
        }
        AdminRequest::Demote { member, caution } => {
            out.push(5);
            put_bytes(&mut out, member.as_bytes());
            out.push(u8::from(*caution == Caution::Force));
        }
        AdminRequest::Transfer { to } => {
            out.push(2);
            put_option(&mut out, to.as_deref());
        }
        AdminRequest::ClusterStatus => out.push(3),
        // Carried out by the node that was asked.
        AdminRequest::Join { .. }
        | AdminRequest::Events { .. }
        | AdminRequest::ReadLog { .. }
        | AdminRequest::Wait { .. } => {
            out.push(0);
        }
    }
    out.into()
}

/// Reads a request; `None` when it is none.
pub(crate) fn decode_request(bytes: Bytes) -> Option<AdminRequest> {
    let mut reader = Reader::new(bytes);
    let request = match reader.u8().ok()? {
        1 => AdminRequest::Leave {
            member: reader.text().ok()?,
            caution: read_caution(&mut reader).ok()?,
        },
        2 => AdminRequest::Transfer { to: read_option(&mut reader).ok()? },
        3 => AdminRequest::ClusterStatus,
        4 => AdminRequest::Promote { member: reader.text().ok()? },
        5 => AdminRequest::Demote {
            member: reader.text().ok()?,
            caution: read_caution(&mut reader).ok()?,
        },
        _ => return None,
    };
    reader.end().ok().map(|()| request)
}

/// The bytes of an answer.
pub(crate) fn encode_outcome(outcome: &Outcome) -> Bytes {
    let mut out = Vec::new();
    match outcome {
        Ok(AdminReply::Done) => out.push(1),
        Ok(AdminReply::Refused(text)) => {
            out.push(2);
            put_bytes(&mut out, text.as_bytes());
        }
        Ok(AdminReply::Status(status)) => {
            out.push(3);
            put_status(&mut out, status);
        }
        Ok(AdminReply::LogEntry { .. } | AdminReply::Replicas(_) | AdminReply::Events { .. }) => {
            out.push(0);
        }
        Err(error) => failure::encode(error, &mut out),
    }
    out.into()
}

/// Reads an answer; one that can't be read leaves the outcome unknown.
pub(crate) fn decode_outcome(bytes: Bytes) -> Outcome {
    read_outcome(bytes).unwrap_or_else(|_| Err(Error::unknown("the leader's answer can't be read")))
}

fn read_outcome(bytes: Bytes) -> Result<Outcome, DecodeError> {
    let mut reader = Reader::new(bytes);
    let tag = reader.u8()?;
    Ok(match tag {
        1 => Ok(AdminReply::Done),
        2 => Ok(AdminReply::Refused(reader.text()?)),
        3 => Ok(AdminReply::Status(Box::new(read_status(&mut reader)?))),
        other => Err(failure::decode(other, &mut reader)?),
    })
}

const ROLES: [Role; 6] =
    [Role::Waiting, Role::Learner, Role::Follower, Role::Candidate, Role::Leader, Role::Stopped];

/// What a table of the cluster shows; figures of one node alone stay on that node.
fn put_status(out: &mut Vec<u8>, status: &Status) {
    for text in [&status.id, &status.addr, &status.cluster] {
        put_bytes(out, text.as_bytes());
    }
    let role = ROLES.iter().position(|role| *role == status.role).unwrap_or_default();
    for number in [
        role as u64,
        status.node,
        status.group,
        status.term,
        status.leader,
        status.commit,
        status.applied,
        status.log_first,
        status.log_last,
        status.stamp_ms,
        status.format,
        status.members.len() as u64,
    ] {
        put_varint(out, number);
    }
    for member in &status.members {
        put_varint(out, member.node);
        put_bytes(out, member.id.as_bytes());
        put_bytes(out, member.addr.as_bytes());
        put_bytes(out, member.peer_addr.as_bytes());
        let flags = [member.voter, member.leader, member.alive, member.wish == Wish::StaysLearner];
        out.extend(flags.map(u8::from));
        let replaces = member.wish.replaces().unwrap_or_default();
        for number in [member.matched, member.lag, member.silent_ms, replaces] {
            put_varint(out, number);
        }
    }
}

fn read_status(reader: &mut Reader) -> Result<Status, DecodeError> {
    let mut status = Status {
        id: reader.text()?,
        addr: reader.text()?,
        cluster: reader.text()?,
        ..Status::default()
    };
    let role = usize::try_from(reader.varint()?).map_err(|_| DecodeError::Range)?;
    status.role = *ROLES.get(role).ok_or(DecodeError::Range)?;
    for field in [
        &mut status.node,
        &mut status.group,
        &mut status.term,
        &mut status.leader,
        &mut status.commit,
        &mut status.applied,
        &mut status.log_first,
        &mut status.log_last,
        &mut status.stamp_ms,
        &mut status.format,
    ] {
        *field = reader.varint()?;
    }
    for _ in 0..reader.count(11)? {
        let mut member = MemberStatus {
            node: reader.varint()?,
            id: reader.text()?,
            addr: reader.text()?,
            peer_addr: reader.text()?,
            voter: reader.bool()?,
            leader: reader.bool()?,
            alive: reader.bool()?,
            wish: if reader.bool()? { Wish::StaysLearner } else { Wish::Vote },
            matched: reader.varint()?,
            lag: reader.varint()?,
            silent_ms: reader.varint()?,
        };
        let replaces = reader.varint()?;
        if replaces != 0 {
            member.wish = Wish::Replaces(replaces);
        }
        status.members.push(member);
    }
    Ok(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_comes_back_as_it_was_sent() {
        let member = MemberStatus {
            node: 2,
            id: "n2".to_owned(),
            addr: "h:1".to_owned(),
            peer_addr: "h:2".to_owned(),
            voter: true,
            leader: false,
            matched: 900,
            lag: 4,
            alive: true,
            silent_ms: 12_000,
            wish: Wish::Replaces(1),
        };
        let status = Status {
            id: "n1".to_owned(),
            role: Role::Leader,
            term: 300,
            members: vec![member],
            ..Status::default()
        };
        let outcome = Ok(AdminReply::Status(Box::new(status)));
        assert_eq!(decode_outcome(encode_outcome(&outcome)), outcome);
    }

    #[test]
    fn requests_and_failures_come_back_as_they_were_sent() {
        for request in [
            AdminRequest::Leave { member: "n3".to_owned(), caution: Caution::Force },
            AdminRequest::Promote { member: "n3".to_owned() },
            AdminRequest::Demote { member: "n3".to_owned(), caution: Caution::KeepMajority },
            AdminRequest::Transfer { to: None },
            AdminRequest::Transfer { to: Some("n2".to_owned()) },
            AdminRequest::ClusterStatus,
        ] {
            assert_eq!(decode_request(encode_request(&request)), Some(request));
        }
        let outcome: Outcome = Err(Error::not_applied("busy"));
        assert_eq!(decode_outcome(encode_outcome(&outcome)), outcome);
        assert!(matches!(decode_outcome(Bytes::new()), Err(Error::Unknown { .. })));
    }
}
