//! The commands of the tour do what it says: taken from the page, and run.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::patience::until;
use crate::tool;

const LIMIT: Duration = Duration::from_secs(150);

/// The shell's lines of the page, in order.
fn commands(page: &str) -> String {
    let mut lines = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            line if inside => lines.push(line),
            _ => {}
        }
    }
    lines.join("\n")
}

/// Ten free ports in a row, without the last digit, below those of outgoing connections.
fn ports() -> String {
    let from = 1_000 + std::process::id() % 1_500;
    let is_free = |tens: &u32| {
        (0..6).all(|unit| TcpListener::bind(format!("127.0.0.1:{tens}{unit}")).is_ok())
    };
    (from..3_200).find(is_free).expect("free ports").to_string()
}

/// Ends whatever the commands have started.
struct Nodes<'a>(&'a Path);

impl Drop for Nodes<'_> {
    fn drop(&mut self) {
        for entry in fs::read_dir(self.0).unwrap().flatten() {
            if entry.path().extension().is_some_and(|it| it == "pid") {
                let pid = fs::read_to_string(entry.path()).unwrap_or_default();
                // It may have ended.
                drop(Command::new("kill").args(["-9", pid.trim()]).stderr(Stdio::null()).status());
            }
        }
    }
}

#[test]
fn the_operators_commands_of_the_tour_work() {
    if !tool::is_there(&["curl", "--version"]) {
        return;
    }
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/TOUR.md");
    let script = commands(&fs::read_to_string(page).unwrap());
    for command in ["quorate recover", "quorate member replace", "quorate backup restore"] {
        assert!(script.contains(command), "{command}: {script}");
    }
    let script = script.replace("740", &ports());
    let dir = TempDir::with_prefix("quorate-tour-").unwrap();
    let nodes = Nodes(dir.path());
    let binary = Path::new(env!("CARGO_BIN_EXE_quorate")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let output = fs::File::create(dir.path().join("said")).unwrap();
    let mut child = Command::new("sh")
        .args(["-eu", "-c", &script])
        .current_dir(dir.path())
        .env("PATH", path)
        .stdin(Stdio::null())
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .spawn()
        .unwrap();
    let said = || fs::read_to_string(dir.path().join("said")).unwrap();
    let status = until("the tour ends", LIMIT, || child.try_wait().unwrap().ok_or_else(said));
    let said = said();
    assert!(status.success(), "{said}");
    for words in [
        "n3",
        "takes the place of n3",
        "new cluster",
        "Lost: whatever other members",
        "Recovered: cluster",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    drop(nodes);
}
