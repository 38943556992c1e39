//! How far a node is that comes into a cluster, for whoever looks at the terminal it was started on.

use std::rc::Rc;
use std::time::Duration;

use quorate::Status;
use quorate::env::Env;
use quorate_api::Api;
use quorate_api::status::{Role, Wish};

use crate::progress::{Progress, Unit};

const PAUSE: Duration = Duration::from_millis(200);

/// Where a newcomer is.
#[derive(Debug, PartialEq, Eq)]
enum Stage {
    /// In no cluster: the log says why.
    Outside,
    /// A snapshot is on its way: bytes, and of how many.
    Snapshot(u64, Option<u64>),
    /// It follows the log, so many entries so far.
    Log(u64),
    /// It is what it shall be.
    Done,
}

fn stage(status: &Status) -> Stage {
    let stays =
        status.members.iter().any(|it| it.node == status.node && it.wish == Wish::StaysLearner);
    match (status.role, status.snapshot_arriving) {
        (Role::Waiting, _) => Stage::Outside,
        (Role::Learner, Some((bytes, total))) => Stage::Snapshot(bytes, total),
        (Role::Learner, None) if !stays => Stage::Log(status.applied),
        _ => Stage::Done,
    }
}

/// Shows it until the node is what it shall be.
pub(crate) async fn show(env: Env, api: Rc<dyn Api>) {
    let mut progress = Progress::new();
    loop {
        match stage(&api.status()) {
            Stage::Outside => {}
            Stage::Snapshot(bytes, total) => {
                progress.show("of a snapshot received", Unit::Bytes, bytes, total);
            }
            Stage::Log(applied) => progress.show("applied", Unit::Entries, applied, None),
            Stage::Done => return,
        }
        env.clock.sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use quorate_api::status::MemberStatus;

    use super::*;

    fn stage_of(role: Role, arriving: Option<(u64, Option<u64>)>, wish: Wish) -> Stage {
        let member = MemberStatus { node: 4, wish, ..MemberStatus::default() };
        let members = vec![member];
        let status = Status {
            node: 4,
            role,
            applied: 7,
            snapshot_arriving: arriving,
            members,
            ..Status::default()
        };
        stage(&status)
    }

    #[test]
    fn a_newcomer_is_outside_then_fetches_a_snapshot_then_follows_then_has_a_vote() {
        assert_eq!(stage_of(Role::Waiting, None, Wish::Vote), Stage::Outside);
        let arriving = Some((5, Some(9)));
        assert_eq!(stage_of(Role::Learner, arriving, Wish::Vote), Stage::Snapshot(5, Some(9)));
        assert_eq!(stage_of(Role::Learner, None, Wish::Vote), Stage::Log(7));
        assert_eq!(stage_of(Role::Follower, None, Wish::Vote), Stage::Done);
    }

    #[test]
    fn a_read_replica_is_done_without_a_vote() {
        assert_eq!(
            stage_of(Role::Learner, Some((5, None)), Wish::StaysLearner),
            Stage::Snapshot(5, None)
        );
        assert_eq!(stage_of(Role::Learner, None, Wish::StaysLearner), Stage::Done);
        assert_eq!(stage_of(Role::Stopped, None, Wish::Vote), Stage::Done);
    }
}
