//! A node takes a voter's place, in one step.

use quorate_api::status::Role;
use quorate_node::{Config, Entrance};
use quorate_sim::cluster::{NodeSpec, OPERATOR_PORT};

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
