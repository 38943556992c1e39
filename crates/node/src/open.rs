//! Start: what the data directory says, in the order in which it may be believed.
//!
//! The identity first (whose directory is it, and is it ours), then the snapshot, then the log, then
//! how they fit together. What doesn't fit is damage: such a node forgets its number, keeps its name,
//! and asks its peers for a new one and for the state; a node that is alone refuses to start.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use quorate_consensus::log::{HardState, Log, LogBatch, LogConfig, LogError, Recovered};
use quorate_consensus::peers::{ClusterId, Inbox};
use quorate_consensus::snapshot::{SnapshotError, SnapshotStore};
use quorate_consensus::{Doubted, Group, GroupStart, Index, NodeId, Output, SnapshotMark, Term};
use quorate_engine::{Engine, EngineError, EngineKind};
use quorate_env::{Env, Mono};

use crate::away::Away;
use crate::batch::Writes;
use crate::config::{Config, Entrance};
use crate::core::{Core, ENGINE_DIR, GROUP, Stop};
use crate::events::Events;
use crate::format;
use crate::founding::Founding;
use crate::gather::Gather;
use crate::handover::Handover;
use crate::identity::{self, Identity, IdentityError};
use crate::machine::{ApplyError, Machine};
use crate::members::{Member, Wish};
use crate::membership::Membership;
use crate::observer::Observer;
use crate::passing::Passing;
use crate::pulse::Pulses;
use crate::reads::Reads;
use crate::recover;
use crate::registration::Registration;
use crate::scrub::Scrub;
use crate::silence::Silence;
use crate::snapshots::{self, Restored, Snapshots};
use crate::stamp::StampClock;
use crate::storage::Storage;
use crate::waiting::Waiting;

/// Why a node can't start. Nothing was changed that a second attempt would miss.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory can't be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The log can't be used.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The snapshots can't be used.
    #[error("snapshot: {0}")]
    Snapshot(String),
    /// State that may be wrong, and nobody to fetch it from.
    #[error(
        "{0}. This node knows of no other member to fetch its state from, so it does not start: \
         restore a backup, or move the data directory away and begin anew"
    )]
    AloneWithDamage(String),
    /// The cluster writes a format that this version does not know.
    #[error("{0}")]
    Format(String),
    /// Two orders that exclude each other.
    #[error("{0}")]
    Usage(String),
    /// The device failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// What the disk holds.
struct Found {
    log: Log,
    recovered: Recovered,
    restored: Option<Restored>,
}

/// Opens the data directory and builds the member it describes, not yet linked to any other.
pub(crate) fn open(
    env: &Env,
    config: Config,
    observer: Option<Rc<dyn Observer>>,
) -> Result<Core, StartError> {
    let dir = config.data_dir.clone();
    let (mut identity, lock) =
        identity::open(&*env.disk, &*env.rng, &dir, &config.id, config.cellar.kind())?;
    let since = env.clock.now();
    if let Some(why) = recover::unfinished(env, &dir) {
        return Err(StartError::Usage(why));
    }
    if identity.removed {
        return Err(IdentityError::Removed { dir: dir.display().to_string() }.into());
    }
    if identity.node.0 == 0 {
        clear_away(env, &dir, &identity)?;
        clear_engine(env, &config)?;
    }
    let found = match find(env, &config, &identity) {
        Ok(found) => found,
        Err(Damaged::Not(error)) => return Err(error),
        Err(Damaged::Yes(what)) => {
            set_aside(env, &dir, &mut identity, &what)?;
            find(env, &config, &identity).map_err(|error| match error {
                Damaged::Not(error) => error,
                Damaged::Yes(what) => StartError::AloneWithDamage(what),
            })?
        }
    };
    let store = SnapshotStore::open(env.disk.clone(), &dir.join("snapshots"), GROUP)
        .map_err(|error| StartError::Snapshot(error.to_string()))?;
    let mut core = assemble(env, config, identity, lock, found, store)?;
    core.started_at = since;
    if let Some(why) = format::mismatch(core.machine.format(), core.config.formats) {
        return Err(StartError::Format(why));
    }
    core.observer = observer;
    core.enter()?;
    Ok(core)
}

/// Whether an error means that bytes are wrong which were right once.
enum Damaged {
    Yes(String),
    Not(StartError),
}

fn find(env: &Env, config: &Config, identity: &Identity) -> Result<Found, Damaged> {
    let dir = &config.data_dir;
    let there = |path: &Path| env.disk.exists(path).map_err(|error| Damaged::Not(error.into()));
    let (log, manifest) = (dir.join("log"), dir.join("log").join("manifest"));
    if identity.node.0 != 0 && !there(&manifest)? {
        let gone =
            if env.disk.list(&log).is_ok_and(|files| !files.is_empty()) { manifest } else { log };
        return Err(Damaged::Yes(format!("{} is gone", gone.display())));
    }
    let settings = LogConfig { segment_bytes: config.segment_bytes, ..LogConfig::default() };
    let settings = LogConfig {
        reserve_bytes: settings.reserve_bytes.min(config.segment_bytes / 8),
        ..settings
    };
    let not = |error: SnapshotError| Damaged::Not(StartError::Snapshot(error.to_string()));
    let store =
        SnapshotStore::open(env.disk.clone(), &dir.join("snapshots"), GROUP).map_err(not)?;
    let (log, recovered) = open_log(env, config, identity, settings).map_err(|error| {
        if error.is_damage() { Damaged::Yes(error.to_string()) } else { Damaged::Not(error.into()) }
    })?;
    for cut in &recovered.cuts {
        tracing::info!(file = %cut.file.display(), offset = cut.offset, reason = ?cut.reason, "end of the log");
    }
    let restored = if config.cellar.kind() == EngineKind::Disk {
        find_state(config, &log)?
    } else {
        let newest = store.newest().map_err(not)?;
        let fresh =
            || config.cellar.fresh(&dir.join(ENGINE_DIR)).map_err(|error| engine_failed(&error));
        let read = |index| Ok((store.path(index), fresh()?));
        let opened = newest.map(read).transpose()?;
        opened.map(|(path, engine)| snapshots::read(&store, &path, engine)).transpose().map_err(
            |error| match error {
                SnapshotError::Damage { .. } => Damaged::Yes(error.to_string()),
                // Nothing is wrong with the bytes: another version, or a device that may recover.
                SnapshotError::Io { .. } | SnapshotError::Version { .. } => not(error),
            },
        )?
    };
    let have = restored.as_ref().map_or(Index(0), |restored| restored.mark.index);
    let (purged, _) = log.purged(GROUP);
    if have < purged {
        return Err(Damaged::Yes(format!(
            "the log begins behind entry {purged}, but the newest state ends at {have}"
        )));
    }
    Ok(Found { log, recovered, restored })
}

/// Opens the log, and has the engine opened meanwhile where there is one: neither needs the other before both are there.
fn open_log(
    env: &Env,
    config: &Config,
    identity: &Identity,
    settings: LogConfig,
) -> Result<(Log, Recovered), LogError> {
    let engine = config.data_dir.join(ENGINE_DIR);
    let is_ahead = identity.node.0 != 0 && config.cellar.kind() == EngineKind::Disk;
    if is_ahead {
        config.cellar.open_ahead(&engine);
    }
    let opened = Log::open(env, &config.data_dir.join("log"), settings);
    if opened.is_err() && is_ahead {
        // Order matters: it may be moved aside now, and must not be open then. What is wrong with it will be found again.
        drop(config.cellar.open(&engine));
    }
    opened
}

fn engine_failed(error: &EngineError) -> Damaged {
    match error {
        EngineError::Damage(_) => Damaged::Yes(error.to_string()),
        EngineError::Io(_) | EngineError::Cold => {
            Damaged::Not(StartError::Snapshot(error.to_string()))
        }
    }
}

/// The state that the engine has kept.
fn find_state(config: &Config, log: &Log) -> Result<Option<Restored>, Damaged> {
    let opened = config
        .cellar
        .open(&config.data_dir.join(ENGINE_DIR))
        .map_err(|error| engine_failed(&error))?;
    opened.map(|engine| stand(engine, log)).transpose().map_err(|error| engine_failed(&error))
}

/// Where in `log` the state of `engine` stands, which has kept it itself.
///
/// # Errors
/// The engine failed, or they don't fit together, which is damage.
pub(crate) fn stand(engine: Box<dyn Engine>, log: &Log) -> Result<Restored, EngineError> {
    let sealed = snapshots::place_of(engine.note())
        .map_err(|_| EngineError::Damage("the mark of its state is malformed".to_owned()))?;
    let machine = Machine::open(engine).map_err(|error| match error {
        ApplyError::Engine(error) => error,
        error => EngineError::Damage(error.to_string()),
    })?;
    let index = machine.applied();
    // What was installed and nothing since: the log may not have begun anew behind it yet.
    let installed = (sealed.0 == index).then_some(sealed.1);
    let (purged, purged_term) = log.purged(GROUP);
    let known = log.term(GROUP, index).or_else(|| (purged == index).then_some(purged_term));
    let Some(term) = installed.or(known) else {
        let last = log.last_index(GROUP);
        return Err(EngineError::Damage(format!(
            "it has applied entry {index}, but the log holds those behind {purged} up to {last}"
        )));
    };
    let mark = SnapshotMark { index, term, configuration: machine.configuration().clone() };
    Ok(Restored { mark, keyspace: machine.into_keyspace() })
}

/// Keeps damaged files for an autopsy, out of the way, and gives the number up: it has promised what
/// this directory can't keep.
fn set_aside(env: &Env, dir: &Path, identity: &mut Identity, what: &str) -> Result<(), StartError> {
    if identity.peers.is_empty() {
        return Err(StartError::AloneWithDamage(what.to_owned()));
    }
    tracing::error!(
        what,
        "damage found; this node gives up its vote and fetches its state from its peers"
    );
    // Order matters: a crash from here on finds a node without a number, never one with a number and an
    // empty log.
    if identity.node.0 != 0 {
        identity.lost_node = identity.node;
        identity.node = NodeId(0);
    }
    identity.save(&*env.disk, dir)?;
    move_aside(env, dir)
}

/// Marks what was set aside.
const DAMAGED: &str = ".damaged-";

fn move_aside(env: &Env, dir: &Path) -> Result<(), StartError> {
    let mark = env.rng.next_u64();
    for name in ["log", "snapshots", ENGINE_DIR] {
        let (from, to) = (dir.join(name), dir.join(format!("{name}{DAMAGED}{mark:016x}")));
        if env.disk.exists(&from)? {
            env.disk.rename(&from, &to)?;
        }
    }
    env.disk.sync_dir(dir)?;
    Ok(())
}

/// A node without a number has no state: what lies there is a founding that a crash interrupted, or
/// damage that a crash kept from being set aside.
pub(crate) fn clear_away(env: &Env, dir: &Path, identity: &Identity) -> Result<(), StartError> {
    let kept = env.disk.list(dir)?.iter().any(|name| name.contains(DAMAGED));
    if identity.lost_node.0 != 0 && !kept {
        return move_aside(env, dir);
    }
    for name in ["snapshots", "log"] {
        let below = dir.join(name);
        if !env.disk.exists(&below)? {
            continue;
        }
        for file in env.disk.list(&below)? {
            env.disk.remove(&below.join(file))?;
        }
        env.disk.sync_dir(&below)?;
    }
    Ok(())
}

pub(crate) fn clear_engine(env: &Env, config: &Config) -> Result<(), StartError> {
    let engine = config.data_dir.join(ENGINE_DIR);
    if env.disk.exists(&engine)? {
        let cleared = config.cellar.clear(&engine);
        cleared.map_err(|error| StartError::Snapshot(error.to_string()))?;
    }
    Ok(())
}

fn assemble(
    env: &Env,
    config: Config,
    identity: Identity,
    lock: Box<dyn quorate_env::disk::DirLock>,
    found: Found,
    store: SnapshotStore,
) -> Result<Core, StartError> {
    let Found { mut log, recovered, restored } = found;
    let failed = |error: ApplyError| StartError::Snapshot(error.to_string());
    let (machine, mark) = match restored {
        Some(Restored { mark, keyspace }) => (Machine::of(keyspace).map_err(failed)?, Some(mark)),
        None => {
            let engine = config.cellar.fresh(&config.data_dir.join(ENGINE_DIR));
            let engine = engine.map_err(|error| StartError::Snapshot(error.to_string()))?;
            (Machine::open(engine).map_err(failed)?, None)
        }
    };
    if let Some(mark) = &mark {
        fit_log(&mut log, mark)?;
    }
    let hard_state = recovered.groups.get(&GROUP).map(|group| group.hard_state).unwrap_or_default();
    let doubt = recovered.groups.get(&GROUP).and_then(|group| group.doubt);
    let storage = Storage::new(&machine, &*env.tasks);
    let mut core = Core {
        env: env.clone(),
        observer: None,
        _lock: lock,
        log: Rc::new(RefCell::new(log)),
        group: None,
        machine,
        away: Away::new(&*env.tasks),
        out: Output::default(),
        writes: Writes::default(),
        gather: Gather::default(),
        reads: Reads::default(),
        passing: Passing::default(),
        stamp: StampClock::default(),
        stamp_wanted_ms: 0,
        housekeep: false,
        owed: BTreeMap::new(),
        peers: None,
        inbox: Inbox::default(),
        released: Vec::new(),
        snapshots: Snapshots::new(store, &*env.tasks),
        scrub: Scrub::new(&*env.tasks),
        backup_lane: None,
        storage,
        membership: Membership::default(),
        registration: Registration::new(&*env.tasks),
        founding: Founding::default(),
        waiting: Waiting::default(),
        handover: Handover::default(),
        silence: Silence::default(),
        events: Events::default(),
        pulses: Pulses::default(),
        stopped: None,
        waker: None,
        started_at: env.clock.now(),
        led_at: env.clock.now(),
        leaderless_ticks: 0,
        over_memory: false,
        draining: false,
        forwarded: 0,
        found_state: (
            hard_state,
            doubt.map(|doubt| Doubted { index: doubt.index, term: doubt.term }),
        ),
        found_snapshot: mark,
        identity,
        config,
    };
    let epoch = env.rng.next_u64() & !0xffff_ffff;
    core.membership.epoch = epoch;
    core.events.run = epoch;
    core.membership.next_ask = epoch;
    core.reads.next_question = epoch;
    Ok(core)
}

/// A crash between the arrival of a snapshot and the reset of the log leaves a log that ends before it.
fn fit_log(log: &mut Log, mark: &SnapshotMark) -> Result<(), StartError> {
    let (first, last) = (log.first_index(GROUP), log.last_index(GROUP));
    let known = log.term(GROUP, mark.index);
    let fits = mark.index.next() >= first && mark.index <= last && known == Some(mark.term);
    if fits {
        return Ok(());
    }
    let reset_to = Some((mark.index, mark.term));
    let batch = LogBatch { group: GROUP, reset_to, sync: true, ..LogBatch::default() };
    log.submit(batch).map_err(|error| StartError::Snapshot(error.to_string()))?;
    Ok(())
}

impl Core {
    /// Becomes what the identity says, or what the entrance asks for.
    fn enter(&mut self) -> Result<(), StartError> {
        let term = self.found_snapshot.as_ref().map_or(Term(0), |mark| mark.term);
        self.doubt_departures(term);
        if self.identity.node.0 != 0 {
            return self.start_group(self.started_at).map_err(|stop| StartError::Snapshot(stop.0));
        }
        let is_new = self.identity.cluster.0 == 0 && self.identity.pledge.0 == 0;
        if is_new && self.config.entrance == Entrance::Bootstrap {
            let member = Member {
                name: self.identity.name.clone(),
                instance: self.identity.instance,
                peer_addr: self.config.peer_addr.clone(),
                client_addr: self.config.client_addr.clone(),
                wish: Wish::Vote,
            };
            let cluster = ClusterId(self.env.rng.next_u64() | 1);
            let format = self.config.formats.lowest;
            self.found_cluster(&[(NodeId(1), member)], cluster, NodeId(1), format)?;
        }
        Ok(())
    }

    /// Begins as member `node` of a new cluster of these founders.
    pub(crate) fn found_cluster(
        &mut self,
        founders: &[(NodeId, Member)],
        cluster: ClusterId,
        node: NodeId,
        format: u64,
    ) -> Result<(), StartError> {
        let failed = |error: ApplyError| StartError::Snapshot(error.to_string());
        self.machine.found(founders, format).map_err(failed)?;
        let configuration = self.machine.configuration().clone();
        let mark = SnapshotMark { index: Index(1), term: Term(1), configuration };
        if self.is_on_disk() {
            let sealed = self.machine.keyspace_mut().engine_mut().seal(&snapshots::note_of(&mark));
            sealed.map_err(|error| StartError::Snapshot(error.to_string()))?;
        } else {
            let view = self.machine.keyspace().view();
            snapshots::write(&self.snapshots.store, &mark, &*view)
                .map_err(|error| StartError::Snapshot(error.to_string()))?;
        }
        fit_log(&mut self.log.borrow_mut(), &mark)?;
        self.found_state = (HardState { term: Term(1), ..HardState::default() }, None);
        self.found_snapshot = Some(mark);
        // Order matters: only with the state on the disk is this node somebody.
        let mut identity = self.identity.clone();
        identity.cluster = cluster;
        identity.node = node;
        identity.save(&*self.env.disk, &self.config.data_dir)?;
        self.identity = identity;
        tracing::info!(cluster = %self.identity.cluster, "founded a cluster");
        self.start_group(self.now()).map_err(|stop| StartError::Snapshot(stop.0))
    }

    /// Starts the group as the member that the identity names, for which no other process has acted `since` then.
    pub(crate) fn start_group(&mut self, since: Mono) -> Result<(), Stop> {
        let (hard_state, doubt) = self.found_state;
        let start = GroupStart {
            group: GROUP,
            node: self.identity.node,
            pace: self.config.pace,
            hard_state,
            configuration: self.machine.configuration().clone(),
            applied: self.machine.applied(),
            snapshot: self.found_snapshot.clone(),
            doubt,
            seed: self.identity.instance,
            since,
            now: self.now(),
        };
        let group = Group::start(&start, Rc::clone(&self.log));
        let group = self.group.insert(group.map_err(|error| Stop(error.to_string()))?);
        if let Some(observer) = &self.observer {
            group.observe(Rc::<dyn Observer>::clone(observer));
            observer.stood(self.identity.node, self.machine.keyspace());
        }
        self.link_members();
        self.wake();
        Ok(())
    }
}
