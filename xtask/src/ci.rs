//! The only entry to all checks: runs the steps, prints a table of them, and how to repeat those that failed.

use std::env;
use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

use crate::command::CommandLine;
use crate::{Outcome, Verdict, arrows, deny, metadata, tidy};

/// One check of `ci`, by the name that `--only` takes.
struct Step {
    name: &'static str,
    work: Work,
}

enum Work {
    /// A check of our own and the command that repeats it.
    Own(fn() -> Outcome, &'static str),
    Command(CommandLine),
    /// A command whose stdout tells how many tests passed.
    Tests(CommandLine),
    Skip(&'static str),
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
}

struct Report {
    step: &'static str,
    result: &'static str,
    time: Duration,
    /// How to repeat a step that failed.
    repeat: Option<String>,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    only: Vec<String>,
    fail_fast: bool,
}

impl Options {
    pub(crate) fn parse(arguments: &[&str]) -> Result<Self, Box<dyn Error>> {
        let mut options = Self::default();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            match *argument {
                "--fail-fast" => options.fail_fast = true,
                "--only" => {
                    let names =
                        rest.next().ok_or("--only wants the names of steps: --only fmt,tidy")?;
                    options.only.extend(names.split(',').map(str::to_owned));
                }
                other => return Err(format!("ci: unknown argument `{other}`").into()),
            }
        }
        Ok(options)
    }
}

const SIM: &str = "quorate-sim";
/// Real nodes die at every disk operation; a build of its own, so that no other one can be told to.
const FAILPOINTS: &str = "cargo test --workspace --features quorate-app/failpoints --test processes --bin quorate -- failpoints";
/// Fuzz targets are a workspace of their own, which nothing else builds.
const FUZZ: &str = "cargo check --manifest-path fuzz/Cargo.toml --target-dir target --locked";
/// How many tests of a binary run at the same time.
const TEST_THREADS: &str = "RUST_TEST_THREADS";
/// The gym finds bugs that were planted; a build of its own, so that no other one can reach them.
const PLANTED: &str =
    "cargo test --profile gym -p quorate-sim --features planted-bugs --test planted";

fn steps() -> Result<Vec<Step>, Box<dyn Error>> {
    let command = |line: &str| Work::Command(CommandLine::new(line));
    let doc =
        CommandLine::new("cargo doc --workspace --no-deps").variable("RUSTDOCFLAGS", "-D warnings");
    let cores = thread::available_parallelism()?.get();
    let tests = |line: &str| {
        let line = CommandLine::new(line);
        Work::Tests(match env::var_os(TEST_THREADS) {
            Some(_) => line,
            None => line.variable(TEST_THREADS, &test_threads(cores).to_string()),
        })
    };
    let packages = metadata::workspace()?;
    let has_sim = packages.iter().any(|it| it.name == SIM && !it.binaries.is_empty());
    let sim = if has_sim {
        command("cargo run --profile gym -p quorate-sim -- --seeds 0..500")
    } else {
        Work::Skip("quorate-sim has no binary")
    };
    // Cheap ones first; what only `cargo test` and `sim` need is built last.
    Ok([
        ("fmt", command("cargo fmt --all --check")),
        ("arrows", Work::Own(arrows::run, "cargo xtask arrows")),
        ("tidy", Work::Own(tidy::run, "cargo xtask tidy")),
        ("clippy", command("cargo clippy --workspace --all-targets -- -D warnings")),
        ("fuzz", command(FUZZ)),
        ("deny", Work::Own(deny::run, "cargo xtask deny")),
        ("doc", Work::Command(doc)),
        ("test", tests("cargo test --workspace --no-fail-fast")),
        ("failpoints", tests(FAILPOINTS)),
        ("sim", sim),
        ("planted", Work::Tests(CommandLine::new(PLANTED))),
    ]
    .into_iter()
    .map(|(name, work)| Step { name, work })
    .collect())
}

/// Tests of real processes wait for half of their time, for elections and deadlines: with as many as there are cores they
/// took 380 s on two of them, with three 255 s.
fn test_threads(cores: usize) -> usize {
    cores + cores.div_ceil(2)
}

pub(crate) fn run(options: &Options) -> Outcome {
    let steps = select(steps()?, &options.only)?;
    let mut tally = Tally::default();
    let mut reports = Vec::new();
    for step in &steps {
        let report = run_step(step, &mut tally);
        let stop = options.fail_fast && report.repeat.is_some();
        reports.push(report);
        if stop {
            break;
        }
    }
    print!("{}", table(&reports));
    // The last line is what a machine reads: tests, and each other step as one more.
    println!("{} passed, {} failed", tally.passed, tally.failed);
    Ok(Verdict::passed_if(tally.failed == 0))
}

fn select(mut steps: Vec<Step>, only: &[String]) -> Result<Vec<Step>, String> {
    if let Some(unknown) = only.iter().find(|name| !steps.iter().any(|step| step.name == **name)) {
        let names: Vec<&str> = steps.iter().map(|step| step.name).collect();
        return Err(format!("no step `{unknown}`; there are {}", names.join(", ")));
    }
    if !only.is_empty() {
        steps.retain(|step| only.iter().any(|name| name == step.name));
    }
    Ok(steps)
}

fn run_step(step: &Step, tally: &mut Tally) -> Report {
    println!("\n=== {}", step.name);
    let start = Instant::now();
    let mut tests = Tally::default();
    let (outcome, repeat) = match &step.work {
        Work::Skip(reason) => {
            println!("skipped: {reason}");
            return Report {
                step: step.name,
                result: "skipped",
                time: start.elapsed(),
                repeat: None,
            };
        }
        Work::Own(check, repeat) => (check(), (*repeat).to_owned()),
        Work::Command(line) => {
            println!("$ {line}");
            (line.run(), line.to_string())
        }
        Work::Tests(line) => {
            println!("$ {line}");
            (line.run_watched(|output| tests.count(output)), line.to_string())
        }
    };
    let verdict = outcome.unwrap_or_else(|error| {
        eprintln!("{}: {error}", step.name);
        Verdict::Failed
    });
    tests.settle(verdict);
    tally.passed += tests.passed;
    tally.failed += tests.failed;
    let time = start.elapsed();
    match verdict {
        Verdict::Passed => Report { step: step.name, result: "passed", time, repeat: None },
        Verdict::Failed => Report { step: step.name, result: "FAILED", time, repeat: Some(repeat) },
    }
}

impl Tally {
    /// Adds what a closing line of a test binary says: `test result: ok. 3 passed; 0 failed; ...`.
    fn count(&mut self, line: &str) {
        let Some((_, counts)) =
            line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        for count in counts.split("; ") {
            match count.split_once(' ') {
                Some((number, "passed")) => self.passed += number.parse().unwrap_or(0),
                Some((number, "failed")) => self.failed += number.parse().unwrap_or(0),
                _ => {}
            }
        }
    }

    /// A step without tests counts as one; and a failure that no test told of (it did not compile, it was
    /// killed) must not vanish from the sum.
    fn settle(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Passed if *self == Self::default() => self.passed = 1,
            Verdict::Failed if self.failed == 0 => self.failed = 1,
            _ => {}
        }
    }
}

fn table(reports: &[Report]) -> String {
    let mut text = String::from("\nstep       result     seconds\n");
    for report in reports {
        text.push_str(&format!(
            "{:<10} {:<8} {:>9.1}\n",
            report.step,
            report.result,
            report.time.as_secs_f64()
        ));
    }
    for report in reports {
        if let Some(repeat) = &report.repeat {
            text.push_str(&format!("\n{} failed; repeat it with: {repeat}\n", report.step));
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(name: &'static str, work: Work) -> Step {
        Step { name, work }
    }

    #[test]
    fn options_are_parsed_and_unknown_ones_refused() {
        let options = Options::parse(&["--only", "fmt,tidy", "--fail-fast"]).unwrap();
        assert_eq!(options.only, ["fmt", "tidy"]);
        assert!(options.fail_fast);
        assert!(Options::parse(&["--only"]).is_err());
        assert!(Options::parse(&["--wat"]).is_err());
    }

    #[test]
    fn only_selects_and_refuses_what_is_no_step() {
        let all = || vec![step("fmt", Work::Skip("")), step("tidy", Work::Skip(""))];
        let names = |steps: Vec<Step>| steps.iter().map(|step| step.name).collect::<Vec<_>>();
        assert_eq!(names(select(all(), &["tidy".to_owned()]).unwrap()), ["tidy"]);
        assert_eq!(names(select(all(), &[]).unwrap()), ["fmt", "tidy"]);
        assert!(select(all(), &["tidi".to_owned()]).is_err());
    }

    #[test]
    fn closing_lines_of_test_binaries_are_summed() {
        let mut tally = Tally::default();
        tally.count("test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out");
        tally.count(
            "test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out",
        );
        tally.count("test some::test ... ok");
        assert_eq!(tally, Tally { passed: 14, failed: 3 });
    }

    #[test]
    fn failure_that_no_test_told_of_still_counts() {
        let mut tally = Tally { passed: 5, failed: 0 };
        tally.settle(Verdict::Failed);
        assert_eq!(tally, Tally { passed: 5, failed: 1 });
        let mut none = Tally::default();
        none.settle(Verdict::Passed);
        assert_eq!(none, Tally { passed: 1, failed: 0 });
    }

    #[test]
    fn failed_step_says_how_to_repeat_it() {
        let mut tally = Tally::default();
        let report = run_step(&step("fmt", Work::Command(CommandLine::new("false"))), &mut tally);
        assert_eq!(tally, Tally { passed: 0, failed: 1 });
        assert!(table(&[report]).contains("fmt failed; repeat it with: false\n"));
    }

    #[test]
    fn step_that_cannot_run_is_a_failed_one() {
        let mut tally = Tally::default();
        let broken =
            step("deny", Work::Own(|| Err("cargo-deny is not installed".into()), "repeat"));
        assert!(run_step(&broken, &mut tally).repeat.is_some());
        assert_eq!(tally.failed, 1);
    }
}
