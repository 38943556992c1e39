//! What a node may be called, where it may listen, and under which addresses others reach it: checked here for
//! programs and for the binary alike.
//!
//! Whoever gave a setting knows it by a name of its own (`.password(..)`, `--password-file`); [`Words`] are those
//! names, and all that a refusal differs in.

use quorate_api::limits::ID_BYTES_MAX;
use quorate_env::mux::Protocol;

use crate::address::{self, Address};
use crate::listen::Listen;

/// What the settings are called that a refusal advises to give.
#[derive(Clone, Copy, Debug)]
pub struct Words {
    /// What clients must prove.
    pub password: &'static str,
    /// What peers must prove.
    pub cluster_secret: &'static str,
    /// That nobody need prove anything.
    pub insecure: &'static str,
    /// Where others reach the node.
    pub advertise: &'static str,
    /// Where peers reach it, if elsewhere.
    pub peer_advertise: &'static str,
}

impl Words {
    /// As [`crate::Builder`] calls them.
    pub const BUILDER: Self = Self {
        password: "a password",
        cluster_secret: "a cluster_secret",
        insecure: "insecure",
        advertise: "advertise",
        peer_advertise: "advertise",
    };
}

/// What the node asks of those who connect.
#[derive(Clone, Copy, Debug, Default)]
pub struct Guards {
    /// Clients need a password.
    pub password: bool,
    /// Peers need the cluster's secret.
    pub cluster_secret: bool,
    /// The operator has said that no guard is needed.
    pub insecure: bool,
}

/// A setting as it was given.
#[derive(Clone, Debug)]
pub struct Setting<'a> {
    /// How to name it to whoever gave it.
    pub place: &'a str,
    /// Its value.
    pub text: &'a str,
}

impl Setting<'_> {
    fn refused(&self, advice: &str) -> String {
        format!("{} is {:?}: {advice}", self.place, self.text)
    }
}

/// A listener whose address is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Door {
    /// How to name it to whoever gave it.
    pub place: String,
    /// Where it is.
    pub address: Address,
    /// What it takes.
    pub protocols: Vec<Protocol>,
}

impl Door {
    /// Reads a listener's address.
    ///
    /// # Errors
    /// It is none.
    pub fn of(place: &str, listen: &Listen) -> Result<Self, String> {
        let refused = |advice: String| Setting { place, text: &listen.addr }.refused(&advice);
        let address = Address::parse(&listen.addr).map_err(refused)?;
        Ok(Self { place: place.to_owned(), address, protocols: listen.protocols.clone() })
    }

    fn takes(&self, protocol: Protocol) -> bool {
        self.protocols.contains(&protocol)
    }

    /// Strangers must not reach what nobody guards. A name is looked up for that.
    ///
    /// # Errors
    /// They would; the text says what there is to give.
    pub fn check(&self, guards: Guards, words: &Words) -> Result<(), String> {
        if guards.insecure {
            return Ok(());
        }
        let refused = |text: String| format!("{} is {}: {text}", self.place, self.address);
        if self.address.is_loopback().map_err(refused)? {
            return Ok(());
        }
        let takes_clients = self.takes(Protocol::Resp) || self.takes(Protocol::Http);
        let Words { password, cluster_secret, insecure, .. } = words;
        let lacks_password = takes_clients && !guards.password;
        let lacks_secret = self.takes(Protocol::Peer) && !guards.cluster_secret;
        let missing = match (lacks_password, lacks_secret) {
            (false, false) => return Ok(()),
            (true, false) => format!("clients on other machines reach it, so give {password}"),
            (false, true) => format!("peers on other machines reach it, so give {cluster_secret}"),
            (true, true) => format!(
                "clients and peers on other machines reach it, so give {password} and {cluster_secret}"
            ),
        };
        Err(refused(format!(
            "{missing}; or listen on 127.0.0.1; or say {insecure} if whoever reaches the port may have the data"
        )))
    }
}

/// Where others reach the node; empty: where it listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advertised {
    /// Clients.
    pub client: String,
    /// Peers.
    pub peer: String,
}

/// A door, and its place among all.
type Nth<'a> = Option<(usize, &'a Door)>;

/// The doors that clients and peers are told of.
fn told_of(doors: &[Door]) -> (Nth<'_>, Nth<'_>) {
    let takes =
        |protocol: Protocol| doors.iter().enumerate().find(move |(_, door)| door.takes(protocol));
    (takes(Protocol::Resp).or_else(|| takes(Protocol::Http)), takes(Protocol::Peer))
}

impl Advertised {
    /// What `advertise` (`host` or `host:port`) and `peer_advertise` mean for a node with these doors.
    ///
    /// # Errors
    /// One of them is no address that others can connect to.
    pub fn of(
        doors: &[Door],
        advertise: Option<&Setting<'_>>,
        peer_advertise: Option<&Setting<'_>>,
    ) -> Result<Self, String> {
        let (client, peer) = told_of(doors);
        let mut advertised = Self::default();
        if let Some(given) = advertise {
            let refused = |advice: String| given.refused(&advice);
            let (host, port) = address::split(given.text).map_err(refused)?;
            // A port is that of the listener for clients; a separate one for peers keeps its own.
            let shared = client.map(|(at, _)| at) == peer.map(|(at, _)| at);
            let at = |door: Nth<'_>, port: Option<u16>| {
                let port = port.or(door.map(|(_, door)| door.address.port)).unwrap_or_default();
                let whole = Address { host: host.clone(), port }.to_string();
                let address = Address::parse_reachable(&whole).map_err(refused)?;
                Ok::<_, String>(address.to_string())
            };
            advertised.client = at(client, port)?;
            if peer_advertise.is_none() {
                advertised.peer = at(peer, port.filter(|_| shared))?;
            }
        }
        if let Some(given) = peer_advertise {
            let address = Address::parse_reachable(given.text);
            advertised.peer = address.map_err(|advice| given.refused(&advice))?.to_string();
        }
        Ok(advertised)
    }

    /// Nobody can be told to connect to every address of a machine.
    ///
    /// # Errors
    /// Somebody would be.
    pub fn check(&self, doors: &[Door], words: &Words) -> Result<(), String> {
        let (client, peer) = told_of(doors);
        let told =
            [(client, &self.client, words.advertise), (peer, &self.peer, words.peer_advertise)];
        for (door, addr, setting) in told {
            let everywhere =
                door.filter(|(_, door)| door.address.is_everywhere() && addr.is_empty());
            if let Some((_, door)) = everywhere {
                return Err(format!(
                    "{} is {}, which is every address of this machine: say with {setting} which one others are \
                     to use",
                    door.place, door.address
                ));
            }
        }
        Ok(())
    }
}

/// Names stand in lists, tables and paths.
///
/// # Errors
/// `name` can't be one; the text says what it must be.
pub fn check_name(name: &str) -> Result<(), String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.is_empty() || name.len() > ID_BYTES_MAX || !name.bytes().all(fits) {
        return Err(format!(
            "it must be 1 to {ID_BYTES_MAX} letters, digits, dots, dashes and underscores"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doors(listeners: &[Listen]) -> Vec<Door> {
        listeners.iter().map(|listen| Door::of("listen", listen).unwrap()).collect()
    }

    fn advertised(text: &str, listeners: &[Listen]) -> Result<Advertised, String> {
        let given = Setting { place: "advertise", text };
        Advertised::of(&doors(listeners), Some(&given), None)
    }

    #[test]
    fn an_advertised_host_gets_the_port_at_which_the_node_listens() {
        let everywhere = [Listen::all("0.0.0.0:7400")];
        let whole = |addr: &str| Advertised { client: addr.to_owned(), peer: addr.to_owned() };
        assert_eq!(advertised("node1", &everywhere), Ok(whole("node1:7400")));
        assert_eq!(advertised("node1:9", &everywhere), Ok(whole("node1:9")));
        let apart = [
            Listen::only("0.0.0.0:7400", [Protocol::Resp]),
            Listen::only("0.0.0.0:7500", [Protocol::Peer]),
        ];
        let both = Advertised { client: "node1:9".to_owned(), peer: "node1:7500".to_owned() };
        assert_eq!(advertised("node1:9", &apart), Ok(both));
        let why = advertised("0.0.0.0:9", &everywhere).unwrap_err();
        assert!(why.starts_with("advertise is \"0.0.0.0:9\": "), "{why}");
    }

    #[test]
    fn a_refusal_names_what_there_is_to_give_in_the_words_of_whoever_is_refused() {
        let words = Words { password: "the ticket", insecure: "open sesame", ..Words::BUILDER };
        let listen = [Listen::only("10.0.0.1:1", [Protocol::Http])];
        let why = doors(&listen)[0].check(Guards::default(), &words).unwrap_err();
        assert!(why.starts_with("listen is 10.0.0.1:1: clients"), "{why}");
        assert!(why.contains("give the ticket; or") && why.contains("say open sesame if"), "{why}");
        let everywhere = doors(&[Listen::all("[::]:1")]);
        let why = Advertised::default().check(&everywhere, &words).unwrap_err();
        assert!(why.contains("say with advertise"), "{why}");
    }
}
