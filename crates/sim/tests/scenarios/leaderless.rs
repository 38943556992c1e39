//! Without a majority: new requests are refused soon, and none is refused in a mere change of leaders.

use std::time::Duration;

use quorate_sim::resp::Frame;
use quorate_sim::world::Kill;

use crate::gym::{Gym, is_not_applied, ok};

/// An election timeout at the default pace, a tick, and connecting and asking on the slowest wire; far below the
/// three seconds of patience that a request has while a leader is known.
const SOON: Duration = Duration::from_millis(700);

#[test]
fn a_node_without_a_leader_for_long_refuses_soon_and_honestly() {
    let mut gym = Gym::new(1, 3);
    let lonely = gym.leader().unwrap();
    for other in (1..=3).filter(|number| *number != lonely) {
        gym.cut_both_ways(lonely, other);
    }
    gym.run_for(Duration::from_secs(3));
    for words in [&["SET", "k", "v"][..], &["GET", "k"], &["INCR", "n"]] {
        let (frame, took) = gym.ask(lonely, words);
        assert!(is_not_applied(&frame), "{words:?}: {frame:?}");
        assert!(took < SOON, "{words:?}: {took:?}");
    }
    gym.world.wire().heal_all();
    gym.until("a leader again", |gym| {
        let leader = gym.leader().map(|leader| gym.status(leader).node);
        (1..=3).all(|it| Some(gym.status(it).leader) == leader)
    });
    assert_eq!(gym.ask(lonely, &["INCR", "n"]).0, Frame::Int(1), "what was refused never happens");
}

#[test]
fn a_pipeline_without_a_leader_does_not_wait_once_per_command() {
    let mut gym = Gym::new(2, 3);
    for number in [2, 3] {
        gym.stop(number, Kill::Power);
    }
    gym.run_for(Duration::from_secs(3));
    let commands: Vec<&[&str]> =
        (0..20).map(|n| if n % 2 == 0 { &["SET", "k", "v"][..] } else { &["GET", "k"] }).collect();
    for (frame, took) in gym.ask_all(1, &commands) {
        assert!(is_not_applied(&frame), "{frame:?}");
        assert!(took < SOON, "{took:?}");
    }
}

#[test]
fn stale_reads_go_on_without_a_leader_also_behind_a_write_of_their_session() {
    let mut gym = Gym::new(3, 3);
    assert_eq!(gym.ask(1, &["SET", "k", "v"]).0, ok());
    for number in [2, 3] {
        gym.stop(number, Kill::Power);
    }
    gym.run_for(Duration::from_secs(3));
    let answers = gym.ask_all(1, &[&["READONLY"], &["SET", "k", "w"], &["GET", "k"]]);
    assert!(is_not_applied(&answers[1].0), "{:?}", answers[1]);
    assert_eq!(answers[2].0, Frame::Bulk("v".to_owned()));
}

/// Requests that were sent nowhere yet wait for the next leader, however the votes fall.
#[test]
fn requests_during_a_change_of_leaders_succeed() {
    for seed in 10..40 {
        let mut gym = Gym::new(seed, 3);
        let leader = gym.leader().unwrap();
        let old = gym.status(leader).node;
        gym.stop(leader, Kill::Power);
        let asked = leader % 3 + 1;
        // From just before to long after the first one misses the leader.
        gym.run_for(Duration::from_millis(300 + seed * 10));
        let follows = gym.status(asked).leader == old;
        let (frame, took) = gym.ask(asked, &["SET", "k", "v"]);
        // What went to the old leader is told what became of it there.
        let honest = matches!(&frame, Frame::Error(_));
        assert!(frame == ok() || follows && honest, "seed {seed}: {frame:?} after {took:?}");
    }
}
