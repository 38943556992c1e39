//! The binary: runs seeds, and says of each one that fails how to see it again.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use quorate_sim::campaign::{Campaign, Outcome, Summary};
use quorate_sim::coverage;
use quorate_sim::run::Disks;
use quorate_sim::shrink::Cut;
use quorate_sim::toy::Defect;
use quorate_sim::world::Recording;

const USAGE: &str = "\
usage: quorate-sim [--seed N | --seeds A..B | --hours H [--from A]] [option ...]
  --seed N        one seed, told as a story: faults, elections, what clients asked and heard
  --seeds A..B    the seeds from A up to, but not including, B (0..100 unless told), in parallel
  --hours H       as many seeds as there is time for, from --from (0 unless told)
  --jobs N        how many seeds at once (as many as there are processors)
  --trace         with --seed: every message, disk operation and log line instead of the story
  --twice         each seed twice: both runs must be the same, byte by byte
  --cut F,../N/S  with --seed: only these faults, nodes and sessions, as a failing seed prints it (and /MS/F.A,..: the
                  end of the storm, and acts that are left out)
  --no-shrink     show failing seeds as they are
  --covered       fail when a fault or a rare branch was never reached, however few the seeds
  --profile NAME  three nodes and this profile (calm, first, harsh, lease, handover, answers, beyond, members, power, cut, doubt, all) instead of what the seed draws; beyond-judged is beyond with lease reads judged as well, which must fail
  --lying-disks   syncs do nothing: the control, which must fail
  --toy DEFECT    a toy in the node's place: none, stale-reads, lazy-sync, lying-refusal, torn-blocks, stays-down
";

enum Reading {
    Story,
    Trace,
}

struct Arguments {
    seeds: std::ops::Range<u64>,
    hours: Option<f64>,
    jobs: usize,
    one: Option<Reading>,
    covered: bool,
    campaign: Campaign,
}

fn parse(mut words: impl Iterator<Item = String>) -> Option<Arguments> {
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let campaign = Campaign { shrinks: true, ..Campaign::default() };
    let mut arguments =
        Arguments { seeds: 0..100, hours: None, jobs, one: None, covered: false, campaign };
    let mut traced = false;
    while let Some(word) = words.next() {
        let campaign = &mut arguments.campaign;
        match word.as_str() {
            "--seed" => {
                let seed = words.next()?.parse().ok()?;
                arguments.seeds = seed..seed + 1;
                arguments.one = Some(Reading::Story);
            }
            "--seeds" => {
                let range = words.next()?;
                let (from, to) = range.split_once("..")?;
                arguments.seeds = from.parse().ok()?..to.parse().ok()?;
            }
            "--hours" => arguments.hours = Some(words.next()?.parse().ok()?),
            "--from" => arguments.seeds = words.next()?.parse().ok()?..u64::MAX,
            "--jobs" => arguments.jobs = words.next()?.parse().ok()?,
            "--trace" => traced = true,
            "--twice" => campaign.twice = true,
            "--cut" => campaign.cut = Some(Cut::parse(&words.next()?)?),
            "--no-shrink" => campaign.shrinks = false,
            "--covered" => arguments.covered = true,
            "--profile" => campaign.profile = Some(words.next()?),
            "--lying-disks" => campaign.disks = Disks::Lying,
            "--toy" => campaign.toy = Some(Defect::named(&words.next()?)?),
            _ => return None,
        }
    }
    if traced {
        arguments.one = arguments.one.map(|_| Reading::Trace);
    }
    if arguments.hours.is_some() {
        arguments.seeds.end = u64::MAX;
    }
    arguments.campaign.setup(0).map(|_| arguments)
}

fn main() -> io::Result<ExitCode> {
    let Some(arguments) = parse(std::env::args().skip(1)) else {
        io::stderr().write_all(USAGE.as_bytes())?;
        return Ok(ExitCode::from(2));
    };
    let mut out = io::BufWriter::new(io::stdout().lock());
    let good = match &arguments.one {
        Some(reading) => run_one(&mut out, &arguments, reading)?,
        None => run_many(&mut out, &arguments)?,
    };
    out.flush()?;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_one(out: &mut impl Write, arguments: &Arguments, reading: &Reading) -> io::Result<bool> {
    let recording = match reading {
        Reading::Story => Recording::Story,
        Reading::Trace => Recording::Text,
    };
    let seed = arguments.seeds.start;
    let Some((outcome, report)) = arguments.campaign.run(seed, recording) else { return Ok(false) };
    out.write_all(report.text.as_bytes())?;
    let (digest, steps, tally) = (outcome.digest, outcome.steps, &outcome.tally);
    writeln!(out, "seed {seed}: digest {digest:016x}, {steps} steps, {}", outcome.setup)?;
    writeln!(out, "faults: {tally}")?;
    describe(out, &arguments.campaign, &outcome)?;
    Ok(outcome.violations.is_empty())
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long a campaign runs is real time, not a world's"
)]
fn run_many(out: &mut impl Write, arguments: &Arguments) -> io::Result<bool> {
    // A panic of a node's is a finding with a message of its own; replayed alone, its stack is shown.
    std::panic::set_hook(Box::new(|_| {}));
    let start = std::time::Instant::now();
    let limit = arguments.hours.map(|hours| Duration::from_secs_f64(hours * 3600.0));
    let end = arguments.seeds.end;
    let goes_on = |seed| seed < end && limit.is_none_or(|limit| start.elapsed() < limit);
    let mut summary = Summary::default();
    let mut failed = Ok(());
    arguments.campaign.run_many(arguments.seeds.start, arguments.jobs, goes_on, |outcome| {
        summary.add(&outcome);
        if !outcome.violations.is_empty() && failed.is_ok() {
            failed = describe(out, &arguments.campaign, &outcome).and_then(|()| out.flush());
        }
    });
    failed?;
    write!(out, "{summary}")?;
    writeln!(out, "in {:.0} seconds", start.elapsed().as_secs_f64())?;
    let must_cover = arguments.covered || summary.seeds >= coverage::SEEDS_MIN;
    let whole = arguments.campaign.profile.is_none() && arguments.campaign.toy.is_none();
    let missed = if must_cover && whole { coverage::missed(&summary) } else { Vec::new() };
    if !missed.is_empty() {
        writeln!(out, "never reached: {}", missed.join(" "))?;
    }
    if !summary.is_decided() {
        writeln!(out, "too many groups of keys are undecided")?;
    }
    Ok(summary.failed == 0 && missed.is_empty() && summary.is_decided())
}

fn describe(out: &mut impl Write, campaign: &Campaign, outcome: &Outcome) -> io::Result<()> {
    let seed = outcome.seed;
    if outcome.violations.is_empty() {
        return Ok(());
    }
    writeln!(out, "seed {seed}: {}", outcome.setup)?;
    for violation in &outcome.violations {
        writeln!(out, "seed {seed}: {violation}")?;
    }
    out.write_all(outcome.shrunk.as_bytes())?;
    writeln!(out, "seed {seed} again: {}", campaign.command(seed))
}

#[cfg(test)]
mod tests {
    use quorate_sim::run::plan;

    use super::*;

    /// What a line that says how to see a seed again stands for.
    fn read_back(line: &str) -> Arguments {
        let words = line.strip_prefix("cargo xtask sim ").expect("a command");
        parse(words.split_whitespace().map(str::to_owned)).expect("one that is understood")
    }

    #[test]
    fn seed_is_seen_again_by_the_command_that_is_printed() {
        let cut = Cut { faults: vec![0, 2], nodes: 3, sessions: 2, ..Cut::default() };
        let profile =
            |name: &str| Campaign { profile: Some(name.to_owned()), ..Campaign::default() };
        let toy = Some(Defect::LazySync);
        for campaign in [
            Campaign::default(),
            Campaign { shrinks: true, failed_max: 1, ..profile("members") },
            Campaign { twice: true, ..profile("power") },
            Campaign { disks: Disks::Lying, cut: Some(cut), ..profile("lease") },
            Campaign { toy, ..Campaign::default() },
        ] {
            let again = read_back(&campaign.command(77));
            assert!(again.one.is_some() && again.seeds == (77..78));
            let (then, now) = (campaign.setup(77).unwrap(), again.campaign.setup(77).unwrap());
            assert_eq!(format!("{then:?}"), format!("{now:?}"));
            assert_eq!(plan(77, &then).steps(), plan(77, &now).steps(), "{campaign:?}");
            assert_eq!((then.disks, then.padding), (now.disks, now.padding));
            let rest = |it: &Campaign| (it.toy, it.cut.clone(), it.twice);
            assert_eq!(rest(&campaign), rest(&again.campaign));
        }
    }

    #[test]
    fn failing_seed_of_a_profile_says_its_profile_also_when_it_was_made_smaller() {
        // Syncs that do nothing fail soon, and a toy runs fast.
        let (toy, profile) = (Some(Defect::LazySync), Some("power".to_owned()));
        let campaign =
            Campaign { toy, profile, shrinks: true, failed_max: 1, ..Campaign::default() };
        let mut out = Vec::new();
        campaign.run_many(
            0,
            1,
            |seed| seed < 50,
            |outcome| {
                describe(&mut out, &campaign, &outcome).expect("a Vec takes all");
            },
        );
        let text = String::from_utf8(out).expect("text");
        let lines = text.lines().filter_map(|line| line.get(line.find("cargo xtask sim ")?..));
        let again: Vec<Arguments> = lines.map(read_back).collect();
        let [small, whole] = &*again else { panic!("not a smaller one and the whole: {text}") };
        assert!(small.campaign.cut.is_some() && whole.campaign.cut.is_none());
        for it in [small, whole] {
            let ran = it.campaign.run(it.seeds.start, Recording::Digest).expect("a profile");
            assert!(!ran.0.violations.is_empty(), "{text}");
        }
    }
}
