//! A command line that can be run, and that prints as what a person would type to repeat it.

use std::env;
use std::error::Error;
use std::fmt;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::{Outcome, Verdict};

#[derive(Clone, Debug)]
pub(crate) struct CommandLine {
    variables: Vec<(String, String)>,
    words: Vec<String>,
}

impl CommandLine {
    /// Takes a line without quotes; the words are what white space separates.
    pub(crate) fn new(line: &str) -> Self {
        Self { variables: Vec::new(), words: line.split_whitespace().map(str::to_owned).collect() }
    }

    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn run(&self) -> Outcome {
        let status = self.command()?.status().map_err(|error| format!("{self}: {error}"))?;
        Ok(Verdict::passed_if(status.success()))
    }

    /// Runs with stdout passed on line by line, each of them shown to `see` as well.
    pub(crate) fn run_watched(&self, mut see: impl FnMut(&str)) -> Outcome {
        let spawned = self.command()?.stdout(Stdio::piped()).spawn();
        let mut child = spawned.map_err(|error| format!("{self}: {error}"))?;
        if let Some(stdout) = child.stdout.take() {
            // Test output may be any bytes: a line that is not UTF-8 must not end the run.
            for line in BufReader::new(stdout).split(b'\n') {
                let line = line?;
                let line = String::from_utf8_lossy(&line);
                println!("{line}");
                see(&line);
            }
        }
        Ok(Verdict::passed_if(child.wait()?.success()))
    }

    pub(crate) fn output(&self) -> Result<Vec<u8>, Box<dyn Error>> {
        let mut command = self.command()?;
        let output = command.stderr(Stdio::inherit()).output();
        let output = output.map_err(|error| format!("{self}: {error}"))?;
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(format!("`{self}` failed").into())
        }
    }

    /// Whether the program is there and content; says nothing in either case.
    pub(crate) fn succeeds_quietly(&self) -> bool {
        let Ok(mut command) = self.command() else { return false };
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    }

    fn command(&self) -> Result<Command, String> {
        let (program, arguments) = self.words.split_first().ok_or("an empty command line")?;
        // Cargo names the very binary that runs us: the same toolchain must do the rest.
        let program = match (program.as_str(), env::var_os("CARGO")) {
            ("cargo", Some(cargo)) => cargo,
            _ => program.into(),
        };
        let mut command = Command::new(program);
        command.args(arguments).envs(self.variables.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }
}

impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.variables {
            write!(f, "{name}='{value}' ")?;
        }
        f.write_str(&self.words.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_it_is_typed() {
        let line = CommandLine::new("cargo  doc --no-deps").variable("RUSTDOCFLAGS", "-D warnings");
        assert_eq!(line.to_string(), "RUSTDOCFLAGS='-D warnings' cargo doc --no-deps");
    }

    #[test]
    fn failure_of_the_program_is_a_failed_check() {
        assert_eq!(CommandLine::new("false").run().unwrap(), Verdict::Failed);
        assert_eq!(CommandLine::new("true").run().unwrap(), Verdict::Passed);
    }

    #[test]
    fn absent_program_is_an_error_that_names_it() {
        let error = CommandLine::new("no-such-program-here").run().unwrap_err();
        assert!(error.to_string().contains("no-such-program-here"));
    }

    #[test]
    fn watched_run_sees_each_line() {
        let mut seen = Vec::new();
        let verdict =
            CommandLine::new("printf a\\nb").run_watched(|line| seen.push(line.to_owned()));
        assert_eq!(verdict.unwrap(), Verdict::Passed);
        assert_eq!(seen, ["a", "b"]);
    }
}
