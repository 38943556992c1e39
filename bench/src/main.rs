//! Measures Quorate beside redis-server and etcd, all in one run on one machine. See `docs/BENCH.md`.

mod case;
mod child;
mod counters;
mod engines;
mod fault;
mod flags;
mod fleet;
mod http;
mod http_load;
mod json;
mod meter;
mod place;
mod redis_benchmark;
mod resp;
mod round;
mod sample;
mod table;
mod target;
mod tools;

use std::process::ExitCode;

use fault::Fault;
use flags::{Flags, Wish};

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("engines") {
        return match engines::run(std::env::args().skip(2)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(fault) => {
                eprintln!("quorate-bench: {fault}");
                ExitCode::FAILURE
            }
        };
    }
    let outcome = match flags::parse(std::env::args().skip(1)) {
        Ok(Wish::Help) => {
            println!("{}", flags::HELP);
            return ExitCode::SUCCESS;
        }
        Ok(Wish::Run(flags)) => run(&flags),
        Err(fault) => Err(fault),
    };
    match outcome {
        Ok(code) => code,
        Err(fault) => {
            eprintln!("quorate-bench: {fault}");
            ExitCode::FAILURE
        }
    }
}

/// Everything that it started is gone when this returns: the fleets end with `stable`.
fn run(flags: &Flags) -> Result<ExitCode, Fault> {
    let cases = case::plan(flags);
    let tools = tools::find(flags, &cases)?;
    let place = place::Place::new(flags.dir.as_deref())?;
    eprintln!("data in {} ({})", place.path().display(), place.filesystem());
    let mut stable = fleet::Stable::start(&cases, &tools, &place, flags)?;
    let results = round::run(&cases, &mut stable, &tools, flags)?;
    drop(stable);
    println!("{}", table::render(&results));
    eprint!("{}", table::faults(&results));
    let verdicts = target::judge(&results);
    println!("{}", target::render(&verdicts));
    let met = verdicts.iter().all(target::Verdict::is_met);
    Ok(if flags.check && !met { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
