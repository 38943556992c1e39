//! ROLE and LEADER: who leads, in Redis' words and in hraftd's.

use quorate_api::status::{MemberStatus, Role};
use quorate_api::{Reply, Status};

/// Host and port of `host:port`; brackets around IPv6 are Redis' no business.
pub(crate) fn host_and_port(addr: &str) -> (&str, &str) {
    let (host, port) = addr.rsplit_once(':').unwrap_or((addr, "0"));
    (host.trim_start_matches('[').trim_end_matches(']'), port)
}

/// The leader, where one is known.
pub(crate) fn leading(status: &Status) -> Option<&MemberStatus> {
    status
        .members
        .iter()
        .find(|member| member.leader || member.node == status.leader)
        .filter(|_| status.leader != 0)
}

fn bulk(text: &str) -> Reply {
    Reply::bulk(text.as_bytes())
}

fn offset(index: u64) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX)
}

/// ROLE.
pub(crate) fn role(status: &Status) -> Reply {
    if status.role == Role::Leader {
        let others = status.members.iter().filter(|member| member.node != status.node);
        let replica = |member: &MemberStatus| {
            let (host, port) = host_and_port(&member.addr);
            Reply::Array(vec![bulk(host), bulk(port), bulk(&member.matched.to_string())])
        };
        return Reply::Array(vec![
            bulk("master"),
            Reply::Int(offset(status.applied)),
            Reply::Array(others.map(replica).collect()),
        ]);
    }
    let leader = leading(status);
    let (host, port) = leader.map_or(("", "0"), |leader| host_and_port(&leader.addr));
    Reply::Array(vec![
        bulk("slave"),
        bulk(host),
        Reply::Int(port.parse().unwrap_or_default()),
        bulk(if leader.is_some() { "connected" } else { "connect" }),
        Reply::Int(offset(status.applied)),
    ])
}

/// LEADER: the address, empty while nobody leads.
pub(crate) fn leader(status: &Status) -> Reply {
    bulk(leading(status).map_or("", |leader| &leader.addr))
}
