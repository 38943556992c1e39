//! From settings to a running node.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use quorate_api::Consistency;
use quorate_env::local::{Host, MemoryDisk, Network};
use quorate_env::mux::Protocol;
use quorate_env::net::Connecting;
use quorate_env::{Disk, Env, Listener, Net};
use quorate_node::{Entrance, Pace, Secret};

use crate::address::Address;
use crate::blocking;
use crate::error::OpenError;
use crate::guard::{self, Advertised, Door, Guards, Words};
use crate::listen::Listen;
use crate::node::Node;
use crate::server::ServerConfig;

/// Where a node keeps the keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Engine {
    /// An ordered map in memory, durable through the log and snapshots of it: the fastest for what fits.
    #[default]
    Memory,
    /// Sorted tables below [`Builder::data_dir`], for data that outgrow memory and for short restarts.
    Disk {
        /// Memory for what is read or written often. About 100 MiB more are on their way to the disk.
        cache_bytes: u64,
    },
}

impl Engine {
    /// [`Engine::Disk`] with 256 MiB of cache.
    #[must_use]
    pub fn disk() -> Self {
        Self::Disk { cache_bytes: CACHE_BYTES }
    }
}

const CACHE_BYTES: u64 = 256 * 1024 * 1024;

/// The port that a node has on a [`Network`]: nobody else is on its host.
pub(crate) const LOCAL_PORT: u16 = 7400;
/// How long a new node waits to be a voting member.
const JOIN_TIME: Duration = Duration::from_secs(60);
/// Log behind a snapshot when the log is in memory, too.
const MEMORY_LOG_BYTES: u64 = 16 * 1024 * 1024;
/// How long a node keeps a command that it can send nowhere, when only handles ask: they ask again.
const PATIENCE: Duration = Duration::from_millis(500);

/// A node in the making: a member of a cluster within this program.
///
/// ```
/// # quorate::blocking::run(async {
/// // A cluster of one, in memory, without a port.
/// let node = quorate::Builder::new("n1").start().await?;
/// let store = node.store();
/// store.set("greeting", "hello").await?;
/// assert_eq!(store.get("greeting").await?.as_deref(), Some(&b"hello"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
///
/// A durable one that Redis clients, HTTP clients and other processes reach:
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let node = quorate::Builder::new("n2")
///     .data_dir("data/n2")
///     .listen("127.0.0.1:7401")
///     .join(["127.0.0.1:7400"])
///     .start()
///     .await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Builder {
    config: ServerConfig,
    engine: Engine,
    disk: Option<MemoryDisk>,
    network: Option<Network>,
    advertised: Option<String>,
    exactly_once: bool,
    join_time: Duration,
    is_open: bool,
    changes: Vec<Change>,
}

/// What [`Builder::configure`] was told, for the end.
#[derive(Clone)]
struct Change(Arc<dyn Fn(&mut ServerConfig) + Send + Sync>);

impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Change")
    }
}

/// What a node's thread is started with.
pub(crate) struct Plan {
    pub(crate) env: Env,
    pub(crate) config: ServerConfig,
    pub(crate) exactly_once: bool,
    pub(crate) join_time: Duration,
    /// Whether nodes find each other by name.
    pub(crate) by_name: bool,
    /// Whom strangers would meet; judged on the node's thread, for names are looked up.
    pub(crate) doors: Vec<Door>,
    pub(crate) guards: Guards,
}

/// Peers on the network within the process, clients on real ports.
struct Both {
    local: Host,
    name: String,
    real: Arc<dyn Net>,
}

impl Net for Both {
    fn listen(&self, addr: &str) -> std::io::Result<Box<dyn Listener>> {
        let ours = addr.rsplit_once(':').is_some_and(|(host, _)| host == self.name);
        if ours { self.local.listen(addr) } else { self.real.listen(addr) }
    }

    /// A node dials only its peers.
    fn connect(&self, addr: &str) -> Connecting {
        self.local.connect(addr)
    }
}

impl Builder {
    /// A node of this name (letters, digits, dots, dashes and underscores), in memory, without a port. A name
    /// is never given to another node of the cluster, not even after this one has left.
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        Self {
            config: ServerConfig::new(name.clone(), format!("memory/{name}")),
            engine: Engine::default(),
            disk: Some(MemoryDisk::new()),
            network: None,
            advertised: None,
            exactly_once: true,
            join_time: JOIN_TIME,
            is_open: false,
            changes: Vec::new(),
        }
    }

    /// Keeps everything in this directory; started again with it, the node resumes.
    #[must_use]
    pub fn data_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.config.node.data_dir = dir.into();
        self.disk = None;
        self
    }

    /// Keeps everything in this memory, which the caller holds: a node that is started again with it
    /// resumes, as after `kill -9`. Costs the data about twice, and the log behind a snapshot.
    #[must_use]
    pub fn memory(mut self, disk: &MemoryDisk) -> Self {
        self.config.node.data_dir = format!("memory/{}", self.config.node.id).into();
        self.disk = Some(disk.clone());
        self
    }

    /// Where the keys are kept. A directory keeps the engine that it was made with; the members of a cluster
    /// may differ.
    ///
    /// ```
    /// # quorate::blocking::run(async {
    /// # let dir = tempfile::tempdir()?;
    /// # let dir = dir.path();
    /// use quorate::{Builder, Engine};
    ///
    /// let engine = Engine::Disk { cache_bytes: 64 << 20 };
    /// let node = Builder::new("n1").data_dir(dir).engine(engine).start().await?;
    /// node.store().set("greeting", "hello").await?;
    /// node.shutdown().await?;
    ///
    /// let node = Builder::new("n1").data_dir(dir).engine(engine).start().await?;
    /// assert_eq!(node.store().get("greeting").await?.as_deref(), Some(&b"hello"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    #[must_use]
    pub fn engine(mut self, engine: Engine) -> Self {
        self.engine = engine;
        self
    }

    /// Takes Redis clients, HTTP clients and other members at `addr` (`host:port`; port 0 picks a free
    /// one, see [`Node::addrs`]). May be said more than once. Where other machines reach it, clients must have
    /// a [`Builder::password`] and peers the [`Builder::cluster_secret`], or [`Builder::insecure`] says that
    /// whoever reaches the port may have the data; every address of the machine (`0.0.0.0`) needs
    /// [`Builder::advertise`].
    ///
    /// ```
    /// # quorate::blocking::run(async {
    /// use quorate::{Builder, OpenError, Secret};
    /// let open = Builder::new("n1").listen("0.0.0.0:0").advertise("node1.example:7400").bootstrap();
    /// assert!(matches!(open.clone().start().await, Err(OpenError::Invalid(_))));
    /// let guarded = open.password("for clients").cluster_secret(Secret::new(b"for members"));
    /// let node = guarded.start().await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    #[must_use]
    pub fn listen(self, addr: impl Into<String>) -> Self {
        self.listener(Listen::all(addr))
    }

    /// Takes some protocols at a port.
    #[must_use]
    pub fn listener(mut self, listen: Listen) -> Self {
        self.config.listeners.push(listen);
        self
    }

    /// Where others reach the node, `host` or `host:port`, when that is not where it listens: behind NAT, in a
    /// container.
    #[must_use]
    pub fn advertise(mut self, addr: impl Into<String>) -> Self {
        self.advertised = Some(addr.into());
        self
    }

    /// Listens without a password or a cluster secret also where other machines reach it.
    #[must_use]
    pub fn insecure(mut self) -> Self {
        self.is_open = true;
        self
    }

    /// Reaches the other members over a network within the process: no ports. There the node is found
    /// under its name, which is what [`Builder::join`] takes then.
    #[must_use]
    pub fn network(mut self, network: &Network) -> Self {
        self.network = Some(network.clone());
        self
    }

    /// Founds a cluster, unless the node is a member of one already. It is what a node does anyway that
    /// nobody could add, for want of a port and a network.
    #[must_use]
    pub fn bootstrap(mut self) -> Self {
        self.config.node.entrance = Entrance::Bootstrap;
        self
    }

    /// Joins the cluster of any of these, unless the node is a member already.
    #[must_use]
    pub fn join<I>(mut self, addrs: I) -> Self
    where
        I: IntoIterator<Item: Into<String>>,
    {
        self.config.node.entrance = Entrance::Join(addrs.into_iter().map(Into::into).collect());
        self
    }

    /// When it is added, it stays a learner: a replica for reads, which never votes.
    #[must_use]
    pub fn learner(mut self) -> Self {
        self.config.node.learner = true;
        self
    }

    /// How long [`Builder::start`] waits for a new node to be a voting member; a minute unless set.
    #[must_use]
    pub fn join_time(mut self, limit: Duration) -> Self {
        self.join_time = limit;
        self
    }

    /// What reads may miss that do not say otherwise.
    #[must_use]
    pub fn consistency(mut self, consistency: Consistency) -> Self {
        self.config.node.consistency = consistency;
        self
    }

    /// Whether every write carries a name, so that it can be repeated when its outcome is unknown. It
    /// can, unless this says no: then such writes fail with [`crate::Error::Unknown`], and the cluster
    /// remembers nothing about them (it keeps some 100 bytes per write for a quarter of an hour, of a
    /// million writes at most).
    #[must_use]
    pub fn exactly_once(mut self, yes: bool) -> Self {
        self.exactly_once = yes;
        self
    }

    /// What clients must prove who come through a port.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.config.password = Some(password.into());
        self
    }

    /// What the members prove to each other.
    #[must_use]
    pub fn cluster_secret(mut self, secret: Secret) -> Self {
        self.config.node.secret = secret;
        self
    }

    /// How the group keeps time; the same on every member.
    #[must_use]
    pub fn pace(mut self, pace: Pace) -> Self {
        self.config.node.pace = pace;
        self
    }

    /// Everything else. What is set here stands, whatever the other methods say, before or after: it is done
    /// last.
    ///
    /// ```
    /// # quorate::blocking::run(async {
    /// let builder = quorate::Builder::new("n1");
    /// let node = builder.configure(|config| config.node.max_memory_bytes = 1 << 30).start().await?;
    /// assert_eq!(node.store().status().await?.max_memory_bytes, 1 << 30);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    #[must_use]
    pub fn configure(mut self, change: impl Fn(&mut ServerConfig) + Send + Sync + 'static) -> Self {
        self.changes.push(Change(Arc::new(change)));
        self
    }

    /// Starts the node on a thread of its own, and returns when it is what it was built for: a new one
    /// is a voting member that has caught up, or a learner where it was to be one; one that was a member before is up, and its calls wait
    /// until enough others are.
    ///
    /// # Errors
    /// [`OpenError`]; then nothing of it runs.
    pub async fn start(self) -> Result<Node, OpenError> {
        Node::start(self.plan()?).await
    }

    /// As [`Builder::start`], for code without a runtime.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn start_blocking(self) -> Result<blocking::Node, OpenError> {
        blocking::run(self.start()).map(blocking::Node::new)
    }

    fn plan(self) -> Result<Plan, OpenError> {
        let (mut config, disk) = self.settings()?;
        let Self { network, exactly_once, join_time, is_open, .. } = self;
        let mut env = quorate_env::real::env();
        let name = config.node.id.clone();
        guard::check_name(&name)
            .map_err(|advice| invalid(format!("the name is {name:?}: {advice}")))?;
        let doors = doors(&config)?;
        check_reachable(&config, &doors, network.is_some())?;
        let guards = Guards {
            password: config.password.is_some(),
            cluster_secret: !config.node.secret.is_empty(),
            insecure: is_open,
        };
        if let Some(disk) = disk {
            if config.node.cellar.kind().name() != "memory" {
                return Err(invalid(
                    "the disk engine keeps its files in a directory: say which (data_dir)",
                ));
            }
            env.disk = Arc::new(disk) as Arc<dyn Disk>;
        }
        let by_name = network.is_some();
        if let Some(network) = network {
            let local = network.host(name.clone());
            let addr = format!("{name}:{LOCAL_PORT}");
            config.listeners.insert(0, Listen::only(addr, [Protocol::Peer]));
            env.net = Arc::new(Both { local, name, real: env.net });
            if let Entrance::Join(addrs) = &mut config.node.entrance {
                for addr in addrs.iter_mut().filter(|addr| !addr.contains(':')) {
                    addr.push_str(&format!(":{LOCAL_PORT}"));
                }
            }
        }
        let can_be_found = config.listeners.iter().any(|listen| listen.takes(Protocol::Peer));
        match (&config.node.entrance, can_be_found) {
            (Entrance::Join(_), false) => {
                return Err(invalid(
                    "a node that joins a cluster needs a port or a network for its peers",
                ));
            }
            (Entrance::Wait, false) => config.node.entrance = Entrance::Bootstrap,
            _ => {}
        }
        Ok(Plan { env, config, exactly_once, join_time, by_name, doors, guards })
    }

    /// The settings, with what was told to [`Builder::configure`] above all, and the memory that is the disk.
    pub(crate) fn settings(&self) -> Result<(ServerConfig, Option<MemoryDisk>), OpenError> {
        let (mut config, disk) = (self.config.clone(), self.disk.clone());
        if let Engine::Disk { cache_bytes } = self.engine {
            config.node.keep_on_disk(cache_bytes);
        }
        if disk.is_some() {
            let limit = &mut config.node.snapshot_log_bytes;
            *limit = (*limit).min(MEMORY_LOG_BYTES);
        }
        if let Some(text) = &self.advertised {
            let given = guard::Setting { place: "advertise", text };
            let advertised = Advertised::of(&doors(&config)?, Some(&given), None);
            let Advertised { client, peer } = advertised.map_err(invalid)?;
            // Peers on a network find the node by its name.
            if self.network.is_none() {
                config.node.peer_addr = peer;
            }
            config.node.client_addr = client;
        }
        let usual = config.node.patience;
        config.node.patience = usual.min(PATIENCE);
        let brief = config.node.patience;
        for Change(change) in &self.changes {
            change(&mut config);
        }
        // Clients behind a port do not ask again by themselves.
        if config.node.patience == brief && !config.listeners.is_empty() {
            config.node.patience = usual;
        }
        Ok((config, disk))
    }
}

fn invalid(text: impl Into<Cow<'static, str>>) -> OpenError {
    OpenError::Invalid(text.into())
}

fn doors(config: &ServerConfig) -> Result<Vec<Door>, OpenError> {
    let doors = config.listeners.iter().map(|listen| Door::of("listen", listen));
    doors.collect::<Result<_, _>>().map_err(invalid)
}

/// Whether the others, and those whom this node looks for, are at addresses that one can connect to.
fn check_reachable(config: &ServerConfig, doors: &[Door], by_name: bool) -> Result<(), OpenError> {
    let node = &config.node;
    let advertised = Advertised { client: node.client_addr.clone(), peer: node.peer_addr.clone() };
    let mut doors = doors.to_vec();
    if by_name {
        // Peers are on the network within the process.
        doors.iter_mut().for_each(|door| door.protocols.retain(|it| *it != Protocol::Peer));
        return advertised.check(&doors, &Words::BUILDER).map_err(invalid);
    }
    if let Entrance::Join(addrs) = &node.entrance {
        for addr in addrs {
            Address::parse_reachable(addr)
                .map_err(|advice| invalid(format!("join is {addr:?}: {advice}")))?;
        }
    }
    advertised.check(&doors, &Words::BUILDER).map_err(invalid)
}
