//! INFO: what the node and the front-end know of themselves, in Redis' sections and one of our own.

use quorate_api::status::Role;
use quorate_api::{Args, Reply, Status};
use quorate_env::Usage;

use crate::commands::hello::REDIS_VERSION;
use crate::commands::role::{host_and_port, leading};
use crate::commands::{is, text};
use crate::session::Session;
use crate::stats::Stats;

/// Everything a section may be written from.
struct Facts<'a> {
    session: &'a Session,
    status: Status,
    stats: Stats,
    /// Where this node has a process of its own.
    usage: Option<Usage>,
}

/// Writes a section's lines.
type Section = fn(&Facts<'_>, &mut Lines);

/// The sections in the order of INFO; all of them but [`ON_REQUEST`] are the default.
const SECTIONS: [(&str, Section); 13] = [
    ("Server", server),
    ("Clients", clients),
    ("Memory", memory),
    ("Persistence", persistence),
    ("Stats", stats),
    ("Replication", replication),
    ("CPU", cpu),
    ("Modules", nothing),
    (ON_REQUEST, commandstats),
    ("Errorstats", errorstats),
    ("Cluster", cluster),
    ("Keyspace", keyspace),
    ("Raft", raft),
];

/// As in Redis, a section for those who ask for it or for all.
const ON_REQUEST: &str = "Commandstats";

/// Lines of the form `name:value`.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push_str("\r\n");
    }

    fn put(&mut self, name: &str, value: impl std::fmt::Display) {
        self.line(&format!("{name}:{value}"));
    }
}

impl Session {
    pub(crate) fn info(&self, args: Args<'_>) -> Reply {
        let facts = Facts {
            session: self,
            status: self.server.api.status(),
            stats: self.server.stats(),
            usage: self.server.env.tasks.usage(),
        };
        let wants_all = args.len() == 1
            || args
                .iter_from(1)
                .any(|name| ["all", "everything", "default"].iter().any(|all| is(name, all)));
        let wants_more = args.iter_from(1).any(|name| is(name, "all") || is(name, "everything"));
        let mut lines = Lines::default();
        for (name, section) in SECTIONS {
            let wants = wants_all && (name != ON_REQUEST || wants_more);
            if wants || args.iter_from(1).any(|wanted| is(wanted, name)) {
                if !lines.0.is_empty() {
                    lines.0.push_str("\r\n");
                }
                lines.line(&format!("# {name}"));
                section(&facts, &mut lines);
            }
        }
        text(lines.0)
    }
}

fn nothing(_: &Facts<'_>, _: &mut Lines) {}

fn server(facts: &Facts<'_>, lines: &mut Lines) {
    let server = &facts.session.server;
    let settings = server.settings.borrow();
    let port = settings.iter().find(|setting| setting.name == "port");
    lines.put("redis_version", REDIS_VERSION);
    lines.put("server_name", "quorate");
    lines.put("quorate_version", &server.version);
    lines.put("redis_git_sha1", "00000000");
    lines.put("redis_git_dirty", 0);
    lines.put("redis_build_id", "0");
    lines.put("redis_mode", "standalone");
    if let Some(usage) = &facts.usage {
        lines.put("os", &usage.system_name);
    }
    lines.put("arch_bits", usize::BITS);
    if let Some(usage) = &facts.usage {
        lines.put("process_id", usage.process_id);
    }
    lines.put("run_id", &server.run_id);
    lines.put("tcp_port", port.map_or("0", |setting| &setting.value));
    lines.put("server_time_usec", server.env.clock.wall_us());
    lines.put("uptime_in_seconds", facts.status.uptime_ms / 1000);
    lines.put("uptime_in_days", facts.status.uptime_ms / 86_400_000);
    for (name, value) in &server.facts {
        lines.put(name, value);
    }
}

fn clients(facts: &Facts<'_>, lines: &mut Lines) {
    let server = &facts.session.server;
    let profiles = server.registry.all();
    let blocked = profiles.iter().filter(|profile| profile.blocked.get()).count();
    let watching = profiles.iter().filter(|profile| profile.watched.get() > 0).count();
    let watched: usize = profiles.iter().map(|profile| profile.watched.get()).sum();
    lines.put("connected_clients", facts.stats.connections);
    lines.put("cluster_connections", 0);
    lines.put("maxclients", server.connections_max.get());
    lines.put("blocked_clients", blocked);
    lines.put("tracking_clients", 0);
    lines.put("watching_clients", watching);
    lines.put("total_watched_keys", watched);
}

/// Bytes as Redis shows them to humans.
fn human(bytes: u64) -> String {
    let (mut whole, mut hundredths, mut unit) = (bytes, 0, 'B');
    for next in ['K', 'M', 'G', 'T'] {
        if whole < 1024 {
            break;
        }
        hundredths = (whole % 1024) * 100 / 1024;
        (whole, unit) = (whole / 1024, next);
    }
    if unit == 'B' { format!("{whole}B") } else { format!("{whole}.{hundredths:02}{unit}") }
}

/// A share as Redis shows it.
fn percent(part: u64, whole: u64) -> String {
    let hundredths = u128::from(part) * 10_000 / u128::from(whole.max(1));
    format!("{}.{:02}%", hundredths / 100, hundredths % 100)
}

fn memory(facts: &Facts<'_>, lines: &mut Lines) {
    let (used, max) = (facts.status.engine_memory_bytes, facts.status.max_memory_bytes);
    let payload = facts.status.engine_payload_bytes.min(used);
    lines.put("used_memory", used);
    lines.put("used_memory_human", human(used));
    if let Some(usage) = &facts.usage {
        lines.put("used_memory_rss", usage.resident_bytes);
        lines.put("used_memory_rss_human", human(usage.resident_bytes));
        // The engine keeps no record of its own; the process's is at least as high.
        let peak = usage.resident_bytes_peak.max(used);
        lines.put("used_memory_peak", peak);
        lines.put("used_memory_peak_human", human(peak));
        lines.put("used_memory_peak_perc", percent(used, peak));
    }
    lines.put("used_memory_overhead", used - payload);
    lines.put("used_memory_dataset", payload);
    lines.put("used_memory_dataset_perc", percent(payload, used));
    if let Some(usage) = &facts.usage {
        lines.put("total_system_memory", usage.machine_bytes);
        lines.put("total_system_memory_human", human(usage.machine_bytes));
    }
    lines.put("maxmemory", max);
    lines.put("maxmemory_human", human(max));
    lines.put("maxmemory_policy", "noeviction");
    if let Some(usage) = facts.usage.as_ref().filter(|_| used > 0) {
        let hundredths = u128::from(usage.resident_bytes) * 100 / u128::from(used);
        let (whole, part) = (hundredths / 100, hundredths % 100);
        lines.put("mem_fragmentation_ratio", format_args!("{whole}.{part:02}"));
    }
    // What clients have not read, beyond what a connection costs anyway.
    lines.put("mem_clients_normal", facts.session.server.unread.bytes());
    lines.put("engine", facts.status.engine);
}

/// What the process has used; no section where nobody knows.
fn cpu(facts: &Facts<'_>, lines: &mut Lines) {
    let Some(usage) = &facts.usage else { return };
    let parts = [
        ("", usage.cpu),
        ("_children", usage.cpu_children),
        ("_main_thread", usage.cpu_main_thread),
    ];
    for (of, time) in parts {
        for (kind, time) in [("sys", time.system), ("user", time.user)] {
            let (seconds, us) = (time.as_secs(), time.subsec_micros());
            lines.put(&format!("used_cpu_{kind}{of}"), format_args!("{seconds}.{us:06}"));
        }
    }
}

fn persistence(facts: &Facts<'_>, lines: &mut Lines) {
    let status = &facts.status;
    lines.put("loading", 0);
    lines.put("async_loading", 0);
    lines.put("rdb_changes_since_last_save", status.applied.saturating_sub(status.snapshot_index));
    lines.put("rdb_bgsave_in_progress", 0);
    lines.put("rdb_last_bgsave_status", "ok");
    lines.put("rdb_saves", status.snapshots_made);
    lines.put("aof_enabled", 1);
    lines.put("aof_rewrite_in_progress", 0);
    lines.put("aof_rewrite_scheduled", 0);
    lines.put("aof_last_bgrewrite_status", "ok");
    let writable = status.read_only.is_none() && status.stopped.is_none();
    lines.put("aof_last_write_status", if writable { "ok" } else { "err" });
    lines.put("aof_current_size", status.log_bytes);
}

fn stats(facts: &Facts<'_>, lines: &mut Lines) {
    let (stats, status) = (&facts.stats, &facts.status);
    lines.put("total_connections_received", stats.connections_accepted);
    lines.put("total_commands_processed", stats.commands);
    lines.put("instantaneous_ops_per_sec", stats.commands_per_second);
    lines.put("total_net_input_bytes", stats.bytes_in);
    lines.put("total_net_output_bytes", stats.bytes_out);
    lines.put("rejected_connections", stats.connections_refused);
    lines.put("expired_keys", status.expired_keys);
    lines.put("evicted_keys", 0);
    lines.put("keyspace_hits", status.keyspace_hits);
    lines.put("keyspace_misses", status.keyspace_misses);
    lines.put("total_error_replies", stats.errors.values().sum::<u64>());
}

fn replication(facts: &Facts<'_>, lines: &mut Lines) {
    let status = &facts.status;
    if status.role == Role::Leader {
        lines.put("role", "master");
        let others: Vec<_> =
            status.members.iter().filter(|member| member.node != status.node).collect();
        lines.put("connected_slaves", others.iter().filter(|member| member.alive).count());
        for (at, member) in others.into_iter().enumerate() {
            let (host, port) = host_and_port(&member.addr);
            let state = if member.alive { "online" } else { "offline" };
            let (offset, lag) = (member.matched, member.lag);
            lines.line(&format!(
                "slave{at}:ip={host},port={port},state={state},offset={offset},lag={lag}"
            ));
        }
    } else {
        let leader = leading(status);
        let (host, port) = leader.map_or(("", "0"), |leader| host_and_port(&leader.addr));
        lines.put("role", "slave");
        lines.put("master_host", host);
        lines.put("master_port", port);
        lines.put("master_link_status", if leader.is_some() { "up" } else { "down" });
        lines.put("master_sync_in_progress", 0);
        lines.put("slave_repl_offset", status.applied);
        // Writes are forwarded to the leader.
        lines.put("slave_read_only", 0);
        lines.put("connected_slaves", 0);
    }
    lines.put("master_repl_offset", status.applied);
}

/// How often only: that a command has failed is known behind a queue of answers, which knows no commands, and
/// how long one took is nobody's to say, for many are executed at once and wait for one fsync.
fn commandstats(facts: &Facts<'_>, lines: &mut Lines) {
    for (name, calls) in facts.session.server.counters.calls() {
        lines.put(&format!("cmdstat_{}", name.to_ascii_lowercase()), format_args!("calls={calls}"));
    }
}

fn errorstats(facts: &Facts<'_>, lines: &mut Lines) {
    for (word, count) in &facts.stats.errors {
        lines.put(&format!("errorstat_{word}"), format_args!("count={count}"));
    }
}

fn cluster(_: &Facts<'_>, lines: &mut Lines) {
    lines.put("cluster_enabled", 0);
}

fn keyspace(facts: &Facts<'_>, lines: &mut Lines) {
    for (db, keys, expires) in &facts.status.databases {
        lines.line(&format!("db{db}:keys={keys},expires={expires},avg_ttl=0"));
    }
}

fn raft(facts: &Facts<'_>, lines: &mut Lines) {
    let status = &facts.status;
    lines.put("node_id", &status.id);
    lines.put("node", status.node);
    lines.put("addr", &status.addr);
    lines.put("cluster_id", &status.cluster);
    lines.put("cluster_format", status.format);
    lines.put("cluster_format_highest", status.format_highest);
    lines.put("group", status.group);
    lines.put("raft_role", status.role.as_str());
    lines.put("term", status.term);
    lines.put("leader", status.leader);
    lines.put("leader_addr", leading(status).map_or("", |leader| &leader.addr));
    lines.put("commit_index", status.commit);
    lines.put("applied_index", status.applied);
    lines.put("log_first_index", status.log_first);
    lines.put("log_last_index", status.log_last);
    lines.put("log_bytes", status.log_bytes);
    lines.put("log_segments", status.log_segments);
    lines.put("fsyncs", status.fsyncs);
    lines.put("fsync_p99_us", status.fsync_p99_us);
    lines.put("snapshot_index", status.snapshot_index);
    lines.put("snapshot_bytes", status.snapshot_bytes);
    lines.put("snapshots_made", status.snapshots_made);
    lines.put("snapshots_installed", status.snapshots_installed);
    lines.put("scrubs", status.scrubs);
    lines.put("scrub_index", status.scrub_index);
    lines.put("state_digest", format_args!("{:016x}", status.digest));
    lines.put("stamp_ms", status.stamp_ms);
    lines.put("writes", status.writes);
    lines.put("reads", status.reads);
    lines.put("forwarded", status.forwarded);
    lines.put("entries", status.entries);
    lines.put("read_rounds", status.read_rounds);
    lines.put("elections_won", status.elections_won);
    lines.put("read_only", one_line(status.read_only.as_deref().unwrap_or_default()));
    lines.put("disk_slow", one_line(status.disk_slow.as_deref().unwrap_or_default()));
    lines.put("waits_for", one_line(status.waits_for.as_deref().unwrap_or_default()));
    lines.put("stopped", one_line(status.stopped.as_deref().unwrap_or_default()));
    lines.put("num_members", status.members.len());
    for (at, member) in status.members.iter().enumerate() {
        lines.line(&format!(
            "member{at}:node={},id={},addr={},voter={},leader={},matched={},lag={},alive={},silent_ms={}",
            member.node,
            member.id,
            member.addr,
            u8::from(member.voter),
            u8::from(member.leader),
            member.matched,
            member.lag,
            u8::from(member.alive),
            member.silent_ms,
        ));
    }
}

fn one_line(text: &str) -> String {
    text.replace(['\r', '\n'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_to_humans_as_redis_does() {
        assert_eq!(human(0), "0B");
        assert_eq!(human(1023), "1023B");
        assert_eq!(human(1536), "1.50K");
        assert_eq!(human(100 << 20), "100.00M");
        assert_eq!(human(3 << 40), "3.00T");
        assert_eq!(percent(1, 3), "33.33%");
        assert_eq!(percent(0, 0), "0.00%");
    }
}
