//! What a run of `engines` is asked for.

use std::path::{Path, PathBuf};

use super::load::HOT_KEYS;
use crate::fault::{Context, Fault};

pub(super) const HELP: &str = "\
Measures quorate's engines one after the other, each in processes of its own.

  --engines LIST      of memory,disk (default: both)
  --nodes N           1 or 3 (default 1)
  --keys N            distinct keys (default 1000000)
  --value-bytes N     (default 256)
  --cache-size SIZE   of the disk engine (default 256mb)
  --memory BYTES      of each node, its share of the page cache included: a cgroup, which takes root
                      (default: no limit); the memory engine is not limited
  --requests N        per measurement behind the load (default 300000)
  --phases LIST       of get,set,beside,snapshot,restart (default: all)
  --quorate PATH      the binary (default: target/release/quorate of this checkout)
  --dir PATH          where data goes: on a disk (default: the system's temporary directory)";

pub(super) struct Wish {
    pub(super) engines: Vec<String>,
    pub(super) nodes: usize,
    pub(super) keys: u64,
    pub(super) value_bytes: usize,
    pub(super) cache: String,
    pub(super) memory_bytes: Option<u64>,
    pub(super) requests: u64,
    pub(super) phases: Vec<String>,
    pub(super) quorate: PathBuf,
    pub(super) dir: Option<PathBuf>,
}

impl Default for Wish {
    fn default() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let words = |list: &str| list.split(',').map(str::to_owned).collect();
        Self {
            engines: words("memory,disk"),
            nodes: 1,
            keys: 1_000_000,
            value_bytes: 256,
            cache: "256mb".to_owned(),
            memory_bytes: None,
            requests: 300_000,
            phases: words("get,set,beside,snapshot,restart"),
            quorate: root.join("target/release/quorate"),
            dir: None,
        }
    }
}

impl Wish {
    /// `None`: only the help is wanted.
    pub(super) fn parse(mut args: impl Iterator<Item = String>) -> Result<Option<Self>, Fault> {
        let mut wish = Self::default();
        while let Some(arg) = args.next() {
            if arg == "--help" {
                return Ok(None);
            }
            let value =
                args.next().ok_or_else(|| Fault::new(format!("{arg} needs a value\n{HELP}")))?;
            let number = || value.parse::<u64>().context(format_args!("{arg} {value}"));
            let words = || value.split(',').map(str::to_owned).collect();
            match arg.as_str() {
                "--engines" => wish.engines = words(),
                "--nodes" => wish.nodes = usize::try_from(number()?).context("--nodes")?,
                "--keys" => wish.keys = number()?.max(HOT_KEYS),
                "--value-bytes" => {
                    wish.value_bytes = usize::try_from(number()?).context("bytes")?
                }
                "--cache-size" => wish.cache = value,
                "--memory" => wish.memory_bytes = Some(number()?),
                "--requests" => wish.requests = number()?,
                "--phases" => wish.phases = words(),
                // The nodes are started from elsewhere.
                "--quorate" => {
                    wish.quorate = std::fs::canonicalize(&value)
                        .context(format_args!("--quorate {value}"))?;
                }
                "--dir" => wish.dir = Some(value.into()),
                _ => return Err(Fault::new(format!("unknown argument {arg}\n{HELP}"))),
            }
        }
        Ok(Some(wish))
    }

    pub(super) fn wants(&self, phase: &str) -> bool {
        self.phases.iter().any(|wanted| wanted == phase)
    }

    /// The value of every key.
    pub(super) fn value(&self) -> Vec<u8> {
        (0..self.value_bytes).map(|n| b'a' + (n * 7 % 26) as u8).collect()
    }
}
