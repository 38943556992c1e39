//! Acts: the single steps of a plan, carried out on the world.

use std::path::Path;
use std::time::Duration;

use super::ambush::{Ambush, Strike};
use super::partition::Link;
use super::room::Room;
use crate::client::operator::Office;
use crate::cluster::Cluster;
use crate::world::{Chance, HostId, Kill, Pause, World};

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// The process ends.
    Kill(HostId, Kill),
    /// The process starts, unless it runs.
    Start(HostId),
    /// The power fails that many disk operations from now.
    FailPowerAfter(HostId, u64),
    /// These links are cut.
    Cut(Vec<Link>),
    /// These links heal.
    Heal(Vec<Link>),
    /// All links of a host take that many times as long.
    SlowLinks(HostId, u32),
    /// No longer.
    HastenLinks(HostId, u32),
    /// The connections between two hosts break.
    BreakBetween(HostId, HostId),
    /// The connections from one host to another break at one end; what was sent is that late.
    BreakLate(HostId, HostId, Duration),
    /// The connections from one host to another break, and what was said on them is said again on the next one.
    RepeatFrames(HostId, HostId),
    /// The host stands still.
    Pause(HostId, Duration, Pause),
    /// All that run stand still for so long, and what is planned waits.
    Rest(Duration),
    /// The wall clock jumps by that many milliseconds.
    JumpClock(HostId, i64),
    /// The clock runs faster by that many millionths.
    ClockRate(HostId, i64),
    /// Such a jump is taken back.
    JumpBack(HostId, i64),
    /// Such a rate is taken back.
    RateBack(HostId, i64),
    /// The disk takes that many times as long.
    SlowDisk(HostId, u32),
    /// No longer.
    HastenDisk(HostId, u32),
    /// The disk has that many bytes of room left.
    FillDisk(HostId, u64),
    /// There is room again.
    MakeRoom(HostId, u64),
    /// The next syncs fail.
    FailSyncs(HostId, u32),
    /// The next writes fail.
    FailWrites(HostId, u32),
    /// The next reads fail.
    FailReads(HostId, u32),
    /// The next writes land elsewhere.
    StrayWrites(HostId, u32),
    /// A bit flips in some file.
    FlipBit(HostId),
    /// Some file vanishes.
    LoseFile(HostId),
    /// A sector of what the log synced last is gone.
    LoseSector(HostId),
    /// A spare host becomes a node that asks to be added.
    Enlist(HostId),
    /// The operator is told to do something.
    Order(Order),
    /// From now on a fault waits for its moment.
    Wait(Ambush),
}

/// What an operator is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Removes the node on this host, if it is a member.
    Remove(HostId),
    /// Removes it, and lets a new one join from the same address.
    Replace(HostId),
    /// Has the node that is started on a spare host take the place of the voter on another one.
    Succeed {
        /// Who leaves.
        old: HostId,
        /// Who takes its place.
        new: HostId,
    },
    /// Gives the node on this host a vote.
    Promote(HostId),
    /// Takes the vote of the node on this host away.
    Demote(HostId),
    /// Hands leadership over, to the node on this host or to whoever is fit.
    Transfer(Option<HostId>),
}

impl Act {
    /// Whom it is about.
    pub fn hosts(&self) -> Vec<HostId> {
        match self {
            Self::Rest(_) | Self::Order(Order::Transfer(None)) => Vec::new(),
            Self::Cut(links) | Self::Heal(links) => {
                links.iter().flat_map(|(from, to)| [*from, *to]).collect()
            }
            Self::Wait(Ambush { strike, .. }) => match strike {
                Strike::Deafen(hosts) | Strike::Delay(hosts, _) | Strike::PowerOffAll(hosts) => {
                    hosts.clone()
                }
                Strike::Cut(links) => links.iter().flat_map(|(from, to)| [*from, *to]).collect(),
                Strike::PowerOff => Vec::new(),
            },
            Self::BreakBetween(one, two)
            | Self::BreakLate(one, two, _)
            | Self::RepeatFrames(one, two) => vec![*one, *two],
            Self::Kill(host, _)
            | Self::Start(host)
            | Self::FailPowerAfter(host, _)
            | Self::SlowLinks(host, _)
            | Self::HastenLinks(host, _)
            | Self::Pause(host, ..)
            | Self::JumpClock(host, _)
            | Self::ClockRate(host, _)
            | Self::JumpBack(host, _)
            | Self::RateBack(host, _)
            | Self::SlowDisk(host, _)
            | Self::HastenDisk(host, _)
            | Self::FillDisk(host, _)
            | Self::MakeRoom(host, _)
            | Self::FailSyncs(host, _)
            | Self::FailWrites(host, _)
            | Self::FailReads(host, _)
            | Self::StrayWrites(host, _)
            | Self::FlipBit(host)
            | Self::LoseFile(host)
            | Self::LoseSector(host)
            | Self::Enlist(host)
            | Self::Order(
                Order::Remove(host)
                | Order::Replace(host)
                | Order::Promote(host)
                | Order::Demote(host)
                | Order::Transfer(Some(host)),
            ) => vec![*host],
            Self::Order(Order::Succeed { old, new }) => vec![*old, *new],
        }
    }

    /// Does it. True when something has changed by it that its fault is about; what is only laid ready, or ordered, is
    /// counted when it comes about.
    pub fn carry_out(
        self,
        world: &mut World,
        cluster: &mut Cluster,
        office: &Office,
        waiting: &mut Vec<Ambush>,
    ) -> bool {
        let runs = self.hosts().iter().any(|host| world.is_up(*host));
        match self {
            Self::Kill(host, Kill::Process) => world.kill(host, Kill::Process),
            Self::Kill(host, Kill::Power) => world.power_off(host),
            Self::Cut(links) => return cut(world, links),
            Self::SlowLinks(host, factor) => {
                for other in cluster.hosts() {
                    world.wire().slow(host, other, factor);
                    world.wire().slow(other, host, factor);
                }
            }
            Self::BreakBetween(one, two) => return world.wire().break_between(one, two) > 0,
            Self::Pause(host, duration, what) => {
                if runs {
                    world.pause(host, duration, what);
                }
            }
            // Also of a machine on which nothing runs: what is started there meanwhile has a wrong clock.
            Self::JumpClock(host, ms) => {
                world.jump_clock(host, ms);
                return true;
            }
            Self::ClockRate(host, ppm) => {
                world.set_clock_rate(host, ppm);
                return true;
            }
            Self::SlowDisk(host, factor) => world.disk(host).slow(factor),
            Self::FillDisk(host, bytes) => world.disk(host).fill(bytes),
            Self::FlipBit(host) => return harm(world, host, Harm::Flip),
            Self::LoseFile(host) => return harm(world, host, Harm::Lose),
            Self::LoseSector(host) => {
                return lose_sector(world, host);
            }
            Self::Enlist(host) => {
                let spare = cluster.enlist(host);
                cluster.start(world, host);
                return spare;
            }
            it => {
                it.prepare(world, cluster, office, waiting);
                return false;
            }
        }
        runs
    }

    /// Lays something ready, gives an order, or ends what an act before it has begun.
    fn prepare(
        self,
        world: &mut World,
        cluster: &mut Cluster,
        office: &Office,
        waiting: &mut Vec<Ambush>,
    ) {
        match self {
            Self::Start(host) => cluster.start(world, host),
            Self::FailPowerAfter(host, ahead) => world.disk(host).fail_power_after(ahead),
            Self::Heal(links) => {
                links.into_iter().for_each(|(from, to)| world.wire().heal(from, to));
            }
            Self::HastenLinks(host, factor) => {
                for other in cluster.hosts() {
                    world.wire().hasten(host, other, factor);
                    world.wire().hasten(other, host, factor);
                }
            }
            Self::Rest(duration) => world.rest(duration),
            Self::BreakLate(from, to, late) => world.wire().break_late_when_sent(from, to, late),
            Self::RepeatFrames(from, to) => world.wire().repeat_frames(from, to),
            Self::JumpBack(host, ms) => world.take_clock_jump_back(host, ms),
            Self::RateBack(host, ppm) => world.take_clock_rate_back(host, ppm),
            Self::HastenDisk(host, factor) => world.disk(host).hasten(factor),
            Self::MakeRoom(host, bytes) => world.disk(host).make_room(bytes),
            Self::FailSyncs(host, count) => world.disk(host).fail_syncs(count),
            Self::FailWrites(host, count) => world.disk(host).fail_writes(count),
            Self::FailReads(host, count) => world.disk(host).fail_reads(count),
            Self::StrayWrites(host, count) => {
                let (disk, mut chance) = (world.disk(host), chance_of_harm(world, host));
                let targets: Vec<&Path> = Room::ALL.iter().map(|room| room.dir()).collect();
                if let Some(room) = Room::pick(disk, &mut chance) {
                    disk.stray_writes(count, room.dir(), &targets);
                }
            }
            Self::Order(order) => cluster.order(world, order, office),
            Self::Wait(ambush) => waiting.push(ambush),
            Self::Kill(..)
            | Self::Cut(_)
            | Self::SlowLinks(..)
            | Self::BreakBetween(..)
            | Self::Pause(..)
            | Self::JumpClock(..)
            | Self::ClockRate(..)
            | Self::SlowDisk(..)
            | Self::FillDisk(..)
            | Self::FlipBit(_)
            | Self::LoseFile(_)
            | Self::LoseSector(_)
            | Self::Enlist(_) => debug_assert!(false, "carried out at once"),
        }
    }
}

/// The log's, where there is no engine on disk: what is lost there was acknowledged.
fn lose_sector(world: &World, host: HostId) -> bool {
    let (disk, mut chance) = (world.disk(host), chance_of_harm(world, host));
    let room = if chance.one_in(2) { Room::Engine } else { Room::Log };
    let lost = disk.lose_sector(room.dir()).is_some();
    if lost {
        world.clock().count(&format!("Zero in {}", room.dir().display()));
    }
    lost || room != Room::Log && disk.lose_sector(Room::Log.dir()).is_some()
}

/// True when one of them was whole, between two hosts on which something runs.
fn cut(world: &World, links: Vec<Link>) -> bool {
    let mut cut = false;
    for (from, to) in links {
        cut |= !world.wire().is_cut(from, to) && world.is_up(from) && world.is_up(to);
        world.wire().cut(from, to);
    }
    cut
}

#[derive(Clone, Copy, Debug)]
enum Harm {
    Flip,
    Lose,
}

fn chance_of_harm(world: &World, host: HostId) -> Chance {
    world.chance(&format!("harm {} {}", host.0, world.disk(host).operations()))
}

fn harm(world: &World, host: HostId, how: Harm) -> bool {
    let (disk, mut chance) = (world.disk(host), chance_of_harm(world, host));
    let Some(room) = Room::pick(disk, &mut chance) else { return false };
    let mut paths = disk.paths();
    paths.retain(|path| path.starts_with(room.dir()));
    let Some(path) = chance.pick(&paths) else { return false };
    let harmed = match how {
        Harm::Flip => disk.flip_bit(path).is_some(),
        Harm::Lose => disk.vanish(path),
    };
    if harmed {
        world.clock().count(&format!("{how:?} in {}", room.dir().display()));
    }
    harmed
}
