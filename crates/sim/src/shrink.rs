//! Shrinking: fewer faults, sessions and nodes, as long as the same promise is still broken.
//!
//! After Zeller and Hildebrandt (*Simplifying and isolating failure-inducing input*, 2002), greedily: large
//! pieces first. What is left is described so that it can be run again.

use std::fmt::Write as _;

use crate::fault::Plan;
use crate::run::{Setup, run_plan};
use crate::world::{HostId, Recording, SimTime};

/// Runs of the world that finding a smaller one may take.
const RUNS_MAX: u32 = 120;

/// What is kept of a seed's plan and cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// The faults, by their place in the whole plan.
    pub faults: Vec<usize>,
    /// Nodes.
    pub nodes: u64,
    /// Sessions.
    pub sessions: u32,
}

impl Cut {
    /// Nothing is left out.
    pub fn nothing(setup: &Setup, plan: &Plan) -> Self {
        let faults = (0..plan.faults.len()).collect();
        Self { faults, nodes: setup.nodes, sessions: setup.sessions }
    }

    /// As on a command line: faults with commas, nodes and sessions behind slashes.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let faults = parts.next()?.split(',').filter(|word| !word.is_empty());
        let faults = faults.map(|word| word.parse().ok()).collect::<Option<_>>()?;
        Some(Self {
            faults,
            nodes: parts.next()?.parse().ok()?,
            sessions: parts.next()?.parse().ok()?,
        })
    }

    /// What is left of a whole one.
    pub fn apply(&self, setup: Setup, mut plan: Plan) -> (Setup, Plan) {
        let mut number = 0;
        let fewer = self.nodes < setup.nodes || self.sessions < setup.sessions;
        let last = HostId(u16::try_from(self.nodes).unwrap_or(u16::MAX));
        plan.faults.retain(|fault| {
            number += 1;
            let there = fault.acts.iter().all(|(_, act)| act.hosts().iter().all(|it| *it <= last));
            self.faults.contains(&(number - 1)) && (there || !fewer)
        });
        let spares = if fewer { 0 } else { setup.spares };
        (Setup { nodes: self.nodes, sessions: self.sessions, spares, ..setup }, plan)
    }
}

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let faults: Vec<String> = self.faults.iter().map(ToString::to_string).collect();
        write!(f, "{}/{}/{}", faults.join(","), self.nodes, self.sessions)
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
    search.fewer_faults();
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

    #[test]
    fn cut_is_read_as_it_is_written() {
        for cut in [
            Cut { faults: vec![1, 7], nodes: 3, sessions: 2 },
            Cut { faults: vec![], nodes: 1, sessions: 1 },
        ] {
            assert_eq!(Cut::parse(&cut.to_string()), Some(cut));
        }
        assert_eq!(Cut::parse("1,x/3/2"), None);
        assert_eq!(Cut::parse("1"), None);
    }
}
