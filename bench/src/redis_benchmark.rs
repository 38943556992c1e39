//! Runs redis-benchmark and reads its CSV.

use std::process::{Command, Stdio};

use crate::case::Work;
use crate::fault::{Context, Fault};
use crate::resp::VALUE_BYTES;

/// What a load generator saw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Seen {
    pub(crate) ops_per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// One load on one port.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) work: Work,
    pub(crate) port: u16,
    pub(crate) connections: usize,
    pub(crate) pipeline: usize,
    pub(crate) requests: u64,
    pub(crate) keys: u64,
}

pub(crate) fn run(load: Load) -> Result<Seen, Fault> {
    let test = if load.work.writes() { "set" } else { "get" };
    let output = Command::new("redis-benchmark")
        .args(["-h", "127.0.0.1", "--csv", "-t", test])
        .args(["-p".to_owned(), load.port.to_string()])
        .args(["-d".to_owned(), VALUE_BYTES.to_string()])
        .args(["-r".to_owned(), load.keys.to_string()])
        .args(["-n".to_owned(), load.requests.to_string()])
        .args(["-c".to_owned(), load.connections.to_string()])
        .args(["-P".to_owned(), load.pipeline.to_string()])
        .stdin(Stdio::null())
        .output()
        .context("run redis-benchmark")?;
    // It warns on stderr, and counts an error reply like any other: what it says there voids the run.
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() || !said.trim().is_empty() {
        return Err(Fault::new(format!("redis-benchmark: {}: {}", output.status, said.trim())));
    }
    let csv = String::from_utf8_lossy(&output.stdout);
    parse(&csv).ok_or_else(|| Fault::new(format!("strange output of redis-benchmark: {csv}")))
}

/// Columns are found by their names in the first line.
fn parse(csv: &str) -> Option<Seen> {
    let mut lines = csv.lines().filter(|line| line.starts_with('"'));
    let unquoted = |line: &str| -> Vec<String> {
        line.split(',').map(|field| field.trim_matches('"').to_owned()).collect()
    };
    let names = unquoted(lines.next()?);
    let values = unquoted(lines.next()?);
    let field = |name: &str| -> Option<f64> {
        let at = names.iter().position(|it| it == name)?;
        values.get(at)?.parse().ok()
    };
    Some(Seen {
        ops_per_second: field("rps")?,
        p50_ms: field("p50_latency_ms")?,
        p99_ms: field("p99_latency_ms")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_is_read_by_column_names() {
        let csv = "\"test\",\"rps\",\"avg_latency_ms\",\"min_latency_ms\",\"p50_latency_ms\",\"p95_latency_ms\",\"p99_latency_ms\",\"max_latency_ms\"\n\"SET\",\"71428.57\",\"0.356\",\"0.096\",\"0.335\",\"0.551\",\"0.903\",\"1.119\"\n";
        let seen = Seen { ops_per_second: 71428.57, p50_ms: 0.335, p99_ms: 0.903 };
        assert_eq!(parse(csv), Some(seen));
        assert_eq!(parse("WARNING: nothing\n"), None);
    }
}
