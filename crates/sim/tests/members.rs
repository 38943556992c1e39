//! Real nodes in the gym: enough seeds to see that they are plugged in; CI's binary runs the many.

use std::collections::BTreeSet;

use quorate_sim::campaign::Campaign;
use quorate_sim::member::boot;
use quorate_sim::run::{Disks, Setup, run};
use quorate_sim::world::Recording;

/// Within so many seeds lying disks must be found.
const LYING_SEEDS: u64 = 40;

#[test]
fn real_node_alone_keeps_its_promises() {
    let setup = Setup { nodes: 1, ..Setup::new(boot()) };
    for seed in 0..5 {
        let report = run(seed, &setup, Recording::Digest);
        assert!(report.is_good(), "seed {seed}: {:#?}", report.judgement.violations);
    }
}

#[test]
fn three_real_nodes_keep_their_promises() {
    for seed in 0..3 {
        let report = run(seed, &Setup::new(boot()), Recording::Digest);
        assert!(report.is_good(), "seed {seed}: {:#?}", report.judgement.violations);
        assert!(report.history.outcomes().0 > 300, "seed {seed}: {:?}", report.history.outcomes());
    }
}

/// The control: where a sync is a lie, acknowledged writes must be found lost. (Liveness breaks first, for a node that
/// notices what is gone refuses to serve; that alone does not count. Where nothing but power fails, some notice nothing.)
#[test]
fn lying_disks_are_found() {
    let profile = Some("power".to_owned());
    let campaign = Campaign { profile, disks: Disks::Lying, ..Campaign::default() };
    let mut seen = BTreeSet::new();
    let found = (0..LYING_SEEDS).find(|seed| {
        let (outcome, _) = campaign.run(*seed, Recording::Digest).expect("a profile");
        seen.extend(outcome.violations.iter().map(|violation| violation.property));
        seen.contains("durable") || seen.contains("linearizable")
    });
    println!("found at {found:?}");
    assert!(found.is_some(), "only {seen:?}");
}

#[test]
fn same_seed_gives_same_bytes() {
    let setup = Setup::new(boot());
    for seed in 0..2 {
        let (one, two) = (run(seed, &setup, Recording::Text), run(seed, &setup, Recording::Text));
        assert_eq!(one.digest, two.digest);
        assert!(one.text == two.text, "seed {seed}: the texts differ");
    }
}
