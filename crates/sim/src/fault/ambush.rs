//! Ambushes: faults that wait for the moment at which they hurt most, which is too short to be met by chance.

use std::time::Duration;

use quorate_consensus::observer::Moment;

use super::Act;
use super::partition::{self, Link};
use crate::world::{HostId, Kill, SimTime};

/// As long as the way to another host takes.
const UNDER_WAY: Duration = Duration::from_millis(2);

/// A fault that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ambush {
    /// What for.
    pub moment: Moment,
    /// How long behind that moment it strikes.
    pub after: Duration,
    /// What it does.
    pub strike: Strike,
    /// How long that lasts.
    pub lasting: Duration,
    /// When it is given up.
    pub until: SimTime,
}

/// What an ambush does to the host at which the moment has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Strike {
    /// None of these is heard by it any more.
    Deafen(Vec<HostId>),
    /// These links are cut, wherever it is.
    Cut(Vec<Link>),
    /// What these have to say takes so many times as long, and they don't hear it any more.
    Delay(Vec<HostId>, u32),
    /// Its power fails.
    PowerOff,
    /// The power of all of these fails.
    PowerOffAll(Vec<HostId>),
}

impl Strike {
    /// What is said of it when it has struck.
    fn name(&self) -> &'static str {
        match self {
            Self::Deafen(_) => "deafened",
            Self::Cut(_) => "split",
            Self::Delay(..) => "answers are late",
            Self::PowerOff => "the power of one fails",
            Self::PowerOffAll(_) => "the power of all fails",
        }
    }
}

impl Ambush {
    /// The branch that is reached when it is sprung.
    pub fn branch(&self) -> String {
        format!("ambush at {:?}: {}", self.moment, self.strike.name())
    }

    /// The acts, and when, if the moment has come at `host` now.
    pub fn strike(&self, host: HostId, now: SimTime) -> Vec<(SimTime, Act)> {
        let (begin, end) = (now + self.after, now + self.after + self.lasting);
        let power_off = |host| [(begin, Act::Kill(host, Kill::Power)), (end, Act::Start(host))];
        let links = match &self.strike {
            Strike::Deafen(others) => partition::towards(host, others),
            Strike::Cut(links) => links.clone(),
            Strike::Delay(others, factor) => {
                let links = partition::from(host, others);
                return vec![
                    (begin, Act::SlowLinks(host, *factor)),
                    // What it has said before is heard yet.
                    (begin + UNDER_WAY, Act::Cut(links.clone())),
                    (end, Act::Heal(links)),
                    (end, Act::HastenLinks(host, *factor)),
                ];
            }
            Strike::PowerOff => return power_off(host).into(),
            Strike::PowerOffAll(hosts) => {
                return hosts.iter().copied().flat_map(power_off).collect();
            }
        };
        vec![(begin, Act::Cut(links.clone())), (end, Act::Heal(links))]
    }
}
