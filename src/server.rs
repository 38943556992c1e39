//! One member with its listeners, from start to end.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::path::PathBuf;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use quorate_api::{Api, Handle, handle};
use quorate_env::mux::Protocol;
use quorate_env::{Env, Listener};
use quorate_node::{Config, Node, StartError};
use quorate_resp::Setting;
use tokio::sync::watch;

use crate::listen::{self, Fronts, Listen};

/// A server's settings.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The member's. Empty addresses become those of the listeners.
    pub node: Config,
    /// Where it listens; none: it can be reached only through [`Server::handle`].
    pub listeners: Vec<Listen>,
    /// What clients must prove; `None`: nothing.
    pub password: Option<String>,
    /// RESP connections at most.
    pub connections_max: usize,
    /// Names under which HTTP clients reach this node, besides addresses and `localhost`.
    pub http_hosts: Vec<String>,
}

impl ServerConfig {
    /// A node of this name with default settings and without listeners.
    pub fn new(id: impl Into<String>, data_dir: impl Into<PathBuf>) -> Self {
        Self {
            node: Config::new(id, data_dir),
            listeners: Vec::new(),
            password: None,
            connections_max: quorate_api::limits::CONNECTIONS_MAX,
            http_hosts: Vec::new(),
        }
    }
}

/// Why a server can't start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A port can't be had.
    #[error(
        "can't listen on {addr}: {source}; is another process using it? Choose another address"
    )]
    Listen {
        /// The address.
        addr: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The member can't start.
    #[error(transparent)]
    Node(#[from] StartError),
}

/// How a server ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// As asked: leadership handed over, what was under way finished.
    ShutDown,
    /// The member had to stop for good; the text says why.
    Stopped(String),
}

/// A member with its listeners, on the thread that starts it, inside of any executor which its [`Env`]
/// knows. Programs that want no executor of their own have [`crate::Builder`].
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let mut config = quorate::ServerConfig::new("n1", "data/n1");
/// config.node.entrance = quorate::Entrance::Bootstrap;
/// config.listeners = vec![quorate::Listen::all("127.0.0.1:7400")];
/// let server = quorate::Server::start(&quorate::env::real::env(), config)?;
/// let handle = server.handle(); // for any thread
/// let stop = server.run(std::future::pending()).await;
/// # let _ = (handle, stop);
/// # Ok(())
/// # }
/// ```
pub struct Server {
    env: Env,
    node: Node,
    resp: Rc<quorate_resp::Server>,
    handle: Handle,
    addrs: Vec<String>,
    http_shutdown: watch::Sender<bool>,
    http_open: Rc<Cell<usize>>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Server({})", self.addrs.join(", "))
    }
}

/// How long connections may take to finish what is under way.
const DRAIN_TIME: Duration = Duration::from_secs(3);
const DRAIN_PAUSE: Duration = Duration::from_millis(5);

/// The first listener that takes `protocol`.
fn addr_for(bound: &[(Listen, Box<dyn Listener>)], protocol: Protocol) -> String {
    let found = bound.iter().find(|(listen, _)| listen.takes(protocol));
    found.map(|(_, listener)| listener.local_addr()).unwrap_or_default()
}

impl Server {
    /// Binds the ports, opens the data directory and begins to serve; [`Server::run`] must be polled
    /// from now on. Ports come first: a taken one leaves the directory untouched.
    ///
    /// # Errors
    /// [`ServeError`].
    pub fn start(env: &Env, config: ServerConfig) -> Result<Self, ServeError> {
        let ServerConfig { mut node, listeners, password, connections_max, mut http_hosts } =
            config;
        let mut bound = Vec::new();
        for listen in listeners {
            let listener = env.net.listen(&listen.addr);
            let failed = |source| ServeError::Listen { addr: listen.addr.clone(), source };
            let listener = listener.map_err(failed)?;
            bound.push((listen, listener));
        }
        if node.peer_addr.is_empty() {
            node.peer_addr = addr_for(&bound, Protocol::Peer);
        }
        if node.client_addr.is_empty() {
            let resp = addr_for(&bound, Protocol::Resp);
            node.client_addr =
                if resp.is_empty() { addr_for(&bound, Protocol::Http) } else { resp };
        }
        http_hosts.extend([node.client_addr.clone(), node.peer_addr.clone()]);
        let settings = settings(&node);
        let node = Node::start(env, node)?;
        let api: Rc<dyn Api> = Rc::new(node.clone());
        let (handle, requests) = handle::channel();
        let tasks = Arc::clone(&env.tasks);
        let spawn = move |task| tasks.spawn(task);
        env.tasks.spawn(Box::pin(handle::serve(Rc::clone(&api), requests, spawn)));
        let options = quorate_resp::Options {
            password: password.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            connections_max,
            settings,
            ..quorate_resp::Options::default()
        };
        let resp = quorate_resp::Server::new(api, env.clone(), options);
        let (http_shutdown, shutdown) = watch::channel(false);
        let http = quorate_http::Server::new(
            handle.clone(),
            quorate_http::Options {
                password,
                hosts: http_hosts,
                shutdown: Some(shutdown),
                clock: Some(Arc::clone(&env.clock)),
                ..quorate_http::Options::new(env!("CARGO_PKG_VERSION"))
            },
        );
        let http_open = Rc::new(Cell::new(0));
        let fronts = Fronts {
            node: node.clone(),
            resp: Rc::clone(&resp),
            http: Arc::new(http),
            http_open: Rc::clone(&http_open),
        };
        let addrs = bound.iter().map(|(_, listener)| listener.local_addr()).collect();
        for (listen, listener) in bound {
            let accepting = listen::accept(env.clone(), listen, listener, fronts.clone());
            env.tasks.spawn(Box::pin(accepting));
        }
        Ok(Self { env: env.clone(), node, resp, handle, addrs, http_shutdown, http_open })
    }

    /// The addresses it listens on, in the order of the configuration, with the real ports.
    pub fn addrs(&self) -> &[String] {
        &self.addrs
    }

    /// For callers on other threads.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Opens sessions on this thread.
    pub fn api(&self) -> Rc<dyn Api> {
        Rc::new(self.node.clone())
    }

    /// Lives until `shutdown` resolves or the member has to stop. A shutdown hands leadership over and
    /// finishes what is under way.
    pub async fn run(&self, shutdown: impl Future<Output = ()>) -> End {
        let mut living = pin!(self.node.run());
        let mut ending = pin!(async {
            shutdown.await;
            tracing::info!("shutting down");
            self.node.drain().await;
            self.resp.drain();
            self.http_shutdown.send_replace(true);
            self.wait_for_connections().await;
            self.node.close();
        });
        poll_fn(|cx| {
            if let Poll::Ready(stop) = living.as_mut().poll(cx) {
                return Poll::Ready(End::Stopped(stop.0));
            }
            ending.as_mut().poll(cx).map(|()| End::ShutDown)
        })
        .await
    }

    async fn wait_for_connections(&self) {
        let deadline = self.env.clock.now() + DRAIN_TIME;
        let open = || self.resp.stats().connections + self.http_open.get();
        while open() > 0 && self.env.clock.now() < deadline {
            self.env.clock.sleep(DRAIN_PAUSE).await;
        }
    }
}

/// What CONFIG GET shows of this node, beside what is true of every node.
fn settings(config: &Config) -> Vec<Setting> {
    let port = config.client_addr.rsplit(':').next().unwrap_or_default();
    let host = config.client_addr.rsplit_once(':').map_or("", |(host, _)| host);
    vec![
        Setting::fixed("bind", host),
        Setting::fixed("dir", config.data_dir.display().to_string()),
        Setting::fixed("maxmemory", config.max_memory_bytes.to_string()),
        Setting::fixed("port", port),
    ]
}
