//! `Idempotency-Key`: a write sent again takes effect once, whichever node gets it and whoever has died.

use crate::cluster::Cluster;
use crate::http::{self, Answer};
use crate::patience::{LONG, until};

/// Sends a write with an idempotency key until it has an answer that says what became of it.
#[track_caller]
fn write(cluster: &Cluster, node: usize, line: &str, key: &str, body: &str) -> Answer {
    write_with(cluster, node, line, &[("Idempotency-Key", key)], body)
}

#[track_caller]
fn write_with(
    cluster: &Cluster,
    node: usize,
    line: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    until(line, LONG, || {
        let answer = http::request(cluster.addr(node), line, headers, body.as_bytes());
        match answer.map_err(|error| error.to_string())? {
            // The very purpose of the key: to send it again is safe.
            answer if answer.status == 503 => Err(answer.text()),
            answer => Ok(answer),
        }
    })
}

#[test]
fn a_put_sent_twice_takes_effect_once_also_after_the_leaders_death() {
    let mut cluster = Cluster::of(3);
    let leader = cluster.leader();
    let others = cluster.followers();
    let first = write(&cluster, leader, "PUT /v1/kv/pay", "payment-17", "100");
    assert_eq!(first.status, 204);
    let etag = first.header("etag").unwrap().to_owned();
    // Somebody else changes the key: a repetition must not undo that.
    cluster.tell(leader, &["SET", "pay", "200"]);
    let again = |cluster: &Cluster, node: usize| {
        let answer = write(cluster, node, "PUT /v1/kv/pay", "payment-17", "100");
        assert_eq!((answer.status, answer.header("etag")), (204, Some(etag.as_str())));
        assert_eq!(cluster.ask::<String>(node, &["GET", "pay"]), "200");
    };
    for node in cluster.running() {
        again(&cluster, node);
    }
    cluster.kill(&[leader]);
    for &node in &others {
        again(&cluster, node);
    }
    cluster.restart(leader);
    cluster.wait_until_ready();
    again(&cluster, leader);
    let everybody = cluster.running();
    cluster.kill(&everybody);
    everybody.iter().for_each(|&node| cluster.restart(node));
    cluster.wait_until_ready();
    for node in cluster.running() {
        again(&cluster, node);
    }
}

#[test]
fn a_creation_and_a_deletion_sent_twice_get_the_first_answer_again() {
    let mut cluster = Cluster::of(3);
    let leader = cluster.leader();
    let node = cluster.followers()[0];
    // Without the key the second one of each would be refused: these do not repeat by nature.
    let create = |cluster: &Cluster, node: usize, key: &str| {
        let headers = [("Idempotency-Key", key), ("If-None-Match", "*")];
        write_with(cluster, node, "PUT /v1/kv/lock", &headers, "me").status
    };
    let delete = |cluster: &Cluster, node: usize, key: &str| {
        write(cluster, node, "DELETE /v1/kv/lock", key, "").status
    };
    assert_eq!(create(&cluster, leader, "c1"), 201);
    assert_eq!(create(&cluster, node, "c1"), 201);
    assert_eq!(create(&cluster, node, "c2"), 412);
    assert_eq!(delete(&cluster, node, "d1"), 204);
    cluster.kill(&[leader]);
    assert_eq!(create(&cluster, node, "c1"), 201, "remembered by the next leader, too");
    assert_eq!(cluster.ask::<i64>(node, &["EXISTS", "lock"]), 0, "and it created nothing");
    assert_eq!(delete(&cluster, node, "d1"), 204);
    assert_eq!(delete(&cluster, node, "d2"), 404);
}

#[test]
fn a_key_names_one_request_in_every_dialect_and_no_other() {
    let cluster = Cluster::of(3);
    let follower = cluster.followers()[0];
    let writes = [
        ("POST /key", r#"{"k":"1"}"#, r#"{"k":"2"}"#),
        ("POST /store/key", r#"{"key":"k","val":"1"}"#, r#"{"key":"k","val":"2"}"#),
        ("POST /keys/k/", r#"{"value":"1"}"#, r#"{"value":"2"}"#),
        ("PUT /v1/kv/k", "1", "2"),
    ];
    for (number, (line, body, other)) in writes.into_iter().enumerate() {
        let key = format!("key-{number}");
        let first = write(&cluster, follower, line, &key, body);
        assert!((200..300).contains(&first.status), "{line}: {} {}", first.status, first.text());
        cluster.tell(0, &["SET", "k", "changed"]);
        for node in cluster.running() {
            let again = write(&cluster, node, line, &key, body);
            assert_eq!((again.status, &again.body), (first.status, &first.body), "{line}");
            let conflict = write(&cluster, node, line, &key, other);
            assert_eq!(conflict.status, 422, "{line}: {}", conflict.text());
        }
        assert_eq!(cluster.ask::<String>(0, &["GET", "k"]), "changed", "{line}");
    }
}

#[test]
fn a_write_sent_to_all_nodes_at_once_takes_effect_once() {
    let cluster = Cluster::of(3);
    for round in 0..10 {
        let key = format!("round-{round}");
        let line = format!("PUT /v1/kv/once{round}");
        let answers: Vec<Answer> = std::thread::scope(|scope| {
            let send = |node| {
                let (cluster, line, key) = (&cluster, &line, &key);
                let headers = [("Idempotency-Key", key.as_str()), ("If-None-Match", "*")];
                scope.spawn(move || write_with(cluster, node, line, &headers, "v"))
            };
            let sent: Vec<_> = (0..6).map(|number| send(number % 3)).collect();
            sent.into_iter().map(|one| one.join().unwrap()).collect()
        });
        for answer in &answers {
            assert_eq!(answer.status, 201, "{}", answer.text());
            assert_eq!(answer.header("etag"), answers[0].header("etag"));
        }
    }
}
