//! What a node goes through, and may die in the middle of.

use std::fs;

use super::points::Point;
use super::walk::{End, MEDIUM_BYTES, Walk};
use crate::client::{Link, Outcome};
use crate::cluster::{Cluster, Entrance};
use crate::patience::{LONG, say, until};

/// Entries which a log keeps behind a snapshot, and some.
pub(super) const BEHIND: usize = 1_200;
/// A segment of the log, and some.
pub(super) const ROLL_BYTES: usize = 66 << 20;
/// More of a segment than a start writes again (an eighth).
pub(super) const LARGE_BYTES: usize = 12 << 20;
pub(super) const HEAVY_BYTES: usize = 6 << 20;

/// What a node goes through; it may die in the middle of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scenario {
    /// A new directory, a new cluster.
    Founding,
    /// A directory to which somebody was about to give an identity.
    Leftovers,
    /// A founding that was interrupted.
    HalfFounded,
    /// A start after kill -9.
    Restart,
    /// As [`Self::Restart`], with more in the log than a start writes again: it goes on in another segment.
    LargeRestart,
    /// Small writes, and snapshots of them.
    Service,
    /// Large writes: the log goes on in other segments and is cut.
    Rolling,
    /// Writes until the disk engine has flushed often enough for a compaction.
    Flushing,
    /// A new directory, and a cluster whose log no longer begins at its beginning.
    Joining,
    /// A member that was away for longer than logs reach back.
    LeftBehind,
    /// A flipped bit in the log of one member of three.
    Damage,
}

impl Scenario {
    pub(super) fn play(self, walk: &mut Walk, point: Option<&Point>) -> End {
        walk.arm(point);
        match self {
            Self::Founding | Self::Leftovers | Self::HalfFounded => {
                walk.cluster.kill(&walk.cluster.running());
                walk.clear();
                match self {
                    Self::Leftovers => walk.leave("identity.tmp"),
                    Self::HalfFounded => walk.found_half_way(point),
                    _ => {}
                }
                walk.cluster.restart(walk.victim);
                survived(walk, &[Walk::wait_until_it_serves, |walk| walk.write_some(3)])
            }
            Self::Restart | Self::LargeRestart => {
                // In the life before the one that is armed.
                walk.arm_nothing();
                walk.restart_now();
                let bytes = if self == Self::Restart { 0 } else { LARGE_BYTES };
                let load = [
                    walk.wait_until_it_serves(),
                    walk.write_heavily(bytes, HEAVY_BYTES),
                    walk.write_some(20),
                ];
                assert_eq!(load, [End::Survived; 3]);
                walk.arm(point);
                walk.restart_now();
                survived(walk, &[Walk::wait_until_it_serves, |walk| walk.write_some(3)])
            }
            Self::Service => {
                walk.restart_now();
                survived(
                    walk,
                    &[
                        Walk::wait_until_it_serves,
                        Walk::lighten,
                        |walk| walk.write_some(30),
                        |walk| walk.write_heavily(30 * MEDIUM_BYTES, MEDIUM_BYTES),
                        Walk::wait_for_a_snapshot,
                    ],
                )
            }
            Self::Rolling => {
                walk.restart_now();
                survived(
                    walk,
                    &[
                        Walk::wait_until_it_serves,
                        |walk| walk.write_heavily(ROLL_BYTES, HEAVY_BYTES),
                        Walk::wait_for_a_snapshot,
                    ],
                )
            }
            Self::Flushing => {
                walk.restart_now();
                survived(walk, &[Walk::wait_until_it_serves, Walk::write_until_flushed_often])
            }
            Self::Joining => joining(walk),
            Self::LeftBehind => left_behind(walk),
            Self::Damage => damage(walk),
        }
    }
}

/// One step after the other, until the node is dead.
pub(super) fn survived(walk: &mut Walk, steps: &[fn(&mut Walk) -> End]) -> End {
    let died = steps.iter().any(|step| step(walk) == End::Died);
    if died { End::Died } else { End::Survived }
}

/// Two members whose logs no longer begin at the beginning; the third is to come.
pub(super) fn pair(flags: &[&str]) -> Walk {
    let mut cluster = Cluster::with_flags(2, flags);
    say(&format!("again: {}", cluster.again()));
    leave_behind(&cluster);
    let victim = cluster.add(Entrance::Join);
    cluster.wait_for_voters(3);
    let mut walk = Walk::of(cluster, victim);
    assert_eq!(walk.write_some(20), End::Survived);
    walk
}

/// Writes until nobody's log reaches back to where it now ends.
pub(super) fn leave_behind(cluster: &Cluster) {
    let running = cluster.running();
    let end = cluster.status(running[0]).unwrap().number("/log/last");
    let mut link = Link::new(cluster.addr(cluster.leader_among(&running)));
    for step in 0..BEHIND {
        let outcome = link.call::<String>(&["SET", "behind", &step.to_string()]);
        assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    }
    until("logs are cut", LONG, || {
        for &node in &running {
            drop(link.call::<String>(&["SET", "behind", "more"]));
            let first = cluster.status(node)?.number("/log/first");
            if first <= end {
                return Err(format!("it begins at {first}, and is to begin behind {end}"));
            }
        }
        Ok(())
    });
}

/// The member is removed, and another one takes its place.
pub(super) fn joining(walk: &mut Walk) -> End {
    let variables = walk.cluster.recipe(walk.victim).variables.clone();
    walk.cluster.kill(&[walk.victim]);
    let body = format!(r#"{{"addr":"{}"}}"#, walk.cluster.addr(walk.victim));
    until("the member is removed", LONG, || {
        let answer =
            crate::http::request(walk.cluster.addr(0), "POST /leave", &[], body.as_bytes());
        match answer.map_err(|error| error.to_string())? {
            done if done.status == 200 => Ok(()),
            other => Err(other.text()),
        }
    });
    walk.victim = walk.cluster.add_as(Entrance::Join, |recipe| recipe.variables = variables);
    wait_for_the_vote(walk)
}

pub(super) fn wait_for_the_vote(walk: &mut Walk) -> End {
    let name = walk.cluster.recipe(walk.victim).name.clone();
    let victim = walk.victim;
    let end = walk.wait_for("the node has a vote", |cluster| {
        for node in [0, 1, victim] {
            let voters = cluster.status(node)?.voters();
            if voters.len() != 3 || !voters.contains(&name) {
                return Err(format!("{voters:?}"));
            }
        }
        Ok(())
    });
    if end == End::Died { End::Died } else { walk.write_some(3) }
}

pub(super) fn left_behind(walk: &mut Walk) -> End {
    walk.cluster.kill(&[walk.victim]);
    leave_behind(&walk.cluster);
    walk.cluster.restart(walk.victim);
    survived(walk, &[Walk::wait_until_it_serves, |walk| walk.write_some(3)])
}

pub(super) fn damage(walk: &mut Walk) -> End {
    let steps = walk.write_some(20);
    assert_eq!(steps, End::Survived);
    walk.cluster.kill(&[walk.victim]);
    let manifest = walk.cluster.recipe(walk.victim).data_dir.join("log/manifest");
    let bytes = fs::read(&manifest).unwrap();
    // Both slots, or the other one would be taken.
    fs::write(&manifest, bytes.iter().map(|byte| byte ^ 1).collect::<Vec<_>>()).unwrap();
    walk.cluster.restart(walk.victim);
    wait_for_the_vote(walk)
}
