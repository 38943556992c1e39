//! Bytes of the disk engine's tables that are wrong: never answered with, never sent on, and gone after a restart.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use crate::backup::refused;
use crate::client::Outcome;
use crate::cluster::{Cluster, ON_DISK};
use crate::engine::flushes;
use crate::patience::{LONG, say, until};

const KEYS: usize = 3000;

fn value() -> String {
    "v".repeat(700)
}

/// Three nodes on disk, all of which have most of [`KEYS`] in tables.
fn cluster_with_tables() -> Cluster {
    let cluster = Cluster::with_flags(3, ON_DISK);
    for n in 0..KEYS {
        cluster.tell(0, &["SET", &format!("key{n}"), &value()]);
    }
    for node in 0..3 {
        until("each has flushed", LONG, || match flushes(&cluster, node) {
            0..3 => Err("it has not".to_owned()),
            _ => Ok(()),
        });
    }
    cluster
}

/// Flips bits in the first half of each of a node's tables, where their records are.
#[track_caller]
fn damage_tables(cluster: &Cluster, node: usize) {
    let mut damaged = 0;
    let engine = cluster.recipe(node).data_dir.join("engine");
    for state in std::fs::read_dir(&engine).unwrap().map(|entry| entry.unwrap().path()) {
        let Ok(tables) = std::fs::read_dir(state.join("tables")) else { continue };
        for table in tables.map(|entry| entry.unwrap().path()) {
            // A table that compaction has removed meanwhile needs no damage.
            let Ok(mut bytes) = std::fs::read(&table) else { continue };
            let middle = bytes.len() / 2;
            bytes.iter_mut().take(middle).skip(100).for_each(|byte| *byte ^= 0x55);
            // In place: who has it open is to see it, too.
            let Ok(file) = OpenOptions::new().write(true).open(&table) else { continue };
            file.write_all_at(&bytes, 0).unwrap();
            damaged += 1;
        }
    }
    assert!(damaged > 0, "it has no tables");
}

/// `node` must end by itself, and be as the others are when it was started again.
fn ends_and_is_healed(cluster: &mut Cluster, node: usize) {
    until("who met damage ends", LONG, || match cluster.has_ended(node) {
        true => Ok(()),
        false => Err("it goes on".to_owned()),
    });
    cluster.forget_ended(node);
    cluster.restart(node);
    cluster.wait_until_ready();
    cluster.wait_for_log(node, "damage found");
    for n in [0, KEYS / 2, KEYS - 1] {
        assert_eq!(cluster.ask::<String>(node, &["GET", &format!("key{n}")]), value());
    }
    cluster.wait_until_equal();
}

#[test]
fn a_node_that_reads_damage_from_its_disk_comes_back_without_it() {
    let mut cluster = cluster_with_tables();
    let victim = cluster.followers()[0];
    cluster.kill(&[victim]);
    damage_tables(&cluster, victim);
    cluster.restart(victim);
    // Whether it notices at the start or by a read: it ends, or sets everything aside; and never answers
    // with what it should not.
    for n in 0..200 {
        if cluster.has_ended(victim) {
            say("it stopped by itself");
            cluster.forget_ended(victim);
            cluster.restart(victim);
        }
        let (outcome, _) = cluster.try_once(victim, &["GET", &format!("key{n}")]);
        if let Outcome::Done(found) = outcome {
            assert_eq!(found, redis::Value::BulkString(value().into_bytes()));
        }
    }
    cluster.wait_until_ready();
    cluster.wait_for_log(victim, "damage found");
    assert_eq!(cluster.ask::<String>(victim, &["GET", "key2999"]), value());
    cluster.wait_until_equal();
}

#[test]
fn a_node_that_meets_damage_while_a_backup_is_made_of_it_ends_and_the_backup_is_refused() {
    let mut cluster = cluster_with_tables();
    let victim = cluster.leader();
    damage_tables(&cluster, victim);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("backup");
    let file = file.to_str().unwrap();
    say(&refused(&["backup", "create", file, "--addr", cluster.addr(victim)]));
    assert!(!std::fs::exists(file).unwrap(), "half a backup is none");
    ends_and_is_healed(&mut cluster, victim);
}

#[test]
fn a_leader_that_meets_damage_while_it_sends_its_state_ends_and_another_one_sends_its_own() {
    let mut cluster = cluster_with_tables();
    let victim = cluster.leader();
    let away = cluster.followers()[0];
    let have = cluster.status(away).unwrap().number("/log/last");
    cluster.kill(&[away]);
    until("the logs no longer reach back to the dead", 3 * LONG, || {
        for n in 0..100 {
            cluster.tell(victim, &["SET", &format!("key{n}"), &value()]);
        }
        for node in cluster.running() {
            let first = cluster.status(node)?.number("/log/first");
            if first <= have + 100 {
                return Err(format!("a log begins at {first}, the dead ends at {have}"));
            }
        }
        Ok(())
    });
    damage_tables(&cluster, victim);
    cluster.restart(away);
    until("the leader has ended", LONG, || match cluster.has_ended(victim) {
        true => Ok(()),
        false => Err("it goes on".to_owned()),
    });
    until("who was away has the other one's state", 3 * LONG, || {
        match cluster.status(away)?.number("/snapshot/installed") {
            0 => Err("not yet".to_owned()),
            _ => Ok(()),
        }
    });
    cluster.tell(away, &["SET", "afterwards", "v"]);
    ends_and_is_healed(&mut cluster, victim);
}
