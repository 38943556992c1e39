//! A node behind real address translation: a network of its own, a router that translates, and everybody else.
//!
//! Needs root, `ip` and `nft`; where they can't be had, a skip that says so, also in CI.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::fd::AsFd as _;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::client::connect;
use crate::cluster::{Cluster, Entrance};
use crate::patience::{LONG, until};
use crate::tool;

const LIMIT: Duration = Duration::from_secs(20);
/// Where the world finds the node that is behind the router.
const OUTSIDE: &str = "192.0.2.254:7403";
const INSIDE: &str = "10.0.0.3:7400";

/// A network namespace that lives as long as its process does.
struct Network(Child);

impl Network {
    fn new() -> Self {
        let mut child = Command::new("unshare")
            .args(["--net", "sh", "-c", "ip link set lo up && echo up && exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "up\n", "a network namespace begins");
        Self(child)
    }

    fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.0.id())
    }

    /// What stands before a command that lives there.
    fn wrapper(&self) -> Vec<String> {
        vec!["nsenter".to_owned(), format!("--net={}", self.path())]
    }

    fn run(&self, script: &str) {
        let enter = format!("--net={}", self.path());
        tool::output_of(&["nsenter", &enter, "sh", "-ec", script], "", LIMIT);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // It may have ended before; the namespace ends with it.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The world, and what of it can't be reached from outside but through the router.
struct Networks {
    world: Network,
    router: Network,
    home: Network,
}

impl Networks {
    fn new() -> Self {
        let it = Self { world: Network::new(), router: Network::new(), home: Network::new() };
        let (world, router) = (it.world.0.id(), it.router.0.id());
        it.home.run(&format!(
            "ip link add uplink type veth peer name inner netns {router}
             ip addr add 10.0.0.3/24 dev uplink
             ip link set uplink up
             ip route add default via 10.0.0.1"
        ));
        it.router.run(&format!(
            "ip link add outer type veth peer name world netns {world}
             ip addr add 192.0.2.254/24 dev outer
             ip addr add 10.0.0.1/24 dev inner
             ip link set outer up
             ip link set inner up
             echo 1 > /proc/sys/net/ipv4/ip_forward
             nft add table ip translation
             nft 'add chain ip translation inwards {{ type nat hook prerouting priority -100; }}'
             nft 'add chain ip translation outwards {{ type nat hook postrouting priority 100; }}'
             nft add rule ip translation outwards oifname outer masquerade"
        ));
        it.open("7403");
        it.world.run(
            "ip addr add 192.0.2.1/24 dev world
             ip addr add 192.0.2.2/24 dev world
             ip link set world up",
        );
        it
    }

    /// The port at which the router passes connections on.
    fn open(&self, port: &str) {
        self.router.run(&format!(
            "nft flush chain ip translation inwards
             nft add rule ip translation inwards iifname outer tcp dport {port} dnat to {INSIDE}"
        ));
    }

    /// Runs `work` in the world, on a thread of its own: a thread can't come back from there.
    fn run(&self, work: impl FnOnce() + Send) {
        let name = thread::current().name().unwrap_or("world").to_owned();
        thread::scope(|scope| {
            let entered = || {
                let namespace = File::open(self.world.path()).unwrap();
                let kind = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(namespace.as_fd(), kind).unwrap();
                work();
            };
            let thread = thread::Builder::new().name(name).spawn_scoped(scope, entered).unwrap();
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        });
    }
}

/// Starts the node that is at home; the world asks it at what it advertises.
fn start_at_home(cluster: &mut Cluster, node: usize, advertised: &str) {
    let recipe = cluster.recipe_mut(node);
    recipe.addr = INSIDE.to_owned();
    let at = recipe.flags.iter().position(|flag| flag == "--advertise").unwrap();
    recipe.flags[at + 1] = advertised.to_owned();
    cluster.restart(node);
    cluster.recipe_mut(node).addr = advertised.to_owned();
}

fn permitted() -> bool {
    let check = "ip link add here type veth peer name there && nft 'add table ip t' && \
                 nft 'add chain ip t c { type nat hook prerouting priority -100; }'";
    tool::is_permitted(&["unshare", "--net", "sh", "-ec", check])
}

#[test]
fn a_node_in_a_network_of_its_own_leads_through_a_router_and_comes_back_at_another_port() {
    if !permitted() {
        return;
    }
    let networks = Networks::new();
    networks.run(|| {
        let mut cluster = Cluster::empty(&["--insecure"]);
        for (entrance, addr) in
            [(Entrance::Bootstrap, "192.0.2.1:7400"), (Entrance::Join, "192.0.2.2:7400")]
        {
            cluster.add_as(entrance, |recipe| {
                recipe.addr = addr.to_owned();
                recipe.wrapper = networks.world.wrapper();
            });
        }
        let flags = ["--join", "192.0.2.1:7400", "--advertise", OUTSIDE];
        let home = cluster.plan(&flags);
        cluster.recipe_mut(home).wrapper = networks.home.wrapper();
        start_at_home(&mut cluster, home, OUTSIDE);
        cluster.wait_for_voters(3);
        let status = cluster.status(0).unwrap();
        assert_eq!(status.member("n3").unwrap()["addr"], OUTSIDE);
        assert!(connect(INSIDE).is_err(), "there is no other way in");

        crate::quorate::done(&["member", "transfer", "n3", "--addr", "192.0.2.2:7400"]);
        until("the node at home leads", LONG, || {
            if cluster.leader() == home { Ok(()) } else { Err("another one does".to_owned()) }
        });
        cluster.tell(0, &["SET", "k", "v"]);
        assert_eq!(cluster.ask::<String>(home, &["GET", "k"]), "v");
        cluster.wait_until_equal();

        // The router gives it another port: it is the same member, elsewhere.
        assert_eq!(cluster.terminate(home).code(), Some(0));
        networks.open("7413");
        let moved = OUTSIDE.replace("7403", "7413");
        start_at_home(&mut cluster, home, &moved);
        until("the others reach it where it is now", LONG, || {
            let status = cluster.status(cluster.leader())?;
            let member = status.member("n3").cloned().unwrap_or_default();
            if member["addr"] == *moved && member["alive"] == true {
                return Ok(());
            }
            Err(member.to_string())
        });
        cluster.kill(&[0]);
        cluster.tell(1, &["SET", "k", "w"]);
        assert_eq!(cluster.ask::<String>(home, &["GET", "k"]), "w");
    });
}
