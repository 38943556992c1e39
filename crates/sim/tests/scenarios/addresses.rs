//! Addresses: a whole cluster comes back elsewhere, and finds itself again.

use quorate_node::{Config, Entrance};
use quorate_sim::cluster::NodeSpec;
use quorate_sim::resp::Frame;
use quorate_sim::world::Kill;

use crate::gym::{Gym, ok};

/// From the second start on every node listens on another port; the second start is given `seeds`, later
/// ones are told nothing.
fn gym(seeds: &'static [&'static str]) -> Gym {
    let adjust = move |spec: &NodeSpec, config: &mut Config| {
        if spec.restarts == 0 {
            return;
        }
        let addr = format!("{}:7101", spec.name);
        (config.peer_addr, config.client_addr) = (addr.clone(), addr);
        let seeds = seeds.iter().map(|seed| (*seed).to_owned()).collect();
        config.entrance = if spec.restarts == 1 { Entrance::Join(seeds) } else { Entrance::Wait };
    };
    Gym::with(1, 3, |_| (), adjust, |_| ())
}

fn restart_all(gym: &mut Gym) {
    (1..=3).for_each(|number| gym.stop(number, Kill::Process));
    (1..=3).for_each(|number| gym.start(number));
}

fn comes_back_elsewhere(seeds: &'static [&'static str]) {
    let mut gym = gym(seeds);
    assert_eq!(gym.ask(1, &["SET", "k", "v"]).0, ok());
    restart_all(&mut gym);
    gym.until("all stand in the table with their new addresses", |gym| {
        gym.leader().is_some_and(|leader| {
            let members = gym.status(leader).members;
            members.iter().all(|member| member.addr.ends_with(":7101") && member.alive)
        })
    });
    assert_eq!(gym.ask_at("n2:7101", &[&["GET", "k"]])[0].0, Frame::Bulk("v".to_owned()));
    restart_all(&mut gym);
    gym.until("a leader, without being told", |gym| gym.leader().is_some());
    assert_eq!(gym.ask_at("n3:7101", &[&["SET", "k", "w"]])[0].0, ok());
}

#[test]
fn all_members_find_each_other_under_new_addresses_by_the_addresses_to_join() {
    comes_back_elsewhere(&["n1:7101", "n2:7101", "n3:7101"]);
}

#[test]
fn one_member_that_all_know_is_enough() {
    comes_back_elsewhere(&["n2:7101"]);
}

#[test]
fn without_an_address_they_do_not_guess() {
    let mut gym = gym(&[]);
    restart_all(&mut gym);
    gym.run_for(std::time::Duration::from_secs(10));
    assert_eq!(gym.leader(), None);
}
