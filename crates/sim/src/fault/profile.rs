//! Profiles: what a scenario may do to a cluster.

use std::ops::Range;
use std::time::Duration;

use super::kind::Kind;
use crate::world::Chance;

/// What a scenario may do to a cluster.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The kinds, each as often as it is listed.
    pub kinds: Vec<Kind>,
    /// Each seed leaves each kind out with a chance in ten that it draws from here.
    pub left_out_in_ten: Range<u64>,
    /// From one fault to the next.
    pub every: Range<Duration>,
    /// How long one lasts.
    pub lasting: Range<Duration>,
    /// Before the first one.
    pub calm: Duration,
    /// From the first one to the end of all.
    pub storm: Range<Duration>,
}

/// What makes the cluster smaller, if only for a while: no seed that makes a disk of a minority worthless for ever
/// may do so, too.
const SHRINKING: &[Kind] =
    &[Kind::RemoveNode, Kind::ReplaceNode, Kind::SucceedNode, Kind::DemoteNode];
/// What a leader's lease does not live through: a clock at another rate than the bound allows.
const BEYOND_LEASE: &[Kind] = &[Kind::PauseMachine, Kind::ClockStop];

impl Profile {
    /// Crashes that lose unsynced bytes, partitions, pauses, clocks, slowness.
    pub fn first() -> Self {
        let kinds = vec![
            Kind::Kill,
            Kind::PowerOff,
            Kind::PowerOffAll,
            Kind::PowerAtOperation,
            Kind::PowerAtOperation,
            Kind::Isolate,
            Kind::Isolate,
            Kind::CutOneWay,
            Kind::CutAtRandom,
            Kind::SlowLinks,
            Kind::BreakConnections,
            Kind::PauseProcess,
            Kind::PauseMachine,
            Kind::ClockJump,
            Kind::ClockDrift,
            Kind::SlowDisk,
        ];
        Self {
            kinds,
            left_out_in_ten: 4..5,
            every: Duration::from_millis(100)..Duration::from_secs(4),
            lasting: Duration::from_millis(50)..Duration::from_secs(6),
            calm: Duration::from_secs(3),
            storm: Duration::from_secs(12)..Duration::from_secs(30),
        }
    }

    /// And disks that fill up, fail and lie.
    pub fn harsh() -> Self {
        let mut profile = Self::first();
        profile.kinds.extend([Kind::FullDisk, Kind::FailSync, Kind::FlipBit]);
        profile
    }

    /// Everything that there is. Some seeds draw nearly all of it, some two or three kinds.
    pub fn all() -> Self {
        let mut kinds: Vec<Kind> =
            Kind::ALL.iter().copied().filter(|kind| *kind != Kind::Exit).collect();
        // What is rare although it is drawn: a follower without room that is asked for what it missed.
        let full = [Kind::FullDisk; 3];
        let more = [Kind::PowerAtOperation, Kind::Isolate, Kind::Transfer, Kind::FullDisks];
        // A synced write must be of several sectors, so that something is left of it.
        let lost = [Kind::LoseSector; 2];
        kinds.extend(full);
        kinds.extend(more);
        kinds.extend(lost);
        kinds.sort_unstable();
        Self { kinds, left_out_in_ten: 3..9, ..Self::first() }
    }

    /// What lives on a leader's lease: leaders that stand still, are cut off or hand over, quickly.
    pub fn lease() -> Self {
        let kinds = vec![
            Kind::Isolate,
            Kind::Deafen,
            Kind::SlowLinks,
            Kind::SlowLinks,
            Kind::LateBytes,
            Kind::PauseProcess,
            Kind::PauseProcess,
            Kind::Transfer,
            Kind::Transfer,
        ];
        Self {
            kinds,
            left_out_in_ten: 1..6,
            every: Duration::from_millis(50)..Duration::from_millis(1500),
            lasting: Duration::from_millis(100)..Duration::from_millis(2500),
            ..Self::first()
        }
    }

    /// Clocks that stand still while leases are trusted, which no lease lives through: the control, in which stale
    /// reads must be found.
    pub fn beyond() -> Self {
        let kinds = vec![
            Kind::Isolate,
            Kind::Isolate,
            Kind::Deafen,
            Kind::ClockStop,
            Kind::ClockStop,
            Kind::ClockStop,
        ];
        let lasting = Duration::from_millis(500)..Duration::from_secs(4);
        Self { kinds, left_out_in_ten: 0..1, lasting, ..Self::lease() }
    }

    /// Leaders that hand over, and what can befall them then.
    pub fn handover() -> Self {
        let kinds = vec![
            Kind::CutAtHandOver,
            Kind::CutAtHandOver,
            Kind::CutAtHandOver,
            Kind::Transfer,
            Kind::SlowLinks,
        ];
        Self { kinds, ..Self::lease() }
    }

    /// Leaders that are answered late, and not heard meanwhile.
    pub fn answers() -> Self {
        let kinds = vec![
            Kind::LateAnswers,
            Kind::LateAnswers,
            Kind::LateAnswers,
            Kind::LateAnswers,
            Kind::Transfer,
        ];
        Self { kinds, left_out_in_ten: 0..1, ..Self::lease() }
    }

    /// Members that come and go, from the first moment on.
    pub fn members() -> Self {
        let kinds = vec![
            Kind::SplitAtChange,
            Kind::SplitAtChange,
            Kind::PowerAtChange,
            Kind::PowerAtChange,
            Kind::AddNode,
            Kind::ReplaceNode,
            Kind::SucceedNode,
            Kind::DemoteNode,
            Kind::PromoteNode,
            Kind::PromoteNode,
            Kind::Isolate,
            Kind::PauseProcess,
        ];
        Self {
            kinds,
            left_out_in_ten: 1..4,
            every: Duration::from_millis(100)..Duration::from_secs(3),
            lasting: Duration::from_millis(100)..Duration::from_secs(5),
            calm: Duration::ZERO,
            ..Self::first()
        }
    }

    /// Power that fails, again and again, most often in the midst of a write.
    pub fn power() -> Self {
        let kinds = vec![
            Kind::PowerOff,
            Kind::PowerOffAll,
            Kind::PowerAtOperation,
            Kind::PowerAtOperation,
            Kind::PowerAtOperation,
            Kind::PowerAtRecovery,
        ];
        Self {
            kinds,
            left_out_in_ten: 1..4,
            every: Duration::from_millis(50)..Duration::from_millis(800),
            lasting: Duration::from_millis(50)..Duration::from_millis(1500),
            ..Self::first()
        }
    }

    /// Logs that are cut, and power that fails meanwhile.
    pub fn cut() -> Self {
        let kinds = vec![Kind::PowerAtCut, Kind::PowerAtCut, Kind::KillAll, Kind::SlowDisk];
        Self { kinds, every: Duration::from_millis(200)..Duration::from_secs(3), ..Self::power() }
    }

    /// Disks that lose what was just acknowledged, where just a majority had it.
    pub fn doubt() -> Self {
        Self { kinds: vec![Kind::LoseSector], left_out_in_ten: 0..1, ..Self::power() }
    }

    /// Nothing at all, for as long.
    pub fn calm() -> Self {
        Self { kinds: Vec::new(), ..Self::first() }
    }

    /// The profile of this name.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "calm" => Self::calm(),
            "first" => Self::first(),
            "harsh" => Self::harsh(),
            "lease" => Self::lease(),
            "handover" => Self::handover(),
            "answers" => Self::answers(),
            "beyond" => Self::beyond(),
            "members" => Self::members(),
            "power" => Self::power(),
            "cut" => Self::cut(),
            "doubt" => Self::doubt(),
            "all" => Self::all(),
            _ => return None,
        })
    }

    /// Only what a lease lives through.
    #[must_use]
    pub fn within_lease(mut self) -> Self {
        self.kinds.retain(|kind| !BEYOND_LEASE.contains(kind));
        self
    }

    /// The kinds that a seed uses.
    pub(super) fn draw_kinds(&self, chance: &mut Chance) -> Vec<Kind> {
        let mut all = self.kinds.clone();
        all.dedup();
        let left_out = chance.within(self.left_out_in_ten.clone());
        let kept: Vec<Kind> =
            all.iter().copied().filter(|_| chance.below(10) >= left_out).collect();
        let mut kept = if kept.is_empty() { all } else { kept };
        // A profile of nothing else has it in each seed.
        let damage = chance.one_in(2) || kept.iter().all(|kind| kind.is_damage());
        kept.retain(|kind| if damage { !SHRINKING.contains(kind) } else { !kind.is_damage() });
        self.kinds.iter().copied().filter(|kind| kept.contains(kind)).collect()
    }
}
