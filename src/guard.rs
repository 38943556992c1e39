//! What a node within a program may be called and where it may listen: as `quorate serve` has it.

use std::net::IpAddr;

use quorate_api::limits::ID_BYTES_MAX;
use quorate_env::mux::Protocol;

use crate::error::OpenError;
use crate::listen::Listen;
use crate::server::ServerConfig;

/// Names stand in lists, tables and paths.
pub(crate) fn check_name(name: &str) -> Result<(), OpenError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.is_empty() || name.len() > ID_BYTES_MAX || !name.bytes().all(fits) {
        return Err(OpenError::Invalid(
            format!(
                "the name is {name:?}: it must be 1 to {ID_BYTES_MAX} letters, digits, dots, dashes and underscores"
            )
            .into(),
        ));
    }
    Ok(())
}

/// The host of `host:port`, without the brackets of an IPv6 address.
fn host(addr: &str) -> &str {
    let host = addr.rsplit_once(':').map_or(addr, |(host, _)| host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// Whether only this machine reaches it. A name is taken for one that others know, too.
fn is_loopback(listen: &Listen) -> bool {
    let host = host(&listen.addr);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

fn is_everywhere(listen: &Listen) -> bool {
    host(&listen.addr).parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_unspecified())
}

/// Strangers must not reach what nobody guards.
pub(crate) fn check_listeners(config: &ServerConfig) -> Result<(), OpenError> {
    for listen in config.listeners.iter().filter(|listen| !is_loopback(listen)) {
        let clients = listen.takes(Protocol::Resp) || listen.takes(Protocol::Http);
        let missing = match (
            clients && config.password.is_none(),
            listen.takes(Protocol::Peer) && config.node.secret.is_empty(),
        ) {
            (false, false) => continue,
            (true, false) => "a password for clients",
            (false, true) => "a cluster_secret for peers",
            (true, true) => "a password for clients and a cluster_secret for peers",
        };
        return Err(OpenError::Invalid(
            format!(
                "other machines reach {}, so give {missing}; or listen on 127.0.0.1; or say insecure if whoever \
                 reaches the port may have the data",
                listen.addr
            )
            .into(),
        ));
    }
    Ok(())
}

/// Nobody can be told to connect to every address of a machine.
pub(crate) fn check_addresses(config: &ServerConfig) -> Result<(), OpenError> {
    let needs = |listen: &&Listen| {
        let clients = listen.takes(Protocol::Resp) || listen.takes(Protocol::Http);
        is_everywhere(listen)
            && (clients && config.node.client_addr.is_empty()
                || listen.takes(Protocol::Peer) && config.node.peer_addr.is_empty())
    };
    match config.listeners.iter().find(needs) {
        None => Ok(()),
        Some(listen) => Err(OpenError::Invalid(
            format!(
                "{} is every address of this machine: say with advertise which one others are to use",
                listen.addr
            )
            .into(),
        )),
    }
}

/// Where others reach the node: `text`, with the first listener's port where it has none.
pub(crate) fn advertised(text: &str, config: &ServerConfig) -> String {
    let is_whole = text.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let port = config.listeners.first().and_then(|listen| listen.addr.rsplit_once(':'));
    match port {
        Some((_, port)) if !is_whole => format!("{text}:{port}"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_seen_in_every_dress() {
        let listen = |addr: &str| Listen::all(addr);
        for addr in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "localhost:1"]
        {
            assert!(is_loopback(&listen(addr)), "{addr}");
        }
        for addr in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "node1:1"] {
            assert!(!is_loopback(&listen(addr)), "{addr}");
        }
        assert!(is_everywhere(&listen("0.0.0.0:1")) && is_everywhere(&listen("[::]:1")));
    }

    #[test]
    fn an_advertised_host_gets_the_port_at_which_the_node_listens() {
        let mut config = ServerConfig::new("n1", "d");
        config.listeners = vec![Listen::all("0.0.0.0:7400")];
        assert_eq!(advertised("node1", &config), "node1:7400");
        assert_eq!(advertised("node1:9", &config), "node1:9");
    }
}
