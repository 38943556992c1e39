//! The gym itself, tested with toys: the right one passes, each wrong one is found, every run repeats.

use std::collections::BTreeSet;

use quorate_sim::fault::Profile;
use quorate_sim::run::{Lifetimes, Report, Setup, plan, run, run_plan};
use quorate_sim::toy::{Defect, boot};
use quorate_sim::world::Recording;

fn setup(defect: Defect) -> Setup {
    Setup { lifetimes: Lifetimes::Ignored, ..Setup::new(boot(defect)) }
}

fn report(seed: u64, defect: Defect) -> Report {
    run(seed, &setup(defect), Recording::Digest)
}

/// The properties that some seed finds broken.
fn broken(defect: Defect, seeds: u64) -> BTreeSet<&'static str> {
    let reports = (0..seeds).map(|seed| report(seed, defect));
    reports.flat_map(|it| it.judgement.violations).map(|violation| violation.property).collect()
}

#[test]
fn right_toy_passes() {
    for seed in 0..15 {
        let report = report(seed, Defect::None);
        assert!(report.is_good(), "seed {seed}: {:#?}", report.judgement.violations);
        assert_eq!(report.judgement.undecided, 0);
        let (done, _, unknown) = report.history.outcomes();
        assert!(done > 300 && unknown < done / 2, "{done} done, {unknown} unknown");
    }
}

#[test]
fn same_seed_gives_same_bytes() {
    for seed in 0..4 {
        let setup = setup(Defect::None);
        let (one, two) = (run(seed, &setup, Recording::Text), run(seed, &setup, Recording::Text));
        assert!(one.lines > 1000);
        assert_eq!(one.digest, two.digest);
        assert!(one.text == two.text, "seed {seed}: the texts differ");
        assert_eq!(run(seed, &setup, Recording::Digest).digest, one.digest);
    }
}

#[test]
fn different_seeds_give_different_runs() {
    let digests: BTreeSet<u64> = (0..5).map(|seed| report(seed, Defect::None).digest).collect();
    assert_eq!(digests.len(), 5);
}

#[test]
fn stale_reads_are_found() {
    let broken = broken(Defect::StaleReads, 10);
    assert!(broken.contains("linearizable") && broken.contains("monotonic"), "{broken:?}");
}

#[test]
fn acknowledgement_before_the_sync_is_found() {
    let broken = broken(Defect::LazySync, 10);
    assert!(broken.contains("linearizable") && broken.contains("durable"), "{broken:?}");
}

#[test]
fn refusal_that_lies_is_found() {
    let broken = broken(Defect::LyingRefusal, 3);
    assert!(broken.contains("linearizable") && broken.contains("honest"), "{broken:?}");
}

#[test]
fn torn_block_is_found() {
    assert!(broken(Defect::TornBlocks, 3).contains("linearizable"));
}

#[test]
fn cluster_that_does_not_heal_is_found() {
    assert!(broken(Defect::StaysDown, 3).contains("live"));
}

#[test]
fn harsh_profile_runs_and_counts_what_it_does() {
    // The toy has no replica to fetch from, so it may lose here: only the machinery is tested.
    let setup = Setup { profile: Profile::harsh(), ..setup(Defect::None) };
    for seed in 0..5 {
        let (one, two) =
            (run(seed, &setup, Recording::Digest), run(seed, &setup, Recording::Digest));
        assert_eq!((one.digest, &one.tally), (two.digest, &two.tally));
    }
}

#[test]
fn part_of_a_plan_can_be_run() {
    let setup = setup(Defect::LazySync);
    let mut plan = plan(1, &setup);
    plan.faults.clear();
    let report = run_plan(1, &setup, &plan, Recording::Digest);
    assert!(report.is_good(), "without a fault, nobody notices");
}
