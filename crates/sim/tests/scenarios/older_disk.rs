//! Disks that go back: a copy of a member's disk is put in its place while it is down.
//!
//! Not a fault of storms: where no leader since has heard the member acknowledge what is missing, nobody can know, and
//! nothing is promised.

use std::time::Duration;

use quorate_sim::client::operator::Leaving;
use quorate_sim::cluster::OPERATOR_PORT;
use quorate_sim::resp::Frame;
use quorate_sim::world::Kill;

use crate::gym::{Gym, ok};

fn bulk(text: &str) -> Frame {
    Frame::Bulk(text.to_owned())
}

/// Of two writes of `k`, the second one is on the disks of the leader and of the member whose disk then goes back
/// behind it, and on no other one. The leader, that member, the third one.
fn gone_back(seed: u64) -> (Gym, [u64; 3]) {
    let mut gym = Gym::new(seed, 3);
    let leader = gym.leader().unwrap();
    let (back, other) = (leader % 3 + 1, (leader + 1) % 3 + 1);
    assert_eq!(gym.ask(leader, &["SET", "k", "old"]).0, ok());
    gym.run_for(Duration::from_secs(1));
    gym.stop(back, Kill::Power);
    let copy = gym.world.disk(gym.host(back)).copy();
    gym.start(back);
    gym.run_for(Duration::from_millis(100));
    gym.until("it has caught up", |gym| {
        gym.status(back).applied == gym.status(leader).applied && gym.leader() == Some(leader)
    });
    for number in [leader, back] {
        gym.cut_both_ways(other, number);
    }
    assert_eq!(gym.ask(leader, &["SET", "k", "new"]).0, ok());
    gym.stop(back, Kill::Power);
    gym.world.disk(gym.host(back)).restore(copy);
    (gym, [leader, back, other])
}

#[test]
fn a_member_whose_disk_has_gone_back_is_not_let_in_and_what_it_acknowledged_is_not_lost() {
    for seed in 1..=4 {
        let (mut gym, [leader, back, other]) = gone_back(seed);
        let logs = gym.world.capture_logs();
        gym.start(back);
        gym.run_for(Duration::from_millis(1_500));
        drop(logs);
        let said = gym.world.take_branches();
        let refused = said.keys().any(|line| line.starts_with("peer does not let us in"));
        assert!(refused, "seed {seed}: {:?}", said.keys());
        // With the third one there is a majority without it; whoever leads knows what was acknowledged.
        gym.world.wire().heal_all();
        gym.until("a majority serves", |gym| gym.leader().is_some_and(|it| it != back));
        let serving = gym.leader().unwrap();
        assert_eq!(gym.ask(serving, &["GET", "k"]).0, bulk("new"), "seed {seed}");
        gym.until("the third one is back", |gym| {
            let name = gym.cluster.name(gym.host(other));
            gym.status(serving).members.iter().any(|member| member.id == name && member.alive)
        });
        // The operator does as he is told.
        let name = gym.cluster.name(gym.host(back));
        let addr = format!("n{serving}:{OPERATOR_PORT}");
        assert_eq!(gym.ask_at(&addr, &[&["LEAVE", &name]]).remove(0).0, ok());
        let host = gym.host(back);
        gym.cluster.removed(&mut gym.world, host, Leaving::Replaced);
        gym.until("another one votes in its place", |gym| {
            let members = gym.leader().map(|leader| gym.status(leader).members);
            members.is_some_and(|all| all.len() == 3 && all.iter().all(|it| it.voter && it.alive))
        });
        gym.stop(leader, Kill::Power);
        gym.until("the others serve", |gym| gym.leader().is_some());
        for number in [back, other] {
            assert_eq!(gym.ask(number, &["GET", "k"]).0, bulk("new"), "seed {seed}: node {number}");
        }
    }
}

#[test]
fn a_member_whose_disk_went_back_to_what_it_has_acknowledged_serves() {
    let mut gym = Gym::new(5, 3);
    let leader = gym.leader().unwrap();
    let back = leader % 3 + 1;
    assert_eq!(gym.ask(leader, &["SET", "k", "v"]).0, ok());
    gym.run_for(Duration::from_secs(1));
    gym.stop(back, Kill::Power);
    let disk = gym.world.disk(gym.host(back));
    let copy = disk.copy();
    disk.restore(copy);
    assert_eq!(gym.ask(leader, &["SET", "k", "later"]).0, ok());
    gym.start(back);
    gym.run_for(Duration::from_millis(100));
    gym.until("it has caught up", |gym| gym.status(back).applied == gym.status(leader).applied);
    assert_eq!(gym.ask(back, &["GET", "k"]).0, bulk("later"));
}
