//! The Host check against DNS rebinding: a page whose own name suddenly resolves to this node must
//! not be able to talk to it as if it were of the same site.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::authority::Authority;
use crate::error::{Kind, Problem};

/// The names under which this node may be asked.
#[derive(Debug)]
pub(super) struct Hosts {
    names: BTreeSet<String>,
    any: bool,
}

impl Hosts {
    /// `names` may carry ports, which do not matter; `*` is every name.
    pub(super) fn new(names: &[String]) -> Self {
        let any = names.iter().any(|name| name == "*");
        let hosts = names.iter().filter_map(|name| Authority::parse(name));
        Self { names: hosts.map(|authority| authority.host).collect(), any }
    }

    /// Lets IP addresses pass (no name, nothing to rebind), `localhost`, and the names.
    ///
    /// # Errors
    /// Any other name.
    pub(super) fn check(&self, authority: Option<&Authority>) -> Result<(), Problem> {
        let Some(Authority { host, .. }) = authority else { return Ok(()) };
        let address = host.parse::<Ipv4Addr>().is_ok() || host.parse::<Ipv6Addr>().is_ok();
        let local = host == "localhost" || host.ends_with(".localhost");
        if self.any || address || local || self.names.contains(host) {
            return Ok(());
        }
        let detail = format!(
            "The request is meant for {host}, and this node does not know itself by that name. Use \
             its IP address or its advertised name, or add {host} to its configured host names."
        );
        Err(Problem::new(Kind::ForeignHost, detail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_localhost_and_configured_names_pass() {
        let hosts = Hosts::new(&["Node1:7000".to_owned(), "kv.example".to_owned()]);
        let passes = |text| hosts.check(Authority::parse(text).as_ref()).is_ok();
        for host in ["127.0.0.1:1", "[::1]:1", "localhost", "node1", "NODE1:9", "kv.example"] {
            assert!(passes(host), "{host}");
        }
        for host in ["evil.example", "node1.evil.example", "127.0.0.1.evil.example", "1.2.3"] {
            assert!(!passes(host), "{host}");
        }
        let evil = Authority::parse("evil.example");
        assert!(Hosts::new(&["*".to_owned()]).check(evil.as_ref()).is_ok());
    }
}
