//! Health, metrics, the index and its documents.

use quorate_api::status::Role;
use quorate_api::{Error, Status};

use super::world::World;

#[test]
fn livez_needs_no_quorum() {
    let mut world = World::new();
    world.node.status.leader = 0;
    world.node.status.role = Role::Waiting;
    assert_eq!(world.get("GET /livez").exact(), (200, "ok\n"));
}

#[test]
fn livez_fails_when_only_a_restart_helps() {
    let mut world = World::new();
    world.node.status.role = Role::Stopped;
    world.node.status.stopped = Some("fsync failed".to_owned());
    let problem = world.get("GET /livez").problem(503, "stopped");
    assert!(problem["detail"].as_str().unwrap().contains("fsync failed"));
}

#[test]
fn readyz_says_on_request_what_it_found() {
    let mut world = World::new();
    assert_eq!(world.get("GET /readyz").exact(), (200, "ok\n"));
    world.node.status.read_only = Some("the disk is full".to_owned());
    let lines = "[+] running: running\n[+] member: leader\n[+] leader: node1\n\
                 [+] caught-up: 0 entries to apply\n[+] writable: reads only: the disk is full\n\
                 [+] current: reads see every write\nok\n";
    assert_eq!(world.get("GET /readyz?verbose").exact(), (200, lines));
}

#[test]
fn readyz_does_not_say_that_writes_are_accepted_when_memory_is_full() {
    let mut world = World::new();
    let status = &mut world.node.status;
    (status.engine_memory_bytes, status.max_memory_bytes) = (1001, 1000);
    let answer = world.get("GET /readyz?verbose");
    let told = answer.text();
    assert!(told.contains("[+] writable: writes that grow the data are refused"), "{told}");
    assert!(!told.contains("writes are accepted"), "{told}");
}

#[test]
fn readyz_needs_a_read_that_sees_every_write() {
    let mut world = World::new();
    world.node.failure = Some(Error::not_applied("no majority"));
    let problem = world.get("GET /readyz").problem(503, "not-ready");
    let checks = problem["checks"].as_array().unwrap();
    let failed = checks.iter().filter(|it| it["ok"] == false).map(|it| &it["name"]);
    assert_eq!(failed.collect::<Vec<_>>(), ["writable", "current"]);
    assert!(!problem.to_string().contains("writes are accepted"), "{problem}");
}

#[test]
fn readyz_needs_a_leader_a_member_and_an_applied_log() {
    type Spoil = fn(&mut Status);
    let spoilers: [(Spoil, &str); 4] = [
        (|status| status.leader = 0, "leader"),
        (|status| status.role = Role::Waiting, "member"),
        (|status| status.role = Role::Stopped, "running"),
        (|status| status.commit = 1_000_000, "caught-up"),
    ];
    for (spoil, name) in spoilers {
        let mut world = World::new();
        spoil(&mut world.node.status);
        let answer = world.get("GET /readyz");
        let problem = answer.problem(503, "not-ready");
        let failed = problem["checks"].as_array().unwrap().iter().find(|it| it["ok"] == false);
        assert_eq!(failed.unwrap()["name"], name);
        assert_eq!(problem.to_string().contains("writes are accepted"), name == "caught-up");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
}

#[test]
fn metrics_are_in_the_text_format_with_help_and_type() {
    let mut world = World::new();
    world.get("GET /key/a");
    let answer = world.get("GET /metrics");
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = answer.text();
    for line in [
        "# HELP quorate_applied_index Highest applied log index.",
        "# TYPE quorate_applied_index gauge",
        "quorate_applied_index 42",
        "# TYPE quorate_writes_total counter",
        "quorate_info{version=\"1.2.3\",id=\"node1\",cluster=\"c0ffee\",engine=\"memory\"} 1",
        "quorate_role{role=\"leader\"} 1",
        "quorate_role{role=\"follower\"} 0",
        "quorate_member_lag_entries{member=\"node3\"} 0",
        "quorate_keys{db=\"0\"} 7",
        "quorate_keys_with_expiry{db=\"0\"} 2",
        "quorate_log_fsync_p99_seconds 0.001500",
        "quorate_uptime_seconds 61.005",
        "quorate_http_responses_total{class=\"2xx\"} 1",
        "quorate_http_connections 1",
    ] {
        assert!(text.lines().any(|it| it == line), "{line}\n{text}");
    }
}

#[test]
fn every_sample_belongs_to_the_family_before_it_and_no_family_comes_twice() {
    let text = World::new().get("GET /metrics").text().to_owned();
    let mut families: Vec<&str> = Vec::new();
    for line in text.lines() {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            let name = family.split(' ').next().unwrap();
            assert!(!families.contains(&name), "{name}");
            families.push(name);
        } else if !line.starts_with("# HELP ") {
            let name = line.split(['{', ' ']).next().unwrap();
            assert_eq!(families.last(), Some(&name));
            assert!(line.rsplit(' ').next().unwrap().parse::<f64>().is_ok(), "{line}");
        }
    }
}

#[test]
fn a_follower_shows_no_figures_of_others() {
    let mut world = World::new();
    world.node.status.role = Role::Follower;
    assert!(!world.get("GET /metrics").text().contains("member_lag"));
}

#[test]
fn the_index_names_us_and_its_links_lead_somewhere() {
    let mut world = World::new();
    let index = world.get("GET /").json();
    assert_eq!((&index["name"], &index["version"]), (&"quorate".into(), &"1.2.3".into()));
    for (_, link) in index["links"].as_object().unwrap() {
        let path = link.as_str().unwrap().replace("{key}", "k");
        world.send(&format!("PUT {path}"), &[], b"v");
        assert_eq!(world.get(&format!("GET {path}")).status, 200, "{path}");
    }
}

#[test]
fn the_openapi_document_describes_paths_that_exist() {
    let mut world = World::new();
    let document = world.get("GET /openapi.json").json();
    assert_eq!(document["info"]["version"], "1.2.3");
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 15);
    for (path, methods) in paths {
        let methods: Vec<String> = methods
            .as_object()
            .unwrap()
            .keys()
            .filter(|it| *it != "parameters")
            .map(|it| it.to_uppercase())
            .collect();
        let concrete = path.replace(['{', '}'], "").replace("index", "1");
        let answer = world.get(&format!("PATCH {concrete}"));
        answer.problem(405, "method-not-allowed");
        let mut allowed: Vec<&str> =
            answer.header("allow").unwrap().split(',').filter(|it| *it != "HEAD").collect();
        allowed.sort_unstable();
        let mut methods: Vec<&str> = methods.iter().map(String::as_str).collect();
        methods.sort_unstable();
        assert_eq!(allowed, methods, "{path}");
    }
}

#[test]
fn the_reference_is_served() {
    let answer = World::new().get("GET /docs/HTTP.md");
    assert_eq!(answer.header("content-type"), Some("text/markdown; charset=utf-8"));
    assert!(answer.text().starts_with("# "));
}
