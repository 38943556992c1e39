//! Acts: the single steps of a plan, carried out on the world.

use std::path::Path;
use std::time::Duration;

use super::ambush::{Ambush, Strike};
use super::kind::{Kind, Tally};
use super::partition::Link;
use crate::client::operator::Office;
use crate::cluster::Cluster;
use crate::world::{HostId, Kill, Pause, World};

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// A fault of this kind begins with the next steps.
    Count(Kind),
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
    /// The host stands still.
    Pause(HostId, Duration, Pause),
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
            Self::Count(_) | Self::Order(Order::Transfer(None)) => Vec::new(),
            Self::Cut(links) | Self::Heal(links) => {
                links.iter().flat_map(|(from, to)| [*from, *to]).collect()
            }
            Self::Wait(Ambush { strike, .. }) => match strike {
                Strike::Deafen(hosts) | Strike::PowerOffAll(hosts) => hosts.clone(),
                Strike::Cut(links) => links.iter().flat_map(|(from, to)| [*from, *to]).collect(),
                Strike::PowerOff => Vec::new(),
            },
            Self::BreakBetween(one, two) | Self::BreakLate(one, two, _) => vec![*one, *two],
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

    /// Does it.
    pub fn carry_out(
        self,
        world: &mut World,
        cluster: &mut Cluster,
        office: &Office,
        tally: &mut Tally,
        waiting: &mut Vec<Ambush>,
    ) {
        match self {
            Self::Count(kind) => tally.add(kind),
            Self::Kill(host, Kill::Process) => world.kill(host, Kill::Process),
            Self::Kill(host, Kill::Power) => world.power_off(host),
            Self::Start(host) => cluster.start(world, host),
            Self::FailPowerAfter(host, ahead) => world.disk(host).fail_power_after(ahead),
            Self::Cut(links) => {
                links.into_iter().for_each(|(from, to)| world.wire().cut(from, to));
            }
            Self::Heal(links) => {
                links.into_iter().for_each(|(from, to)| world.wire().heal(from, to));
            }
            Self::SlowLinks(host, factor) => {
                for other in cluster.hosts() {
                    world.wire().slow(host, other, factor);
                    world.wire().slow(other, host, factor);
                }
            }
            Self::HastenLinks(host, factor) => {
                for other in cluster.hosts() {
                    world.wire().hasten(host, other, factor);
                    world.wire().hasten(other, host, factor);
                }
            }
            Self::BreakBetween(one, two) => world.wire().break_between(one, two),
            Self::BreakLate(from, to, late) => world.wire().break_late(from, to, late),
            Self::Pause(host, duration, what) => {
                if world.is_up(host) {
                    world.pause(host, duration, what);
                }
            }
            Self::JumpClock(host, ms) => world.jump_clock(host, ms),
            Self::ClockRate(host, ppm) => world.set_clock_rate(host, ppm),
            Self::JumpBack(host, ms) => world.take_clock_jump_back(host, ms),
            Self::RateBack(host, ppm) => world.take_clock_rate_back(host, ppm),
            Self::SlowDisk(host, factor) => world.disk(host).slow(factor),
            Self::HastenDisk(host, factor) => world.disk(host).hasten(factor),
            Self::FillDisk(host, bytes) => world.disk(host).fill(bytes),
            Self::MakeRoom(host, bytes) => world.disk(host).make_room(bytes),
            Self::FailSyncs(host, count) => world.disk(host).fail_syncs(count),
            Self::FailWrites(host, count) => world.disk(host).fail_writes(count),
            Self::FailReads(host, count) => world.disk(host).fail_reads(count),
            Self::StrayWrites(host, count) => world.disk(host).stray_writes(count),
            Self::FlipBit(host) => harm(world, host, Harm::Flip),
            Self::LoseFile(host) => harm(world, host, Harm::Lose),
            Self::LoseSector(host) => {
                world.disk(host).lose_sector(Path::new("/data/log"));
            }
            Self::Enlist(host) => {
                cluster.enlist(host);
                cluster.start(world, host);
            }
            Self::Order(order) => cluster.order(world, order, office),
            Self::Wait(ambush) => waiting.push(ambush),
        }
    }
}

#[derive(Clone, Copy)]
enum Harm {
    Flip,
    Lose,
}

/// Only the log and the snapshots: who has lost his name is an operator's business.
fn harm(world: &World, host: HostId, how: Harm) {
    let disk = world.disk(host);
    let mut paths = disk.paths();
    paths.retain(|path| path.starts_with("/data/log") || path.starts_with("/data/snapshots"));
    let mut chance = world.chance(&format!("harm {} {}", host.0, disk.operations()));
    let Some(path) = chance.pick(&paths) else { return };
    match how {
        Harm::Flip => {
            disk.flip_bit(path);
        }
        Harm::Lose => {
            disk.vanish(path);
        }
    }
}
