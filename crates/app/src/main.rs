//! The binary `quorate`: glue around the library. A command line becomes layers of raw settings, these
//! become checked settings, these a node; `status` and `demo` look at nodes from outside.

mod advice;
mod backup;
mod cli;
mod demo;
mod doctor;
#[cfg(feature = "failpoints")]
mod failpoints;
mod failure;
mod file;
mod flags;
mod http;
mod huge_pages;
mod inspect;
mod joining;
mod layers;
mod listeners;
mod logging;
mod member;
mod memory;
mod moment;
mod open_files;
mod output;
mod progress;
mod recover;
mod report;
mod secret;
mod serve;
mod settings;
mod shell;
mod size;
mod status;
mod stop;
mod table;
mod watch;

use std::io::Write as _;
use std::process::ExitCode;

use failure::Failure;

fn main() -> ExitCode {
    let invocation = match cli::parse(std::env::args_os()) {
        Ok(invocation) => invocation,
        Err(error) => return told(&error),
    };
    let table = invocation.table;
    let for_programs = output::is_for_programs(table, &invocation.flags);
    let mut out = output::Said::new(std::io::stdout().lock());
    let outcome = match table.name {
        "serve" => serve::run(invocation.flags, &mut out),
        "status" => status::run(invocation.flags, &mut out),
        "doctor" => doctor::run(invocation.flags, &mut out),
        "recover" => recover::run(invocation.flags, &mut out),
        name if name.starts_with("member ") => member::run(table, invocation.flags, &mut out),
        "backup create" => backup::create(invocation.flags, &mut out),
        "backup verify" => backup::verify(invocation.flags, &mut out),
        "backup restore" => backup::restore(invocation.flags, &mut out),
        "inspect log" => inspect::log(invocation.flags, &mut out),
        "inspect snapshot" => inspect::snapshot(invocation.flags, &mut out),
        "inspect engine" => inspect::engine(invocation.flags, &mut out),
        "completions" => shell::completions(invocation.flags, &mut out),
        "man" => shell::man(invocation.flags, &mut out),
        _ => demo::run(invocation.flags, &mut out),
    };
    let outcome = outcome.and_then(|()| out.flush().map_err(Failure::from));
    if let Err(failure @ (Failure::Usage(_) | Failure::Other(_))) = &outcome
        && for_programs
    {
        // Whoever has closed the output does not want to know; standard error says it as well.
        drop(out.fail(&failure.to_string()));
    }
    match outcome {
        Ok(()) | Err(Failure::OutputClosed) => ExitCode::SUCCESS,
        Err(Failure::Usage(text)) => told(&cli::wrong_usage(table, &text)),
        Err(Failure::Told) => ExitCode::FAILURE,
        Err(Failure::Other(text)) => {
            // Nobody is left to tell when standard error is closed.
            drop(writeln!(std::io::stderr(), "error: {text}"));
            ExitCode::FAILURE
        }
    }
}

/// Prints what clap has to say: help to standard output with 0, errors to standard error with 2.
fn told(error: &clap::Error) -> ExitCode {
    drop(error.print());
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1))
}
