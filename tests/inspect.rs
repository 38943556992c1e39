//! `quorate inspect`: readable, and never written; and what the shell is told.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::backup::{quorate, quorate_json, refused};
use crate::cluster::{Cluster, ENGINES, ON_DISK};
use crate::tool;

const LIMIT: Duration = Duration::from_secs(20);

/// Every file with its content and the time of its last change.
fn everything(dir: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(everything(&path));
        } else {
            let changed = fs::metadata(&path).unwrap().modified().unwrap();
            files.insert(path.clone(), (fs::read(&path).unwrap(), changed));
        }
    }
    files
}

#[test]
fn a_killed_nodes_directory_is_shown_and_left_as_it_is() {
    for flags in ENGINES {
        is_shown_and_left_as_it_is(flags);
    }
}

fn is_shown_and_left_as_it_is(flags: &[&str]) {
    let mut cluster = Cluster::with_flags(1, flags);
    let on_disk = flags == ON_DISK || cluster.status(0).unwrap().text("/engine/kind") == "disk";
    for n in 0..30 {
        cluster.tell(0, &["SET", &format!("k{n}"), "value"]);
    }
    cluster.tell(0, &["EXPIRE", "k0", "1000"]);
    let data = cluster.recipe(0).data_dir.clone();
    let dir = data.to_str().unwrap();
    for part in ["log", "snapshot", "engine"] {
        let why = refused(&["inspect", part, "--data-dir", dir]);
        assert!(why.contains("in use by a running node"), "{why}");
    }
    cluster.kill(&[0]);
    let before = everything(&data);
    let engine = quorate_json(&["inspect", "engine", "--data-dir", dir]);
    let log = quorate_json(&["inspect", "log", "--data-dir", dir, "--count", "1000"]);
    let snapshot = quorate_json(&["inspect", "snapshot", "--data-dir", dir]);
    for part in ["log", "snapshot", "engine"] {
        let said = quorate(&["inspect", part, "--data-dir", dir]);
        assert_eq!(said.code, Some(0), "{}", said.err);
        let text = String::from_utf8(said.out).unwrap();
        assert!(text.starts_with("node n1 (number 1) of cluster "), "{text}");
    }
    assert!(everything(&data) == before, "the directory has changed");

    assert_eq!(snapshot["members"][0]["id"], "n1");
    assert_eq!(log["vote"], 1);
    // What is durable, and the log behind it.
    assert!(log["first"].as_u64() <= snapshot["index"].as_u64().map(|index| index + 1), "{log}");
    assert!(snapshot["records"].as_u64() >= Some(1) && snapshot["bytes"].as_u64() > Some(0));
    if !on_disk {
        assert_eq!(snapshot["index"], 1);
    }
    let entries = log["entries"].as_array().unwrap();
    assert_eq!(entries.last().unwrap()["index"], log["last"]);
    assert!(entries.iter().any(|entry| entry["data"].as_str().unwrap().contains("SET k7 value")));
    // A node that was killed knows at least what it had acknowledged before its last entry to be committed.
    let keys = engine["databases"][0]["keys"].as_u64().unwrap();
    assert!(keys > 0 && keys <= 30, "{engine}");
    assert_eq!(engine["applied"], log["commit"]);
    assert_eq!(engine["engine"], if on_disk { "disk" } else { "memory" });
    assert_eq!(engine["snapshot"], snapshot["index"]);

    let nobody = refused(&["inspect", "log", "--data-dir", "/nonexistent"]);
    assert!(nobody.contains("holds no node"), "{nobody}");
    cluster.restart(0);
    cluster.wait_until_ready();
    assert_eq!(cluster.ask::<i64>(0, &["DBSIZE"]), 30);
}

#[test]
fn who_came_in_behind_the_snapshot_is_shown_with_its_vote() {
    for flags in ENGINES {
        let mut cluster = Cluster::with_flags(2, flags);
        // What is committed is noted with what comes behind it.
        for n in 0..3 {
            cluster.tell(0, &["SET", "k", &n.to_string()]);
        }
        cluster.kill(&[0, 1]);
        let dir = cluster.recipe(0).data_dir.display().to_string();
        let engine = quorate_json(&["inspect", "engine", "--data-dir", &dir]);
        let (first, second) = (&engine["members"][0], &engine["members"][1]);
        assert!(first["voter"] == true && second["voter"] == true, "{engine}");
        let log = quorate(&["inspect", "log", "--data-dir", &dir]).out;
        let text = String::from_utf8(log).unwrap();
        let came = format!("number 2 has no vote; number 2 is n2 at {}", cluster.addr(1));
        assert!(text.contains(&came) && text.contains("number 2 has a vote"), "{text}");
    }
}

/// What bash offers at the end of these words.
fn offered(completions: &str, words: &[&str]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
    let at = words.len() - 1;
    let script = format!(
        "{completions}\ncompopt() {{ :; }}\nCOMP_WORDS=({}); COMP_CWORD={at}; cur='{}'; \
         _quorate quorate '{}' '{}'; echo \"${{COMPREPLY[*]}}\"",
        quoted.join(" "),
        words[at],
        words[at],
        words[at - 1]
    );
    tool::output_of(&["bash", "--norc"], &script, LIMIT).trim().to_owned()
}

#[test]
fn a_shell_offers_the_values_that_there_are_and_the_files_where_one_is_named() {
    if !tool::is_there(&["bash", "-c", "compgen -W x"]) {
        return;
    }
    let bash = quorate(&["completions", "bash"]).out;
    let offered = |words: &[&str]| offered(&String::from_utf8_lossy(&bash), words);
    for (words, expected) in [
        (&["serve", "--engine", ""][..], "memory disk"),
        (&["serve", "--engine", "d"], "disk"),
        (&["backup", "restore", "--engine", ""], "memory disk"),
        (&["serve", "--read-mode", ""], "linearizable lease"),
        (&["serve", "--log-level", ""], "error warn info debug trace"),
        (&["serve", "--log-format", ""], "text json"),
        (&["status", "--output", "j"], "json"),
        (&["member", "list", "--output", ""], "table json"),
        (&["completions", ""], "bash elvish fish powershell zsh"),
    ] {
        let shown = offered(&[&["quorate"], words].concat());
        let mut sorted: Vec<_> = shown.split(' ').filter(|word| !word.starts_with('-')).collect();
        let mut expected: Vec<_> = expected.split(' ').collect();
        sorted.sort_unstable();
        expected.sort_unstable();
        assert_eq!(sorted, expected, "{words:?}: {shown}");
    }
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("one")).unwrap();
    fs::write(dir.path().join("other"), "").unwrap();
    let typed = format!("{}/o", dir.path().display());
    for (flag, count) in [("--data-dir", 1), ("--password-file", 2)] {
        let shown = offered(&["quorate", "serve", flag, &typed]);
        assert_eq!(shown.split(' ').count(), count, "{flag}: {shown}");
    }
    // A number is no file, and what follows a switch is another flag.
    assert_eq!(offered(&["quorate", "serve", "--max-connections", "o"]), "o");
    assert!(offered(&["quorate", "serve", "--bootstrap", ""]).contains("--join"));
}

#[test]
fn completions_and_manual_pages_come_from_the_flags() {
    for shell in ["bash", "zsh", "fish"] {
        let said = quorate(&["completions", shell]);
        let text = String::from_utf8(said.out).unwrap();
        assert!(said.code == Some(0) && text.contains("cluster-secret-file"), "{shell}");
    }
    assert_eq!(quorate(&["completions", "nosuch"]).code, Some(2));
    let dir = tempfile::tempdir().unwrap();
    let said = quorate(&["man", dir.path().to_str().unwrap()]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let page = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
    assert!(page("quorate.1").contains("quorate\\-serve(1)"));
    assert!(page("quorate-serve.1").contains("data\\-dir"));
    assert!(
        page("quorate-status.1").contains("Possible values")
            && !page("quorate-demo.1").contains("Possible values")
    );
    assert!(page("quorate-backup-restore.1").contains("revisions go on"));
}
