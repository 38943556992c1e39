//! The ancestors' curl lines, letter by letter, and `/v1`, against the leader and a follower.

use std::time::Duration;

use crate::cluster::Cluster;
use crate::tool;

const LIMIT: Duration = Duration::from_secs(15);

/// The status and the body that curl gets for a line of arguments, in which HOST stands for the node.
fn curl(cluster: &Cluster, node: usize, arguments: &[&str]) -> (u16, String) {
    let arguments: Vec<_> =
        arguments.iter().map(|argument| argument.replace("HOST", cluster.addr(node))).collect();
    let mut command = vec!["curl", "--silent", "--show-error", "--write-out", "\n%{http_code}"];
    command.extend(arguments.iter().map(String::as_str));
    let said = tool::output_of(&command, "", LIMIT);
    let (body, status) = said.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), body.to_owned())
}

fn ok(body: &str) -> (u16, String) {
    (200, body.to_owned())
}

/// Runs `talk` with a cluster and the leader, then with a follower.
fn on_leader_and_follower(talk: fn(&Cluster, usize)) {
    if !tool::is_there(&["curl", "--version"]) {
        return;
    }
    let cluster = Cluster::of(3);
    talk(&cluster, cluster.leader());
    talk(&cluster, cluster.followers()[0]);
}

#[test]
fn hraftd_curl_lines_work_on_any_node() {
    on_leader_and_follower(|cluster, node| {
        let curl = |arguments: &[&str]| curl(cluster, node, arguments);
        assert_eq!(curl(&["-XPOST", "HOST/key", "-d", r#"{"user1": "batman"}"#]), ok(""));
        assert_eq!(curl(&["-XGET", "HOST/key/user1"]), ok(r#"{"user1":"batman"}"#));
        assert_eq!(curl(&["-XPOST", "HOST/key", "-d", r#"{"a":"1","b":"zwei ü"}"#]), ok(""));
        assert_eq!(curl(&["HOST/key/b"]), ok(r#"{"b":"zwei ü"}"#));
        assert_eq!(curl(&["-XDELETE", "HOST/key/user1"]), ok(""));
        assert_eq!(curl(&["-XDELETE", "HOST/key/user1"]), ok(""));
        assert_eq!(curl(&["HOST/key/user1"]), ok(r#"{"user1":""}"#));
        for wrong in ["", "[]", "nonsense", r#"{"a":1}"#, r#"{"a":{"b":"c"}}"#] {
            assert_eq!(curl(&["-XPOST", "HOST/key", "-d", wrong]).0, 400, "{wrong}");
        }
        for wrong in ["{}", "nonsense", r#"{"addr":1}"#, r#"{"addr":"a:1","other":"b"}"#] {
            assert_eq!(curl(&["-XPOST", "HOST/join", "-d", wrong]).0, 400, "{wrong}");
        }
        let (status, body) = curl(&["HOST/xdr/log/999999999"]);
        assert_eq!(status, 404, "{body}");
    });
}

#[test]
fn hraftd_status_and_log_are_readable_on_any_node() {
    on_leader_and_follower(|cluster, node| {
        let (status, body) = curl(cluster, node, &["HOST/status"]);
        assert_eq!(status, 200);
        let view: serde_json::Value = serde_json::from_str(&body).unwrap();
        let leader = cluster.leader();
        assert_eq!(view["me"]["id"], cluster.recipe(node).name.as_str());
        assert_eq!(view["me"]["address"], cluster.addr(node));
        assert_eq!(view["leader"]["id"], cluster.recipe(leader).name.as_str());
        assert_eq!(view["leader"]["address"], cluster.addr(leader));
        let followers = view["followers"].as_array().unwrap().iter();
        let mut followers: Vec<_> = followers.filter_map(|it| it["id"].as_str()).collect();
        followers.sort_unstable();
        let expected = cluster.followers().into_iter().map(|it| cluster.recipe(it).name.as_str());
        assert_eq!(followers, expected.collect::<Vec<_>>());

        cluster.tell(node, &["SET", "logged", "v"]);
        let index = cluster.status(node).unwrap().number("/applied");
        let (status, line) = curl(cluster, node, &[&format!("HOST/xdr/log/{index}")]);
        assert_eq!(status, 200, "{line}");
        let words: Vec<_> = line.split(' ').collect();
        assert_eq!([words[0], words[2], words[4], words[6]], ["i", "t", "t", "d"], "{line}");
        assert_eq!(words[1], index.to_string(), "{line}");
    });
}

#[test]
fn huffleraft_curl_lines_work_on_any_node() {
    on_leader_and_follower(|cluster, node| {
        let curl = |arguments: &[&str]| curl(cluster, node, arguments);
        assert_eq!(
            curl(&["-XPOST", "HOST/store1/key", "-d", r#"{"key": "yes", "val": "no"}"#]),
            ok("")
        );
        assert_eq!(curl(&["HOST/store1/key/yes"]), ok(r#"{"key":"yes","val":"no"}"#));
        assert_eq!(curl(&["HOST/another/key/yes"]), ok(r#"{"key":"yes","val":"no"}"#));
        assert_eq!(curl(&["-XDELETE", "HOST/store1/key/yes"]), ok(""));
        assert_eq!(curl(&["HOST/store1/key/yes"]), ok(r#"{"key":"yes","val":""}"#));
        assert_eq!(curl(&["-XPOST", "HOST/store1/key", "-d", r#"{"key":"yes"}"#]).0, 400);
        assert_eq!(curl(&["-XPOST", "HOST/store1/join", "-d", r#"{"address":"a:1"}"#]).0, 400);
    });
}

#[test]
fn raft_kv_example_curl_lines_work_on_any_node() {
    on_leader_and_follower(|cluster, node| {
        let curl = |arguments: &[&str]| curl(cluster, node, arguments);
        let json = "Content-Type: application/json";
        let set = ["http://HOST/keys/some-key/", "-H", json, "-d", r#"{"value": "some-value"}"#];
        assert_eq!(curl(&set), ok(r#"{"value":"some-value"}"#));
        assert_eq!(curl(&["http://HOST/keys/some-key/"]), ok(r#"{"value":"some-value"}"#));
        assert_eq!(curl(&["http://HOST/keys/some-key"]), ok(r#"{"value":"some-value"}"#));
        assert_eq!(curl(&["http://HOST/keys/missing/"]), ok(r#"{"value":""}"#));
        assert_eq!(curl(&["http://HOST/keys/some-key/", "-d", "nonsense"]).0, 400);
        assert_eq!(curl(&["http://HOST/cluster/join/", "-d", r#"{"addr":"a:1"}"#]).0, 400);
    });
}

#[test]
fn the_v1_curl_lines_work_on_any_node() {
    on_leader_and_follower(|cluster, node| {
        let curl = |arguments: &[&str]| curl(cluster, node, arguments);
        let url = "HOST/v1/kv/users/batman/photo";
        assert_eq!(curl(&["-X", "PUT", "--data-binary", "a\nb", url]).0, 204);
        assert_eq!(curl(&[url]), ok("a\nb"));
        assert_eq!(curl(&["HOST/v1/kv/users%2Fbatman%2Fphoto"]), ok("a\nb"));
        assert_eq!(curl(&["-X", "DELETE", url]).0, 204);
        assert_eq!(curl(&["-X", "DELETE", url]).0, 404);
        assert_eq!(curl(&[url]).0, 404);
        assert_eq!(curl(&["-X", "PUT", "-d", "online", "HOST/v1/kv/sessions/42?ttl=30s"]).0, 204);
        let (_, head) = curl(&["-i", "HOST/v1/kv/sessions/42"]);
        assert!(head.to_lowercase().contains("quorate-expires-at-ms: "), "{head}");
        let etag = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap();
        assert_eq!(
            curl(&[
                "-X",
                "PUT",
                "-H",
                &format!("If-Match: {etag}"),
                "-d",
                "1",
                "HOST/v1/kv/sessions/42"
            ])
            .0,
            204
        );
        assert_eq!(
            curl(&[
                "-X",
                "PUT",
                "-H",
                &format!("If-Match: {etag}"),
                "-d",
                "2",
                "HOST/v1/kv/sessions/42"
            ])
            .0,
            412
        );
        assert_eq!(
            curl(&["-X", "PUT", "-H", "If-None-Match: *", "-d", "2", "HOST/v1/kv/sessions/42"]).0,
            412
        );
        assert_eq!(
            curl(&["-X", "PUT", "-d", "x", "HOST/v1/kv/a?tll=5s"]).0,
            400,
            "a mistyped parameter"
        );
        assert_eq!(curl(&["HOST/v1/kv/sessions/42?consistency=stale&max_staleness=2s"]), ok("1"));
        assert_eq!(curl(&["-f", "HOST/readyz?verbose"]).0, 200);
        assert!(curl(&["HOST/metrics"]).1.contains("quorate_"));
        assert_eq!(curl(&["HOST/v1/cluster"]).0, 200);
    });
}

#[test]
fn all_dialects_see_the_same_keys_and_none_shows_a_binary_value_wrongly() {
    on_leader_and_follower(|cluster, node| {
        let curl = |arguments: &[&str]| curl(cluster, node, arguments);
        cluster.tell(node, &["SET", "shared", "value"]);
        assert_eq!(curl(&["HOST/key/shared"]), ok(r#"{"shared":"value"}"#));
        assert_eq!(curl(&["HOST/any/key/shared"]), ok(r#"{"key":"shared","val":"value"}"#));
        assert_eq!(curl(&["HOST/keys/shared/"]), ok(r#"{"value":"value"}"#));
        assert_eq!(curl(&["HOST/v1/kv/shared"]), ok("value"));

        let mut link = crate::client::connect(cluster.addr(node)).unwrap();
        redis::cmd("SET").arg("binary").arg(&[0xff_u8, 0xfe]).query::<()>(&mut link).unwrap();
        for path in ["HOST/key/binary", "HOST/any/key/binary", "HOST/keys/binary/"] {
            let (status, body) = curl(&[path]);
            assert_eq!(status, 409, "{path}: {body}");
            assert!(body.contains("/v1/kv"), "{body}");
        }
        assert_eq!(curl(&["HOST/v1/kv/binary"]).0, 200);
    });
}
