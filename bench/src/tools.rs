//! The programs that are needed, found before anything starts.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::case::Case;
use crate::fault::{Context, Fault};
use crate::flags::Flags;
use crate::fleet::Kind;

#[derive(Debug)]
pub(crate) struct Tools {
    pub(crate) quorate: PathBuf,
    /// Whether `serve` knows `--read-mode`: older binaries have no lease to measure.
    pub(crate) read_mode: bool,
}

pub(crate) fn find(flags: &Flags, cases: &[Case]) -> Result<Tools, Fault> {
    if flags.set || flags.get {
        present("redis-server", "redis-server")?;
        present("redis-benchmark", "redis-tools")?;
    }
    let needs_etcd = cases.iter().flat_map(|case| &case.contenders).any(|it| it.kind.is_etcd());
    if needs_etcd {
        present("etcd", "etcd-server")?;
    }
    let quorate = match &flags.quorate {
        Some(path) => std::fs::canonicalize(path).context(path.display())?,
        None => build()?,
    };
    let help = Command::new(&quorate).args(["serve", "--help"]).output();
    let help = help.context(format_args!("run {}", quorate.display()))?;
    let read_mode = String::from_utf8_lossy(&help.stdout).contains("--read-mode");
    let wanted =
        cases.iter().flat_map(|it| &it.contenders).any(|it| it.kind == Kind::Quorate3Lease);
    if wanted && !read_mode {
        eprintln!("{} has no --read-mode: no lease is measured", quorate.display());
    }
    Ok(Tools { quorate, read_mode })
}

fn present(program: &str, package: &str) -> Result<(), Fault> {
    let mut tried = Command::new(program);
    tried.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    match tried.status() {
        Ok(_) => Ok(()),
        Err(error) => Err(Fault::new(format!(
            "{program} is needed and does not start ({error}): on Debian, apt-get install {package}"
        ))),
    }
}

/// A no-op when the binary is up to date; a stale one would measure the past.
fn build() -> Result<PathBuf, Fault> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--package", "quorate-app"]).current_dir(&root);
    let status = cargo.status().context("run cargo")?;
    if !status.success() {
        return Err(Fault::new("building quorate failed; --quorate PATH takes a finished binary"));
    }
    let path = root.join("target/release/quorate");
    std::fs::canonicalize(&path).context(path.display())
}
