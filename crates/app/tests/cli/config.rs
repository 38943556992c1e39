//! Flags > environment > file > defaults.

use std::path::Path;

use crate::process::{Ended, quorate, run_command};

/// `serve --print-config` with this file, these variables and these flags.
fn printed(file: &str, variables: &[(&str, &str)], flags: &[&str]) -> Ended {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("q.toml");
    std::fs::write(&path, file).unwrap();
    print_with(&path, variables, flags)
}

fn print_with(path: &Path, variables: &[(&str, &str)], flags: &[&str]) -> Ended {
    let mut command = quorate();
    command.args(["serve", "--print-config", "--config"]).arg(path).args(flags);
    run_command(command.envs(variables.iter().copied()))
}

#[test]
fn the_nearest_source_wins() {
    let file = "id = \"file\"\ndata-dir = \"file\"\nlog-level = \"warn\"\ntick-ms = 40\n";
    let variables =
        [("QUORATE_ID", "env"), ("QUORATE_DATA_DIR", "env"), ("QUORATE_READ_MODE", "lease")];
    let ended = printed(file, &variables, &["--id", "flag"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let line = |name: &str| {
        let start = format!("{name} = ");
        ended.out.lines().find_map(|line| line.strip_prefix(&start)).unwrap_or_default().to_owned()
    };
    assert_eq!(line("id"), "\"flag\" # --id");
    assert_eq!(line("data-dir"), "\"env\" # QUORATE_DATA_DIR");
    assert_eq!(line("read-mode"), "\"lease\" # QUORATE_READ_MODE");
    assert!(line("log-level").starts_with("\"warn\" # ") && line("log-level").ends_with("q.toml"));
    assert!(line("tick-ms").starts_with("40 # "), "{}", line("tick-ms"));
    assert_eq!(line("listen"), "\"127.0.0.1:7400\" # default");
    assert!(!line("max-memory").is_empty(), "the machine's memory is the default");
}

#[test]
fn what_is_printed_can_be_given_back() {
    let flags = ["--id", "n1", "--data-dir", "d", "--join", "a:1,b:2", "--insecure"];
    let first = printed("", &[], &flags);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("printed.toml");
    std::fs::write(&path, &first.out).unwrap();
    let second = print_with(&path, &[], &[]);
    assert_eq!(second.code, Some(0), "{second:?}");
    let values = |text: &str| -> Vec<String> {
        text.lines()
            .filter_map(|line| line.split_once(" # "))
            .map(|(value, _)| value.to_owned())
            .collect()
    };
    assert_eq!(values(&first.out), values(&second.out));
}

#[test]
fn a_file_that_is_wrong_is_refused_with_its_name() {
    for (file, advice) in [
        ("idd = \"n1\"", "unknown key \"idd\""),
        ("data_dir = \"d\"", "it is written data-dir"),
        ("id = ", "no TOML"),
        ("id = \"n1\"\ndata-dir = \"d\"\ntick-ms = 1", "tick-ms in "),
    ] {
        let ended = printed(file, &[], &[]);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.err.contains(advice) && ended.err.contains("q.toml"), "{}", ended.err);
    }
    let ended = print_with(Path::new("no-such.toml"), &[], &[]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.err.contains("--config is \"no-such.toml\""), "{}", ended.err);
}
