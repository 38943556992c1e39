//! `/metrics`, in Prometheus' text format 0.0.4.

use std::fmt::{Display, Write as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use quorate_api::Status;
use quorate_api::status::Role;

use crate::answer;
use crate::door::{Door, Stats};
use crate::error::Problem;

/// Its route.
pub(crate) fn routes() -> Router<Arc<Door>> {
    Router::new().route("/metrics", get(metrics))
}

const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

async fn metrics(State(door): State<Arc<Door>>) -> Result<Response, Problem> {
    let status = door.status().await?;
    let mut page = Page::default();
    identity(&mut page, &status, &door.version);
    consensus(&mut page, &status);
    members(&mut page, &status);
    log(&mut page, &status);
    data(&mut page, &status);
    traffic(&mut page, &status);
    front_end(&mut page, &door.stats);
    Ok(answer::content(CONTENT_TYPE, page.text))
}

const ROLES: [Role; 6] =
    [Role::Waiting, Role::Learner, Role::Follower, Role::Candidate, Role::Leader, Role::Stopped];

fn identity(page: &mut Page, status: &Status, version: &str) {
    page.gauge("info", "Who this node is; always 1.");
    page.labelled(
        &[
            ("version", version),
            ("id", &status.id),
            ("cluster", &status.cluster),
            ("engine", status.engine),
        ],
        1,
    );
    page.gauge("role", "1 for what this node is doing, 0 for the rest.");
    for role in ROLES {
        page.labelled(&[("role", role.as_str())], u8::from(role == status.role));
    }
    page.one_gauge("uptime_seconds", "Time since start.", thousandths(status.uptime_ms));
    let read_only = u8::from(status.read_only.is_some());
    page.one_gauge(
        "read_only",
        "1 while writes are refused, as by a full disk, or one that does not keep up.",
        read_only,
    );
}

fn consensus(page: &mut Page, status: &Status) {
    let has_leader = u8::from(status.leader != 0);
    page.one_gauge("has_leader", "1 when this node knows a leader.", has_leader);
    page.one_gauge("term", "The current term.", status.term);
    page.one_gauge("commit_index", "Highest committed log index.", status.commit);
    page.one_gauge("applied_index", "Highest applied log index.", status.applied);
    page.one_counter("cold_reads_total", "Reads that had to wait for the disk.", status.cold_reads);
    page.one_counter("engine_flushes_total", "Flushes of the engine.", status.engine_flushes);
    page.one_counter(
        "engine_waited_reads_total",
        "Reads of the disk that held up everything else.",
        status.engine_waited_reads,
    );
    page.one_counter("elections_won_total", "Elections won.", status.elections_won);
    page.one_counter("entries_applied_total", "Log entries applied.", status.entries);
    page.one_counter("read_rounds_total", "Quorum rounds for reads.", status.read_rounds);
    page.one_gauge("members", "Members of the group.", status.members.len());
    let voters = status.members.iter().filter(|member| member.voter).count();
    page.one_gauge("voters", "Members with a vote.", voters);
}

/// Only the leader knows how far the others are.
fn members(page: &mut Page, status: &Status) {
    if status.role != Role::Leader {
        return;
    }
    page.gauge("member_matched_index", "Log index that the member has durably.");
    for member in &status.members {
        page.labelled(&[("member", &member.id)], member.matched);
    }
    page.gauge("member_lag_entries", "Entries that the member is behind the leader.");
    for member in &status.members {
        page.labelled(&[("member", &member.id)], member.lag);
    }
    page.gauge("member_alive", "1 when the member was heard of within an election timeout.");
    for member in &status.members {
        page.labelled(&[("member", &member.id)], u8::from(member.alive));
    }
}

fn log(page: &mut Page, status: &Status) {
    page.one_gauge("log_first_index", "First index in the log.", status.log_first);
    page.one_gauge("log_last_index", "Last index in the log.", status.log_last);
    page.one_gauge("log_bytes", "Bytes of the log on disk.", status.log_bytes);
    page.one_gauge("log_segments", "Segments of the log.", status.log_segments);
    page.one_counter("log_fsyncs_total", "Syncs of the log.", status.fsyncs);
    let p99 = format!("{}.{:06}", status.fsync_p99_us / 1_000_000, status.fsync_p99_us % 1_000_000);
    page.one_gauge("log_fsync_p99_seconds", "99th percentile of the log's syncs.", p99);
    page.one_gauge("snapshot_index", "Log index of the last snapshot.", status.snapshot_index);
    page.one_gauge("snapshot_bytes", "Size of the last snapshot.", status.snapshot_bytes);
    page.one_counter("snapshots_made_total", "Snapshots made.", status.snapshots_made);
    page.one_counter(
        "snapshots_installed_total",
        "Snapshots received from a leader.",
        status.snapshots_installed,
    );
    page.one_counter("scrubs_total", "Times that all data were read again.", status.scrubs);
    page.one_gauge(
        "scrub_index",
        "Log index at which data were compared last.",
        status.scrub_index,
    );
}

fn data(page: &mut Page, status: &Status) {
    page.one_gauge(
        "engine_records",
        "Records in the engine; of a disk engine an estimate, overwritten ones included.",
        status.engine_records,
    );
    page.one_gauge(
        "engine_payload_bytes",
        "Bytes of data; of a disk engine an estimate, overwritten ones included.",
        status.engine_payload_bytes,
    );
    page.one_gauge(
        "engine_memory_bytes",
        "Estimated resident bytes of the engine.",
        status.engine_memory_bytes,
    );
    page.one_gauge("engine_disk_bytes", "Bytes of the engine's files.", status.engine_disk_bytes);
    page.one_gauge(
        "engine_durable_index",
        "Up to which entry an engine on disk is durable by itself.",
        status.engine_durable,
    );
    page.one_gauge(
        "engine_runs",
        "Sorted runs on disk that a cold read may have to look into.",
        status.engine_runs,
    );
    page.one_gauge(
        "memory_limit_bytes",
        "The limit for writes that grow the data: the smallest of the members'.",
        status.max_memory_bytes,
    );
    page.gauge("keys", "Keys per database.");
    for (db, keys, _) in &status.databases {
        page.labelled(&[("db", &db.to_string())], keys);
    }
    page.gauge("keys_with_expiry", "Keys with an expiry per database.");
    for (db, _, expires) in &status.databases {
        page.labelled(&[("db", &db.to_string())], expires);
    }
}

fn traffic(page: &mut Page, status: &Status) {
    page.one_counter("writes_total", "Write commands applied.", status.writes);
    page.one_counter("reads_total", "Read commands served.", status.reads);
    page.one_counter("forwarded_total", "Commands forwarded to the leader.", status.forwarded);
    page.one_counter("expired_keys_total", "Keys whose time had come.", status.expired_keys);
    page.one_counter("keyspace_hits_total", "Reads that found their key.", status.keyspace_hits);
    page.one_counter(
        "keyspace_misses_total",
        "Reads that did not find their key.",
        status.keyspace_misses,
    );
}

fn front_end(page: &mut Page, stats: &Stats) {
    let connections = stats.connections.load(Ordering::Relaxed);
    page.one_gauge("http_connections", "Open HTTP connections.", connections);
    page.counter("http_responses_total", "HTTP responses by class of status code.");
    for (class, count) in stats.answers() {
        page.labelled(&[("class", class)], count);
    }
}

fn thousandths(count: u64) -> String {
    format!("{}.{:03}", count / 1000, count % 1000)
}

/// The text as it grows; samples belong to the family that was opened last.
#[derive(Default)]
struct Page {
    text: String,
    name: &'static str,
}

impl Page {
    fn gauge(&mut self, name: &'static str, help: &str) {
        self.family(name, "gauge", help);
    }

    fn counter(&mut self, name: &'static str, help: &str) {
        self.family(name, "counter", help);
    }

    fn one_gauge(&mut self, name: &'static str, help: &str, value: impl Display) {
        self.gauge(name, help);
        self.labelled(&[], value);
    }

    fn one_counter(&mut self, name: &'static str, help: &str, value: impl Display) {
        self.counter(name, help);
        self.labelled(&[], value);
    }

    fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.name = name;
        self.line(format_args!("# HELP quorate_{name} {help}"));
        self.line(format_args!("# TYPE quorate_{name} {kind}"));
    }

    fn labelled(&mut self, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<String> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let name = self.name;
        match labels.as_slice() {
            [] => self.line(format_args!("quorate_{name} {value}")),
            labels => self.line(format_args!("quorate_{name}{{{}}} {value}", labels.join(","))),
        }
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.text, "{line}").expect("writing to a string can't fail");
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_values_are_escaped() {
        let mut page = Page::default();
        page.gauge("info", "Help.");
        page.labelled(&[("id", "a\"b\\c\nd")], 1);
        let sample = "quorate_info{id=\"a\\\"b\\\\c\\nd\"} 1\n";
        let family = "# HELP quorate_info Help.\n# TYPE quorate_info gauge\n";
        assert_eq!(page.text, format!("{family}{sample}"));
    }
}
