//! Wrong usage exits with 2 and shows how it is right; help exits with 0.

use std::net::{Ipv4Addr, TcpListener};

use crate::process::{quorate, run, run_command};

/// Runs `quorate serve` with what is always needed, and these.
fn refused(args: &[&str]) -> String {
    let ended = run(&[&["serve", "--id", "n1", "--data-dir", "never-made"], args].concat());
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.err.contains("Usage: quorate serve"), "{ended:?}");
    assert!(ended.out.is_empty(), "{ended:?}");
    assert!(!std::path::Path::new("never-made").exists());
    ended.err
}

#[test]
fn an_unknown_flag_or_command_shows_the_usage() {
    refused(&["--lisen", "127.0.0.1:0"]);
    for args in [&[][..], &["sevre"], &["serve", "surplus"]] {
        let ended = run(args);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.err.contains("Usage: quorate"), "{ended:?}");
    }
}

#[test]
fn a_value_that_can_not_be_is_named_with_its_flag() {
    let err = refused(&["--tick-ms", "0"]);
    assert!(err.contains("--tick-ms is \"0\": it must be a number from 5 to 1000"), "{err}");
    let err = refused(&["--bootstrap", "--join", "127.0.0.1:1"]);
    assert!(err.contains("leave one of them out"), "{err}");
    let mut command = quorate();
    command.args(["serve", "--id", "n1", "--data-dir", "never-made"]);
    let ended = run_command(command.env("QUORATE_MAX_MEMORY", "much"));
    assert_eq!(ended.code, Some(2));
    assert!(ended.err.contains("QUORATE_MAX_MEMORY is \"much\""), "{}", ended.err);
}

#[test]
fn a_word_without_a_flag_is_named_as_the_usage_names_it() {
    let ended = run(&["member", "add", "foo"]);
    assert!(ended.err.contains("HOST:PORT is \"foo\""), "{}", ended.err);
    let ended = run(&["completions", "tcsh"]);
    assert!(ended.err.contains("SHELL is \"tcsh\": it must be bash or"), "{}", ended.err);
}

#[test]
fn what_is_missing_is_asked_for() {
    let ended = run(&["serve"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.err.contains("--id is missing"), "{}", ended.err);
}

#[test]
fn listening_for_strangers_without_a_secret_is_refused() {
    let err = refused(&["--listen", "0.0.0.0:0", "--advertise", "127.0.0.1:7400"]);
    assert!(err.contains("--password-file") && err.contains("--cluster-secret-file"), "{err}");
    assert!(err.contains("--insecure"), "{err}");
    let args = ["serve", "--id", "n1", "--data-dir", "never-made", "--print-config"];
    let ended = run(&[args.as_slice(), &["--listen", "10.0.0.1:7400", "--insecure"]].concat());
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[test]
fn help_lists_every_flag_with_its_variable() {
    for (command, words) in [
        (
            "serve",
            &["--data-dir", "QUORATE_DATA_DIR", "--cluster-secret-file", "[default: 64mb]"][..],
        ),
        ("status", &["--addr", "QUORATE_ADDR", "--output"]),
        ("demo", &["--nodes", "QUORATE_DEMO_NODES", "--port"]),
    ] {
        let ended = run(&[command, "--help"]);
        assert_eq!(ended.code, Some(0));
        for word in words {
            assert!(ended.out.contains(word), "{word} is not in {}", ended.out);
        }
    }
    let ended = run(&["--help"]);
    assert!(ended.out.contains("quorate demo"), "{}", ended.out);
}

#[test]
fn the_version_is_told() {
    let ended = run(&["--version"]);
    assert_eq!(ended.code, Some(0));
    assert_eq!(ended.out.trim(), concat!("quorate ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_demo_on_a_taken_port_says_so() {
    let dir = tempfile::tempdir().unwrap();
    // A port with room for those of the other nodes.
    let taken = (0..)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap())
        .find(|listener| listener.local_addr().unwrap().port() < 65_000)
        .unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut command = quorate();
    command.args(["demo", "--port", &port, "--dir"]).arg(dir.path().join("demo"));
    let ended = run_command(&mut command);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.err.contains(&format!("port {port}")), "{ended:?}");
    assert!(!dir.path().join("demo").exists());
}

#[test]
fn what_is_for_programs_is_json_also_when_it_fails() {
    let nobody = "127.0.0.1:1";
    for (args, code) in [
        (&["status", "--addr", nobody][..], 1),
        (&["member", "list", "--addr", nobody], 1),
        (&["member", "remove", "n1", "--addr", nobody], 1),
        (&["doctor", "--addr", nobody], 1),
        (&["backup", "create", "never-made", "--addr", nobody], 1),
        (&["backup", "verify", "no-such-file"], 1),
        (&["inspect", "log", "--data-dir", "no-such-dir"], 1),
        (&["recover", "--data-dir", "no-such-dir", "--dry-run"], 1),
        (&["recover", "--data-dir", "no-such-dir"], 2),
    ] {
        let ended = run(&[args, &["--output", "json"]].concat());
        assert_eq!(ended.code, Some(code), "{args:?}: {ended:?}");
        assert!(!ended.err.is_empty(), "people are told, too: {args:?}");
        let value: serde_json::Value =
            serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("{args:?}: {ended:?}"));
        // The doctor's findings say it already.
        let is_said = value["error"].is_string() || value["findings"].is_array();
        assert!(is_said, "{args:?}: {value}");
    }
    // A backup on standard output is not mixed with anything.
    let ended = run(&["backup", "create", "-", "--addr", nobody, "--output", "json"]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""), "{ended:?}");
}
