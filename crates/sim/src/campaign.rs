//! Campaigns: many seeds, in parallel, and what they add up to.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use crate::check::Violation;
use crate::check::live::Healing;
use crate::cluster::{Boot, Sizes};
use crate::fault::Profile;
use crate::fault::kind::Tally;
use crate::member;
use crate::run::{Disks, Leases, Lifetimes, Report, Setup, plan, run_plan};
use crate::shrink::{Cut, shrink};
use crate::toy::{self, Defect};
use crate::world::Recording;

/// What every seed of a campaign has in common.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// A toy in the node's place.
    pub toy: Option<Defect>,
    /// The name of a profile; otherwise each seed draws its cluster and gets all faults.
    pub profile: Option<String>,
    /// What the nodes' disks are worth.
    pub disks: Disks,
    /// A part of the plan and of the cluster, where less is to be run than the seed says.
    pub cut: Option<Cut>,
    /// A bug to be found.
    #[cfg(feature = "planted-bugs")]
    pub planted: Option<quorate_consensus::planted::Planted>,
    /// Each seed is run twice, and both runs must be the same.
    pub twice: bool,
    /// A failing seed is made smaller before it is shown.
    pub shrinks: bool,
    /// Failing seeds after which the campaign ends.
    pub failed_max: u64,
}

impl Default for Campaign {
    fn default() -> Self {
        Self {
            toy: None,
            profile: None,
            disks: Disks::default(),
            cut: None,
            #[cfg(feature = "planted-bugs")]
            planted: None,
            twice: false,
            shrinks: false,
            failed_max: 12,
        }
    }
}

/// Failing seeds that are made smaller; the others are most likely the same.
const SHRUNK_MAX: u64 = 3;

/// The profile `beyond` with lease reads that are judged as if clocks were right: the control, which must fail.
pub const CONTROL: &str = "beyond-judged";

/// A group of keys on which the search for an order is given up proves nothing. Of half a million operations none was,
/// when this was chosen; so one in so many seeds is bad luck, more are a workload that has outgrown the search.
const SEEDS_PER_UNDECIDED: u64 = 100;

/// What came of one seed.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// The cluster.
    pub setup: String,
    /// Broken promises.
    pub violations: Vec<Violation>,
    /// What was needed to break them; empty when it was not looked for.
    pub shrunk: String,
    /// The digest of all that happened.
    pub digest: u64,
    /// Events and polls.
    pub steps: u64,
    /// The faults.
    pub tally: Tally,
    /// Operations done, not applied, unknown.
    pub operations: (u64, u64, u64),
    /// Groups of keys on which the search was given up.
    pub undecided: u64,
    /// Operations judged by the revisions in replies, and those on the same keys that have no place.
    pub witnessed: (u64, u64),
    /// How the cluster came back after the faults.
    pub healing: Healing,
    /// How long it took, in simulated time.
    pub took: Duration,
    /// Rare branches, and how often they were reached.
    pub branches: BTreeMap<String, u64>,
}

impl Campaign {
    /// The cluster of `seed`; `None` when no profile has that name.
    pub fn setup(&self, seed: u64) -> Option<Setup> {
        let boot: Rc<Boot> = self.toy.map_or_else(member::boot, toy::boot);
        let drawn = match &self.profile {
            Some(name) => {
                let profile = Profile::named(if name == CONTROL { "beyond" } else { name })?;
                let web = self.toy.is_none();
                let usual = Setup { profile, web, ..Setup::new(boot) };
                match name.as_str() {
                    "lease" | "handover" | "answers" | CONTROL => {
                        Setup { lease: true, sessions: 9, ..usual }
                    }
                    "beyond" => {
                        let leases = Leases::Distrusted;
                        Setup { lease: true, leases, sessions: 9, ..usual }
                    }
                    "members" => Setup { spares: 2, ..usual },
                    // Alone, a node has nobody to fetch from.
                    "power" => Setup { nodes: 1 + 2 * (seed % 2), padding: 1500, ..usual },
                    // Writes of several sectors each: of what is lost something must be left.
                    "doubt" => Setup { padding: 1500, ..usual },
                    "cut" => {
                        let sizes = Sizes {
                            segment_bytes: 64 * 1024,
                            snapshot_log_bytes: 8 * 1024,
                            entries_kept: 8,
                        };
                        Setup { nodes: 1 + 2 * (seed % 2), padding: 300, sizes, ..usual }
                    }
                    _ => usual,
                }
            }
            None if self.toy.is_some() => Setup::new(boot),
            None => Setup::drawn(seed, boot),
        };
        let lifetimes = self.toy.map_or(Lifetimes::Kept, |_| Lifetimes::Ignored);
        Some(Setup { disks: self.disks, lifetimes, ..drawn })
    }

    /// Runs `seed`; `None` when no profile has the campaign's name.
    pub fn run(&self, seed: u64, recording: Recording) -> Option<(Outcome, Report)> {
        #[cfg(feature = "planted-bugs")]
        quorate_consensus::planted::plant(self.planted);
        let whole = self.setup(seed)?;
        let (mut setup, mut faults) = (whole.clone(), plan(seed, &whole));
        if let Some(cut) = &self.cut {
            (setup, faults) = cut.apply(setup, faults);
        }
        let report = run_plan(seed, &setup, &faults, recording);
        let mut violations = report.judgement.violations.clone();
        if self.twice {
            let again = run_plan(seed, &setup, &faults, recording);
            if (again.digest, &again.text) != (report.digest, &report.text) {
                let evidence = "the second run differs from the first".to_owned();
                violations.push(Violation::new("repeats", evidence));
            }
        }
        let outcome = Outcome {
            seed,
            setup: format!("{setup:?}"),
            violations,
            shrunk: String::new(),
            digest: report.digest,
            steps: report.steps,
            tally: report.tally.clone(),
            operations: report.history.outcomes(),
            undecided: report.judgement.undecided,
            witnessed: (report.judgement.placed, report.judgement.loose),
            healing: report.healing,
            took: report.took,
            branches: report.branches.clone(),
        };
        Some((outcome, report))
    }

    /// The command by which `seed` is seen again as it is in this campaign (with a bug planted: only without it, for
    /// no binary can be told to have one).
    pub fn command(&self, seed: u64) -> String {
        let mut words = vec![format!("cargo xtask sim --seed {seed}")];
        words.extend(self.profile.as_ref().map(|name| format!("--profile {name}")));
        words.extend(self.toy.map(|defect| format!("--toy {}", defect.name())));
        words.extend((self.disks == Disks::Lying).then(|| "--lying-disks".to_owned()));
        words.extend(self.twice.then(|| "--twice".to_owned()));
        words.extend(self.cut.as_ref().map(|cut| format!("--cut {cut}")));
        words.join(" ")
    }

    /// Looks for less that breaks the same promises.
    fn shrink(&self, seed: u64, outcome: &Outcome) -> String {
        let setup = self.setup(seed).filter(|_| self.shrinks && self.cut.is_none());
        let Some(setup) = setup else { return String::new() };
        let properties = outcome.violations.iter().map(|violation| violation.property).collect();
        let (cut, mut text) = shrink(seed, &setup, &plan(seed, &setup), properties);
        let small = Self { cut: Some(cut), ..self.clone() };
        text.push_str(&format!("  these alone: {}\n", small.command(seed)));
        text
    }

    /// Runs seeds from `first` on, `jobs` at a time, until `goes_on` says no of a seed; tells `hear` of each.
    pub fn run_many(
        &self,
        first: u64,
        jobs: usize,
        goes_on: impl Fn(u64) -> bool + Sync,
        mut hear: impl FnMut(Outcome),
    ) {
        let (next, failed) = (AtomicU64::new(first), AtomicU64::new(0));
        let (sender, receiver) = mpsc::channel();
        std::thread::scope(|scope| {
            for _ in 0..jobs.max(1) {
                let (next, failed, goes_on) = (&next, &failed, &goes_on);
                let sender = sender.clone();
                scope.spawn(move || {
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        let enough = failed.load(Ordering::Relaxed) >= self.failed_max;
                        let outcome = Some(seed).filter(|seed| !enough && goes_on(*seed));
                        let outcome = outcome.and_then(|it| self.run(it, Recording::Digest));
                        let Some((mut outcome, _)) = outcome else { return };
                        if !outcome.violations.is_empty()
                            && failed.fetch_add(1, Ordering::Relaxed) < SHRUNK_MAX
                        {
                            outcome.shrunk = self.shrink(seed, &outcome);
                        }
                        if sender.send(outcome).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(sender);
            receiver.into_iter().for_each(&mut hear);
        });
    }
}

/// What the seeds of a campaign add up to.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Seeds.
    pub seeds: u64,
    /// Seeds that broke a promise.
    pub failed: u64,
    /// Faults.
    pub tally: Tally,
    /// Rare branches, and how often they were reached.
    pub branches: BTreeMap<String, u64>,
    took: Duration,
    healing: Healing,
    operations: (u64, u64, u64),
    undecided: u64,
    witnessed: (u64, u64),
}

impl Summary {
    /// One more.
    pub fn add(&mut self, outcome: &Outcome) {
        self.seeds += 1;
        self.failed += u64::from(!outcome.violations.is_empty());
        self.took += outcome.took;
        self.healing = self.healing.slower(outcome.healing);
        self.operations.0 += outcome.operations.0;
        self.operations.1 += outcome.operations.1;
        self.operations.2 += outcome.operations.2;
        self.undecided += outcome.undecided;
        self.witnessed.0 += outcome.witnessed.0;
        self.witnessed.1 += outcome.witnessed.1;
        self.tally.add_all(&outcome.tally);
        for (branch, count) in &outcome.branches {
            *self.branches.entry(branch.clone()).or_default() += count;
        }
    }

    /// True when the search for an order was given up as rarely as [`SEEDS_PER_UNDECIDED`] allows.
    pub fn is_decided(&self) -> bool {
        self.undecided * SEEDS_PER_UNDECIDED <= self.seeds
    }

    /// Simulated hours.
    pub fn hours(&self) -> f64 {
        self.took.as_secs_f64() / 3600.0
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (done, refused, unknown) = self.operations;
        writeln!(
            f,
            "{} seeds, {} failed, {:.1} simulated hours, {} faults; operations: {done} done, \
             {refused} not applied, {unknown} unknown; {} groups of keys undecided",
            self.seeds,
            self.failed,
            self.hours(),
            self.tally.total(),
            self.undecided
        )?;
        let (placed, loose) = self.witnessed;
        writeln!(f, "judged by their revisions: {placed} operations; of unknown place: {loose}")?;
        let seconds = |time: Option<Duration>| time.unwrap_or_default().as_secs_f64();
        writeln!(
            f,
            "the slowest cluster took a write {:.2} s after peace; asked 8 s after it, it took one within {:.2} s, served \
             on every node within {:.1} s and had carried out all orders within {:.1} s",
            seconds(self.healing.resumed),
            seconds(self.healing.first_write),
            seconds(self.healing.served),
            seconds(self.healing.orders)
        )?;
        writeln!(f, "faults: {}", self.tally)?;
        writeln!(f, "branches:")?;
        self.branches.iter().try_for_each(|(branch, count)| writeln!(f, "{count:>8} {branch}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_a_few_undecided_groups_fail_a_campaign() {
        let decided =
            |seeds, undecided| Summary { seeds, undecided, ..Summary::default() }.is_decided();
        assert!(decided(1, 0) && decided(100, 1) && decided(500, 5));
        assert!(!decided(1, 1) && !decided(500, 6));
    }
}
