//! Votes that move: a node takes a voter's place in one step, or a voter gives its own up.

use std::time::Duration;

use quorate_api::status::Role;
use quorate_node::{Config, Entrance};
use quorate_sim::cluster::{NodeSpec, OPERATOR_PORT};
use quorate_sim::world::Kill;

use crate::gym::{Gym, ok};

/// Seed 23 of profile `members`: it leads, had nobody to hand over to, and stayed for ever; the operator heard that
/// all was well.
#[test]
fn the_only_voter_is_replaced_like_any_other() {
    let waits = |spec: &NodeSpec, config: &mut Config| {
        if spec.number == 2 {
            config.entrance = Entrance::Wait;
        }
    };
    let mut gym = Gym::unstarted(1, 2, |_| (), waits, |_| ());
    gym.start(1);
    gym.start(2);
    gym.until("the first one leads", |gym| gym.leader() == Some(1));
    assert_eq!(gym.ask(1, &["SET", "k", "v"]).0, ok());
    let order: &[&str] = &["JOIN", "n2", "n2:7000", "n1"];
    let addr = format!("n1:{OPERATOR_PORT}");
    assert_eq!(gym.ask_at(&addr, &[order]).remove(0).0, ok());
    gym.until("the second one is all there is", |gym| {
        let status = gym.status(2);
        let alone = status.members.len() == 1 && status.members.iter().all(|it| it.id == "n2");
        alone && status.role == Role::Leader
    });
    gym.until("who was replaced stops by itself", |gym| !gym.world.is_up(gym.host(1)));
    let value = quorate_sim::resp::Frame::Bulk("v".to_owned());
    assert_eq!(gym.ask(2, &["GET", "k"]).0, value);
    assert_eq!(gym.ask(2, &["SET", "k", "w"]).0, ok());
}

/// Seed 158: it was elected before it knew that its vote had been taken, learnt so, and led on without one; nothing
/// was decided again.
#[test]
fn a_leader_that_learns_that_it_has_no_vote_any_more_hands_over() {
    for seed in 1..=8 {
        let mut gym = Gym::new(seed, 2);
        let keeps = gym.leader().unwrap();
        let loses = keeps % 2 + 1;
        // It gets the entry that takes its vote away, and nobody hears that it has.
        gym.world.wire().cut(gym.host(loses), gym.host(keeps));
        let addr = format!("n{keeps}:{OPERATOR_PORT}");
        gym.say_at(&addr, &["DEMOTE", &format!("n{loses}")]);
        gym.run_for(Duration::from_millis(50));
        gym.stop(keeps, Kill::Power);
        gym.world.wire().heal_all();
        gym.start(keeps);
        gym.run_for(Duration::from_secs(5));
        gym.until("somebody with a vote leads", |gym| {
            let Some(leader) = gym.leader() else { return false };
            let name = format!("n{leader}");
            gym.status(leader).members.iter().any(|member| member.id == name && member.voter)
        });
        for number in [keeps, loses] {
            assert_eq!(gym.ask(number, &["SET", "k", "v"]).0, ok(), "seed {seed}");
        }
    }
}

/// Who was replaced stopped when the leader had *applied* that it is out of the joint configuration. Nobody else had
/// written so, and the leader's commit index was on no disk: when those who stay lost power, they needed the vote of
/// who was gone, for ever.
#[test]
fn who_was_replaced_stops_when_those_who_stay_know_it_for_good() {
    for seed in 1..=12 {
        let waits = |spec: &NodeSpec, config: &mut Config| {
            if spec.number == 3 {
                config.entrance = Entrance::Wait;
            }
        };
        let mut gym = Gym::unstarted(seed, 3, |_| (), waits, |_| ());
        (1..=3).for_each(|number| gym.start(number));
        gym.until("two vote", |gym| {
            let members = gym.leader().map(|leader| gym.status(leader).members);
            members.is_some_and(|all| all.len() == 2 && all.iter().all(|member| member.voter))
        });
        let stays = gym.leader().unwrap();
        let goes = stays % 2 + 1;
        let addr = format!("n{stays}:{OPERATOR_PORT}");
        gym.say_at(&addr, &["JOIN", "n3", "n3:7000", &format!("n{goes}")]);
        gym.until("who was replaced stops by itself", |gym| !gym.world.is_up(gym.host(goes)));
        for number in [stays, 3] {
            gym.stop(number, Kill::Power);
        }
        for number in [stays, 3] {
            gym.start(number);
        }
        gym.until("those who stay elect one of them", |gym| gym.leader().is_some());
        assert_eq!(gym.ask(stays, &["SET", "k", "v"]).0, ok(), "seed {seed}");
    }
}
