//! What seeds have found, as tests of the rooms that were wrong, on a simulated machine.

use std::cell::RefCell;
use std::io::IoSlice;
use std::path::Path;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use quorate_consensus::log::{HardState, Log, LogConfig};
use quorate_consensus::snapshot::{SnapshotError, SnapshotStore};
use quorate_consensus::{
    Change, Configuration, Group, GroupId, GroupRole, GroupStart, Index, MemberChange, NodeId,
    Outgoing, Output, Pace, SnapshotMark, Term,
};
use quorate_env::tasks::Task;
use quorate_env::{Env, OpenMode};
use quorate_sim::world::{Ending, Recording, World};

/// Runs `main` on a machine of its own; how it ended.
fn lived(main: impl FnOnce(Env) -> Task) -> Ending {
    let mut world = World::new(1, Recording::Digest);
    let host = world.add_host("n1");
    world.start(host, main);
    while world.run_for(Duration::from_secs(10)) && world.is_up(host) {}
    world.take_ending().expect("it has ended").1
}

fn voters(count: u64) -> Configuration {
    Configuration { voters: (1..=count).map(NodeId).collect(), ..Configuration::default() }
}

/// Seed 1253 of the first campaign: the node took the bit for a newer version's file, and never started.
#[test]
fn flipped_bit_in_the_format_of_a_snapshot_is_damage() {
    let ending = lived(|env| {
        Box::pin(async move {
            let dir = Path::new("/snapshots");
            let store =
                SnapshotStore::open(env.disk.clone(), dir, GroupId(1)).expect("a new directory");
            let mark = SnapshotMark { index: Index(50), term: Term(3), configuration: voters(3) };
            let mut writer = store.writer(&mark).expect("there is room");
            writer.write(b"state").expect("there is room");
            writer.finish().expect("there is room");
            let file =
                env.disk.open(&store.path(mark.index), OpenMode::Write).expect("it is there");
            file.write_at(&[IoSlice::new(&[5])], 8).expect("there is room");
            let read = store.reader(&store.path(mark.index));
            assert!(matches!(read, Err(SnapshotError::Damage { .. })));
        })
    });
    assert_eq!(ending, Ending::Exited);
}

async fn settle(group: &mut Group, out: &mut Output) {
    loop {
        while group.advance(out).expect("the log takes it") {}
        out.messages.clear();
        out.install = None;
        let done = std::future::poll_fn(|cx| Poll::Ready(group.poll_log(cx, out))).await;
        if done.is_pending() && !group.is_writing() {
            return;
        }
    }
}

/// Seeds 645, 743 and 1405 of the first campaign: the leader died right behind its snapshot; and seed 531
/// of a later one: the disk was slow as well.
#[test]
fn member_that_got_a_snapshot_and_nothing_else_can_ask_for_votes() {
    let ending = lived(|env| {
        Box::pin(async move {
            let log =
                Log::open(&env, Path::new("/log"), LogConfig::default()).expect("a new log").0;
            let log = Rc::new(RefCell::new(log));
            let start = GroupStart {
                hard_state: HardState { term: Term(3), ..HardState::default() },
                ..first_start(&env, 2)
            };
            let mut group = Group::start(&start, log).expect("an empty log fits");
            let mut out = Output::default();
            let mark = SnapshotMark { index: Index(50), term: Term(3), configuration: voters(3) };
            // It has been running for a while.
            settle(&mut group, &mut out).await;
            group.offer_snapshot(NodeId(1), Term(3), &mark);
            // The disk has not said yet that the log has restarted behind it.
            for _ in 0..100 {
                while group.advance(&mut out).expect("the log takes it") {}
                group.tick();
            }
            for _ in 0..4 {
                settle(&mut group, &mut out).await;
                env.clock.sleep(Duration::from_millis(30)).await;
            }
            assert_eq!(group.commit(), Index(50));
            for _ in 0..100 {
                group.tick();
                settle(&mut group, &mut out).await;
            }
            assert_eq!(group.role(), GroupRole::Candidate, "nobody answers");
        })
    });
    assert_eq!(ending, Ending::Exited);
}

/// One of three voters whose log is new.
fn first_start(env: &Env, number: u64) -> GroupStart {
    GroupStart {
        group: GroupId(1),
        node: NodeId(number),
        pace: Pace::default(),
        hard_state: HardState::default(),
        configuration: voters(3),
        applied: Index(0),
        snapshot: None,
        doubt: None,
        seed: 1,
        since: env.clock.now(),
        now: env.clock.now(),
    }
}

/// Three voters on one machine, whose messages a test carries itself.
struct Three {
    env: Env,
    groups: Vec<Group>,
}

impl Three {
    async fn new(env: &Env) -> Self {
        let mut groups = Vec::new();
        for number in 1..=3 {
            let dir = format!("/log{number}");
            let log = Log::open(env, Path::new(&dir), LogConfig::default()).expect("a new log").0;
            let start = first_start(env, number);
            let group = Group::start(&start, Rc::new(RefCell::new(log)));
            groups.push(group.expect("an empty log fits"));
        }
        groups.iter_mut().for_each(|group| group.set_may_lead(true));
        // Who has just started grants no vote.
        env.clock.sleep(Duration::from_secs(5)).await;
        Self { env: env.clone(), groups }
    }

    fn group(&mut self, node: u64) -> &mut Group {
        let at = usize::try_from(node - 1).expect("a small number");
        self.groups.get_mut(at).expect("one of three")
    }

    /// What `node` has to say when all that it has is on its disk.
    async fn hear(&mut self, node: u64) -> Vec<Outgoing> {
        let (env, group, mut said) = (self.env.clone(), self.group(node), Vec::new());
        let mut out = Output::default();
        let mut quiet = 0;
        // A vote alone is written, too, and only the disk's time tells when it is there.
        while quiet < 3 {
            while group.advance(&mut out).expect("the log takes it") {}
            let done = std::future::poll_fn(|cx| Poll::Ready(group.poll_log(cx, &mut out))).await;
            said.append(&mut out.messages);
            quiet = if done.is_pending() { quiet + 1 } else { 0 };
            env.clock.sleep(Duration::from_millis(20)).await;
        }
        said
    }

    fn carry(&mut self, from: u64, message: &Outgoing) {
        let (mut bytes, now) = (Vec::new(), self.env.clock.now());
        message.encode(&mut bytes);
        self.group(message.to.0).step(NodeId(from), bytes.into(), now).expect("its own bytes");
    }

    /// Carries everything to and fro until nobody has anything to say.
    async fn settle(&mut self) {
        loop {
            let mut quiet = true;
            for from in 1..=3 {
                for message in self.hear(from).await {
                    quiet = false;
                    self.carry(from, &message);
                }
            }
            if quiet {
                return;
            }
        }
    }

    async fn elect(&mut self, node: u64) {
        while self.group(node).role() != GroupRole::Leader {
            self.group(node).tick();
            self.settle().await;
        }
    }
}

/// Seed 59 of profile `members`: the leader led on when it had learnt that it was removed. An entry behind the removal
/// was under way, and raft-rs looked for the leader among the members when it was acknowledged.
#[test]
fn a_leader_that_was_removed_takes_what_its_followers_say_about_later_entries() {
    let ending = lived(|env| {
        Box::pin(async move {
            let mut three = Three::new(&env).await;
            three.elect(1).await;
            let removal =
                Change { steps: vec![MemberChange::Remove(NodeId(1))], ..Change::default() };
            three.group(1).change(&removal).expect("it leads");
            let first = three.hear(1).await;
            three.group(1).propose(b"later".to_vec()).expect("it leads");
            let second = three.hear(1).await;
            let mut answers = Vec::new();
            for message in first.iter().chain(&second) {
                three.carry(1, message);
                answers.extend(
                    three.hear(message.to.0).await.into_iter().map(|it| (message.to.0, it)),
                );
            }
            let to_leader = answers.iter().filter(|(_, answer)| answer.to == NodeId(1));
            let answers: Vec<_> = to_leader.collect();
            assert_eq!(answers.len(), 4, "each of two followers has taken each of two entries");
            for (from, answer) in answers {
                three.carry(*from, answer);
                three.hear(1).await;
            }
            assert_eq!(three.group(1).role(), GroupRole::Follower);
            assert!(!three.group(1).configuration().is_voter(NodeId(1)));
        })
    });
    assert_eq!(ending, Ending::Exited);
}
