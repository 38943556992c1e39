//! The whole benchmark with next to no load: it must start everything, measure everything and leave nothing.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Any binary will do: numbers are not looked at.
fn quorate() -> PathBuf {
    if let Some(path) = std::env::var_os("QUORATE") {
        return path.into();
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let built = Command::new("cargo")
        .args(["build", "--package", "quorate-app"])
        .current_dir(&root)
        .status()
        .expect("run cargo");
    assert!(built.success(), "building quorate");
    root.join("target/debug/quorate")
}

fn bench(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quorate-bench"));
    command.args(args).output().expect("run the benchmark")
}

fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

#[test]
fn tiny_run_measures_every_contender() {
    // Where a competitor is not installed, what needs it is left out.
    let redis = is_there("redis-server") && is_there("redis-benchmark");
    let only = match (redis, is_there("etcd")) {
        (true, true) => "set,get,etcd",
        (true, false) => "set,get,http",
        (false, true) => "etcd",
        (false, false) => "http",
    };
    let quorate = quorate().display().to_string();
    let output = bench(&[
        "--quick",
        "--requests",
        "400",
        "--keys",
        "200",
        "--only",
        only,
        "--quorate",
        &quorate,
    ]);
    let table = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{only}\n{table}\n{said}");
    assert!(table.contains("| HTTP get 50x1 | quorate, 3 nodes, leader"), "{table}\n{said}");
    if redis {
        assert!(table.contains("| SET 200x1"), "{table}\n{said}");
        assert!(table.contains("GET 50x16: quorate, 3 nodes, leader"), "{table}\n{said}");
    }
    // An older binary has no lease; everything else must have numbers.
    let failed = said.lines().filter(|it| it.starts_with("no numbers") && !it.contains("lease"));
    assert_eq!(failed.count(), 0, "{table}\n{said}");
    let place = said.lines().find_map(|it| it.strip_prefix("data in ")?.split(" (").next());
    assert!(!Path::new(place.expect("a place")).exists(), "data left behind");
}

#[test]
fn unknown_flags_and_missing_binaries_are_refused_by_name() {
    let refused = bench(&["--fast"]);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("unknown argument --fast"));
    let refused = bench(&["--only", "http", "--quorate", "/nowhere/quorate"]);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("/nowhere/quorate"));
}

#[test]
fn engines_are_measured_side_by_side_and_compared() {
    let quorate = quorate().display().to_string();
    let (keys, phases) = ("10000", "get,restart");
    let flags = ["engines", "--keys", keys, "--requests", "800", "--phases", phases];
    let output = bench(&[&flags[..], &["--quorate", &quorate]].concat());
    let (said, told) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{told}");
    let compared = said.split_once("disk / memory, CPU per command").expect("a comparison").1;
    for (name, lines) in [("GET, any key", 1), ("SET, new keys", 1), ("SET, hot keys", 0)] {
        assert_eq!(compared.matches(name).count(), lines, "{name}: {said}");
    }
    assert_eq!(said.matches("the first read").count(), 2, "{said}");
}
