//! What Quorate is to reach: CPU of all three nodes per operation, against one redis-server in the same run.

use crate::case::{Ask, Contender, Work};
use crate::fleet::Kind;
use crate::round::Outcome;
use crate::table::ratio;

#[derive(Debug, Clone, Copy)]
struct Target {
    work: Work,
    kind: Kind,
    connections: usize,
    pipeline: usize,
    ratio_max: f64,
}

const fn target(work: Work, kind: Kind, cell: (usize, usize), ratio_max: f64) -> Target {
    Target { work, kind, connections: cell.0, pipeline: cell.1, ratio_max }
}

const TARGETS: &[Target] = &[
    target(Work::Set, Kind::Quorate3, (50, 1), 2.8),
    target(Work::Set, Kind::Quorate3, (200, 1), 2.0),
    target(Work::Set, Kind::Quorate3, (50, 16), 1.7),
    target(Work::Get, Kind::Quorate3, (50, 1), 1.5),
    target(Work::Get, Kind::Quorate3, (50, 16), 1.1),
    target(Work::Get, Kind::Quorate3Lease, (50, 1), 1.1),
    target(Work::Get, Kind::Quorate3Lease, (50, 16), 0.8),
];

#[derive(Debug)]
pub(crate) struct Verdict {
    name: String,
    ratio_max: f64,
    /// `None` when there are no numbers: then it is not met, either.
    ratio: Option<f64>,
}

impl Verdict {
    pub(crate) fn is_met(&self) -> bool {
        self.ratio.is_some_and(|ratio| ratio <= self.ratio_max)
    }
}

/// A verdict for each target whose case was in the plan.
pub(crate) fn judge(outcomes: &[Outcome]) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for target in TARGETS {
        let same = |outcome: &&Outcome| {
            let case = &outcome.case;
            (case.work, case.connections, case.pipeline)
                == (target.work, target.connections, target.pipeline)
        };
        let Some(outcome) = outcomes.iter().find(same) else { continue };
        let contender = Contender { kind: target.kind, ask: Ask::Leader };
        let against = outcome.case.baseline(contender);
        verdicts.push(Verdict {
            name: format!("{}: {contender}, against {against}", outcome.case),
            ratio_max: target.ratio_max,
            ratio: ratio(outcome, contender),
        });
    }
    verdicts
}

pub(crate) fn render(verdicts: &[Verdict]) -> String {
    let width = verdicts.iter().map(|it| it.name.len()).max().unwrap_or(0);
    let lines = verdicts.iter().map(|verdict| {
        let word = if verdict.is_met() { "met" } else { "MISSED" };
        let ratio = verdict.ratio.map_or("no numbers".to_owned(), |it| format!("{it:.2}"));
        format!(
            "  {:<width$}  at most {:.1}: {ratio:>10}  {word}\n",
            verdict.name, verdict.ratio_max
        )
    });
    format!("targets, CPU per operation of all nodes:\n{}", lines.collect::<String>())
}
