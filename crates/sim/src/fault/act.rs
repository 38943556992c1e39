//! Acts: the single steps of a plan, carried out on the world.

use std::time::Duration;

use super::kind::{Kind, Tally};
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
    Cut(Vec<(HostId, HostId)>),
    /// These links heal.
    Heal(Vec<(HostId, HostId)>),
    /// All links of a host take that many times as long.
    SlowLinks(HostId, u32),
    /// The connections between two hosts break.
    BreakBetween(HostId, HostId),
    /// The host stands still.
    Pause(HostId, Duration, Pause),
    /// The wall clock jumps by that many milliseconds.
    JumpClock(HostId, i64),
    /// The clock runs faster by that many millionths.
    ClockRate(HostId, i64),
    /// The clock is set right.
    SetClockRight(HostId),
    /// The disk takes that many times as long.
    SlowDisk(HostId, u32),
    /// The disk has that many bytes of room left.
    FillDisk(HostId, u64),
    /// The next sync fails.
    FailSync(HostId),
    /// A bit flips in some file.
    FlipBit(HostId),
    /// The disk is as it should be, but for what it has lost.
    MendDisk(HostId),
}

impl Act {
    /// Does it.
    pub fn carry_out(self, world: &mut World, cluster: &mut Cluster, tally: &mut Tally) {
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
                    world.wire().slow(host, *other, factor);
                    world.wire().slow(*other, host, factor);
                }
            }
            Self::BreakBetween(one, two) => world.wire().break_between(one, two),
            Self::Pause(host, duration, what) => {
                if world.is_up(host) {
                    world.pause(host, duration, what);
                }
            }
            Self::JumpClock(host, ms) => world.jump_clock(host, ms),
            Self::ClockRate(host, ppm) => world.set_clock_rate(host, ppm),
            Self::SetClockRight(host) => world.set_clock_right(host),
            Self::SlowDisk(host, factor) => world.disk(host).set_slowness(factor),
            Self::FillDisk(host, bytes) => world.disk(host).set_free(bytes),
            Self::FailSync(host) => world.disk(host).fail_syncs(1),
            Self::FlipBit(host) => flip_bit(world, host),
            Self::MendDisk(host) => world.disk(host).mend(),
        }
    }
}

fn flip_bit(world: &World, host: HostId) {
    let disk = world.disk(host);
    let paths = disk.paths();
    let mut chance = world.chance(&format!("flip {} {}", host.0, disk.operations()));
    if let Some(path) = chance.pick(&paths) {
        disk.flip_bit(path);
    }
}
