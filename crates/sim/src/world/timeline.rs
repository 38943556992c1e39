//! The timeline: everything that is going to happen, in order.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::host::HostId;
use super::net::WireEvent;
use super::tasks::LaneQueue;
use super::time::SimTime;

/// Something that happens at a moment.
pub(crate) enum Event {
    /// The host's first timer is due.
    Timers(HostId),
    /// A lane's next job is done waiting.
    Job(Arc<LaneQueue>),
    /// The host's pause is over, unless a later one has begun.
    Resume(HostId),
    /// Something on the wire.
    Wire(WireEvent),
}

/// An event's place; unique, so that events of one moment keep their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) at: SimTime,
    sequence: u64,
}

/// The events to come.
#[derive(Default)]
pub(crate) struct Timeline {
    sequence: u64,
    events: BTreeMap<Place, Event>,
}

impl Timeline {
    pub(crate) fn insert(&mut self, at: SimTime, event: Event) -> Place {
        self.sequence += 1;
        let place = Place { at, sequence: self.sequence };
        self.events.insert(place, event);
        place
    }

    pub(crate) fn remove(&mut self, place: Place) {
        self.events.remove(&place);
    }

    pub(crate) fn next_at(&self) -> Option<SimTime> {
        self.events.first_key_value().map(|(place, _)| place.at)
    }

    /// The first event, when it is due.
    pub(crate) fn pop_due(&mut self, now: SimTime) -> Option<Event> {
        let entry = self.events.first_entry()?;
        (entry.key().at <= now).then(|| entry.remove())
    }
}
