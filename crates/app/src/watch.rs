//! `quorate status --watch`: every member asked for itself, again and again, in one table.

use std::io::{IsTerminal as _, Write};
use std::time::Duration;

use quorate_env::Env;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::Output;
use crate::report::{self, Report};
use crate::status::Question;
use crate::{size, table};

/// Puts the cursor into the corner and clears what is below: what was there is overwritten, not erased
/// before, so that nothing flickers.
const CLEAR: &str = "\x1b[H\x1b[J";

/// What one look has found: of each member its own word, or why there is none.
#[derive(Debug)]
struct Look {
    /// Who was asked for the members.
    from: Report,
    rows: Vec<(String, String, Result<Report, String>)>,
}

/// Looks until it is interrupted, or nobody reads.
///
/// # Errors
/// The first look has found nobody; or nobody reads any more.
pub(crate) async fn run(
    env: &Env,
    question: &Question,
    interval: Duration,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let mut known = vec![question.addr.clone()];
    let mut first = true;
    loop {
        let found = look(env, &known, question.password.as_deref()).await;
        match (&found, first) {
            (Err(text), true) => return Err(Failure::Other(text.clone())),
            (Ok(look), _) => {
                // Whoever was asked first may go: the others know as much.
                known = vec![question.addr.clone()];
                known.extend(look.rows.iter().map(|(_, addr, _)| addr.clone()));
            }
            (Err(_), false) => {}
        }
        first = false;
        show(found.as_ref(), question.output, out)?;
        out.flush()?;
        env.clock.sleep(interval).await;
    }
}

async fn look(env: &Env, known: &[String], password: Option<&str>) -> Result<Look, String> {
    let mut failure = String::new();
    for addr in known {
        let from = match report::ask(env, addr, password, report::PATIENCE).await {
            Ok(from) => from,
            Err(text) => {
                failure = text;
                continue;
            }
        };
        let mut rows = Vec::new();
        for member in &from.members {
            let own = if member.node == from.node {
                Ok(from.clone())
            } else {
                report::ask(env, &member.addr, password, report::PATIENCE).await
            };
            rows.push((member.id.clone(), member.addr.clone(), own));
        }
        rows.sort_by(|a, b| a.0.cmp(&b.0));
        return Ok(Look { from, rows });
    }
    Err(failure)
}

fn show(look: Result<&Look, &String>, output: Output, out: &mut dyn Write) -> Result<(), Failure> {
    match output {
        Output::Json => {
            let value = look.map_or_else(|text| json!({ "trouble": text }), Look::json);
            writeln!(out, "{value}")?;
        }
        Output::Table => {
            if std::io::stdout().is_terminal() {
                write!(out, "{CLEAR}")?;
            }
            let lines =
                look.map_or_else(|text| vec![format!("nobody answers: {text}")], Look::lines);
            for line in lines {
                writeln!(out, "{line}")?;
            }
        }
    }
    Ok(())
}

impl Look {
    /// The highest entry that anybody has.
    fn last(&self) -> u64 {
        let reports = self.rows.iter().filter_map(|(_, _, report)| report.as_ref().ok());
        reports.map(|report| report.log_last).max().unwrap_or_default()
    }

    fn lines(&self) -> Vec<String> {
        let leader = self.from.leading().map_or("none is known", |leader| &leader.id);
        let head =
            format!("cluster {}, leader {leader}, format {}", self.from.cluster, self.from.format);
        let last = self.last();
        let rows: Vec<_> = self.rows.iter().map(|row| cells(row, last)).collect();
        let heads = [
            "ID",
            "ROLE",
            "TERM",
            "COMMIT",
            "APPLIED",
            "LAG",
            "LOG",
            "SNAPSHOT",
            "FSYNC-P99",
            "MEMORY",
        ];
        let mut lines = vec![head, String::new()];
        lines.extend(table::lines(&heads, &rows));
        for (id, _, report) in &self.rows {
            match report {
                Err(why) => lines.push(format!("{id} does not answer: {why}")),
                Ok(report) => {
                    for trouble in [&report.stopped, &report.read_only, &report.disk_slow] {
                        if !trouble.is_empty() {
                            lines.push(format!("{id}: {trouble}"));
                        }
                    }
                }
            }
        }
        lines
    }

    fn json(&self) -> Value {
        let last = self.last();
        let describe = |(id, addr, report): &(String, String, Result<Report, String>)| match report
        {
            Err(why) => json!({ "id": id, "addr": addr, "trouble": why }),
            Ok(it) => json!({
                "id": id, "addr": addr, "role": it.role, "term": it.term, "commit": it.commit,
                "applied": it.applied, "lag": last.saturating_sub(it.applied), "log_bytes": it.log_bytes,
                "snapshot_bytes": it.snapshot_bytes, "fsync_p99_us": it.fsync_p99_us,
                "memory_bytes": it.memory.0, "version": it.version,
                "stopped": Some(&it.stopped).filter(|text| !text.is_empty()),
                "read_only": Some(&it.read_only).filter(|text| !text.is_empty()),
                "disk_slow": Some(&it.disk_slow).filter(|text| !text.is_empty()),
            }),
        };
        json!({
            "cluster": self.from.cluster,
            "leader": self.from.leading().map(|leader| &leader.id),
            "format": self.from.format,
            "members": self.rows.iter().map(describe).collect::<Vec<_>>(),
        })
    }
}

/// A member's line.
fn cells((id, _, report): &(String, String, Result<Report, String>), last: u64) -> Vec<String> {
    let Ok(it) = report else {
        let dashes = std::iter::repeat_n("-".to_owned(), 9);
        return std::iter::once(id.clone()).chain(dashes).collect();
    };
    vec![
        id.clone(),
        it.role.clone(),
        it.term.to_string(),
        it.commit.to_string(),
        it.applied.to_string(),
        last.saturating_sub(it.applied).to_string(),
        rounded(it.log_bytes),
        rounded(it.snapshot_bytes),
        format!("{} ms", thousandths(it.fsync_p99_us)),
        rounded(it.memory.0),
    ]
}

/// Microseconds as milliseconds.
fn thousandths(us: u64) -> String {
    format!("{}.{:02}", us / 1000, us % 1000 / 10)
}

/// Bytes in the largest unit of which there are some.
fn rounded(bytes: u64) -> String {
    let units = [("tb", 40), ("gb", 30), ("mb", 20), ("kb", 10)];
    let fits = units.into_iter().find(|(_, shift)| bytes >= 1 << shift);
    fits.map_or_else(|| size::show(bytes), |(unit, shift)| format!("{}{unit}", bytes >> shift))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::TEXT;

    fn look() -> Look {
        let mut leader = Report::parse(TEXT).unwrap();
        (leader.commit, leader.applied, leader.log_last) = (90, 90, 91);
        (leader.log_bytes, leader.fsync_p99_us) = (128 << 20, 1_234);
        let slow = Report {
            id: "n2".to_owned(),
            role: "follower".to_owned(),
            applied: 80,
            ..leader.clone()
        };
        let slow =
            Report { disk_slow: "the log's disk takes 900 ms for a write".to_owned(), ..slow };
        let row = |id: &str, report| (id.to_owned(), format!("{id}:1"), report);
        let rows = vec![
            row("n1", Ok(leader.clone())),
            row("n2", Ok(slow)),
            row("n3", Err("refused".to_owned())),
        ];
        Look { from: leader, rows }
    }

    #[test]
    fn every_member_has_a_line_and_trouble_one_of_its_own() {
        let lines = look().lines().join("\n");
        for words in ["leader n1", "FSYNC-P99", "1.23 ms", "128mb", "n3 does not answer: refused"] {
            assert!(lines.contains(words), "{lines}");
        }
        assert!(lines.contains("n2: the log's disk takes 900 ms"), "{lines}");
        let n2 = lines.lines().find(|line| line.starts_with("n2 ")).unwrap();
        assert!(n2.contains("  11  "), "it is 11 entries behind: {n2}");
    }

    #[test]
    fn programs_get_one_line_for_each_look() {
        let json = look().json();
        assert_eq!(json["members"][1]["lag"], 11);
        assert_eq!(json["members"][2]["trouble"], "refused");
        assert!(!json.to_string().contains('\n'));
    }

    #[test]
    fn sizes_are_rounded_down() {
        assert_eq!(rounded(0), size::show(0));
        assert_eq!(rounded((3 << 20) + 5), "3mb");
    }
}
