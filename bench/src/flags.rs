//! The command line.

use std::path::PathBuf;
use std::str::FromStr;

use crate::fault::Fault;

pub(crate) const HELP: &str = "\
Measures Quorate beside redis-server and etcd. See docs/BENCH.md.

  --quick           about a minute: only the cases that have targets, one short run of each
  --only LIST       of set,get,http,etcd (default: all; http is Quorate alone, etcd is both)
  --requests N      per run (default: as many as take 3 s, with --quick 1 s)
  --runs K          of each, of which the median counts (default 3, with --quick 1)
  --keys N          distinct keys (default 100000)
  --quorate PATH    the binary (default: ../target/release/quorate, after building it)
  --dir PATH        where data goes: on a disk, not in memory (default: the system's temporary directory)
  --check           exit with 1 when a target is missed

  engines           the memory engine and the disk engine instead; engines --help says how";

#[derive(Debug)]
pub(crate) enum Wish {
    Help,
    Run(Flags),
}

#[derive(Debug)]
pub(crate) struct Flags {
    pub(crate) quick: bool,
    pub(crate) check: bool,
    pub(crate) set: bool,
    pub(crate) get: bool,
    /// Quorate through HTTP.
    pub(crate) http: bool,
    /// etcd through HTTP, beside Quorate.
    pub(crate) etcd: bool,
    pub(crate) requests: Option<u64>,
    runs: Option<usize>,
    pub(crate) keys: u64,
    pub(crate) quorate: Option<PathBuf>,
    pub(crate) dir: Option<PathBuf>,
}

impl Flags {
    pub(crate) fn runs(&self) -> usize {
        self.runs.unwrap_or(if self.quick { 1 } else { 3 })
    }

    pub(crate) fn seconds_per_run(&self) -> f64 {
        if self.quick { 1.0 } else { 3.0 }
    }
}

pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Result<Wish, Fault> {
    let mut flags = Flags {
        quick: false,
        check: false,
        set: true,
        get: true,
        http: true,
        etcd: true,
        requests: None,
        runs: None,
        keys: 100_000,
        quorate: None,
        dir: None,
    };
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| Fault::new(format!("{arg} needs a value")));
        match arg.as_str() {
            "--help" | "-h" => return Ok(Wish::Help),
            "--quick" => flags.quick = true,
            "--check" => flags.check = true,
            "--only" => only(&mut flags, &value()?)?,
            "--requests" => flags.requests = Some(positive("--requests", &value()?)?),
            "--runs" => flags.runs = Some(positive("--runs", &value()?)?),
            "--keys" => flags.keys = positive("--keys", &value()?)?,
            "--quorate" => flags.quorate = Some(value()?.into()),
            "--dir" => flags.dir = Some(value()?.into()),
            _ => return Err(Fault::new(format!("unknown argument {arg}\n\n{HELP}"))),
        }
    }
    Ok(Wish::Run(flags))
}

fn only(flags: &mut Flags, list: &str) -> Result<(), Fault> {
    (flags.set, flags.get, flags.http, flags.etcd) = (false, false, false, false);
    for word in list.split(',') {
        match word {
            "set" => flags.set = true,
            "get" => flags.get = true,
            "http" => flags.http = true,
            "etcd" => flags.etcd = true,
            _ => return Err(Fault::new(format!("--only {word}: of set, get, http, etcd"))),
        }
    }
    Ok(())
}

fn positive<T: FromStr + PartialOrd + From<u8>>(flag: &str, text: &str) -> Result<T, Fault> {
    let number = text.parse().ok().filter(|number| *number >= T::from(1));
    number.ok_or_else(|| Fault::new(format!("{flag} {text}: not a number from 1 on")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Result<Wish, Fault> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn quick_runs_once_unless_told_otherwise() {
        let Ok(Wish::Run(quick)) = of("--quick") else { panic!("refused") };
        assert_eq!(quick.runs(), 1);
        let Ok(Wish::Run(quick)) = of("--quick --runs 5 --only get,etcd") else {
            panic!("refused")
        };
        assert_eq!((quick.runs(), quick.set, quick.get), (5, false, true));
        assert_eq!((quick.http, quick.etcd), (false, true));
    }

    #[test]
    fn nonsense_is_refused() {
        for line in ["--runs 0", "--runs", "--requests x", "--only put", "--fast"] {
            assert!(of(line).is_err(), "{line}");
        }
    }
}
