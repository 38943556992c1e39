//! `quorate backup`: out of a cluster that goes on, into a new one.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::cluster::{Cluster, ENGINES, Entrance, ON_DISK};
use crate::http;

/// What the binary says.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

/// Runs the binary.
pub(crate) fn quorate(words: &[&str]) -> Said {
    quorate_with(words, b"")
}

/// Runs the binary, with `input` at its standard input.
fn quorate_with(words: &[&str], input: &[u8]) -> Said {
    let mut command = crate::quorate::command(words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        // What has seen enough reads no further.
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output().unwrap()
    });
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    Said { code: output.status.code(), out: output.stdout, err }
}

/// Runs the binary, which must succeed; its JSON.
pub(crate) fn quorate_json(words: &[&str]) -> Value {
    let said = quorate(&[words, &["--output", "json"]].concat());
    assert_eq!(said.code, Some(0), "{words:?}: {}", said.err);
    serde_json::from_slice(&said.out).unwrap()
}

/// Runs the binary, which must refuse; why.
pub(crate) fn refused(words: &[&str]) -> String {
    let said = quorate(words);
    assert_eq!(said.code, Some(1), "{words:?}: {}", said.err);
    assert!(!said.err.contains("panicked"), "{}", said.err);
    said.err
}

fn path(dir: &Path, name: &str) -> String {
    dir.join(name).to_str().unwrap().to_owned()
}

fn revision(cluster: &Cluster, key: &str) -> u64 {
    let answer = http::get(cluster.addr(0), &format!("/v1/kv/{key}")).unwrap();
    let tag = answer.header("etag").unwrap_or_default().to_owned();
    tag.trim_matches('"').parse().unwrap_or_else(|_| panic!("no revision in {tag:?}"))
}

#[test]
fn a_backup_under_load_becomes_a_new_cluster_of_three() {
    for flags in ENGINES {
        a_backup_becomes_a_new_cluster(flags);
    }
}

fn a_backup_becomes_a_new_cluster(flags: &[&str]) {
    let engine = if flags == ON_DISK { "disk" } else { "memory" };
    let dir = tempfile::tempdir().unwrap();
    let (file, data) = (path(dir.path(), "backup"), path(dir.path(), "n1"));
    let old = Cluster::with_flags(3, flags);
    for n in 0..50 {
        old.tell(n % 3, &["SET", &format!("k{n}"), &"v".repeat(n * 1000)]);
    }
    old.tell(0, &["SET", "brief", "v", "EX", "1000"]);
    let stop = AtomicBool::new(false);
    let (before, created, after) = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                old.tell(1, &["INCR", "counter"]);
            }
        });
        old.tell(0, &["SET", "started", "1"]);
        let before: i64 = old.ask(0, &["INCR", "counter"]);
        let created = quorate_json(&["backup", "create", &file, "--addr", old.addr(2)]);
        let after: i64 = old.ask(0, &["INCR", "counter"]);
        stop.store(true, Ordering::Relaxed);
        load.join().unwrap();
        (before, created, after)
    });
    let verified = quorate_json(&["backup", "verify", &file]);
    assert_eq!(verified["index"], created["index"]);
    let (taken, written) = (&verified["taken_at_ms"], &verified["last_write_ms"]);
    assert_eq!((taken, written), (&created["taken_at_ms"], &created["last_write_ms"]));
    let apart = taken.as_i64().unwrap() - written.as_i64().unwrap();
    assert!(apart.abs() < 60_000, "both are now: {verified}");
    let shown = String::from_utf8(quorate(&["backup", "verify", &file]).out).unwrap();
    let line = shown.lines().find_map(|line| line.strip_prefix("taken at ")).expect("a line");
    assert!(line.contains(" UTC, ") && line.ends_with(" ago"), "{shown}");
    assert_eq!(verified["keys"], 53);
    assert_eq!(verified["bytes"], fs::metadata(&file).unwrap().len());
    old.tell(0, &["SET", "later", "1"]);
    let late = revision(&old, "later");

    let restore = ["backup", "restore", &file, "--data-dir", &data, "--id", "n1"];
    let restored = quorate_json(&[&restore[..], &["--engine", engine]].concat());
    assert_ne!(restored["new_cluster"], restored["cluster"]);
    assert_eq!((&restored["keys"], &restored["engine"]), (&53.into(), &engine.into()));
    let mut new = Cluster::empty(if flags.is_empty() { &["--engine", "memory"] } else { flags });
    new.add_as(Entrance::Wait, |recipe| recipe.data_dir = data.into());
    new.wait_until_ready();
    new.add(Entrance::Join);
    new.add(Entrance::Join);
    new.wait_until_ready();
    for n in 0..50 {
        let value: String = new.ask(n % 3, &["GET", &format!("k{n}")]);
        assert_eq!(value.len(), n * 1000);
    }
    let ttl: i64 = new.ask(2, &["TTL", "brief"]);
    assert!((1..=1000).contains(&ttl), "{ttl}");
    let counter: i64 = new.ask(1, &["GET", "counter"]);
    assert!((before..after).contains(&counter), "{before} <= {counter} < {after}");
    assert_eq!(new.ask::<i64>(2, &["EXISTS", "later"]), 0);
    new.tell(2, &["SET", "later", "2"]);
    assert!(revision(&new, "later") > late, "nobody can take one write for the other");
}

/// What a backup holds behind its header, which says when it was made.
fn behind_header(file: &str) -> Vec<u8> {
    let bytes = fs::read(file).unwrap();
    let length = u32::from_le_bytes(bytes[12..16].try_into().unwrap());
    bytes[20 + length as usize..].to_vec()
}

#[test]
fn nodes_of_both_engines_make_the_same_backup_of_the_same_index() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::empty(&[]);
    cluster.add_with_flags(Entrance::Bootstrap, &["--engine", "memory"]);
    cluster.add_with_flags(Entrance::Join, ON_DISK);
    cluster.add_with_flags(Entrance::Join, &["--engine", "memory"]);
    cluster.wait_for_voters(3);
    // Several flushes, with values that the disk engine keeps apart, overwrites and deletions.
    for n in 0..120 {
        let value = "v".repeat(1 + n * 60);
        cluster.tell(n % 3, &["SET", &format!("k{}", n % 90), &value]);
        if n % 7 == 0 {
            cluster.tell(n % 3, &["DEL", &format!("k{}", n / 2)]);
        }
    }
    cluster.tell(0, &["SET", "brief", "v", "EX", "1000"]);
    for attempt in 0.. {
        let files = [0, 1, 2].map(|node| {
            let file = path(dir.path(), &format!("{attempt}-{node}"));
            (quorate_json(&["backup", "create", &file, "--addr", cluster.addr(node)]), file)
        });
        let [(one, file), (on_disk, disk_file), (other, other_file)] = files;
        if one["index"] == other["index"] && one["index"] == on_disk["index"] {
            let bytes = behind_header(&file);
            assert!(bytes == behind_header(&other_file), "two nodes of one engine");
            assert!(bytes == behind_header(&disk_file), "memory and disk");
            break;
        }
        assert!(attempt < 20, "the state does not come to rest");
    }
}

#[test]
fn what_comes_through_a_pipe_is_restored_or_leaves_no_member() {
    let dir = tempfile::tempdir().unwrap();
    let file = path(dir.path(), "backup");
    let cluster = Cluster::of(1);
    for n in 0..200 {
        // Hardly to be compressed: several blocks.
        let value: String = (0..20_000_u32)
            .map(|at| char::from(b'a' + (at.wrapping_mul(2_654_435_761 + n) >> 24) as u8 % 26))
            .collect();
        cluster.tell(0, &["SET", &format!("k{n}"), &value]);
    }
    quorate_json(&["backup", "create", &file, "--addr", cluster.addr(0)]);
    let whole = fs::read(&file).unwrap();
    for engine in ["memory", "disk"] {
        let data = path(dir.path(), engine);
        let words =
            ["backup", "restore", "-", "--data-dir", &data, "--id", "n1", "--engine", engine];
        for at in [whole.len() / 2, whole.len() - 3] {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            let said = quorate_with(&words, &bytes);
            assert_eq!(said.code, Some(1), "{}", said.err);
            assert!(said.err.contains("damaged"), "{}", said.err);
            let left = quorate_json(&["inspect", "engine", "--data-dir", &data]);
            assert_eq!(left["owner"]["node"], 0, "{engine}: byte {at}: {left}");
            assert_eq!((&left["applied"], &left["members"]), (&0.into(), &serde_json::json!([])));
        }
        let said = quorate_with(&words, &whole);
        assert_eq!(said.code, Some(0), "{}", said.err);
        let shown = quorate_json(&["inspect", "engine", "--data-dir", &data]);
        assert_eq!(
            (&shown["engine"], &shown["databases"][0]["keys"]),
            (&engine.into(), &200.into())
        );
    }
}

#[test]
fn what_is_broken_or_foreign_is_refused_before_anything_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    let (file, data) = (path(dir.path(), "backup"), path(dir.path(), "n1"));
    let mut cluster = Cluster::of(1);
    cluster.tell(0, &["SET", "k", &"v".repeat(100_000)]);
    // To standard output it is the file, and nothing else.
    let said = quorate(&["backup", "create", "-", "--addr", cluster.addr(0)]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    fs::write(&file, &said.out).unwrap();
    quorate_json(&["backup", "verify", &file]);
    let again = refused(&["backup", "create", &file, "--addr", cluster.addr(0)]);
    assert!(again.contains("replaces nothing"), "{again}");
    assert!(fs::read(&file).unwrap() == said.out);

    let bad = path(dir.path(), "bad");
    let restore = ["backup", "restore", &bad, "--data-dir", &data, "--id", "n1"];
    let len = said.out.len();
    for at in [9, 20, 40, len / 2, len - 20, len - 1] {
        let mut bytes = said.out.clone();
        bytes[at] ^= 0x10;
        fs::write(&bad, bytes).unwrap();
        let (why, restored) = (refused(&["backup", "verify", &bad]), refused(&restore));
        assert!(why.contains("damaged") || why.contains("format"), "byte {at}: {why}");
        assert_eq!(why, restored);
    }
    fs::write(&bad, &said.out[..len - 7]).unwrap();
    assert!(refused(&restore).contains("ends early"));
    fs::write(&bad, b"REDIS0011 and so on").unwrap();
    assert!(refused(&restore).contains("no backup of Quorate"));
    assert_eq!(
        quorate(&["backup", "restore", &file, "--data-dir", &data, "--id", "n 1"]).code,
        Some(2)
    );
    assert!(!Path::new(&data).exists(), "it made a directory");

    assert_eq!(cluster.terminate(0).code(), Some(0));
    let none = path(dir.path(), "none");
    let nobody = refused(&["backup", "create", &none, "--addr", cluster.addr(0)]);
    assert!(nobody.contains(cluster.addr(0)), "{nobody}");
    let occupied = cluster.recipe(0).data_dir.to_str().unwrap().to_owned();
    let why = refused(&["backup", "restore", &file, "--data-dir", &occupied, "--id", "n1"]);
    assert!(why.contains("belongs to a node already"), "{why}");
    assert!(!Path::new(&none).exists());
    let partial = fs::read_dir(dir.path())
        .unwrap()
        .any(|entry| entry.unwrap().file_name().to_string_lossy().contains("partial"));
    assert!(!partial, "a failed backup leaves nothing");
}
