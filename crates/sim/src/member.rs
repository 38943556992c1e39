//! The real node in the simulated world: the one place where the product's rooms are plugged in.
//!
//! As the binary does it: one port, on which the first bytes of a connection decide who speaks; and another one
//! for an operator's orders, which here are no HTTP requests.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use quorate_api::status::{MemberStatus, Wish};
use quorate_api::{AdminReply, AdminRequest, Api, Caution, Error, Place, handle};
use quorate_engine::EngineKind;
use quorate_env::mux::{Protocol, sniff};
use quorate_env::tasks::Task;
use quorate_env::{Env, Listener, Stream};
use quorate_node::observer::Observer;
use quorate_node::{Config, Entrance, Node, StartError};
use quorate_resp::{Options, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::cellar::WaitingCellar;
use crate::check::whole;
use crate::cluster::{self, Boot, NodeSpec};
use crate::observe::Seat;
use crate::resp::{Frame, Reader, encode};

/// Is given each node that starts.
type Started = dyn Fn(&NodeSpec, &Node);

/// The program of a real node.
pub fn boot() -> Rc<Boot> {
    boot_with(|_| (), |_, _| (), |_, _| ())
}

/// A day of the gym: everything that is held is read again and compared once in it.
const SCRUB_EVERY: Duration = Duration::from_secs(5);

/// The same with another window (`look`) or other settings (`adjust`), whose node `started` is given.
pub fn boot_with(
    look: impl Fn(&mut NodeSpec) + 'static,
    adjust: impl Fn(&NodeSpec, &mut Config) + 'static,
    started: impl Fn(&NodeSpec, &Node) + 'static,
) -> Rc<Boot> {
    let started: Rc<Started> = Rc::new(started);
    Rc::new(move |mut spec| -> Task {
        look(&mut spec);
        let mut config = config(&spec);
        adjust(&spec, &mut config);
        let started = Rc::clone(&started);
        Box::pin(live(spec, config, started))
    })
}

fn config(spec: &NodeSpec) -> Config {
    let mut config = Config::new(spec.name.clone(), spec.data_dir.clone());
    config.peer_addr.clone_from(&spec.addr);
    config.client_addr.clone_from(&spec.addr);
    config.segment_bytes = spec.sizes.segment_bytes;
    config.snapshot_log_bytes = spec.sizes.snapshot_log_bytes;
    config.entries_kept = spec.sizes.entries_kept;
    config.scrub_every = SCRUB_EVERY;
    if spec.engine == EngineKind::Disk {
        config.cellar = Arc::new(WaitingCellar::new(Arc::clone(&spec.env.disk)));
    }
    let others = spec.members.iter().filter(|member| member.number != spec.number);
    config.entrance = match spec.entrance {
        cluster::Entrance::Founds => Entrance::Bootstrap,
        cluster::Entrance::Joins => {
            Entrance::Join(others.map(|member| member.addr.clone()).collect())
        }
        cluster::Entrance::Waits => Entrance::Wait,
    };
    config
}

/// Lives until the node stops for good; then the process exits.
async fn live(spec: NodeSpec, config: Config, started: Rc<Started>) {
    let env = spec.env.clone();
    let observer: Rc<dyn Observer> =
        Rc::new(Seat { host: spec.host, watch: Rc::clone(&spec.watch) });
    let addr = config.peer_addr.clone();
    let node = match Node::start_observed(&env, config, Some(observer)) {
        Ok(node) => node,
        Err(error @ StartError::AloneWithDamage(_)) => {
            tracing::error!(%error, "{}", whole::REFUSED);
            return;
        }
        Err(error) => {
            tracing::error!(%error, "not started");
            return;
        }
    };
    started(&spec, &node);
    let listeners = env.net.listen(&addr).and_then(|it| {
        let operators = env.net.listen(&spec.operator_addr)?;
        Ok((it, operators))
    });
    let (listener, operators) = match listeners {
        Ok(listeners) => listeners,
        Err(error) => {
            tracing::error!(%error, "no port");
            return;
        }
    };
    let fronts = fronts(&env, &node, addr);
    env.tasks.spawn(Box::pin(accept(env.clone(), listener, fronts)));
    env.tasks.spawn(Box::pin(take_orders(env.clone(), operators, node.clone())));
    let stop = node.run().await;
    tracing::error!(?stop, "stopped");
}

/// Who answers on the one port.
#[derive(Clone)]
struct Fronts {
    node: Node,
    resp: Rc<Server>,
    http: Arc<quorate_http::Server>,
}

fn fronts(env: &Env, node: &Node, addr: String) -> Fronts {
    let api: Rc<dyn Api> = Rc::new(node.clone());
    let (handle, requests) = handle::channel();
    let tasks = Arc::clone(&env.tasks);
    let spawn = move |task| tasks.spawn(task);
    env.tasks.spawn(Box::pin(handle::serve(Rc::clone(&api), requests, spawn)));
    let options = quorate_http::Options {
        hosts: vec![addr],
        clock: Some(Arc::clone(&env.clock)),
        ..quorate_http::Options::new("gym")
    };
    let http = Arc::new(quorate_http::Server::new(handle, options));
    Fronts { node: node.clone(), resp: Server::new(api, env.clone(), Options::default()), http }
}

async fn accept(env: Env, mut listener: Box<dyn Listener>, fronts: Fronts) {
    while let Ok(stream) = std::future::poll_fn(|cx| listener.poll_accept(cx)).await {
        env.tasks.spawn(Box::pin(speak(stream, fronts.clone())));
    }
}

async fn speak(stream: Box<dyn Stream>, fronts: Fronts) {
    match sniff(stream).await {
        Ok((Protocol::Peer, stream)) => fronts.node.serve_peer(stream).await,
        Ok((Protocol::Resp, stream)) => quorate_resp::serve(fronts.resp, stream).await,
        Ok((Protocol::Http, stream)) => quorate_http::serve(fronts.http, stream).await,
        // Who said nothing gets no answer.
        Err(_) => {}
    }
}

async fn take_orders(env: Env, mut listener: Box<dyn Listener>, node: Node) {
    while let Ok(stream) = std::future::poll_fn(|cx| listener.poll_accept(cx)).await {
        let node = node.clone();
        env.tasks.spawn(Box::pin(async move {
            // Who hung up is in doubt, rightly.
            take_order(stream, node).await.unwrap_or_default();
        }));
    }
}

/// One order per connection.
async fn take_order(mut stream: Box<dyn Stream>, node: Node) -> Option<()> {
    let mut reader = Reader::default();
    let mut buffer = [0; 1024];
    let frame = loop {
        if let Some(frame) = reader.next_frame().ok()? {
            break frame;
        }
        let len = stream.read(&mut buffer).await.ok().filter(|len| *len > 0)?;
        reader.feed(buffer.get(..len)?);
    };
    let Frame::Array(words) = frame else { return None };
    let words: Vec<String> = words
        .into_iter()
        .filter_map(|word| if let Frame::Bulk(word) = word { Some(word) } else { None })
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let answer = match node.administer(request(&words)?).await {
        Ok(AdminReply::Refused(why)) => Frame::Error(format!("REFUSED {why}")),
        Ok(AdminReply::Status(status)) => Frame::Array(status.members.iter().map(row).collect()),
        Ok(_) => Frame::Simple("OK".to_owned()),
        Err(error @ Error::Unknown { .. }) => Frame::Error(format!("UNKNOWN {error}")),
        Err(error) => Frame::Error(format!("TRYAGAIN {error}")),
    };
    let mut bytes = Vec::new();
    encode(&answer, &mut bytes);
    stream.write_all(&bytes).await.ok()
}

/// An operator's words.
fn request(words: &[&str]) -> Option<AdminRequest> {
    let caution = Caution::KeepMajority;
    Some(match *words {
        ["LEAVE", member] => AdminRequest::Leave { member: member.to_owned(), caution },
        ["PROMOTE", member] => AdminRequest::Promote { member: member.to_owned() },
        ["DEMOTE", member] => AdminRequest::Demote { member: member.to_owned(), caution },
        ["JOIN", name, addr, ref of @ ..] => {
            let place = match *of {
                [old] => Place::Of(old.to_owned()),
                _ => Place::AsItWishes,
            };
            AdminRequest::Join { id: Some(name.to_owned()), addr: addr.to_owned(), place }
        }
        ["TRANSFER"] => AdminRequest::Transfer { to: None },
        ["TRANSFER", to] => AdminRequest::Transfer { to: Some(to.to_owned()) },
        ["STATUS"] => AdminRequest::ClusterStatus,
        _ => return None,
    })
}

/// A member, and what it may do.
fn row(member: &MemberStatus) -> Frame {
    // Beside the only voter it gets its vote first; then that one leaves.
    let settled = !matches!(member.wish, Wish::Replaces(_));
    let may = if member.voter && settled { VOTES } else { LEARNS };
    Frame::Array(vec![Frame::Bulk(member.id.clone()), Frame::Bulk(may.to_owned())])
}

/// What is said of a member that has a vote, for good.
pub const VOTES: &str = "votes";
const LEARNS: &str = "learns";
