//! The majority is lost for good: what survives becomes a new cluster, and says what is lost.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::cluster::{Cluster, ENGINES, Entrance};
use crate::http;
use crate::patience::{LONG, until};
use crate::quorate::{done, json, refused, run};
use crate::tool;

/// Every file below `dir`, with its bytes.
fn content(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type().unwrap().is_dir() {
            found.extend(
                content(&entry.path())
                    .into_iter()
                    .map(|(below, bytes)| (format!("{name}/{below}"), bytes)),
            );
        } else {
            found.insert(name, fs::read(entry.path()).unwrap());
        }
    }
    found
}

fn revision(addr: &str, key: &str) -> u64 {
    let answer = http::get(addr, &format!("/v1/kv/{key}")).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.header("etag").unwrap().trim_matches('"').parse().unwrap()
}

/// Three nodes with these flags, of which only the first one's directory is left.
pub(crate) fn survivor(flags: &[&str]) -> (Cluster, String) {
    let mut cluster = Cluster::with_flags(3, flags);
    // Large enough for a flush or a snapshot where these are made early, and behind it something small.
    cluster.tell(0, &["SET", "large", &"v".repeat(100_000)]);
    for at in 0..100 {
        cluster.tell(at % 3, &["SET", &format!("k{at}"), &at.to_string()]);
    }
    cluster.tell(0, &["SET", "leased", "v", "EX", "10000"]);
    cluster.wait_until_equal();
    let old = cluster.status(0).unwrap().text("/cluster");
    cluster.kill(&[0, 1, 2]);
    (cluster, old)
}

#[test]
fn a_survivor_becomes_a_cluster_that_the_others_join_anew() {
    for flags in ENGINES {
        a_survivor_becomes_a_cluster(flags);
    }
}

/// What is large takes long: then a line says how far it is, and is gone in the end.
fn how_far_it_is_shows_on_a_terminal(dir: &str) {
    if !tool::is_there(&["script", "--version"]) {
        return;
    }
    let command = format!("{} recover --data-dir {dir} --dry-run", env!("CARGO_BIN_EXE_quorate"));
    let said = tool::output_of(&["script", "-qec", &command, "/dev/null"], "", LONG);
    let (bar, found) = said.rsplit_once("\r\u{1b}[K").expect("a bar that is gone in the end");
    assert!(bar.contains("of the snapshot read") || bar.contains("of the log applied"), "{said:?}");
    assert!(found.contains("n1 of cluster") && found.contains("Nothing was changed"), "{said:?}");
}

/// Looks without touching anything; the survivor's last entry.
fn last_of_a_dry_run(dir: &Path, old: &str) -> u64 {
    let text = dir.to_str().unwrap();
    let before = content(dir);
    let said = done(&["recover", "--data-dir", text, "--dry-run"]);
    for words in [
        "n1 of cluster",
        "n2 (",
        "n3 (",
        "last entry",
        "last write",
        "Lost:",
        "Nothing was changed",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    how_far_it_is_shows_on_a_terminal(text);
    let look = json(&["recover", "--data-dir", text, "--dry-run"]);
    assert_eq!(
        (&look["survivor"]["cluster"], &look["survivor"]["keys"]),
        (&old.into(), &102.into())
    );
    assert!(
        look["survivor"]["last"].as_u64() > Some(100)
            && look["survivor"]["term"].as_u64() > Some(0),
        "{look}"
    );
    assert!(look["recovered"].is_null() && content(dir) == before, "a dry run changes nothing");
    assert_eq!(run(&["recover", "--data-dir", text]).code, Some(2));
    look["survivor"]["last"].as_u64().unwrap()
}

fn a_survivor_becomes_a_cluster(flags: &[&str]) {
    let (mut cluster, old) = survivor(flags);
    let dir = cluster.recipe(0).data_dir.clone();
    let text = dir.display().to_string();
    cluster.restart(0);
    until("it answers", LONG, || cluster.status(0));
    // Alone it is no majority; and while it runs, nobody recovers it.
    assert!(
        refused(&["recover", "--data-dir", &text, "--yes"]).contains("in use by another process")
    );
    cluster.kill(&[0]);

    let last = last_of_a_dry_run(&dir, &old);
    let made = json(&["recover", "--data-dir", &text, "--yes"]);
    let new = made["recovered"]["cluster"].as_str().unwrap().to_owned();
    assert_ne!(new, old);
    cluster.restart(0);
    cluster.wait_until_ready();
    let status = cluster.status(0).unwrap();
    assert_eq!((status.text("/cluster"), status.voters()), (new.clone(), vec!["n1".to_owned()]));
    for at in 0..100 {
        assert_eq!(cluster.ask::<String>(0, &["GET", &format!("k{at}")]), at.to_string());
    }
    assert!(cluster.ask::<i64>(0, &["TTL", "leased"]) > 9_000);
    // Whoever holds a revision from before can tell: what is written now is far above it.
    let addr = cluster.addr(0).to_owned();
    let kept = revision(&addr, "k1");
    assert!(kept >> 20 <= last, "what was there keeps its revision");
    cluster.tell(0, &["SET", "k1", "new"]);
    assert!(
        revision(&addr, "k1") >> 20 > last + (1 << 29),
        "{} after {last}",
        revision(&addr, "k1") >> 20
    );
    let answer =
        http::request(&addr, "PUT /v1/kv/k1", &[("If-Match", &format!("\"{kept}\""))], b"x")
            .unwrap();
    assert_eq!(answer.status, 412, "{}", answer.text());

    the_others_come_back_empty(&mut cluster, &new);
}

/// An old member with its old directory is refused; with an empty one it is welcome under its old name.
fn the_others_come_back_empty(cluster: &mut Cluster, new: &str) {
    let addr = cluster.addr(0).to_owned();
    cluster.restart(1);
    cluster.wait_for_log(1, "one of them has the wrong address");
    assert_ne!(cluster.status(1).unwrap().text("/cluster"), new);
    cluster.kill(&[1]);
    for node in [1, 2] {
        fs::remove_dir_all(&cluster.recipe(node).data_dir).unwrap();
        let recipe = cluster.recipe_mut(node);
        let at = recipe.flags.iter().position(|flag| flag == "--join").unwrap();
        addr.clone_into(&mut recipe.flags[at + 1]);
        cluster.restart(node);
    }
    cluster.wait_for_voters(3);
    assert_eq!(cluster.ask::<String>(2, &["GET", "k99"]), "99");
    assert_eq!(cluster.ask::<i64>(2, &["STRLEN", "large"]), 100_000);
    cluster.wait_until_equal();
}

#[test]
fn a_recovery_that_was_interrupted_is_finished_and_nothing_starts_in_between() {
    for flags in ENGINES {
        an_interrupted_recovery_is_finished(flags);
    }
}

fn an_interrupted_recovery_is_finished(flags: &[&str]) {
    let (mut cluster, _) = survivor(flags);
    let dir = cluster.recipe(0).data_dir.clone();
    let text = dir.display().to_string();
    let made = json(&["recover", "--data-dir", &text, "--yes"]);
    let new = made["recovered"]["cluster"].as_str().unwrap().to_owned();
    let at = |name: &str| dir.join(name);
    let aside = |name: &str| dir.join(format!("{name}.before-recovery-{new}"));
    // In the order in which they take their place.
    let state = if aside("engine").exists() { "engine" } else { "snapshots" };
    let parts = ["log", state];
    let kept: Vec<_> = parts.iter().map(|part| aside(part).display().to_string()).collect();
    assert_eq!(made["recovered"]["kept"], serde_json::json!(kept));
    // Each moment at which a crash could have come, the last one first.
    for undone in 1..=2 * parts.len() {
        fs::copy(at("identity"), at("recovering/identity")).unwrap();
        let steps = parts.iter().rev().flat_map(|part| [(part, true), (part, false)]);
        for (part, into_place) in steps.take(undone - 1) {
            if into_place {
                fs::rename(at(part), at(&format!("recovering/{part}"))).unwrap();
            } else {
                fs::rename(aside(part), at(part)).unwrap();
            }
        }
        cluster.restart(0);
        let ended = cluster.wait_for_end(0, LONG);
        assert_eq!(ended.code(), Some(1));
        assert!(cluster.log_text(0).contains("a recovery of"), "{}", cluster.log_text(0));
        let again = json(&["recover", "--data-dir", &text, "--yes"]);
        assert_eq!(again["recovered"], made["recovered"], "{undone}");
        assert!(parts.iter().all(|part| aside(part).exists()), "{undone}");
    }
    cluster.restart(0);
    cluster.wait_until_ready();
    assert_eq!(cluster.ask::<String>(0, &["GET", "k7"]), "7");
    assert_eq!(cluster.ask::<i64>(0, &["STRLEN", "large"]), 100_000);
}

#[test]
fn what_can_not_be_recovered_is_refused_with_the_reason() {
    let mut cluster = Cluster::empty(&[]);
    let dir = cluster.dir().join("nothing");
    let nothing = dir.display().to_string();
    assert!(refused(&["recover", "--data-dir", &nothing, "--dry-run"]).contains("holds no node"));
    assert!(!dir.exists(), "asking makes nothing");
    let waiting = cluster.add(Entrance::Wait);
    cluster.wait_for_log(waiting, "listening on");
    cluster.kill(&[waiting]);
    let dir = cluster.recipe(waiting).data_dir.display().to_string();
    assert!(refused(&["recover", "--data-dir", &dir, "--yes"]).contains("in no cluster"));
}
