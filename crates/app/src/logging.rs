//! Logs, to standard error; and what becomes of a panic.

use std::backtrace::Backtrace;
use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::progress::CLEAR;

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs: one object per line.
    Json,
}

impl Format {
    /// The words for them.
    pub(crate) const NAMES: &[(&str, Self)] = &[("text", Self::Text), ("json", Self::Json)];
}

/// What is logged, and how.
#[derive(Debug, Default)]
pub(crate) struct Logging {
    /// From which room, from which level.
    pub(crate) filter: EnvFilter,
    /// How.
    pub(crate) format: Format,
}

/// Standard error, where a bar may stand that shows the progress of something: a line takes its place.
struct Terminal;

impl std::io::Write for Terminal {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let mut stderr = std::io::stderr().lock();
        stderr.write_all(CLEAR.as_bytes())?;
        stderr.write(line)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

/// Exit code after a panic: Rust's own.
const PANIC_CODE: i32 = 101;

/// Starts to log; from here on a panic in any thread is the end of the process.
pub(crate) fn start(logging: Logging) {
    let is_terminal = std::io::stderr().is_terminal();
    let writer = if is_terminal {
        BoxMakeWriter::new(|| Terminal)
    } else {
        BoxMakeWriter::new(std::io::stderr)
    };
    let builder = tracing_subscriber::fmt()
        .with_writer(writer)
        .with_ansi(is_terminal)
        .with_env_filter(logging.filter);
    match logging.format {
        Format::Text => builder.init(),
        Format::Json => builder.json().flatten_event(true).init(),
    }
    std::panic::set_hook(Box::new(|panic| {
        let backtrace = Backtrace::capture();
        tracing::error!(%backtrace, "{panic}; this is a fault of quorate, please report it");
        end(PANIC_CODE);
    }));
}

/// Ends the process at once. What is on the disk is safe, whenever that happens.
#[expect(clippy::exit, reason = "half a node, with a thread missing, must not go on answering")]
pub(crate) fn end(code: i32) -> ! {
    std::process::exit(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[ignore = "run by the test below, as a process of its own"]
    fn panics_in_a_thread() {
        start(Logging { filter: EnvFilter::new("info"), format: Format::Text });
        let thread = std::thread::spawn(|| panic!("the floor is lava"));
        drop(thread.join());
    }

    #[test]
    fn a_panic_in_any_thread_ends_the_process() {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "logging::tests::panics_in_a_thread"])
            .output()
            .unwrap();
        let (out, err) = (String::from_utf8(output.stdout).unwrap(), output.stderr);
        assert_eq!(output.status.code(), Some(PANIC_CODE), "{out}");
        assert!(!out.contains("test result"), "it went on: {out}");
        let err = String::from_utf8(err).unwrap();
        assert!(err.contains("the floor is lava") && err.contains("please report it"), "{err}");
    }
}
