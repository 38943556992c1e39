//! Quorate's checks and chores: `cargo xtask ci` is the only entry, at home as in CI.
//!
//! `ci` never writes into the checkout, `fix` does. Every rule is a pure function over the files it is given,
//! in a file of its own, so that each has a test in which it fires.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool speaks by printing"
)]

mod arrows;
mod ci;
mod command;
mod deny;
mod fix;
mod fuzz;
mod generated;
mod metadata;
mod tidy;
mod torture;

use std::env;
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use crate::command::CommandLine;

/// A check either ran, and found the tree in order or not, or could not run at all.
pub(crate) type Outcome = Result<Verdict, Box<dyn Error>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passed,
    Failed,
}

impl Verdict {
    pub(crate) fn passed_if(condition: bool) -> Self {
        if condition { Self::Passed } else { Self::Failed }
    }
}

const USAGE: &str = "\
cargo xtask <command>

  ci [--only STEP,...] [--fail-fast]   every check, as in CI; writes nothing into the checkout
  fix                                  what can be mended by machine: clippy --fix, fmt, generated docs
  arrows                               prints who may import whom, and checks it
  tidy                                 rules about files, words and links
  sim [--seed N | --seeds A..B | ...]  the gym: a whole cluster from one seed; `sim --help` tells more
  torture [--minutes M] [--seed S]     real processes under a storm of faults, judged by the gym; also
          [--nodes 3|5] [--engine E]     `--nodes N` voters (else the seed chooses), `--engine E` for all nodes
                                       (memory, disk), or for every other one (mixed)
  fuzz [--seconds S] [TARGET ...]      every fuzz target (or these) under libFuzzer; needs cargo-fuzz
  deny                                 licences, advisories, sources and bans of the dependencies

steps of ci: fmt, clippy, fuzz, arrows, tidy, deny, doc, test, failpoints, sim, planted";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(Verdict::Passed) => ExitCode::SUCCESS,
        Ok(Verdict::Failed) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &[&str]) -> Outcome {
    enter_workspace_root()?;
    match arguments {
        ["ci", options @ ..] => ci::run(&ci::Options::parse(options)?),
        ["fix"] => fix::run(),
        ["arrows"] => arrows::run(),
        ["tidy"] => tidy::run(),
        ["deny"] => deny::run(),
        ["sim", options @ ..] => sim(options),
        ["fuzz", options @ ..] => fuzz::run(options),
        ["torture", options @ ..] => torture::run(options),
        [] | ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(Verdict::Passed)
        }
        _ => Err(format!("unknown command `{}`\n\n{USAGE}", arguments.join(" ")).into()),
    }
}

fn sim(options: &[&str]) -> Outcome {
    let line = ["cargo run --profile gym --quiet -p quorate-sim --", &options.join(" ")].join(" ");
    CommandLine::new(&line).run()
}

/// `cargo run` keeps the caller's directory, but all paths here are relative to the workspace root.
fn enter_workspace_root() -> Result<(), Box<dyn Error>> {
    if let Some(manifest_dir) = env::var_os("CARGO_MANIFEST_DIR")
        && let Some(root) = Path::new(&manifest_dir).parent()
    {
        env::set_current_dir(root)?;
    }
    Ok(())
}
