//! Effects: what of a plan has really happened. A fault that met nobody proves nothing, and is not counted.

use std::collections::{BTreeMap, BTreeSet};

use super::kind::{Kind, Tally};
use super::plan::Step;
use crate::client::operator::{Leaving, Verdict, Vote};
use crate::world::disk::Struck;
use crate::world::{HostId, World};

/// What has had an effect so far.
#[derive(Debug, Default)]
pub struct Effects {
    /// How often each kind.
    pub tally: Tally,
    /// The faults that are counted already, by their place in the plan.
    counted: BTreeSet<usize>,
    /// Who has ordered the power of a host to fail at one of its disk operations.
    armed: BTreeMap<HostId, Kind>,
}

impl Effects {
    /// A step was carried out, and has changed something.
    pub fn acted(&mut self, step: &Step) {
        if step.is_the_point() && self.counted.insert(step.fault) {
            self.tally.add(step.kind);
        }
    }

    /// The power of `host` is to fail at an operation, because of a fault of this kind.
    pub fn arm(&mut self, host: HostId, kind: Kind) {
        self.armed.insert(host, kind);
    }

    /// It has failed there.
    pub fn power_failed(&mut self, host: HostId) {
        self.tally.add(self.armed.remove(&host).unwrap_or(Kind::PowerAtOperation));
    }

    /// The operator has done what he was told.
    pub fn decided(&mut self, verdict: &Verdict) {
        self.tally.add(match verdict {
            Verdict::Gone(_, Leaving::ForGood) | Verdict::NoMember(_, Leaving::ForGood) => {
                Kind::RemoveNode
            }
            Verdict::Gone(_, Leaving::Replaced) | Verdict::NoMember(_, Leaving::Replaced) => {
                Kind::ReplaceNode
            }
            Verdict::Succeeded(_) => Kind::SucceedNode,
            Verdict::Voted(Vote::Given) => Kind::PromoteNode,
            Verdict::Voted(Vote::Taken) => Kind::DemoteNode,
            Verdict::HandedOver => Kind::Transfer,
            Verdict::Stays(_) => return,
        });
    }

    /// A process ended by itself.
    pub fn exited(&mut self) {
        self.tally.add(Kind::Exit);
    }

    /// What was laid ready in disks and on the wire, and has been met since. To be asked once, at the end, before the
    /// world is asked for its branches.
    pub fn gather(&mut self, world: &World, hosts: &[HostId]) {
        for host in hosts {
            let Struck { syncs, writes, reads, strays } = world.disk(*host).struck();
            self.tally.add_times(Kind::FailSync, syncs);
            self.tally.add_times(Kind::FailWrite, writes);
            self.tally.add_times(Kind::FailRead, reads);
            for (dir, count) in strays {
                self.tally.add_times(Kind::StrayWrite, count);
                world.clock().count(&format!("Stray in {}", dir.display()));
            }
        }
        self.tally.add_times(Kind::LateBytes, world.wire().late_breaks());
        self.tally.add_times(Kind::DoubleFrames, world.wire().repeated());
    }
}
