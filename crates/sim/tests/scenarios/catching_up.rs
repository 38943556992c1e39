//! Members that were away, and what they are sent then.

use quorate_sim::world::Kill;

use crate::gym::{Gym, ok};

const SEGMENT_BYTES: u64 = 64 * 1024;

/// Seed 45: the leader packs more into one append than a segment of the log takes, and the follower dropped it for ever.
#[test]
fn a_member_takes_an_append_that_is_larger_than_a_segment_of_its_log() {
    let mut gym = Gym::with(
        1,
        3,
        |_| (),
        |_, config| {
            config.segment_bytes = SEGMENT_BYTES;
            // Nothing but the log helps it.
            config.snapshot_log_bytes = 1 << 30;
        },
        |_| (),
    );
    let leader = gym.leader().unwrap();
    let away = leader % 3 + 1;
    gym.stop(away, Kill::Process);
    let value = "v".repeat(20_000);
    for n in 0..20 {
        assert_eq!(gym.ask(leader, &["SET", &format!("k{n}"), &value]).0, ok());
    }
    let last = gym.status(leader).applied;
    gym.start(away);
    gym.until("it has caught up", |gym| {
        gym.statuses().iter().filter(|status| status.applied >= last).count() == 3
    });
    assert_eq!(gym.status(away).snapshots_installed, 0);
}
