//! kill -9 at every disk operation of `quorate recover` and `quorate backup restore`: begun again, they come to their
//! end, and the node has everything.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use super::ALL;
use super::walk::{ARMED, ARRIVALS};
use crate::cluster::{Cluster, ENGINES, Entrance, ON_DISK};
use crate::patience::say;
use crate::quorate::{command, done, run};
use crate::recovery::survivor;
use crate::seed::Random;

/// Each death costs seconds: so many points are drawn, with [`ALL`] it dies at every one.
const DRAWN: usize = 8;

/// At which points it dies, and when: of many arrivals at a point, one is drawn.
fn chosen(counts: BTreeMap<String, u64>, random: &mut Random) -> Vec<(String, u64)> {
    let mut points: Vec<_> =
        counts.into_iter().map(|(point, count)| (point, 1 + random.next() % count)).collect();
    while std::env::var_os(ALL).is_none() && points.len() > DRAWN {
        points.swap_remove(random.below(points.len()));
    }
    points
}

/// Runs `quorate` with `args` and one more variable.
fn run_with(args: &[&str], name: &str, value: &str) -> ExitStatus {
    let mut command = command(args);
    command.env(name, value).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (here, there) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().unwrap().is_dir() {
            copy(&here, &there);
        } else {
            fs::copy(here, there).unwrap();
        }
    }
}

/// Has the command that `line` gives for a directory, which `prepare` has made, die at its points, each time in a directory
/// of its own, and gives it again; `look` looks at what it has made. How often it died.
fn walk(
    place: &Path,
    seed: u64,
    prepare: &dyn Fn(&Path),
    line: &dyn Fn(&str) -> Vec<String>,
    mut look: impl FnMut(PathBuf),
) -> usize {
    let mut random = Random::new(seed);
    let mut number = 0;
    let mut in_fresh = |name: &str, value: &str| {
        number += 1;
        let dir = place.join(format!("walk-{number}"));
        prepare(&dir);
        let words = line(dir.to_str().unwrap());
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        (run_with(&words, name, value), dir)
    };
    let arrivals = place.join("arrivals");
    let (ended, dir) = in_fresh(ARRIVALS, arrivals.to_str().unwrap());
    assert!(ended.success(), "{ended}");
    look(dir);
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for point in fs::read_to_string(&arrivals).unwrap().lines() {
        *counts.entry(point.to_owned()).or_default() += 1;
    }
    let chosen = chosen(counts, &mut random);
    let deaths = chosen.len();
    assert!(deaths >= DRAWN, "it passes {deaths} points only");
    for (point, nth) in chosen {
        let (ended, dir) = in_fresh(ARMED, &format!("{point}@{nth}"));
        assert_eq!(ended.signal(), Some(9), "{point}, arrival {nth}");
        let again = line(dir.to_str().unwrap());
        let again: Vec<_> = again.iter().map(String::as_str).collect();
        let ended = run(&again);
        // When the identity has its name, it has nothing left to do.
        let is_last = point.starts_with(". ") || point.starts_with("identity rename");
        let is_done =
            ended.code == Some(0) || (is_last && ended.err.contains("belongs to a node already"));
        assert!(is_done, "{point}, arrival {nth}: {ended:?}");
        look(dir);
    }
    deaths
}

#[test]
fn a_recovery_that_dies_at_any_disk_operation_is_finished_by_the_next() {
    for flags in ENGINES {
        let (mut cluster, _) = survivor(flags);
        let template = cluster.recipe(0).data_dir.clone();
        let mut node = Cluster::empty(flags);
        let line = |dir: &str| ["recover", "--data-dir", dir, "--yes"].map(str::to_owned).to_vec();
        say(&format!("again: {}", node.again()));
        let (place, seed) = (node.dir().to_owned(), node.seed());
        let deaths = walk(&place, seed, &|dir| copy(&template, dir), &line, |dir| {
            let at = node.add_as(Entrance::Wait, |recipe| {
                recipe.name = "n1".to_owned();
                recipe.data_dir = dir;
            });
            node.wait_until_ready();
            assert_eq!(node.ask::<String>(at, &["GET", "k7"]), "7");
            assert_eq!(node.ask::<i64>(at, &["STRLEN", "large"]), 100_000);
            assert_eq!(node.ask::<i64>(at, &["DBSIZE"]), 102);
            node.kill(&[at]);
        });
        say(&format!("{deaths} deaths of a recovery, {flags:?}"));
        cluster.kill(&cluster.running());
    }
}

#[test]
fn a_restore_that_dies_at_any_disk_operation_is_done_by_the_next() {
    let old = Cluster::of(1);
    for n in 0..50 {
        old.tell(0, &["SET", &format!("k{n}"), &"v".repeat(n * 1000)]);
    }
    let file = old.dir().join("backup").display().to_string();
    done(&["backup", "create", &file, "--addr", old.addr(0)]);
    for flags in ENGINES {
        let engine = if flags == ON_DISK { "disk" } else { "memory" };
        let mut node = Cluster::empty(&["--engine", engine]);
        let line = |dir: &str| {
            let words = ["backup", "restore", &file, "--data-dir", dir, "--id", "n1", "--engine"];
            words.iter().chain(&[engine]).map(|&word| word.to_owned()).collect()
        };
        say(&format!("again: {}", node.again()));
        let (place, seed) = (node.dir().to_owned(), node.seed());
        let deaths = walk(&place, seed, &|_| (), &line, |dir| {
            let at = node.add_as(Entrance::Wait, |recipe| {
                recipe.name = "n1".to_owned();
                recipe.data_dir = dir;
            });
            node.wait_until_ready();
            assert_eq!(node.ask::<i64>(at, &["DBSIZE"]), 50);
            assert_eq!(node.ask::<i64>(at, &["STRLEN", "k49"]), 49_000);
            node.kill(&[at]);
        });
        say(&format!("{deaths} deaths of a restore to the {engine} engine"));
    }
}
