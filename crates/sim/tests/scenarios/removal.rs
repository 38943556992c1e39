//! Members that are removed: what those who stay must know, and how those who go learn of it.

use std::time::Duration;

use quorate_sim::client::operator::Leaving;
use quorate_sim::cluster::OPERATOR_PORT;
use quorate_sim::world::Kill;

use crate::gym::{Gym, LONG, ok};

/// An operator asks node `through` to remove node `number`, and is told that it is done.
#[track_caller]
fn remove(gym: &mut Gym, through: u64, number: u64) {
    let (addr, name) = (format!("n{through}:{OPERATOR_PORT}"), format!("n{number}"));
    assert_eq!(gym.ask_at(&addr, &[&["LEAVE", &name]]).remove(0).0, ok());
}

fn is_up(gym: &Gym, number: u64) -> bool {
    gym.world.is_up(gym.host(number))
}

/// Seeds 14, 35, 125 and 265 of profile `members`: the answer came when the removal was applied, the commit index
/// was on no disk, and who is left needed the vote of who is gone.
#[test]
fn a_removal_is_answered_when_who_stays_knows_it_for_good() {
    for (seed, how) in [(1, Kill::Process), (2, Kill::Power), (3, Kill::Power)] {
        let mut gym = Gym::new(seed, 2);
        let stays = gym.leader().unwrap();
        let goes = stays % 2 + 1;
        remove(&mut gym, stays, goes);
        gym.stop(goes, Kill::Power);
        gym.stop(stays, how);
        gym.start(stays);
        gym.until("who stays leads without who is gone", |gym| gym.leader() == Some(stays));
        assert_eq!(gym.ask(stays, &["SET", "k", "v"]).0, ok(), "seed {seed}");
    }
}

/// Seed 101573: the others were still waiting before they dialled it again, and its own connections stayed.
#[test]
fn a_removed_member_whose_farewell_found_no_link_stops_all_the_same() {
    for (seed, since_start_ms) in [(1, 30), (2, 60), (3, 100), (4, 150)] {
        let mut gym = Gym::new(seed, 3);
        let leader = gym.leader().unwrap();
        let goes = leader % 3 + 1;
        gym.stop(goes, Kill::Process);
        gym.run_for(Duration::from_secs(6));
        gym.start(goes);
        gym.run_for(Duration::from_millis(since_start_ms));
        let through = gym.leader().unwrap();
        remove(&mut gym, through, goes);
        gym.until("who was removed stops", |gym| !is_up(gym, goes));
    }
}

/// Seed 100722: "a node called n3 has been a member before" was all that it ever heard, and it went on asking.
#[test]
fn a_member_that_lost_its_log_and_was_removed_meanwhile_stops() {
    let mut gym = Gym::new(1, 3);
    assert_eq!(gym.ask(1, &["SET", "k", "v"]).0, ok());
    let leader = gym.leader().unwrap();
    let (goes, other) = (leader % 3 + 1, (leader + 1) % 3 + 1);
    gym.stop(goes, Kill::Process);
    let disk = gym.world.disk(gym.host(goes));
    let is_log = |path: &std::path::PathBuf| path.to_string_lossy().contains("/log/");
    for path in disk.paths().into_iter().filter(is_log) {
        // Most of a segment is empty: one bit may be one that does not count.
        let flipped = (0..100).filter_map(|_| disk.flip_bit(&path)).count();
        assert!(flipped > 0, "{}", path.display());
    }
    for number in [leader, other] {
        gym.cut_both_ways(goes, number);
    }
    gym.start(goes);
    remove(&mut gym, leader, goes);
    gym.run_for(Duration::from_secs(2));
    assert!(is_up(&gym, goes), "it waits for its peers");
    gym.world.wire().heal_all();
    gym.until("who was removed stops", |gym| !is_up(gym, goes));
}

/// Seed 162 of profile `members`: "this is node 7, not 4" was all that it heard wherever it called, and it went on.
#[test]
fn a_removed_member_whose_peers_were_all_replaced_at_their_addresses_stops() {
    let mut gym = Gym::new(1, 3);
    gym.stop(3, Kill::Process);
    let through = |gym: &mut Gym, not: u64| {
        gym.until("somebody leads", |gym| gym.leader().is_some());
        gym.leader().filter(|leader| *leader != not).unwrap_or(3 - not)
    };
    let any = through(&mut gym, 3);
    remove(&mut gym, any, 3);
    for goes in [1, 2] {
        let other = through(&mut gym, goes);
        remove(&mut gym, other, goes);
        let host = gym.host(goes);
        gym.cluster.removed(&mut gym.world, host, Leaving::Replaced);
        gym.until("another one votes in its place", |gym| {
            let members = gym.status(other).members;
            members.len() == 2 && members.iter().all(|member| member.voter)
        });
    }
    gym.start(3);
    gym.until("who was removed stops", |gym| !is_up(gym, 3));
}

/// Seed 1347: it was told, stopped, and started again when the one that had told it had been replaced, too.
#[test]
fn a_removed_member_does_not_start_again_though_nobody_is_left_to_tell_it() {
    let mut gym = Gym::new(1, 3);
    gym.stop(3, Kill::Process);
    gym.until("somebody leads", |gym| gym.leader().is_some());
    let leader = gym.leader().unwrap();
    remove(&mut gym, leader, 3);
    gym.start(3);
    gym.until("who was removed stops", |gym| !is_up(gym, 3));
    gym.stop(1, Kill::Process);
    gym.stop(2, Kill::Process);
    gym.start(3);
    gym.run_for(Duration::from_secs(5));
    assert!(!is_up(&gym, 3), "it was removed, and goes on");
}

/// All whom it knows have gone themselves, and those who are there now are strangers to it: it asked them where it could
/// be found, was told that its name is used up, and went on.
#[test]
fn a_removed_member_that_knows_nobody_any_more_is_told_where_it_was_told_to_look() {
    let mut gym = Gym::with_spares(1, 3, 2);
    gym.stop(3, Kill::Process);
    let leader = gym.leader().unwrap_or(1);
    gym.until("somebody leads", |gym| gym.leader().is_some());
    remove(&mut gym, leader, 3);
    for new in [4, 5] {
        let host = gym.host(new);
        gym.cluster.enlist(host);
        gym.start(new);
    }
    let votes = |gym: &Gym, count: usize| {
        let members = gym.leader().map(|leader| gym.status(leader).members).unwrap_or_default();
        members.len() == count && members.iter().all(|member| member.voter)
    };
    gym.until("the newcomers vote", |gym| votes(gym, 4));
    for goes in [1, 2] {
        remove(&mut gym, 4, goes);
        gym.until("who was removed stops", |gym| !is_up(gym, goes));
        let host = gym.host(goes);
        gym.cluster.removed(&mut gym.world, host, Leaving::ForGood);
    }
    gym.until("the newcomers are alone", |gym| votes(gym, 2));
    gym.start(3);
    gym.until("who was removed stops", |gym| !is_up(gym, 3));
}

/// Behind a snapshot, the removal was taken for known to all who stay: the first leader had told who left, and was lost
/// for good with the only commit index that there was.
#[test]
fn a_removal_known_from_a_snapshot_tells_nobody_before_who_stays_knows_it() {
    for seed in 1..=4 {
        let mut gym = Gym::with(seed, 4, |_| (), |_, config| config.snapshot_log_bytes = 1, |_| ());
        let first = gym.leader().unwrap();
        let goes = first % 4 + 1;
        let stay: Vec<u64> = (1..=4).filter(|number| ![first, goes].contains(number)).collect();
        let addr = format!("n{first}:{OPERATOR_PORT}");
        gym.say_at(&addr, &["LEAVE", &format!("n{goes}")]);
        let limit = gym.world.now() + LONG;
        while gym.status(first).members.len() > 3 {
            assert!(gym.world.now() < limit, "it was not removed");
            gym.run_for(Duration::from_micros(50));
        }
        for (one, two) in [
            (first, stay[0]),
            (first, stay[1]),
            (goes, stay[0]),
            (goes, stay[1]),
            (stay[0], stay[1]),
        ] {
            gym.cut_both_ways(one, two);
        }
        let at = gym.status(first).applied;
        // An entry that nobody else will have: the log is larger than the data.
        drop(gym.begin(first, &[&["SET", "k", &"v".repeat(100_000)]]));
        gym.until("a snapshot has the removal in it", |gym| gym.status(first).snapshot_index >= at);
        gym.stop(first, Kill::Process);
        gym.start(first);
        gym.run_for(Duration::from_secs(3));
        assert!(is_up(&gym, goes), "seed {seed}: who stays may need its vote");
        gym.stop(first, Kill::Power);
        gym.world.wire().heal_all();
        gym.until("who stays leads", |gym| gym.leader().is_some_and(|it| stay.contains(&it)));
        assert_eq!(gym.ask(stay[0], &["SET", "k", "v"]).0, ok(), "seed {seed}");
        gym.until("who was removed stops", |gym| !is_up(gym, goes));
    }
}

/// What a member that starts behind a snapshot can't know of a removal, its leader makes sure of again. The first member
/// has nowhere else to ask.
#[test]
fn a_member_that_has_started_behind_a_snapshot_tells_a_removed_one_so() {
    let mut gym = Gym::with(1, 3, |_| (), |_, config| config.snapshot_log_bytes = 1, |_| ());
    gym.stop(1, Kill::Process);
    gym.until("another one leads", |gym| gym.leader().is_some());
    let leader = gym.leader().unwrap();
    remove(&mut gym, leader, 1);
    let (stays, at) = (5 - leader, gym.status(leader).applied);
    for _ in 0..20 {
        assert_eq!(gym.ask(leader, &["SET", "k", &"v".repeat(1000)]).0, ok());
    }
    gym.until("a snapshot has the removal in it", |gym| gym.status(stays).snapshot_index > at);
    gym.stop(stays, Kill::Process);
    gym.start(stays);
    gym.cut_both_ways(leader, 1);
    gym.start(1);
    gym.until("who was removed stops", |gym| !is_up(gym, 1));
    assert_eq!(gym.leader(), Some(leader), "nobody else was elected meanwhile");
}
