//! The real node in the simulated world: the one place where the product's rooms are plugged in.
//!
//! As the binary does it, without HTTP: one port, on which the first bytes of a connection decide
//! whether a client or a peer speaks. Segments and snapshots are small, so that a run of half a
//! minute rolls, cuts and streams them.

use std::rc::Rc;

use quorate_env::mux::{Protocol, sniff};
use quorate_env::tasks::Task;
use quorate_env::{Env, Listener, Stream};
use quorate_node::{Config, Entrance, Node};
use quorate_resp::{Options, Server};

use crate::cluster::{Boot, NodeSpec};

/// A log segment's size here.
const SEGMENT_BYTES: u64 = 256 * 1024;
/// A snapshot is made when the log is larger than this.
const SNAPSHOT_LOG_BYTES: u64 = 64 * 1024;

/// Is given each node that starts.
type Watch = dyn Fn(&NodeSpec, &Node);

/// The program of a real node.
pub fn boot() -> Rc<Boot> {
    boot_with(|_| (), |_, _| (), |_, _| ())
}

/// The same with another window (`look`) or other settings (`adjust`), whose node `watch` is given.
pub fn boot_with(
    look: impl Fn(&mut NodeSpec) + 'static,
    adjust: impl Fn(&NodeSpec, &mut Config) + 'static,
    watch: impl Fn(&NodeSpec, &Node) + 'static,
) -> Rc<Boot> {
    let watch: Rc<Watch> = Rc::new(watch);
    Rc::new(move |mut spec| -> Task {
        look(&mut spec);
        let mut config = config(&spec);
        adjust(&spec, &mut config);
        let watch = Rc::clone(&watch);
        Box::pin(live(spec, config, watch))
    })
}

fn config(spec: &NodeSpec) -> Config {
    let mut config = Config::new(spec.name.clone(), spec.data_dir.clone());
    config.peer_addr.clone_from(&spec.addr);
    config.client_addr.clone_from(&spec.addr);
    config.segment_bytes = SEGMENT_BYTES;
    config.snapshot_log_bytes = SNAPSHOT_LOG_BYTES;
    let others = spec.members.iter().filter(|member| member.number != spec.number);
    config.entrance = match spec.number {
        1 => Entrance::Bootstrap,
        _ => Entrance::Join(others.map(|member| member.addr.clone()).collect()),
    };
    config
}

/// Lives until the node stops for good; then the process exits.
async fn live(spec: NodeSpec, config: Config, watch: Rc<Watch>) {
    let env = spec.env.clone();
    let addr = config.peer_addr.clone();
    let node = match Node::start(&env, config) {
        Ok(node) => node,
        Err(error) => {
            tracing::error!(%error, "not started");
            return;
        }
    };
    watch(&spec, &node);
    let listener = match env.net.listen(&addr) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "no port");
            return;
        }
    };
    let server = Server::new(Rc::new(node.clone()), env.clone(), Options::default());
    env.tasks.spawn(Box::pin(accept(env.clone(), listener, node.clone(), server)));
    let stop = node.run().await;
    tracing::error!(?stop, "stopped");
}

async fn accept(env: Env, mut listener: Box<dyn Listener>, node: Node, server: Rc<Server>) {
    while let Ok(stream) = std::future::poll_fn(|cx| listener.poll_accept(cx)).await {
        env.tasks.spawn(Box::pin(speak(stream, node.clone(), Rc::clone(&server))));
    }
}

async fn speak(stream: Box<dyn Stream>, node: Node, server: Rc<Server>) {
    match sniff(stream).await {
        Ok((Protocol::Peer, stream)) => node.serve_peer(stream).await,
        Ok((Protocol::Resp, stream)) => quorate_resp::serve(server, stream).await,
        // Nobody speaks HTTP here; who said nothing gets no answer.
        Ok((Protocol::Http, _)) | Err(_) => {}
    }
}
