//! `quorate doctor`: what could be wrong with a cluster and with this machine, and what to do about it.
//!
//! It judges only what it has seen itself; what it can't see it says so.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use quorate::address::Address;
use quorate_env::Env;
use serde_json::json;
use tokio::runtime::Builder;
use tokio::task::LocalSet;

use crate::failure::Failure;
use crate::flags::DOCTOR;
use crate::layers::{Layer, Layers};
use crate::output::{self, Output};
use crate::report::{self, Report};
use crate::{secret, size, table};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// As it should be.
    Well,
    /// It works, and could be better or become worse.
    Advice,
    /// It does not work, or will not for long.
    Wrong,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Well => "ok",
            Self::Advice => "advice",
            Self::Wrong => "WRONG",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    what: String,
    state: State,
    found: String,
    /// What to do; empty where nothing is.
    advice: String,
}

impl Finding {
    fn new(what: &str, state: State, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { what: what.to_owned(), state, found: found.into(), advice: advice.into() }
    }

    fn well(what: &str, found: impl Into<String>) -> Self {
        Self::new(what, State::Well, found, "")
    }
}

/// A member as it was met: its word, and how its clock compares with ours.
#[derive(Clone, Debug)]
struct Met {
    id: String,
    addr: String,
    report: Result<Report, String>,
    /// Its wall clock ahead of ours, milliseconds, and how uncertain that is.
    ahead_ms: Option<(i64, u64)>,
}

/// Runs the command.
///
/// # Errors
/// The flags are wrong, the node can't be asked, or something is wrong.
pub(crate) fn run(flags: Layer, out: &mut dyn Write) -> Result<(), Failure> {
    let env = Layer::of_env(DOCTOR, |name| std::env::var_os(name))?;
    let layers = Layers::new(DOCTOR, vec![flags, env, Layer::of_defaults(DOCTOR)]);
    let addr = layers.require("addr", Address::parse_reachable, "say whom to ask")?.to_string();
    let password = layers.parse("password-file", secret::password)?;
    let output = output::chosen(&layers)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let env = quorate::env::real::env();
    let met = LocalSet::new().block_on(&runtime, meet(&env, &addr, password.as_deref()));
    let mut findings = match &met {
        Ok((from, met)) => cluster(from, met),
        Err(text) => {
            vec![Finding::new("cluster", State::Wrong, text, "start the node, or ask another one")]
        }
    };
    findings.push(open_files());
    if let Some(given) = layers.get("data-dir") {
        findings.extend(disk(Path::new(given.text)));
    }
    show(&findings, output, out)?;
    let wrong = findings.iter().filter(|finding| finding.state == State::Wrong).count();
    match wrong {
        0 => Ok(()),
        1 => Err(Failure::Other("1 thing is wrong".to_owned())),
        more => Err(Failure::Other(format!("{more} things are wrong"))),
    }
}

fn show(findings: &[Finding], output: Output, out: &mut dyn Write) -> Result<(), Failure> {
    match output {
        Output::Table => {
            let row = |it: &Finding| {
                vec![it.what.clone(), it.state.as_str().to_owned(), it.found.clone()]
            };
            let rows: Vec<_> = findings.iter().map(row).collect();
            for line in table::lines(&["WHAT", "STATE", "FOUND"], &rows) {
                writeln!(out, "{line}")?;
            }
            for it in findings.iter().filter(|it| !it.advice.is_empty()) {
                writeln!(out, "\n{}: {}", it.what, it.advice)?;
            }
        }
        Output::Json => {
            let describe = |it: &Finding| {
                json!({
                    "what": it.what, "state": it.state.as_str().to_ascii_lowercase(), "found": it.found,
                    "advice": Some(&it.advice).filter(|text| !text.is_empty()),
                })
            };
            let all: Vec<_> = findings.iter().map(describe).collect();
            writeln!(out, "{:#}", json!({ "findings": all }))?;
        }
    }
    Ok(())
}

fn wall_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

async fn ask(
    env: &Env,
    addr: &str,
    password: Option<&str>,
) -> (Result<Report, String>, Option<(i64, u64)>) {
    let before = wall_us();
    let report = report::ask(env, addr, password, report::PATIENCE).await;
    let after = wall_us();
    let ahead = report.as_ref().ok().map(|report| {
        let middle = i64::try_from(before / 2 + after / 2).unwrap_or(i64::MAX);
        let theirs = i64::try_from(report.wall_us).unwrap_or(i64::MAX);
        ((theirs - middle) / 1000, after.saturating_sub(before) / 2000)
    });
    (report, ahead)
}

async fn meet(env: &Env, addr: &str, password: Option<&str>) -> Result<(Report, Vec<Met>), String> {
    let (from, ahead_ms) = ask(env, addr, password).await;
    let from = from?;
    let mut met = Vec::new();
    for member in &from.members {
        let (id, addr) = (member.id.clone(), member.addr.clone());
        let (report, ahead_ms) = if member.node == from.node {
            (Ok(from.clone()), ahead_ms)
        } else {
            ask(env, &member.addr, password).await
        };
        met.push(Met { id, addr, report, ahead_ms });
    }
    Ok((from, met))
}

fn cluster(from: &Report, met: &[Met]) -> Vec<Finding> {
    // In no cluster there are no voters, no format and nobody to be reached.
    if from.node == 0 {
        return vec![leader(from)];
    }
    let mut findings = vec![leader(from), voters(from)];
    findings.extend(met.iter().map(answers));
    findings.push(who_reaches_whom(met));
    findings.push(clocks(met));
    findings.push(versions(from, met));
    let answered = met.iter().filter_map(|met| met.report.as_ref().ok());
    for report in answered {
        findings.push(disk_of(report));
        findings.extend(limits_of(report));
    }
    findings
}

fn leader(from: &Report) -> Finding {
    match from.leading() {
        Some(leader) => {
            Finding::well("leader", format!("{} leads in term {}", leader.id, from.term))
        }
        None if from.node == 0 => Finding::new(
            "leader",
            State::Wrong,
            format!("{} is in no cluster, and waits: {}", from.id, from.waits_for),
            "see to what it waits for. A node that was started to found or to join nothing is added through a member: \
             quorate member add HOST:PORT --addr MEMBER",
        ),
        None => Finding::new(
            "leader",
            State::Wrong,
            "nobody leads",
            "bring voters back until a majority is reachable; if one is lost for good: quorate recover --dry-run",
        ),
    }
}

fn voters(from: &Report) -> Finding {
    let voters: Vec<_> = from.members.iter().filter(|member| member.voter).collect();
    let alive = voters.iter().filter(|member| member.alive).count();
    let (all, needed) = (voters.len(), voters.len() / 2 + 1);
    let found = format!("{alive} of {all} voters are there, {needed} are needed");
    let spare = alive.saturating_sub(needed);
    let silent = voters.iter().find(|member| !member.alive);
    match (silent, all) {
        // Nobody could carry a replacement out.
        (Some(_), _) if alive < needed => Finding::new(
            "voters",
            State::Wrong,
            found,
            "bring voters back until a majority is reachable; if they are lost for good: quorate recover --data-dir DIR \
             --dry-run",
        ),
        (Some(silent), _) => Finding::new(
            "voters",
            if spare == 0 { State::Wrong } else { State::Advice },
            found,
            format!(
                "bring {0} back, or replace it: quorate member replace {0} HOST:PORT",
                silent.id
            ),
        ),
        (None, 1) => Finding::new(
            "voters",
            State::Advice,
            found,
            "one node survives no failure: add two more",
        ),
        (None, all) if all % 2 == 0 => Finding::new(
            "voters",
            State::Advice,
            found,
            format!(
                "{all} voters survive no more failures than {}: add one, or make one a learner",
                all - 1
            ),
        ),
        (None, _) => Finding::well("voters", found),
    }
}

fn answers(met: &Met) -> Finding {
    let what = format!("{} answers", met.id);
    match &met.report {
        Ok(report) if !report.stopped.is_empty() => Finding::new(
            &what,
            State::Wrong,
            format!("it has stopped: {}", report.stopped),
            "mend what it says, then restart it",
        ),
        Ok(report) if !report.read_only.is_empty() => Finding::new(
            &what,
            State::Wrong,
            format!("it takes no writes: {}", report.read_only),
            "make room on its disk, or see what keeps it from writing (the device, who else uses it); it goes on by itself",
        ),
        Ok(_) => Finding::well(&what, format!("at {}", met.addr)),
        Err(text) => Finding::new(
            &what,
            State::Wrong,
            text.clone(),
            "is its process there, and does its --advertise name an address that is reached from here?",
        ),
    }
}

/// As they see it themselves: a firewall may let us through and not them.
fn who_reaches_whom(met: &[Met]) -> Finding {
    let mut gaps = Vec::new();
    for one in met {
        let Ok(report) = &one.report else { continue };
        for other in report.members.iter().filter(|other| !other.alive && other.node != report.node)
        {
            gaps.push(format!("{} does not reach {}", one.id, other.id));
        }
    }
    if gaps.is_empty() {
        return Finding::well("links", "all who answer reach all members");
    }
    let advice = "look at firewalls and --peer-advertise between them; a member that is down is missed by all";
    Finding::new("links", State::Wrong, gaps.join(", "), advice)
}

/// How far wall clocks may be apart before a member does not lead any more is 5 s; long before that
/// something is wrong with their synchronization.
const CLOCKS_APART_MS: u64 = 500;
const CLOCKS_FAR_MS: u64 = 5_000;

fn clocks(met: &[Met]) -> Finding {
    let known: Vec<_> =
        met.iter().filter_map(|met| met.ahead_ms.map(|ahead| (&met.id, ahead))).collect();
    let ahead = |(_, (ahead, _)): &(&String, (i64, u64))| *ahead;
    let (Some(first), Some(last)) =
        (known.iter().min_by_key(|it| ahead(it)), known.iter().max_by_key(|it| ahead(it)))
    else {
        return Finding::new("clocks", State::Advice, "no clock could be read", "");
    };
    let apart = ahead(last).abs_diff(ahead(first));
    let unsure = first.1.1 + last.1.1;
    let found = format!("{apart} ms apart, {} ahead of {} (+-{unsure} ms)", last.0, first.0);
    let advice = "synchronize the machines' clocks (chrony, NTP): TTLs are judged by the leader's, and a node far off \
                  the majority's does not lead";
    if apart > CLOCKS_FAR_MS + unsure {
        Finding::new("clocks", State::Wrong, found, advice)
    } else if apart > CLOCKS_APART_MS + unsure {
        Finding::new("clocks", State::Advice, found, advice)
    } else {
        Finding::well("clocks", format!("within {} ms", apart.max(1)))
    }
}

fn versions(from: &Report, met: &[Met]) -> Finding {
    let mut versions: Vec<_> = met
        .iter()
        .filter_map(|met| met.report.as_ref().ok())
        .map(|report| (report.version.clone(), report.format_highest))
        .collect();
    versions.sort();
    versions.dedup();
    let names: Vec<_> = versions.iter().map(|(version, _)| version.as_str()).collect();
    let found = format!("{}, cluster format {}", names.join(" and "), from.format);
    if versions.len() > 1 {
        let advice = "finish the upgrade: the cluster writes the old format until all members know the new one";
        return Finding::new("versions", State::Advice, found, advice);
    }
    Finding::well("versions", found)
}

/// A leader whose writes take half a second hands over; far below that clients feel it.
const FSYNC_SLOW_US: u64 = 50_000;
const FSYNC_BAD_US: u64 = 500_000;

fn judged_fsync(what: &str, p99_us: u64, found: String) -> Finding {
    let advice = "each write waits for an fsync on a majority: use a disk of its own, an SSD with power-loss \
                  protection, or less load beside it";
    match p99_us {
        0..FSYNC_SLOW_US => Finding::well(what, found),
        FSYNC_SLOW_US..FSYNC_BAD_US => Finding::new(what, State::Advice, found, advice),
        FSYNC_BAD_US.. => Finding::new(what, State::Wrong, found, advice),
    }
}

fn disk_of(report: &Report) -> Finding {
    let what = format!("{} disk", report.id);
    if !report.disk_slow.is_empty() {
        let advice =
            "it does not lead while that is so; look at the device and at who else uses it";
        return Finding::new(&what, State::Wrong, &report.disk_slow, advice);
    }
    let (whole, part) = (report.fsync_p99_us / 1000, report.fsync_p99_us % 1000 / 10);
    judged_fsync(&what, report.fsync_p99_us, format!("fsync p99 {whole}.{part:02} ms"))
}

fn limits_of(report: &Report) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (used, most) = report.memory;
    if most > 0 && used > most / 10 * 9 {
        findings.push(Finding::new(
            &format!("{} memory", report.id),
            State::Advice,
            format!("{} of {} used", size::show(used), size::show(most)),
            "at the limit writes that grow the data are refused: raise --max-memory on all members, or delete",
        ));
    }
    let (open, most) = report.clients;
    if most > 0 && open > most / 10 * 9 {
        findings.push(Finding::new(
            &format!("{} connections", report.id),
            State::Advice,
            format!("{open} of {most} used"),
            "raise --max-connections, and the limit of open files with it",
        ));
    }
    findings
}

/// Connections, segments and some for everything else.
const OPEN_FILES_MIN: u64 = 1024;

fn open_files() -> Finding {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    let found = limit.map_or_else(|| "no limit".to_owned(), |limit| format!("{limit} may be open"));
    if limit.is_some_and(|limit| limit < OPEN_FILES_MIN) {
        let advice = "a node started like this command can't take many connections: raise it (ulimit -Hn, LimitNOFILE)";
        return Finding::new("open files here", State::Advice, found, advice);
    }
    Finding::well("open files here", found)
}

/// Syncs that are measured.
const SYNCS: usize = 64;
const SYNC_BYTES: usize = 4096;
/// Below this a node soon refuses writes.
const FREE_BYTES_MIN: u64 = 1 << 30;

fn disk(dir: &Path) -> Vec<Finding> {
    let what = format!("fsync in {}", dir.display());
    let measured = match measure(dir) {
        Ok(mut took) => {
            took.sort_unstable();
            let at = |percent: usize| {
                took.get((took.len() * percent / 100).min(took.len() - 1)).copied()
            };
            let (p50, p99) = (at(50).unwrap_or_default(), at(99).unwrap_or_default());
            let us = u64::try_from(p99.as_micros()).unwrap_or(u64::MAX);
            judged_fsync(&what, us, format!("p50 {p50:.1?}, p99 {p99:.1?} ({SYNCS} of 4 KiB)"))
        }
        Err(error) => Finding::new(
            &what,
            State::Wrong,
            error.to_string(),
            "give a directory that can be written",
        ),
    };
    let mut findings = vec![measured];
    if let Ok(stat) = rustix::fs::statvfs(dir) {
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        let found = format!("{} free", size::show(free >> 20 << 20));
        let what = format!("room in {}", dir.display());
        findings.push(if free < FREE_BYTES_MIN {
            let advice = "a node refuses writes when its log can't grow: make room";
            Finding::new(&what, State::Advice, found, advice)
        } else {
            Finding::well(&what, found)
        });
    }
    findings
}

/// How long each of some syncs takes, of one file that grows within allocated space, as the log does.
fn measure(dir: &Path) -> std::io::Result<Vec<Duration>> {
    use std::os::unix::fs::FileExt as _;
    let path = dir.join(format!("doctor-{}.tmp", std::process::id()));
    let file = std::fs::File::create_new(&path)?;
    let measured = (|| {
        let block = [7; SYNC_BYTES];
        file.set_len((SYNCS * SYNC_BYTES) as u64)?;
        file.write_all_at(&vec![0; SYNCS * SYNC_BYTES], 0)?;
        file.sync_all()?;
        let mut took = Vec::with_capacity(SYNCS);
        for at in 0..SYNCS {
            let began = std::time::Instant::now();
            file.write_all_at(&block, (at * SYNC_BYTES) as u64)?;
            file.sync_data()?;
            took.push(began.elapsed());
        }
        Ok(took)
    })();
    std::fs::remove_file(&path)?;
    measured
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::TEXT;

    fn report() -> Report {
        let text = TEXT.replace("voter=0", "voter=1").replace("alive=0", "alive=1");
        Report {
            version: "0.1.0".to_owned(),
            format: 1,
            format_highest: 1,
            ..Report::parse(&text).unwrap()
        }
    }

    fn met(report: &Report, ahead_ms: i64) -> Met {
        let (id, addr) = (report.id.clone(), "h:1".to_owned());
        Met { id, addr, report: Ok(report.clone()), ahead_ms: Some((ahead_ms, 1)) }
    }

    fn states(findings: &[Finding]) -> Vec<(&str, State)> {
        findings
            .iter()
            .filter(|it| it.state != State::Well)
            .map(|it| (it.what.as_str(), it.state))
            .collect()
    }

    #[test]
    fn without_a_majority_nobody_is_told_to_replace_a_voter() {
        let text = TEXT.replace("lag=2,alive=1", "lag=2,alive=0").replace("voter=0", "voter=1");
        let finding = voters(&Report::parse(&text).unwrap());
        assert_eq!(finding.state, State::Wrong);
        assert!(finding.advice.contains("quorate recover"), "{finding:?}");
        assert!(!finding.advice.contains("replace"), "{finding:?}");
    }

    #[test]
    fn of_a_node_that_waits_it_says_for_what_and_judges_no_cluster() {
        let waits_for = "2 of 3 nodes are there: n1, n4".to_owned();
        let report = Report { id: "n4".to_owned(), waits_for, ..Report::default() };
        let findings = cluster(&report, &[]);
        let [only] = findings.as_slice() else { panic!("{findings:?}") };
        assert_eq!(only.state, State::Wrong);
        assert_eq!(only.found, "n4 is in no cluster, and waits: 2 of 3 nodes are there: n1, n4");
    }

    #[test]
    fn a_healthy_cluster_is_well() {
        let report = report();
        assert_eq!(states(&cluster(&report, &[met(&report, 0), met(&report, 20)])), []);
    }

    #[test]
    fn what_is_wrong_is_found_with_what_to_do() {
        let mut report = report();
        report.members[2].alive = false;
        report.fsync_p99_us = 60_000;
        report.memory = (95, 100);
        let newer = Report {
            id: "n2".to_owned(),
            version: "0.2.0".to_owned(),
            format_highest: 2,
            ..report.clone()
        };
        let lost = Met { report: Err("refused".to_owned()), ahead_ms: None, ..met(&newer, 0) };
        let findings = cluster(&report, &[met(&report, 0), met(&newer, 7_000), lost]);
        for expected in [
            ("voters", State::Wrong),
            ("n2 answers", State::Wrong),
            ("links", State::Wrong),
            ("clocks", State::Wrong),
            ("versions", State::Advice),
            ("n1 disk", State::Advice),
            ("n1 memory", State::Advice),
        ] {
            assert!(states(&findings).contains(&expected), "{expected:?} of {findings:#?}");
        }
        let voters = findings.iter().find(|it| it.what == "voters").unwrap();
        assert!(voters.advice.contains("quorate member replace n3"), "{voters:?}");
    }

    #[test]
    fn a_disk_is_measured_and_what_was_written_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let findings = disk(dir.path());
        assert!(findings[0].found.contains("p99"), "{findings:?}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let findings = disk(&dir.path().join("nowhere"));
        assert_eq!(findings[0].state, State::Wrong);
    }
}
