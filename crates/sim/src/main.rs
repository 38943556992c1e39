//! The binary: runs seeds, and says of each one that fails how to see it again.

use std::io::{self, Write};
use std::process::ExitCode;
use std::rc::Rc;

use quorate_sim::cluster::Boot;
use quorate_sim::fault::Profile;
use quorate_sim::fault::kind::Tally;
use quorate_sim::member;
use quorate_sim::run::{Disks, Report, Setup, run};
use quorate_sim::toy;
use quorate_sim::world::Recording;

const USAGE: &str = "\
usage: quorate-sim [--seed N [--trace] | --seeds A..B] [--twice] [--nodes N] [--profile NAME] [--toy DEFECT]
  --seed N      one seed; --trace writes all that happened to standard output
  --seeds A..B  the seeds from A up to, but not including, B (0..100 unless told)
  --twice       each seed twice: both runs must be the same, byte by byte
  --nodes N     how many nodes (3 unless told)
  --profile NAME  what happens to the cluster: calm (nothing), first (unless told), harsh
  --lying-disks   syncs do nothing: the control, which must fail
  --toy DEFECT  a toy in the node's place: none, stale-reads, lazy-sync, lying-refusal, torn-blocks, stays-down
";

struct Arguments {
    seeds: std::ops::Range<u64>,
    trace: bool,
    twice: bool,
    disks: Disks,
    nodes: Option<String>,
    profile: Option<String>,
    toy: Option<String>,
}

fn parse(mut words: impl Iterator<Item = String>) -> Option<Arguments> {
    let mut arguments = Arguments {
        seeds: 0..100,
        trace: false,
        twice: false,
        disks: Disks::Honest,
        nodes: None,
        profile: None,
        toy: None,
    };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--seed" => {
                let seed = words.next()?.parse().ok()?;
                arguments.seeds = seed..seed + 1;
            }
            "--seeds" => {
                let range = words.next()?;
                let (from, to) = range.split_once("..")?;
                arguments.seeds = from.parse().ok()?..to.parse().ok()?;
            }
            "--trace" => arguments.trace = true,
            "--lying-disks" => arguments.disks = Disks::Lying,
            "--twice" => arguments.twice = true,
            "--nodes" => arguments.nodes = Some(words.next()?),
            "--profile" => arguments.profile = Some(words.next()?),
            "--toy" => arguments.toy = Some(words.next()?),
            _ => return None,
        }
    }
    Some(arguments)
}

fn program(toy: Option<&str>) -> Option<Rc<Boot>> {
    let Some(name) = toy else { return Some(member::boot()) };
    Some(toy::boot(match name {
        "none" => toy::Defect::None,
        "stale-reads" => toy::Defect::StaleReads,
        "lazy-sync" => toy::Defect::LazySync,
        "lying-refusal" => toy::Defect::LyingRefusal,
        "torn-blocks" => toy::Defect::TornBlocks,
        "stays-down" => toy::Defect::StaysDown,
        _ => return None,
    }))
}

fn setup(arguments: &Arguments) -> Option<Setup> {
    let profile = match arguments.profile.as_deref() {
        Some("calm") => Profile::calm(),
        None | Some("first") => Profile::first(),
        Some("harsh") => Profile::harsh(),
        Some(_) => return None,
    };
    let nodes = arguments.nodes.as_ref().map_or(Ok(3), |nodes| nodes.parse()).ok()?;
    let disks = arguments.disks;
    Some(Setup { nodes, profile, disks, ..Setup::new(program(arguments.toy.as_deref())?) })
}

fn main() -> io::Result<ExitCode> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let arguments = parse(std::env::args().skip(1));
    let Some((arguments, setup)) = arguments.and_then(|it| setup(&it).map(|setup| (it, setup)))
    else {
        io::stderr().write_all(USAGE.as_bytes())?;
        return Ok(ExitCode::from(2));
    };
    let mut summary = Summary::default();
    for seed in arguments.seeds.clone() {
        let recording =
            if arguments.trace || arguments.twice { Recording::Text } else { Recording::Digest };
        let report = run(seed, &setup, recording);
        let again = arguments.twice.then(|| run(seed, &setup, recording));
        if arguments.trace {
            out.write_all(report.text.as_bytes())?;
        }
        let repeats = again.is_none_or(|it| it.digest == report.digest && it.text == report.text);
        if !repeats {
            writeln!(out, "seed {seed}: the second run differs from the first")?;
        }
        summary.add(&report, repeats);
        describe(&mut out, &report, &arguments)?;
    }
    summary.print(&mut out)?;
    out.flush()?;
    Ok(if summary.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn describe(out: &mut impl Write, report: &Report, arguments: &Arguments) -> io::Result<()> {
    let seed = report.seed;
    if arguments.seeds.end - arguments.seeds.start == 1 {
        let (digest, steps) = (report.digest, report.steps);
        writeln!(out, "seed {seed}: digest {digest:016x}, {steps} steps, {}", report.tally)?;
    }
    for violation in &report.judgement.violations {
        writeln!(out, "seed {seed}: {violation}")?;
    }
    if report.is_good() {
        return Ok(());
    }
    let option = |name: &str, value: &Option<String>| {
        value.as_ref().map_or_else(String::new, |value| format!(" --{name} {value}"))
    };
    let disks = if arguments.disks == Disks::Lying { " --lying-disks" } else { "" };
    let nodes = option("nodes", &arguments.nodes);
    let (profile, toy) = (option("profile", &arguments.profile), option("toy", &arguments.toy));
    writeln!(
        out,
        "seed {seed} again: cargo run --release -p quorate-sim -- --seed {seed} --trace{nodes}{disks}{profile}{toy}"
    )
}

#[derive(Default)]
struct Summary {
    seeds: u64,
    failed: u64,
    seconds: u64,
    outcomes: (u64, u64, u64),
    undecided: u64,
    tally: Tally,
}

impl Summary {
    fn add(&mut self, report: &Report, repeats: bool) {
        self.seeds += 1;
        self.failed += u64::from(!report.is_good() || !repeats);
        self.seconds += report.took.as_secs();
        let (done, refused, unknown) = report.history.outcomes();
        self.outcomes.0 += done;
        self.outcomes.1 += refused;
        self.outcomes.2 += unknown;
        self.undecided += report.judgement.undecided;
        self.tally.add_all(&report.tally);
    }

    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let (done, refused, unknown) = self.outcomes;
        writeln!(
            out,
            "{} seeds, {} failed, {} simulated seconds; operations: {done} done, {refused} not applied, \
             {unknown} unknown; {} groups of keys undecided",
            self.seeds, self.failed, self.seconds, self.undecided
        )?;
        writeln!(out, "faults: {}", self.tally)
    }
}
