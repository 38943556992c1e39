//! Time to live: the same on every node, and unmoved by whoever leads.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::cluster::Cluster;
use crate::patience::{LONG, until};

fn wall_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn assert_gone(cluster: &Cluster) {
    for node in cluster.running() {
        assert_eq!(cluster.ask::<Option<String>>(node, &["GET", "short"]), None);
        assert_eq!(cluster.ask::<i64>(node, &["EXISTS", "short"]), 0);
        assert_eq!(cluster.ask::<i64>(node, &["PTTL", "short"]), -2);
        assert_eq!(cluster.ask::<Option<String>>(node, &["GET", "long"]), Some("v".to_owned()));
    }
}

#[test]
fn a_key_expires_on_every_node_and_no_new_leader_brings_it_back() {
    let mut cluster = Cluster::of(3);
    cluster.tell(0, &["SET", "short", "v", "PX", "4000"]);
    cluster.tell(0, &["SET", "long", "v", "EX", "600"]);
    let expires_ms: u64 = cluster.ask(0, &["PEXPIRETIME", "short"]);
    for node in cluster.running() {
        assert_eq!(cluster.ask::<u64>(node, &["PEXPIRETIME", "short"]), expires_ms);
        assert_eq!(cluster.ask::<Option<String>>(node, &["GET", "short"]), Some("v".to_owned()));
    }

    // A change of leaders before it is due moves nothing.
    let first = cluster.leader();
    cluster.kill(&[first]);
    let node = cluster.leader();
    if wall_ms() + 500 < expires_ms {
        assert_eq!(cluster.ask::<u64>(node, &["PEXPIRETIME", "short"]), expires_ms);
    }
    let limit =
        Duration::from_millis(expires_ms.saturating_sub(wall_ms())) + Duration::from_secs(3);
    until("the key expires", limit, || {
        match cluster.ask::<Option<String>>(node, &["GET", "short"]) {
            None => Ok(()),
            Some(_) => Err(format!("{} ms after its time", wall_ms().saturating_sub(expires_ms))),
        }
    });
    let now_ms = wall_ms();
    assert!(now_ms >= expires_ms, "gone {} ms before its time", expires_ms - now_ms);
    assert_gone(&cluster);

    // Nor does one afterwards: the old leader comes back, the new one dies.
    cluster.restart(first);
    cluster.wait_until_ready();
    assert_gone(&cluster);
    let second = cluster.leader();
    cluster.kill(&[second]);
    assert_gone(&cluster);
    cluster.restart(second);
    cluster.wait_until_ready();
    assert_gone(&cluster);

    // In the end it is not only hidden but gone from every node's own state.
    until("every node has forgotten the key", LONG, || {
        for node in cluster.running() {
            let status = cluster.status(node)?;
            let keys = status.number("/databases/0/keys");
            if keys != 1 {
                return Err(format!("{keys} keys"));
            }
        }
        Ok(())
    });
    cluster.wait_until_equal();
}

#[test]
fn a_key_set_anew_or_made_persistent_outlives_its_first_expiry() {
    let cluster = Cluster::of(3);
    let asked = Instant::now();
    for node in cluster.running() {
        let (anew, kept) = (format!("anew{node}"), format!("kept{node}"));
        cluster.tell(node, &["SET", &anew, "1", "PX", "700"]);
        cluster.tell(node, &["SET", &anew, "2"]);
        cluster.tell(node, &["SET", &kept, "1", "PX", "700"]);
        if cluster.ask::<i64>(node, &["PERSIST", &kept]) == 0 {
            // A machine so slow that it had expired.
            assert!(asked.elapsed() > Duration::from_millis(700));
            cluster.tell(node, &["SET", &kept, "1"]);
        }
    }
    cluster.tell(0, &["SET", "witness", "v", "PX", "700"]);
    until("the witness expires", LONG, || match cluster.ask::<i64>(1, &["EXISTS", "witness"]) {
        0 => Ok(()),
        _ => Err("it exists".to_owned()),
    });
    for node in cluster.running() {
        for other in cluster.running() {
            assert_eq!(cluster.ask::<String>(other, &["GET", &format!("anew{node}")]), "2");
            assert_eq!(cluster.ask::<String>(other, &["GET", &format!("kept{node}")]), "1");
            assert_eq!(cluster.ask::<i64>(other, &["TTL", &format!("kept{node}")]), -1);
        }
    }
}
