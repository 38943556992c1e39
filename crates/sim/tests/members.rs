//! Real nodes in the gym: enough seeds to see that they are plugged in; CI's binary runs the many.

use std::collections::BTreeSet;

use quorate_sim::campaign::Campaign;
use quorate_sim::cellar::Engines;
use quorate_sim::fault::{Kind, Plan};
use quorate_sim::member::boot;
use quorate_sim::run::{Disks, Setup, plan, run};
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

fn has(plan: &Plan, kinds: &[Kind]) -> bool {
    plan.faults.iter().any(|fault| kinds.contains(&fault.kind))
}

/// What a seed must have drawn.
type Fits = dyn Fn(&Setup, &Plan) -> bool;

#[test]
fn same_seed_gives_same_bytes_whatever_it_draws() {
    let wanted: [(&str, &Fits); 6] = [
        ("one node", &|setup, _| setup.nodes == 1),
        ("five nodes, leases", &|setup, _| setup.nodes == 5 && setup.lease),
        ("seven nodes", &|setup, _| setup.nodes == 7),
        ("damage on disk engines", &|setup, plan| {
            setup.engines == Engines::Disk && has(plan, &[Kind::FlipBit, Kind::StrayWrite])
        }),
        ("members that come and go", &|_, plan| {
            has(plan, &[Kind::ReplaceNode]) && has(plan, &[Kind::SucceedNode])
        }),
        ("everybody rests", &|_, plan| !plan.rests().is_zero()),
    ];
    for (what, fits) in wanted {
        let setup = |seed| Setup::drawn(seed, boot());
        let seed = (0..1_000).find(|seed| fits(&setup(*seed), &plan(*seed, &setup(*seed))));
        let seed = seed.unwrap_or_else(|| panic!("{what}: no seed"));
        let (setup, text) = (setup(seed), Recording::Text);
        assert!(setup.web, "every third session speaks HTTP");
        let (one, two) = (run(seed, &setup, text), run(seed, &setup, text));
        assert_eq!(one.digest, two.digest, "{what}: seed {seed}");
        assert!(one.text == two.text, "{what}: seed {seed}: the texts differ");
        assert!(one.text.lines().count() > 1_000, "{what}: seed {seed}");
    }
}
