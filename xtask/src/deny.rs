//! `cargo deny` without the network: licences, bans and sources always, advisories when a database is at hand.
//!
//! cargo-deny looks for a database in `<db-path>/advisory-db-<hash of its URL>/`, takes the time of the last
//! fetch from `.git/FETCH_HEAD` there and reads `crates/**/*.md`. A plain copy of the database therefore gets
//! such a directory below `target/`, with a link to the copy inside.

use std::env;
use std::error::Error;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::command::CommandLine;
use crate::{Outcome, Verdict};

/// Names a directory with the files of github.com/rustsec/advisory-db, with or without its git history.
const COPY_VARIABLE: &str = "QUORATE_ADVISORY_DB";
/// Read by deny.toml as its `db-path`.
const PATH_VARIABLE: &str = "QUORATE_ADVISORY_DBS";
/// Where `cargo deny fetch db` puts what it fetches: the default of deny.toml.
const FETCHED: &str = "target/advisory-dbs";
const COPIED: &str = "target/advisory-dbs-copied";
/// Its hash is of the URL as deny.toml spells it.
const DIRECTORY: &str = "advisory-db-3157b0e258782691";

const INSTALL: &str = "cargo install cargo-deny --locked";

pub(crate) fn run() -> Outcome {
    if !CommandLine::new("cargo deny --version").succeeds_quietly() {
        return Err(format!("cargo-deny is not installed: {INSTALL}").into());
    }
    // Offline, cargo-deny wants the sources for every platform, and a build fetched only those for this one.
    let fetch = CommandLine::new("cargo fetch --quiet --locked");
    if fetch.run()? == Verdict::Failed {
        return Err(format!("`{fetch}` failed").into());
    }
    let line = match database()? {
        Some(root) => {
            println!("advisories from {}", root.origin);
            check("advisories bans licenses sources").variable(PATH_VARIABLE, root.db_path)
        }
        None => {
            println!(
                "ADVISORIES SKIPPED: no database at hand; `cargo deny fetch db` fetches one, or {COPY_VARIABLE}=<dir> names a copy"
            );
            check("bans licenses sources")
        }
    };
    println!("$ {line}");
    line.run()
}

fn check(which: &str) -> CommandLine {
    CommandLine::new(&format!("cargo deny --offline check --hide-inclusion-graph {which}"))
}

struct Root {
    db_path: &'static str,
    origin: String,
}

fn database() -> Result<Option<Root>, Box<dyn Error>> {
    if let Some(copy) = env::var_os(COPY_VARIABLE).filter(|value| !value.is_empty()) {
        let copy = PathBuf::from(copy);
        lay_out(&copy, Path::new(COPIED))
            .map_err(|error| format!("{COPY_VARIABLE}={}: {error}", copy.display()))?;
        return Ok(Some(Root { db_path: COPIED, origin: describe(&copy)? }));
    }
    let fetched = Path::new(FETCHED).join(DIRECTORY);
    if fetched.join("crates").is_dir() {
        return Ok(Some(Root { db_path: FETCHED, origin: describe(&fetched)? }));
    }
    Ok(None)
}

/// Makes `root` look to cargo-deny as if it had fetched `copy` itself, just now.
fn lay_out(copy: &Path, root: &Path) -> Result<(), Box<dyn Error>> {
    let crates = fs::canonicalize(copy.join("crates"))?;
    let directory = root.join(DIRECTORY);
    let git = directory.join(".git");
    fs::create_dir_all(&git)?;
    fs::write(git.join("FETCH_HEAD"), "")?;
    let link = directory.join("crates");
    if fs::symlink_metadata(&link).is_ok() {
        fs::remove_file(&link)?;
    }
    symlink(crates, link)?;
    Ok(())
}

/// The age of a database decides what it can know, so it is said every time.
fn describe(database: &Path) -> Result<String, Box<dyn Error>> {
    let mut count = 0_usize;
    let mut newest = String::new();
    for directory in fs::read_dir(database.join("crates"))? {
        let directory = directory?.path();
        if !directory.is_dir() {
            continue;
        }
        for file in fs::read_dir(directory)? {
            let text = fs::read_to_string(file?.path())?;
            count += 1;
            newest = newest.max(date(&text).unwrap_or_default().to_owned());
        }
    }
    Ok(format!("{}: {count} entries, the newest of {newest}", database.display()))
}

fn date(advisory: &str) -> Option<&str> {
    let line = advisory.lines().find_map(|line| line.strip_prefix("date = \""))?;
    line.strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn date_of_an_advisory_is_read() {
        assert_eq!(
            date("```toml\n[advisory]\nid = \"X\"\ndate = \"2026-02-03\"\n"),
            Some("2026-02-03")
        );
        assert_eq!(date("[advisory]\n"), None);
    }

    #[test]
    fn copy_is_laid_out_as_if_fetched_and_can_be_laid_out_again() {
        let root = env::temp_dir().join(format!("quorate-xtask-deny-{}", std::process::id()));
        let copy = root.join("copy");
        fs::create_dir_all(copy.join("crates/some")).unwrap();
        fs::write(copy.join("crates/some/RUSTSEC-2026-0001.md"), "date = \"2026-02-03\"\n")
            .unwrap();
        for _ in 0..2 {
            lay_out(&copy, &root.join("dbs")).unwrap();
        }
        let laid = root.join("dbs").join(DIRECTORY);
        assert!(laid.join(".git/FETCH_HEAD").is_file());
        assert!(laid.join("crates/some/RUSTSEC-2026-0001.md").is_file());
        assert!(describe(&laid).unwrap().ends_with("1 entries, the newest of 2026-02-03"));
        assert!(lay_out(&root.join("absent"), &root.join("dbs")).is_err());
        fs::remove_dir_all(&root).unwrap();
    }
}
