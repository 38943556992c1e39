//! Runs the contenders of each case in turn, over and over, so that noise meets them all.

use std::thread;
use std::time::Duration;

use crate::case::{Case, Contender, Work};
use crate::counters;
use crate::fault::{Context, Fault};
use crate::flags::Flags;
use crate::fleet::{Fleet, Stable};
use crate::http_load;
use crate::meter;
use crate::redis_benchmark::{self, Load, Seen};
use crate::sample::Sample;
use crate::tools::Tools;

/// A run during which the leader changed says nothing about either role.
const ATTEMPTS: usize = 3;
/// For what servers do after their last answer: followers append and apply.
const SETTLE: Duration = Duration::from_millis(30);
const REQUESTS_MAX: f64 = 5e6;

/// All runs of one contender, or why there are none.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) contender: Contender,
    pub(crate) samples: Result<Vec<Sample>, Fault>,
}

#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) case: Case,
    pub(crate) rows: Vec<Row>,
}

pub(crate) fn run(
    cases: &[Case],
    stable: &mut Stable,
    tools: &Tools,
    flags: &Flags,
) -> Result<Vec<Outcome>, Fault> {
    let mut outcomes = Vec::new();
    for case in cases {
        eprint!("{case}");
        let mut rows = Vec::new();
        let mut requests = Vec::new();
        for &contender in &case.contenders {
            let found = match stable.get(contender.kind) {
                Some(fleet) => warm_up(case, contender, fleet, flags),
                None if !tools.read_mode => Err(Fault::new("the binary has no --read-mode")),
                None => Err(Fault::new("not started")),
            };
            requests.push(found.as_ref().copied().unwrap_or(0));
            rows.push(Row { contender, samples: found.map(|_| Vec::new()) });
        }
        for _ in 0..flags.runs() {
            for (row, &requests) in rows.iter_mut().zip(&requests) {
                let (Ok(samples), Some(fleet)) = (&mut row.samples, stable.get(row.contender.kind))
                else {
                    continue;
                };
                eprint!(".");
                match measure(case, row.contender, fleet, requests, flags) {
                    Ok(sample) => samples.push(sample),
                    Err(fault) => row.samples = Err(fault),
                }
            }
        }
        eprintln!();
        outcomes.push(Outcome { case: case.clone(), rows });
    }
    Ok(outcomes)
}

/// A short run, from whose speed follows how many requests take the wanted time.
fn warm_up(
    case: &Case,
    contender: Contender,
    fleet: &mut Fleet,
    flags: &Flags,
) -> Result<u64, Fault> {
    let parallel = case.connections * case.pipeline;
    let few = u64::try_from(parallel).context("connections")? * 10;
    let few = few.clamp(200, 10_000).min(flags.requests.unwrap_or(u64::MAX));
    let sample = measure(case, contender, fleet, few, flags)?;
    let enough = (sample.ops_per_second * flags.seconds_per_run()).clamp(few as f64, REQUESTS_MAX);
    Ok(flags.requests.unwrap_or(enough as u64))
}

fn measure(
    case: &Case,
    contender: Contender,
    fleet: &mut Fleet,
    requests: u64,
    flags: &Flags,
) -> Result<Sample, Fault> {
    let mut last = Fault::new("the leader changed in every attempt");
    for _ in 0..ATTEMPTS {
        let asked = fleet.node_to(contender.ask)?;
        match attempt(case, fleet, asked, requests, flags) {
            Ok(sample) if fleet.node_to(contender.ask)? == asked => return Ok(sample),
            Ok(_) => {}
            Err(fault) => last = fault,
        }
    }
    Err(last)
}

fn attempt(
    case: &Case,
    fleet: &Fleet,
    asked: usize,
    requests: u64,
    flags: &Flags,
) -> Result<Sample, Fault> {
    let pids: Vec<u32> = fleet.nodes.iter().map(|node| node.server.pid()).collect();
    let load = Load {
        work: case.work,
        port: fleet.nodes[asked].port,
        connections: case.connections,
        pipeline: case.pipeline,
        requests,
        keys: flags.keys,
    };
    let counted_before = counters::read(fleet);
    pids.iter().copied().for_each(meter::reset_peak);
    let before = read_all(&pids)?;
    let seen = drive(load, fleet)?;
    thread::sleep(SETTLE);
    let after = read_all(&pids)?;
    let counted_after = counters::read(fleet);
    let used: Vec<f64> = after
        .iter()
        .zip(&before)
        .map(|(after, before)| after.since(before).as_secs_f64() * 1e6 / requests as f64)
        .collect();
    let peak: Result<Vec<u64>, Fault> = pids.iter().copied().map(meter::peak_kib).collect();
    let batch = counted_before.zip(counted_after);
    Ok(Sample {
        ops_per_second: seen.ops_per_second,
        p50_ms: seen.p50_ms,
        p99_ms: seen.p99_ms,
        cpu_us: used.iter().sum(),
        asked_us: used[asked],
        peak_mib: peak?.iter().sum::<u64>() as f64 / 1024.0,
        batch: batch.and_then(|(before, after)| after.batch(&before, case.work, requests)),
    })
}

fn read_all(pids: &[u32]) -> Result<Vec<meter::Reading>, Fault> {
    pids.iter().copied().map(meter::read).collect()
}

fn drive(load: Load, fleet: &Fleet) -> Result<Seen, Fault> {
    match (load.work, fleet.kind.dialect()) {
        (Work::Set | Work::Get, _) => redis_benchmark::run(load),
        (Work::HttpPut | Work::HttpGet, Some(dialect)) => http_load::run(load, dialect),
        (Work::HttpPut | Work::HttpGet, None) => Err(Fault::new("speaks no HTTP")),
    }
}
