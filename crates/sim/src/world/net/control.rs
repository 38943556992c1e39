//! What a scenario does to the wire.

use crate::world::host::HostId;
use crate::world::shared::Shared;

/// The wire, from outside.
#[derive(Clone, Copy)]
pub struct WireControl<'a> {
    shared: &'a Shared,
}

impl std::fmt::Debug for WireControl<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WireControl")
    }
}

impl<'a> WireControl<'a> {
    pub(crate) fn new(shared: &'a Shared) -> Self {
        Self { shared }
    }

    /// Lets nothing through from `from` to `to`. The other direction is another link.
    pub fn cut(self, from: HostId, to: HostId) {
        self.shared.turn(|wire, turn| {
            if wire.links.cut(from, to) {
                turn.tell(from, format!("cut to {to}"));
            }
        });
    }

    /// Takes one cut from `from` to `to` back; everything gets through again when it was the last one.
    pub fn heal(self, from: HostId, to: HostId) {
        self.shared.turn(|wire, turn| {
            if wire.links.heal(from, to) {
                turn.tell(from, format!("healed to {to}"));
                wire.healed(turn, from, to);
            }
        });
    }

    /// Heals every link and sets its pace back.
    pub fn heal_all(self) {
        let cuts = self.shared.turn(|wire, _| {
            wire.links.set_all_even();
            wire.late.clear();
            wire.repeats.clear();
            wire.links.cuts()
        });
        for (from, to) in cuts {
            self.heal(from, to);
        }
    }

    /// True while nothing gets through.
    pub fn is_cut(self, from: HostId, to: HostId) -> bool {
        self.shared.turn(|wire, _| wire.links.is_cut(from, to))
    }

    /// Makes the way from `from` to `to` take `factor` times as long, or more where it is slow already.
    pub fn slow(self, from: HostId, to: HostId, factor: u32) {
        self.shared.turn(|wire, turn| {
            turn.tell(from, format!("{factor} times as slow to {to}"));
            wire.links.slow(from, to, factor);
        });
    }

    /// Takes back what [`WireControl::slow`] did with the same `factor`, once.
    pub fn hasten(self, from: HostId, to: HostId, factor: u32) {
        self.shared.turn(|wire, turn| {
            turn.tell(from, format!("no longer {factor} times as slow to {to}"));
            wire.links.hasten(from, to, factor);
        });
    }

    /// Breaks `from`'s end of every connection that it dialled to `to`, while what it had sent arrives
    /// up to `late` later: behind the first messages of the connection that follows.
    pub fn break_late(self, from: HostId, to: HostId, late: std::time::Duration) {
        self.shared.turn(|wire, turn| {
            turn.tell(from, format!("connections to {to} break, their bytes arrive late"));
            wire.break_late(turn, (from, to), late);
        });
    }

    /// As [`WireControl::break_late`], as soon as something is under way that can be late.
    pub fn break_late_when_sent(self, from: HostId, to: HostId, late: std::time::Duration) {
        self.shared.turn(|wire, _| wire.late.insert((from, to), late));
    }

    /// How often connections broke behind what [`WireControl::break_late_when_sent`] waited for.
    pub fn late_breaks(self) -> u64 {
        self.shared.turn(|wire, _| wire.late_breaks)
    }

    /// Breaks the connections that `from` dialled to `to`, and has their last frames said again on the next one, as no
    /// TCP would.
    pub fn repeat_frames(self, from: HostId, to: HostId) {
        self.shared.turn(|wire, turn| {
            if wire.repeat_frames(turn, from, to) {
                turn.tell(from, format!("connections to {to} break, to be repeated"));
            }
        });
    }

    /// How often [`WireControl::repeat_frames`] has repeated some.
    pub fn repeated(self) -> u64 {
        self.shared.turn(|wire, _| wire.repeated)
    }

    /// Resets the connection that `from` dialled to `to` last.
    pub fn break_last(self, from: HostId, to: HostId) {
        self.shared.turn(|wire, turn| {
            turn.tell(from, format!("the last connection to {to} breaks"));
            wire.break_last(turn, from, to);
        });
    }

    /// Resets every connection between two hosts; how many there were.
    pub fn break_between(self, one: HostId, two: HostId) -> u64 {
        self.shared.turn(|wire, turn| {
            turn.tell(one, format!("connections with {two} break"));
            wire.break_between(turn, one, two)
        })
    }
}
