//! Fuzzing under libFuzzer: every target for a while, each on what was collected before and on the inputs kept in the
//! repository.

use std::error::Error;
use std::fs;
use std::path::Path;

use crate::command::CommandLine;
use crate::{Outcome, Verdict};

const TARGETS: &str = "fuzz/fuzz_targets";
const SECONDS: &str = "60";
/// A directory in memory, where there is one.
const MEMORY: &str = "/dev/shm";

#[derive(Debug, PartialEq, Eq)]
struct Options<'a> {
    seconds: &'a str,
    /// All of them when none is named.
    targets: Vec<&'a str>,
}

impl<'a> Options<'a> {
    fn parse(words: &[&'a str]) -> Result<Self, Box<dyn Error>> {
        let mut options = Self { seconds: SECONDS, targets: Vec::new() };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "--seconds" => options.seconds = words.next().ok_or("fuzz: how many seconds?")?,
                option if option.starts_with('-') => {
                    return Err(format!("fuzz: unknown option `{option}`").into());
                }
                target => options.targets.push(target),
            }
        }
        options.seconds.parse::<u32>().map_err(|error| format!("fuzz: --seconds: {error}"))?;
        Ok(options)
    }
}

pub(crate) fn run(words: &[&str]) -> Outcome {
    let options = Options::parse(words)?;
    if !CommandLine::new("cargo fuzz --version").succeeds_quietly() {
        return Err("cargo-fuzz is missing: cargo install cargo-fuzz --locked".into());
    }
    let known = known()?;
    if let Some(stranger) = options.targets.iter().find(|it| !known.iter().any(|one| one == **it)) {
        return Err(format!("fuzz: no target `{stranger}`; there are {}", known.join(", ")).into());
    }
    let wanted =
        |target: &&String| options.targets.is_empty() || options.targets.contains(&&***target);
    let mut verdict = Verdict::Passed;
    for target in known.iter().filter(wanted) {
        // libFuzzer wants the first directory to be there: it writes what it finds into it.
        fs::create_dir_all(format!("fuzz/corpus/{target}"))?;
        let line = CommandLine::new(&line(target, options.seconds));
        // Logs, snapshots and trees are written and synced for each input, and thrown away: in memory there are twenty
        // times as many.
        let line = if Path::new(MEMORY).is_dir() { line.variable("TMPDIR", MEMORY) } else { line };
        println!("$ {line}");
        if line.run()? == Verdict::Failed {
            verdict = Verdict::Failed;
        }
    }
    Ok(verdict)
}

/// The names of all targets.
fn known() -> Result<Vec<String>, Box<dyn Error>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(TARGETS)? {
        let path = entry?.path();
        names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

/// Without a sanitizer it runs on the stable toolchain: `unsafe` is forbidden in the workspace.
fn line(target: &str, seconds: &str) -> String {
    let seeds = format!("fuzz/seeds/{target}");
    let seeds = if Path::new(&seeds).is_dir() { seeds.as_str() } else { "" };
    format!(
        "cargo fuzz run --sanitizer none {target} fuzz/corpus/{target} {seeds} -- \
         -max_total_time={seconds} -print_final_stats=1"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_targets_and_seconds_a_number() {
        let options = Options::parse(&["--seconds", "5", "commands"]).unwrap();
        assert_eq!(options, Options { seconds: "5", targets: vec!["commands"] });
        assert!(Options::parse(&["--seconds"]).is_err());
        assert!(Options::parse(&["--seconds", "soon"]).is_err());
        assert!(Options::parse(&["--minutes", "1"]).is_err());
    }

    #[test]
    fn every_target_is_built_by_the_manifest() {
        let manifest = fs::read_to_string("../fuzz/Cargo.toml").unwrap();
        let built = manifest.matches("path = \"fuzz_targets/").count();
        assert_eq!(fs::read_dir("../fuzz/fuzz_targets").unwrap().count(), built);
    }
}
