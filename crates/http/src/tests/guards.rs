//! Host, password and Origin.

use super::node::Node;
use super::world::{Answer, World};
use crate::Options;

fn to(host: &str, options: Options) -> u16 {
    let request = format!("GET /key/a HTTP/1.1\r\n{host}\r\n");
    let answers = Answer::all(&World::with(Node::new(), options).raw(request.as_bytes()), false);
    answers[0].status
}

#[test]
fn addresses_localhost_and_own_names_are_answered() {
    for host in ["127.0.0.1:7000", "10.1.2.3", "[::1]:7000", "localhost:7000", "LOCALHOST"] {
        assert_eq!(to(&format!("Host: {host}\r\n"), Options::new("")), 200, "{host}");
    }
    let options = Options { hosts: vec!["node1:7000".to_owned()], ..Options::new("") };
    assert_eq!(to("Host: Node1:11000\r\n", options), 200);
}

#[test]
fn a_rebound_name_is_misdirected() {
    let request = "GET /key/a HTTP/1.1\r\nHost: evil.example:7000\r\n\r\n";
    let mut world = World::new();
    let problem =
        Answer::all(&world.raw(request.as_bytes()), false)[0].problem(421, "foreign-host");
    assert!(problem["detail"].as_str().unwrap().contains("evil.example"));
    assert!(world.node.calls.is_empty());
}

#[test]
fn a_missing_doubled_or_malformed_host_is_bad() {
    for host in ["", "Host: a b\r\n", "Host:\r\n", "Host: 127.0.0.1\r\nHost: localhost\r\n"] {
        assert_eq!(to(host, Options::new("")), 400, "{host:?}");
    }
}

#[test]
fn http_1_0_needs_no_host() {
    let answer = World::new().raw(b"GET /key/a HTTP/1.0\r\n\r\n");
    assert_eq!(Answer::all(&answer, false)[0].exact(), (200, r#"{"a":""}"#));
}

#[test]
fn a_page_of_another_site_can_not_write() {
    let mut world = World::new();
    for header in [
        "Origin: http://evil.example",
        "Origin: null",
        "Origin: http://127.0.0.1:8000",
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
    ] {
        for (line, body) in [
            ("POST /key", r#"{"a":"b"}"#),
            ("POST /n/key", r#"{"key":"a","val":"b"}"#),
            ("POST /keys/a/", r#"{"value":"b"}"#),
            ("PUT /v1/kv/a", "b"),
            ("DELETE /v1/kv/a", ""),
            ("DELETE /key/a", ""),
            ("POST /join", r#"{"addr":"a:1"}"#),
            ("POST /v1/cluster/transfer", ""),
        ] {
            world.send(line, &[header], body.as_bytes()).problem(403, "foreign-origin");
        }
    }
    assert!(world.node.calls.is_empty() && world.node.administered.is_empty());
}

#[test]
fn our_own_pages_and_programs_write_and_anyone_reads() {
    let mut world = World::new();
    let own = ["Origin: http://127.0.0.1:7000", "Sec-Fetch-Site: same-origin"];
    assert_eq!(world.send("PUT /v1/kv/a", &own, b"v").status, 204);
    assert_eq!(world.send("PUT /v1/kv/a", &["Sec-Fetch-Site: none"], b"v").status, 204);
    let foreign = world.send("GET /v1/kv/a", &["Origin: http://evil.example"], b"");
    assert_eq!(foreign.status, 200);
    assert_eq!(foreign.header("access-control-allow-origin"), None);
    assert_eq!(foreign.header("cross-origin-resource-policy"), Some("same-origin"));
    let preflight = ["Origin: http://evil.example", "Access-Control-Request-Method: PUT"];
    world.send("OPTIONS /v1/kv/a", &preflight, b"").problem(405, "method-not-allowed");
}

fn locked() -> World {
    let options = Options { password: Some("secret".to_owned()), ..Options::new("") };
    World::with(Node::new(), options)
}

#[test]
fn a_password_is_asked_for_everywhere_but_at_livez() {
    let mut world = locked();
    for line in
        ["GET /", "GET /key/a", "GET /readyz", "GET /metrics", "GET /nowhere", "PUT /v1/kv/a"]
    {
        let answer = world.get(line);
        answer.problem(401, "unauthorized");
        let challenge = answer.header("www-authenticate");
        assert_eq!(challenge, Some("Basic realm=\"quorate\", charset=\"UTF-8\""));
    }
    assert_eq!(world.get("GET /livez").exact(), (200, "ok\n"));
    assert!(world.node.calls.is_empty());
}

#[test]
fn the_password_opens_under_any_user_name() {
    let mut world = locked();
    // default:secret, anyone:secret, :secret
    for credentials in ["ZGVmYXVsdDpzZWNyZXQ=", "YW55b25lOnNlY3JldA==", "OnNlY3JldA=="] {
        let header = format!("Authorization: Basic {credentials}");
        assert_eq!(world.send("GET /key/a", &[&header], b"").status, 200, "{credentials}");
    }
    // default:Secret, default:, not base64
    for credentials in ["ZGVmYXVsdDpTZWNyZXQ=", "ZGVmYXVsdDo=", "????"] {
        let header = format!("Authorization: Basic {credentials}");
        world.send("GET /key/a", &[&header], b"").problem(401, "unauthorized");
    }
}

#[test]
fn the_password_stays_out_of_debug_output() {
    let options = Options { password: Some("secret".to_owned()), ..Options::new("") };
    assert!(!format!("{options:?}").contains("secret"));
    assert!(!format!("{:?}", locked().server).contains("secret"));
}
