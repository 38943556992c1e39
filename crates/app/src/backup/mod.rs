//! `quorate backup`: a state leaves a cluster as a file, and becomes a cluster again.

mod download;

use std::fs::{self, File};
use std::io::{self, BufReader, IsTerminal as _, Read, Write};
use std::path::{Path, PathBuf};

use quorate::NodeConfig;
use quorate::address::Address;
use quorate_node::backup::{self, Checked, RestoreError, Verified};
use serde_json::Value;
use tokio::runtime::Builder;
use tokio::task::LocalSet;

use self::download::Source;
use crate::failure::Failure;
use crate::flags::{BACKUP_CREATE, BACKUP_RESTORE, BACKUP_VERIFY, CommandTable};
use crate::layers::{Layer, Layers};
use crate::progress::{Progress, Unit};
use crate::{moment, secret, settings};

/// Standard input or output.
const STANDARD: &str = "-";
/// Memory for what a restore to the disk engine reads again: nothing.
const CACHE_BYTES: u64 = 1024 * 1024;

fn layers(table: &'static CommandTable, flags: Layer) -> Result<Layers, Failure> {
    let env = Layer::of_env(table, |name| std::env::var_os(name))?;
    Ok(Layers::new(table, vec![flags, env, Layer::of_defaults(table)]))
}

/// True for JSON.
fn wants_json(layers: &Layers) -> Result<bool, Failure> {
    let words = [("table", false), ("json", true)];
    let output = layers.parse("output", |text| settings::choice(text, &words))?;
    Ok(output.unwrap_or(false))
}

fn file(layers: &Layers) -> Result<String, Failure> {
    layers.require(
        "file",
        |text| Ok::<_, String>(text.to_owned()),
        "name a file, or - for the standard one",
    )
}

fn within(path: &Path, error: &io::Error) -> Failure {
    Failure::other(format!("{}: {error}", path.display()))
}

/// `quorate backup create`.
///
/// # Errors
/// There is no backup then.
pub(crate) fn create(flags: Layer, out: &mut dyn Write) -> Result<(), Failure> {
    let layers = layers(BACKUP_CREATE, flags)?;
    let json = wants_json(&layers)?;
    let target = file(&layers)?;
    let addr = layers.require("addr", Address::parse_reachable, "say whom to ask")?;
    let stale = layers
        .parse("stale", |text| settings::choice(text, &[("true", true), ("false", false)]))?;
    let source = Source {
        addr: addr.to_string(),
        password: layers.parse("password-file", secret::password)?,
        stale: stale.unwrap_or(false),
    };
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let fetch = |sink: &mut dyn Write| {
        let mut progress = Progress::new();
        let fetching = source.fetch(sink, &mut progress);
        LocalSet::new().block_on(&runtime, fetching).map_err(Failure::other)
    };
    if target == STANDARD {
        if io::stdout().is_terminal() {
            return Err(Failure::usage("a backup is no text: give a file, or redirect the output"));
        }
        // What it says of itself would be in the way there.
        return fetch(out).map(|_| ());
    }
    let path = PathBuf::from(&target);
    if fs::exists(&path).map_err(|error| within(&path, &error))? {
        return Err(Failure::other(format!(
            "{target} is there already; a backup replaces nothing"
        )));
    }
    let made = Partial::create(&path)?;
    let checked = fetch(&mut &made.file)?;
    made.publish(&path)?;
    let Checked { header, file_bytes, raw_bytes } = checked;
    let facts = [
        ("file", Value::from(target)),
        ("cluster", header.cluster.to_string().into()),
        ("index", header.index.0.into()),
        ("term", header.term.0.into()),
        ("taken_at_ms", header.taken_ms.into()),
        ("last_write_ms", header.stamp_ms.into()),
        ("bytes", file_bytes.into()),
        ("bytes_restored", raw_bytes.into()),
    ];
    show(&facts, json, out)
}

/// A file under another name, until it is whole.
struct Partial {
    path: PathBuf,
    file: File,
    whole: bool,
}

impl Partial {
    fn create(target: &Path) -> Result<Self, Failure> {
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(format!(".partial-{}", std::process::id()));
        let path = target.with_file_name(name);
        let file = File::create_new(&path).map_err(|error| within(target, &error))?;
        Ok(Self { path, file, whole: false })
    }

    fn publish(mut self, target: &Path) -> Result<(), Failure> {
        let publish = || {
            self.file.sync_all()?;
            // Unlike a rename, a link replaces nothing.
            fs::hard_link(&self.path, target)?;
            fs::remove_file(&self.path)?;
            let dir = target.parent().filter(|dir| !dir.as_os_str().is_empty());
            File::open(dir.unwrap_or(Path::new(".")))?.sync_all()
        };
        publish().map_err(|error| within(target, &error))?;
        self.whole = true;
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.whole {
            // It is of no use; where it can't be removed, its name says so.
            drop(fs::remove_file(&self.path));
        }
    }
}

/// A backup to read, and how long it is, where that is known.
fn open(name: &str) -> Result<(Box<dyn Read>, Option<u64>), Failure> {
    if name == STANDARD {
        return Ok((Box::new(io::stdin().lock()), None));
    }
    let path = Path::new(name);
    let file = File::open(path).map_err(|error| within(path, &error))?;
    let bytes = file.metadata().ok().filter(fs::Metadata::is_file).map(|file| file.len());
    Ok((Box::new(BufReader::with_capacity(1 << 20, file)), bytes))
}

fn unusable(name: &str, error: &RestoreError) -> Failure {
    Failure::other(format!("{name}: {error}"))
}

fn facts(verified: &Verified) -> Vec<(&'static str, Value)> {
    let header = verified.header;
    vec![
        ("cluster", header.cluster.to_string().into()),
        ("index", header.index.0.into()),
        ("term", header.term.0.into()),
        ("taken_at_ms", header.taken_ms.into()),
        ("last_write_ms", header.stamp_ms.into()),
        ("keys", verified.keys.into()),
        ("records", verified.records.into()),
        ("bytes", verified.file_bytes.into()),
        ("bytes_restored", verified.raw_bytes.into()),
    ]
}

/// Facts with their names.
fn show(facts: &[(&str, Value)], as_json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    if as_json {
        let named = facts.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        let object = Value::Object(named.collect());
        return Ok(writeln!(out, "{object:#}")?);
    }
    let now_ms = quorate::env::real::env().clock.wall_ms();
    for (name, value) in facts {
        let (name, text) = match (name.strip_suffix("_ms"), value.as_u64()) {
            (Some(name), Some(ms)) => (name, moment::show(ms, now_ms)),
            _ => (*name, value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
        };
        writeln!(out, "{:<16}{text}", name.replace('_', " "))?;
    }
    Ok(())
}

/// Reads the backup `name` to its end; it is whole.
fn checked(name: &str) -> Result<Verified, Failure> {
    let (mut input, bytes) = open(name)?;
    let mut progress = Progress::new();
    let verified =
        backup::verify(&mut *input, &mut |done| progress.show("checked", Unit::Bytes, done, bytes));
    drop(progress);
    verified.map_err(|error| unusable(name, &error))
}

/// `quorate backup verify`.
///
/// # Errors
/// It is not whole.
pub(crate) fn verify(flags: Layer, out: &mut dyn Write) -> Result<(), Failure> {
    let layers = layers(BACKUP_VERIFY, flags)?;
    let json = wants_json(&layers)?;
    let name = file(&layers)?;
    let verified = checked(&name)?;
    show(&facts(&verified), json, out)
}

/// `quorate backup restore`.
///
/// # Errors
/// There is no new cluster then.
pub(crate) fn restore(flags: Layer, out: &mut dyn Write) -> Result<(), Failure> {
    let layers = layers(BACKUP_RESTORE, flags)?;
    let json = wants_json(&layers)?;
    let name = file(&layers)?;
    let advice = "say where the new node keeps its data";
    let dir = layers.require("data-dir", settings::not_empty, advice)?;
    let id = layers.require("id", settings::id, "name the new node")?;
    let mut config = NodeConfig::new(&id, &dir);
    if layers.parse("engine", settings::on_disk)? == Some(true) {
        config.keep_on_disk(CACHE_BYTES);
    }
    let env = quorate::env::real::env();
    #[cfg(feature = "failpoints")]
    let env = crate::failpoints::armed(env, Path::new(&dir))?;
    backup::check_place(&env, Path::new(&dir))
        .map_err(|error| Failure::other(error.to_string()))?;
    if name != STANDARD {
        // So that nothing is touched for the sake of a damaged one.
        checked(&name)?;
    }
    let (mut input, bytes) = open(&name)?;
    let mut progress = Progress::new();
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut tell = |done| progress.show("restored", Unit::Bytes, done, bytes);
    let restoring = backup::restore(&env, &mut *input, &config, &mut tell);
    let restored = LocalSet::new().block_on(&runtime, restoring);
    drop(progress);
    let restored = restored.map_err(|error| unusable(&name, &error))?;
    let mut all = vec![
        ("data_dir", Value::from(dir)),
        ("id", id.into()),
        ("engine", config.cellar.kind().name().into()),
        ("new_cluster", restored.cluster.to_string().into()),
        ("new_index", restored.index.0.into()),
    ];
    all.extend(facts(&restored.verified));
    show(&all, json, out)
}
