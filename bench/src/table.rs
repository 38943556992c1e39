//! The table: a line per contender, in Markdown.

use std::fmt::Write as _;

use crate::case::{Case, Contender};
use crate::round::{Outcome, Row};
use crate::sample::{Sample, median, spread};

const HEADER: [&str; 11] = [
    "case",
    "server",
    "ops/s",
    "p50 ms",
    "p99 ms",
    "CPU us/op",
    "spread",
    "asked node",
    "batch",
    "peak MiB",
    "CPU ratio",
];

pub(crate) fn render(outcomes: &[Outcome]) -> String {
    let mut lines = vec![HEADER.map(str::to_owned).to_vec()];
    for outcome in outcomes {
        for row in &outcome.rows {
            lines.push(cells(outcome, row));
        }
    }
    let width = |at: usize| lines.iter().filter_map(|it| it.get(at)).map(String::len).max();
    let widths: Vec<usize> = (0..HEADER.len()).map(|at| width(at).unwrap_or(0)).collect();
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        text.push_str(&padded(line, &widths));
        if number == 0 {
            let rules: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
            text.push_str(&padded(&rules, &widths));
        }
    }
    text
}

/// Names to the left, numbers to the right. A line with fewer cells ends in a remark as long as it likes.
fn padded(line: &[String], widths: &[usize]) -> String {
    let mut text = String::new();
    for (at, (cell, width)) in line.iter().zip(widths).enumerate() {
        // Writing to a string can't fail.
        let written = match at {
            0 | 1 => write!(text, "| {cell:<width$} "),
            _ => write!(text, "| {cell:>width$} "),
        };
        debug_assert!(written.is_ok());
    }
    text.push_str("|\n");
    text
}

fn cells(outcome: &Outcome, row: &Row) -> Vec<String> {
    let mut cells = vec![outcome.case.to_string(), row.contender.to_string()];
    let Ok(samples) = &row.samples else {
        cells.resize(HEADER.len(), "-".to_owned());
        return cells;
    };
    let of = |field: fn(&Sample) -> f64| median(samples.iter().map(field)).unwrap_or(f64::NAN);
    let cpu: Vec<f64> = samples.iter().map(|it| it.cpu_us).collect();
    let batch = median(samples.iter().filter_map(|it| it.batch));
    cells.push(format!("{:.0}", of(|it| it.ops_per_second)));
    cells.push(format!("{:.2}", of(|it| it.p50_ms)));
    cells.push(format!("{:.2}", of(|it| it.p99_ms)));
    cells.push(format!("{:.2}", of(|it| it.cpu_us)));
    cells.push(spread(&cpu).map_or("-".to_owned(), |it| format!("{:.0}%", it * 100.0)));
    cells.push(format!("{:.2}", of(|it| it.asked_us)));
    cells.push(batch.map_or("-".to_owned(), |it| format!("{it:.1}")));
    cells.push(format!("{:.0}", of(|it| it.peak_mib)));
    cells.push(ratio(outcome, row.contender).map_or("-".to_owned(), |it| format!("{it:.2}")));
    cells
}

/// CPU per operation against the baseline's in the same round; the median of that over the rounds.
pub(crate) fn ratio(outcome: &Outcome, contender: Contender) -> Option<f64> {
    let samples_of = |contender: Contender| {
        let row = outcome.rows.iter().find(|row| row.contender == contender)?;
        row.samples.as_ref().ok()
    };
    let baseline = samples_of(outcome.case.baseline(contender))?;
    let pairs = samples_of(contender)?.iter().zip(baseline);
    median(pairs.map(|(sample, base)| sample.cpu_us / base.cpu_us))
}

/// What went wrong, a line for each contender without numbers.
pub(crate) fn faults(outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    for Outcome { case, rows } in outcomes {
        for row in rows {
            if let Err(fault) = &row.samples {
                text.push_str(&fault_line(case, row.contender, &fault.to_string()));
            }
        }
    }
    text
}

fn fault_line(case: &Case, contender: Contender, fault: &str) -> String {
    format!("no numbers for {case}, {contender}: {fault}\n")
}
