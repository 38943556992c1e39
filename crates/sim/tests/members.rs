//! Real nodes in the gym: enough seeds to see that they are plugged in; CI's binary runs the many.

use quorate_sim::member::boot;
use quorate_sim::run::{Disks, Setup, run};
use quorate_sim::world::Recording;

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

/// The control: where a sync is a lie, the same scenarios must fail. (A node that notices what is gone
/// refuses to serve, so it is liveness that breaks first.)
#[test]
fn lying_disks_are_found() {
    let setup = Setup { disks: Disks::Lying, ..Setup::new(boot()) };
    assert!((0..3).any(|seed| !run(seed, &setup, Recording::Digest).is_good()));
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
