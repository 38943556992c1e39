//! A node that was away for so long that the others' logs no longer reach back to it.

use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::patience::{measured, say, until};
use crate::writer::Load;

/// The log keeps 1,024 entries behind a snapshot; one by one they take a while.
const LIMIT: Duration = Duration::from_secs(90);

#[test]
fn a_follower_that_was_away_for_long_catches_up_by_a_snapshot_under_load() {
    let mut cluster = Cluster::with_flags(3, &["--snapshot-log-size", "16kb"]);
    let load = Load::start(&cluster, 3);
    load.go_on(20);
    let follower = cluster.followers()[0];
    let have = cluster.status(follower).unwrap().number("/log/last");
    cluster.kill(&[follower]);
    until("the logs no longer reach back to the dead", LIMIT, || {
        for node in cluster.running() {
            let first = cluster.status(node)?.number("/log/first");
            if first <= have + 100 {
                return Err(format!("a log begins at {first}, the dead ends at {have}"));
            }
        }
        Ok(())
    });
    let started = Instant::now();
    cluster.restart(follower);
    until("the follower installs a snapshot", LIMIT, || {
        let status = cluster.status(follower)?;
        match status.number("/snapshot/installed") {
            0 => Err(format!("{status:?}")),
            _ => Ok(()),
        }
    });
    measured("a restarted node had installed a snapshot after", &started.elapsed());
    cluster.wait_until_ready();
    measured("and was ready after", &started.elapsed());
    load.go_on(50);
    let ledger = load.stop();
    say(&ledger.summary());
    ledger.verify(&cluster);
    // What it got by snapshot is as durable as what it wrote itself.
    cluster.kill(&[follower]);
    cluster.restart(follower);
    cluster.wait_until_ready();
    ledger.verify(&cluster);
}

/// 1,024 entries are kept for those who are a little behind; where each is large, that would be gigabytes.
#[test]
fn a_log_of_large_values_is_cut_by_bytes() {
    const VALUES: u64 = 60;
    let cluster = Cluster::with_flags(1, &["--snapshot-log-size", "8mb"]);
    let value = "v".repeat(1 << 20);
    for step in 0..VALUES {
        cluster.tell(0, &["SET", &format!("key{}", step % 2), &value]);
    }
    // 8 MiB behind the last snapshot and 2 MiB before it, and what came while it was made.
    until("the log is cut", LIMIT, || {
        let status = cluster.status(0)?;
        let (first, last) = (status.number("/log/first"), status.number("/log/last"));
        if last - first < VALUES / 2 { Ok(()) } else { Err(format!("{first} to {last}")) }
    });
}
