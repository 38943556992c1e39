//! Shrinking: fewer faults, sessions and nodes, a shorter storm and fewer acts, as long as the same promise is still
//! broken.
//!
//! After Zeller and Hildebrandt (*Simplifying and isolating failure-inducing input*, 2002), greedily: large
//! pieces first. What is left is described so that it can be run again.

use std::fmt::Write as _;
use std::time::Duration;

use crate::fault::{Act, Plan};
use crate::run::{Setup, run_plan};
use crate::world::{HostId, Recording, SimTime};

/// Runs of the world that finding a smaller one may take.
const RUNS_MAX: u32 = 160;
/// The end of the storm is looked for as closely as this.
const CLOSE: Duration = Duration::from_millis(250);

/// What is kept of a seed's plan and cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// The faults, by their place in the whole plan.
    pub faults: Vec<usize>,
    /// Nodes.
    pub nodes: u64,
    /// Sessions.
    pub sessions: u32,
    /// When the storm ends, in milliseconds, if earlier.
    pub ends_ms: Option<u64>,
    /// Acts that are left out: the fault, and the place of the act in it.
    pub without: Vec<(usize, usize)>,
}

impl Cut {
    /// Nothing is left out.
    pub fn nothing(setup: &Setup, plan: &Plan) -> Self {
        let faults = (0..plan.faults.len()).collect();
        let (nodes, sessions) = (setup.nodes, setup.sessions);
        Self { faults, nodes, sessions, ..Self::default() }
    }

    /// As on a command line: faults with commas, nodes and sessions behind slashes; then the end of the storm and the
    /// acts that are left out, if any.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let faults = parts.next()?.split(',').filter(|word| !word.is_empty());
        let faults = faults.map(|word| word.parse().ok()).collect::<Option<_>>()?;
        Some(Self {
            faults,
            nodes: parts.next()?.parse().ok()?,
            sessions: parts.next()?.parse().ok()?,
            ends_ms: match parts.next() {
                None | Some("") => None,
                Some(text) => Some(text.parse().ok()?),
            },
            without: {
                let acts = parts.next().unwrap_or_default().split(',');
                let pair = |word: &str| {
                    let (fault, act) = word.split_once('.')?;
                    Some((fault.parse().ok()?, act.parse().ok()?))
                };
                acts.filter(|word| !word.is_empty()).map(pair).collect::<Option<_>>()?
            },
        })
    }

    /// What is left of a whole one.
    pub fn apply(&self, setup: Setup, mut plan: Plan) -> (Setup, Plan) {
        let host = |number: u64| HostId(u16::try_from(number).unwrap_or(u16::MAX));
        let fewer = self.nodes < setup.nodes;
        let spares = if fewer { 0 } else { setup.spares };
        // Clients are numbered behind spares: those that are left are who they were, unless there are fewer nodes.
        let last_node = host(self.nodes + spares);
        let last =
            if fewer { last_node } else { host(self.nodes + spares + u64::from(self.sessions)) };
        if let Some(ends_ms) = self.ends_ms {
            plan.ends = plan.ends.min(SimTime::from_ms(ends_ms));
        }
        let mut number = 0;
        plan.faults.retain_mut(|fault| {
            let this = number;
            number += 1;
            let there = |act: &Act| act.hosts().iter().all(|it| *it <= last);
            if !self.faults.contains(&this) || fewer && !fault.acts.iter().all(|(_, it)| there(it))
            {
                return false;
            }
            let mut place = 0;
            fault.acts.retain_mut(|(at, act)| {
                let left_out = self.without.contains(&(this, place));
                place += 1;
                if let Act::Cut(links) | Act::Heal(links) = act {
                    links.retain(|(from, to)| *from <= last && *to <= last);
                }
                !left_out && *at < plan.ends
            });
            !fault.acts.is_empty()
        });
        (Setup { nodes: self.nodes, sessions: self.sessions, spares, ..setup }, plan)
    }
}

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let faults: Vec<String> = self.faults.iter().map(ToString::to_string).collect();
        write!(f, "{}/{}/{}", faults.join(","), self.nodes, self.sessions)?;
        if self.ends_ms.is_none() && self.without.is_empty() {
            return Ok(());
        }
        let ends = self.ends_ms.map_or_else(String::new, |ms| ms.to_string());
        let pair = |(fault, act): &(usize, usize)| format!("{fault}.{act}");
        let without: Vec<String> = self.without.iter().map(pair).collect();
        write!(f, "/{ends}/{}", without.join(","))
    }
}

struct Search<'a> {
    seed: u64,
    setup: &'a Setup,
    plan: &'a Plan,
    properties: Vec<&'static str>,
    runs: u32,
    best: Cut,
}

impl Search<'_> {
    /// Keeps `cut` if it breaks one of the same promises.
    fn still_fails(&mut self, cut: Cut) -> bool {
        if self.runs == RUNS_MAX {
            return false;
        }
        self.runs += 1;
        let (setup, plan) = cut.apply(self.setup.clone(), self.plan.clone());
        let report = run_plan(self.seed, &setup, &plan, Recording::Digest);
        let mut broken = report.judgement.violations.iter();
        let fails = broken.any(|violation| self.properties.contains(&violation.property));
        if fails {
            self.best = cut;
        }
        fails
    }

    fn fewer_faults(&mut self) {
        let mut piece = self.best.faults.len().div_ceil(2);
        while piece > 0 {
            let mut from = 0;
            while from < self.best.faults.len() {
                let mut cut = self.best.clone();
                let to = (from + piece).min(cut.faults.len());
                drop(cut.faults.drain(from..to));
                if !self.still_fails(cut) {
                    from += piece;
                }
            }
            piece = if piece == 1 { 0 } else { piece.div_ceil(2) };
        }
    }

    /// Bisects the end of the storm.
    fn shorter_storm(&mut self) {
        let first = self.plan.faults.iter().flat_map(|fault| &fault.acts).map(|(at, _)| *at).min();
        let (mut least, mut most) = (first.unwrap_or(SimTime::ZERO), self.plan.ends);
        while most - least > CLOSE && self.runs < RUNS_MAX {
            let middle = least + (most - least) / 2;
            let ends_ms = Some(middle.as_micros() / 1_000);
            if self.still_fails(Cut { ends_ms, ..self.best.clone() }) {
                most = middle;
            } else {
                least = middle;
            }
        }
    }

    /// Leaves out one act after the other of what is left.
    fn fewer_acts(&mut self) {
        for number in self.best.faults.clone() {
            let acts = self.plan.faults.get(number).map_or(0, |fault| fault.acts.len());
            for place in 0..acts {
                let mut cut = self.best.clone();
                cut.without.push((number, place));
                if acts > 1 && !self.still_fails(cut) && self.runs == RUNS_MAX {
                    return;
                }
            }
        }
    }

    fn smaller_cluster(&mut self) {
        while self.best.sessions > 1
            && self.still_fails(Cut { sessions: self.best.sessions - 1, ..self.best.clone() })
        {
        }
        while self.best.nodes > 1
            && self.still_fails(Cut { nodes: self.best.nodes - 1, ..self.best.clone() })
        {}
    }
}

/// Makes a failing seed smaller: what is left, and a description of it.
pub fn shrink(
    seed: u64,
    setup: &Setup,
    plan: &Plan,
    properties: Vec<&'static str>,
) -> (Cut, String) {
    let best = Cut::nothing(setup, plan);
    let mut search = Search { seed, setup, plan, properties, runs: 0, best };
    search.fewer_faults();
    search.smaller_cluster();
    search.shorter_storm();
    search.fewer_faults();
    search.fewer_acts();
    let cut = search.best;
    let (small, rest) = cut.apply(setup.clone(), plan.clone());
    let report = run_plan(seed, &small, &rest, Recording::Digest);
    let mut text = format!(
        "{} of {} faults are enough, with {small:?}\n",
        rest.faults.len(),
        plan.faults.len()
    );
    for fault in &rest.faults {
        let begins = fault.acts.first().map_or(SimTime::ZERO, |(at, _)| *at);
        let written = writeln!(text, "  {begins} {:?} {:?}", fault.kind, fault.acts);
        debug_assert!(written.is_ok(), "a String takes all");
    }
    for violation in &report.judgement.violations {
        let written = writeln!(text, "  then {violation}");
        debug_assert!(written.is_ok(), "a String takes all");
    }
    (cut, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Fault, Kind};

    #[test]
    fn cut_is_read_as_it_is_written() {
        for cut in [
            Cut { faults: vec![1, 7], nodes: 3, sessions: 2, ..Cut::default() },
            Cut { faults: vec![], nodes: 1, sessions: 1, ..Cut::default() },
            Cut { faults: vec![2], nodes: 1, sessions: 1, ends_ms: Some(9_250), without: vec![] },
            Cut {
                faults: vec![2],
                nodes: 1,
                sessions: 1,
                ends_ms: None,
                without: vec![(2, 0), (2, 3)],
            },
        ] {
            assert_eq!(Cut::parse(&cut.to_string()), Some(cut));
        }
        assert_eq!(Cut::parse("1,x/3/2"), None);
        assert_eq!(Cut::parse("1"), None);
        assert_eq!(Cut::parse("1/3/2/x"), None);
    }

    #[test]
    fn fewer_sessions_leave_the_spares_and_their_faults() {
        let setup = Setup { spares: 2, sessions: 5, ..Setup::new(crate::member::boot()) };
        let at = SimTime::from_ms;
        let links = vec![(HostId(6), HostId(1)), (HostId(9), HostId(1))];
        let faults = vec![
            Fault { kind: Kind::AddNode, acts: vec![(at(1), Act::Enlist(HostId(5)))] },
            Fault {
                kind: Kind::CutClients,
                acts: vec![(at(2), Act::Cut(links.clone())), (at(3), Act::Heal(links))],
            },
        ];
        let plan = Plan { faults, ends: at(100) };
        let whole = Cut::nothing(&setup, &plan);
        let cut = Cut { sessions: 1, ends_ms: Some(3), ..whole.clone() };
        let (small, rest) = cut.apply(setup.clone(), plan.clone());
        assert_eq!((small.spares, small.sessions, rest.faults.len()), (2, 1, 2));
        let cut_clients = rest.faults.last().map(|fault| fault.acts.clone());
        let left = Act::Cut(vec![(HostId(6), HostId(1))]);
        assert_eq!(cut_clients, Some(vec![(at(2), left)]));
        let without = Cut { without: vec![(0, 0)], ..whole };
        assert_eq!(without.apply(setup, plan).1.faults.len(), 1);
    }
}
