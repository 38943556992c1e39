//! Where a node listens, under which addresses others reach it, and what it must prove or ask for
//! before it may listen where strangers are.

use quorate::Listen;
use quorate::address::Address;
use quorate::guard::{Advertised, Door, Guards, Setting, Words};
use quorate_env::mux::Protocol;

use crate::failure::Failure;
use crate::layers::{Layers, items};

/// A listener's flag, and the protocols that it takes from `--listen`.
const OWN: [(&str, Protocol); 3] = [
    ("resp-listen", Protocol::Resp),
    ("http-listen", Protocol::Http),
    ("peer-listen", Protocol::Peer),
];

/// The flags that a refusal advises to give.
const WORDS: Words = Words {
    password: "a --password-file",
    cluster_secret: "a --cluster-secret-file",
    insecure: "--insecure",
    advertise: "--advertise",
    peer_advertise: "--peer-advertise",
};

/// All that a server must know about addresses.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Addresses {
    /// The listeners.
    pub(crate) listeners: Vec<Listen>,
    /// For clients; empty: where the node listens.
    pub(crate) client_addr: String,
    /// For peers; empty: where the node listens.
    pub(crate) peer_addr: String,
    /// Names under which HTTP clients ask.
    pub(crate) http_hosts: Vec<String>,
}

impl Addresses {
    /// Checks what `layers` say.
    ///
    /// # Errors
    /// An address is malformed, missing or open to strangers.
    pub(crate) fn check(layers: &Layers, guards: Guards) -> Result<Self, Failure> {
        let doors = doors(layers)?;
        let advertised = advertised(layers, &doors, guards).map_err(Failure::usage)?;
        let http_hosts = layers.get("http-host");
        let http_hosts = http_hosts
            .map_or_else(Vec::new, |given| items(given.text).map(str::to_owned).collect());
        let listen = |door: Door| Listen::only(door.address.to_string(), door.protocols);
        Ok(Self {
            listeners: doors.into_iter().map(listen).collect(),
            client_addr: advertised.client,
            peer_addr: advertised.peer,
            http_hosts,
        })
    }
}

/// The listeners, `--listen` first; two flags with one address are one listener.
fn doors(layers: &Layers) -> Result<Vec<Door>, Failure> {
    let mut doors: Vec<Door> = Vec::new();
    let mut left = Vec::new();
    for (flag, protocol) in OWN {
        let Some(given) = layers.get(flag) else {
            left.push(protocol);
            continue;
        };
        let address = given.parse(Address::parse)?;
        match doors.iter_mut().find(|door| door.address == address && address.port != 0) {
            Some(door) => door.protocols.push(protocol),
            None => doors.push(Door { place: given.place, address, protocols: vec![protocol] }),
        }
    }
    let Some(given) = layers.get("listen") else { return Ok(doors) };
    let address = given.parse(Address::parse)?;
    if left.is_empty() {
        return match given.source {
            crate::layers::Source::Default => Ok(doors),
            _ => Err(given.refused(
                "Redis clients, HTTP clients and peers all have listeners of their own, nobody is left for \
                 this one; leave it out",
            )),
        };
    }
    match doors.iter_mut().find(|door| door.address == address && address.port != 0) {
        Some(door) => door.protocols.extend(left),
        None => doors.insert(0, Door { place: given.place, address, protocols: left }),
    }
    Ok(doors)
}

/// Where others reach the node behind these doors, which nobody reaches who must not.
fn advertised(layers: &Layers, doors: &[Door], guards: Guards) -> Result<Advertised, String> {
    doors.iter().try_for_each(|door| door.check(guards, &WORDS))?;
    let [advertise, peer_advertise] = ["advertise", "peer-advertise"].map(|name| layers.get(name));
    let [advertise, peer_advertise] = [&advertise, &peer_advertise]
        .map(|given| given.as_ref().map(|it| Setting { place: &it.place, text: it.text }));
    let advertised = Advertised::of(doors, advertise.as_ref(), peer_advertise.as_ref())?;
    advertised.check(doors, &WORDS)?;
    Ok(advertised)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::SERVE;
    use crate::layers::{Layer, Source};

    fn check(flags: &[(&'static str, &str)], guards: Guards) -> Result<Addresses, Failure> {
        let mut layer = Layer::new(Source::Flag);
        for (name, text) in flags {
            layer.put(name, *text);
        }
        let layers = Layers::new(SERVE, vec![layer, Layer::of_defaults(SERVE)]);
        Addresses::check(&layers, guards)
    }

    fn refusal(flags: &[(&'static str, &str)]) -> String {
        check(flags, Guards::default()).unwrap_err().to_string()
    }

    const OPEN: Guards = Guards { password: false, cluster_secret: false, insecure: true };

    #[test]
    fn one_listener_on_loopback_takes_all() {
        let addresses = check(&[], Guards::default()).unwrap();
        assert_eq!(addresses.listeners.len(), 1);
        assert_eq!(addresses.listeners[0].addr, "127.0.0.1:7400");
        assert!(OWN.iter().all(|(_, protocol)| addresses.listeners[0].takes(*protocol)));
        assert_eq!((addresses.client_addr.as_str(), addresses.peer_addr.as_str()), ("", ""));
    }

    #[test]
    fn listen_takes_what_has_no_listener_of_its_own() {
        let addresses = check(&[("peer-listen", "127.0.0.1:7500")], Guards::default()).unwrap();
        let expected = [
            Listen::only("127.0.0.1:7400", [Protocol::Resp, Protocol::Http]),
            Listen::only("127.0.0.1:7500", [Protocol::Peer]),
        ];
        assert_eq!(addresses.listeners, expected);
        let all = [("resp-listen", "h:1"), ("http-listen", "h:2"), ("peer-listen", "h:3")];
        assert_eq!(check(&all, OPEN).unwrap().listeners.len(), 3);
        let with_listen = [all.as_slice(), &[("listen", "h:4")]].concat();
        let text = check(&with_listen, OPEN).unwrap_err().to_string();
        assert!(text.contains("nobody is left"), "{text}");
    }

    #[test]
    fn one_address_is_one_listener() {
        let flags = [
            ("resp-listen", "127.0.0.1:1"),
            ("http-listen", "127.0.0.1:1"),
            ("listen", "127.0.0.1:1"),
        ];
        let addresses = check(&flags, Guards::default()).unwrap();
        assert_eq!(addresses.listeners.len(), 1);
        assert_eq!(addresses.listeners[0].protocols.len(), 3);
        let free = [("resp-listen", "127.0.0.1:0"), ("http-listen", "127.0.0.1:0")];
        assert_eq!(check(&free, Guards::default()).unwrap().listeners.len(), 3);
    }

    #[test]
    fn strangers_must_prove_something() {
        let open = [("listen", "10.0.0.1:7400")];
        let text = refusal(&open);
        assert!(text.starts_with("--listen is 10.0.0.1:7400: clients and peers"), "{text}");
        let password = Guards { password: true, ..Guards::default() };
        assert!(check(&open, password).unwrap_err().to_string().contains("--cluster-secret-file"));
        let both = Guards { cluster_secret: true, ..password };
        assert!(check(&open, both).is_ok() && check(&open, OPEN).is_ok());
        let peers = [("peer-listen", "10.0.0.1:1")];
        assert!(refusal(&peers).starts_with("--peer-listen is 10.0.0.1:1: peers"));
        assert!(refusal(&[("http-listen", "10.0.0.1:1")]).contains("give a --password-file"));
    }

    #[test]
    fn everywhere_is_no_address_to_connect_to() {
        let text = check(&[("listen", "0.0.0.0:7400")], OPEN).unwrap_err().to_string();
        assert!(text.contains("--advertise"), "{text}");
        let flags = [("listen", "0.0.0.0:7400"), ("advertise", "node1")];
        let addresses = check(&flags, OPEN).unwrap();
        assert_eq!(addresses.client_addr, "node1:7400");
        assert_eq!(addresses.peer_addr, "node1:7400");
        assert!(refusal(&[("advertise", "0.0.0.0:1")]).contains("--advertise"));
        assert!(refusal(&[("advertise", "h"), ("listen", "127.0.0.1:0")]).contains("port 0"));
    }

    #[test]
    fn an_advertised_port_is_for_clients_and_for_peers_only_on_the_same_listener() {
        let flags = [("advertise", "node1:9000"), ("peer-listen", "127.0.0.1:7500")];
        let addresses = check(&flags, Guards::default()).unwrap();
        assert_eq!(addresses.client_addr, "node1:9000");
        assert_eq!(addresses.peer_addr, "node1:7500");
        let flags = [flags.as_slice(), &[("peer-advertise", "nat:1")]].concat();
        assert_eq!(check(&flags, Guards::default()).unwrap().peer_addr, "nat:1");
    }

    #[test]
    fn names_for_http_are_a_list() {
        let addresses = check(&[("http-host", "kv.example, kv")], Guards::default()).unwrap();
        assert_eq!(addresses.http_hosts, ["kv.example", "kv"]);
    }
}
