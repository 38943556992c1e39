//! What a node reports of itself and its cluster: `INFO raft`, asked for over the Redis protocol.

use std::time::Duration;

use quorate_env::Env;
use quorate_resp::{Client, Value};

/// A node that takes longer than this to connect or to answer can't be asked.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);

/// A member, as the node knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Member {
    /// Its number.
    pub(crate) node: u64,
    /// Its name.
    pub(crate) id: String,
    /// Where clients reach it.
    pub(crate) addr: String,
    /// True for a voter, false for a learner.
    pub(crate) voter: bool,
    /// True for the leader.
    pub(crate) leader: bool,
    /// The last entry that it is known to have; 0: not known.
    pub(crate) matched: u64,
    /// Entries that it lacks.
    pub(crate) lag: u64,
    /// It has been heard of lately.
    pub(crate) alive: bool,
    /// For how long it could not be reached, milliseconds.
    pub(crate) silent_ms: u64,
}

/// A node's view.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// The node's name.
    pub(crate) id: String,
    /// Its number; 0 while it is in no cluster.
    pub(crate) node: u64,
    /// The cluster; empty while it is in none.
    pub(crate) cluster: String,
    /// `leader`, `follower`, ...
    pub(crate) role: String,
    /// Raft's term.
    pub(crate) term: u64,
    /// The leader's number; 0: none is known.
    pub(crate) leader: u64,
    /// Where clients reach the leader; empty: none is known.
    pub(crate) leader_addr: String,
    /// Why it refuses writes; empty: it does not.
    pub(crate) read_only: String,
    /// What it waits for while it is in no cluster.
    pub(crate) waits_for: String,
    /// Why it has stopped; empty: it has not.
    pub(crate) stopped: String,
    /// Why its disk makes it a bad leader; empty: it does not.
    pub(crate) disk_slow: String,
    /// What is committed, as it knows.
    pub(crate) commit: u64,
    /// What it has applied.
    pub(crate) applied: u64,
    /// The last entry of its log.
    pub(crate) log_last: u64,
    /// Bytes of its log on the disk.
    pub(crate) log_bytes: u64,
    /// Bytes of its newest snapshot.
    pub(crate) snapshot_bytes: u64,
    /// What 99 of 100 of its latest fsyncs took at most, microseconds.
    pub(crate) fsync_p99_us: u64,
    /// The cluster's format.
    pub(crate) format: u64,
    /// The highest format that it knows.
    pub(crate) format_highest: u64,
    /// Its version.
    pub(crate) version: String,
    /// Its wall clock, Unix microseconds.
    pub(crate) wall_us: u64,
    /// Redis clients connected to it, and how many may be.
    pub(crate) clients: (u64, u64),
    /// Bytes of memory that its data take, and may take.
    pub(crate) memory: (u64, u64),
    /// All members.
    pub(crate) members: Vec<Member>,
}

impl Report {
    /// Reads the text of `INFO raft server clients memory`; `None` when it is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut report = Self::default();
        for line in text.lines() {
            let Some((name, value)) = line.split_once(':') else { continue };
            match name {
                "node_id" => value.clone_into(&mut report.id),
                "node" => report.node = value.parse().ok()?,
                "cluster_id" => value.clone_into(&mut report.cluster),
                "raft_role" => value.clone_into(&mut report.role),
                "term" => report.term = value.parse().ok()?,
                "leader" => report.leader = value.parse().ok()?,
                "leader_addr" => value.clone_into(&mut report.leader_addr),
                "read_only" => value.clone_into(&mut report.read_only),
                "waits_for" => value.clone_into(&mut report.waits_for),
                "stopped" => value.clone_into(&mut report.stopped),
                "disk_slow" => value.clone_into(&mut report.disk_slow),
                "commit_index" => report.commit = value.parse().ok()?,
                "applied_index" => report.applied = value.parse().ok()?,
                "log_last_index" => report.log_last = value.parse().ok()?,
                "log_bytes" => report.log_bytes = value.parse().ok()?,
                "snapshot_bytes" => report.snapshot_bytes = value.parse().ok()?,
                "fsync_p99_us" => report.fsync_p99_us = value.parse().ok()?,
                "cluster_format" => report.format = value.parse().ok()?,
                "cluster_format_highest" => report.format_highest = value.parse().ok()?,
                "quorate_version" => value.clone_into(&mut report.version),
                "server_time_usec" => report.wall_us = value.parse().ok()?,
                "connected_clients" => report.clients.0 = value.parse().ok()?,
                "maxclients" => report.clients.1 = value.parse().ok()?,
                "used_memory" => report.memory.0 = value.parse().ok()?,
                "maxmemory" => report.memory.1 = value.parse().ok()?,
                _ => {
                    let number = name.strip_prefix("member").and_then(|n| n.parse::<u64>().ok());
                    if number.is_some() {
                        report.members.push(Member::parse(value)?);
                    }
                }
            }
        }
        (!report.role.is_empty()).then_some(report)
    }

    /// The leader among the members.
    pub(crate) fn leading(&self) -> Option<&Member> {
        self.members.iter().find(|member| self.leader != 0 && member.node == self.leader)
    }

    /// True when the node itself leads: then it knows how far the others are.
    pub(crate) fn is_leaders(&self) -> bool {
        self.role == "leader"
    }
}

impl Member {
    /// Reads `node=1,id=n1,addr=...`.
    fn parse(text: &str) -> Option<Self> {
        let mut member = Self::default();
        for field in text.split(',') {
            let (name, value) = field.split_once('=')?;
            match name {
                "node" => member.node = value.parse().ok()?,
                "id" => value.clone_into(&mut member.id),
                "addr" => value.clone_into(&mut member.addr),
                "voter" => member.voter = value == "1",
                "leader" => member.leader = value == "1",
                "matched" => member.matched = value.parse().ok()?,
                "lag" => member.lag = value.parse().ok()?,
                "alive" => member.alive = value == "1",
                "silent_ms" => member.silent_ms = value.parse().ok()?,
                _ => {}
            }
        }
        Some(member)
    }
}

/// Asks the node at `addr`.
///
/// # Errors
/// It can't be asked; the text says why.
pub(crate) async fn ask(
    env: &Env,
    addr: &str,
    password: Option<&str>,
    patience: Duration,
) -> Result<Report, String> {
    match tokio::time::timeout(patience, exchange(env, addr, password)).await {
        Ok(Ok(report)) => Ok(report),
        Ok(Err(text)) => Err(format!("{addr}: {text}")),
        Err(_) => Err(format!("{addr}: no answer within {} ms", patience.as_millis())),
    }
}

async fn exchange(env: &Env, addr: &str, password: Option<&str>) -> Result<Report, String> {
    let stream = env.net.connect(addr).await;
    let mut client = Client::new(stream.map_err(|error| error.to_string())?);
    if let Some(password) = password {
        let reply = client.call(["HELLO", "3", "AUTH", "default", password]).await;
        if let Value::Error(text) = reply.map_err(|error| error.to_string())? {
            return Err(advised(&text));
        }
    }
    let reply = client
        .call(["INFO", "raft", "server", "clients", "memory"])
        .await
        .map_err(|error| error.to_string())?;
    let text = match reply {
        Value::Bulk(bytes) | Value::Verbatim(_, bytes) => bytes,
        Value::Error(text) => return Err(advised(&text)),
        _ => return Err("this is no Quorate node".to_owned()),
    };
    Report::parse(&String::from_utf8_lossy(&text))
        .ok_or_else(|| "this is no Quorate node".to_owned())
}

fn advised(text: &str) -> String {
    let advice = if text.starts_with("NOAUTH") {
        "; give the file with its password as --password-file"
    } else {
        ""
    };
    format!("{text}{advice}")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What a leader of three says.
    pub(crate) const TEXT: &str = "# Raft\r\nnode_id:n1\r\nnode:1\r\naddr:127.0.0.1:7400\r\ncluster_id:ab\r\n\
        group:1\r\nraft_role:leader\r\nterm:4\r\nleader:1\r\nleader_addr:127.0.0.1:7400\r\nread_only:\r\n\
        stopped:\r\nnum_members:3\r\n\
        member0:node=1,id=n1,addr=127.0.0.1:7400,voter=1,leader=1,matched=90,lag=0,alive=1\r\n\
        member1:node=2,id=n2,addr=127.0.0.1:7401,voter=1,leader=0,matched=88,lag=2,alive=1\r\n\
        member2:node=3,id=n3,addr=127.0.0.1:7402,voter=0,leader=0,matched=0,lag=0,alive=0,new=1\r\n";

    #[test]
    fn a_report_is_read() {
        let report = Report::parse(TEXT).unwrap();
        assert_eq!((report.id.as_str(), report.node, report.term), ("n1", 1, 4));
        assert!(report.is_leaders());
        assert_eq!(report.leading().unwrap().addr, "127.0.0.1:7400");
        let lagging = Member {
            node: 2,
            id: "n2".to_owned(),
            addr: "127.0.0.1:7401".to_owned(),
            voter: true,
            leader: false,
            matched: 88,
            lag: 2,
            alive: true,
            silent_ms: 0,
        };
        assert_eq!(report.members[1], lagging);
        assert!(!report.members[2].voter && !report.members[2].alive);
    }

    #[test]
    fn other_servers_are_recognized() {
        assert_eq!(Report::parse(""), None);
        assert_eq!(Report::parse("# Server\r\nredis_version:7.2.4\r\n"), None);
        assert_eq!(Report::parse("raft_role:leader\r\nterm:x\r\n"), None);
    }
}
