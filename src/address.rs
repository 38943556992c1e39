//! Addresses as users write them, and whether only this machine reaches them. The binary reads its flags with it.

use std::fmt;
use std::net::{IpAddr, ToSocketAddrs as _};

/// A host, without the brackets of an IPv6 address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// A name or an IP address.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Address {
    /// Parses `host:port`.
    ///
    /// ```
    /// use quorate::address::Address;
    /// assert_eq!(Address::parse("[::1]:7400").unwrap().host, "::1");
    /// assert!(Address::parse("7400").unwrap_err().contains("HOST:PORT"));
    /// ```
    ///
    /// # Errors
    /// It is not; the text says what it must be.
    pub fn parse(text: &str) -> Result<Self, String> {
        match split(text)? {
            (host, Some(port)) => Ok(Self { host, port }),
            (_, None) => Err("the port is missing: it must be HOST:PORT".to_owned()),
        }
    }

    /// As [`Address::parse`], for an address that others are to connect to.
    ///
    /// # Errors
    /// As there; also for port 0, and for addresses that are nowhere or everywhere.
    pub fn parse_reachable(text: &str) -> Result<Self, String> {
        let address = Self::parse(text)?;
        if address.port == 0 {
            return Err("port 0 can't be connected to".to_owned());
        }
        if is_unspecified(&address.host) {
            return Err("this is no address that others can connect to".to_owned());
        }
        Ok(address)
    }

    /// True when it means every address of the machine.
    pub fn is_everywhere(&self) -> bool {
        is_unspecified(&self.host)
    }

    /// Whether only this machine can reach it.
    ///
    /// # Errors
    /// The name can't be resolved.
    pub fn is_loopback(&self) -> Result<bool, String> {
        if let Ok(ip) = self.host.parse::<IpAddr>() {
            return Ok(ip.to_canonical().is_loopback());
        }
        let found = (self.host.as_str(), self.port).to_socket_addrs();
        let mut found = found.map_err(|error| format!("the name can't be resolved: {error}"))?;
        Ok(found.all(|address| address.ip().to_canonical().is_loopback()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// True for `0.0.0.0` and `::`.
pub fn is_unspecified(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified())
}

/// Parses `host`, `host:port`, `[v6]` or `[v6]:port`.
///
/// # Errors
/// It is none of them; the text says what is wrong.
pub fn split(text: &str) -> Result<(String, Option<u16>), String> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or("a bracket is missing")?;
            let port = rest.strip_prefix(':');
            if port.is_none() && !rest.is_empty() {
                return Err("something other than a port follows the bracket".to_owned());
            }
            (host, port)
        }
        None => match text.rsplit_once(':') {
            Some((host, _)) if host.contains(':') => {
                return Err("an IPv6 address is written in brackets: [::1]:7400".to_owned());
            }
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if host.is_empty() {
        return Err(
            "the host is missing: 127.0.0.1 is this machine alone, 0.0.0.0 is every address"
                .to_owned(),
        );
    }
    // A comma or a space would break the lines and lists that addresses appear in.
    if !host.chars().all(|c| c.is_ascii_alphanumeric() || "-._:%".contains(c)) {
        return Err("the host is no name and no address".to_owned());
    }
    let port = port.map(|port| {
        let number = port.parse::<u16>().ok().filter(|_| port.bytes().all(|b| b.is_ascii_digit()));
        number.ok_or("the port must be a number from 0 to 65535")
    });
    Ok((host.to_owned(), port.transpose()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back_as_they_were_written() {
        for text in ["127.0.0.1:7400", "node-1.example:0", "[::1]:65535"] {
            assert_eq!(Address::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn malformed_addresses_are_refused() {
        for text in [
            "",
            "7400",
            "host",
            ":7400",
            "h:",
            "h:x",
            "h:+1",
            "h:65536",
            "::1:7400",
            "[::1",
            "[::1]7400",
            "a b:1",
            "a,b:1",
        ] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn others_can_not_connect_to_port_0_nor_to_everywhere() {
        for text in ["h:0", "0.0.0.0:1", "[::]:1"] {
            assert!(Address::parse_reachable(text).is_err(), "{text}");
        }
        assert!(Address::parse_reachable("h:1").is_ok());
    }

    #[test]
    fn loopback_is_seen_in_every_dress() {
        for (text, loopback) in [
            ("127.0.0.1:1", true),
            ("127.9.9.9:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("localhost:1", true),
            ("0.0.0.0:1", false),
            ("[::]:1", false),
            ("10.0.0.1:1", false),
        ] {
            assert_eq!(Address::parse(text).unwrap().is_loopback(), Ok(loopback), "{text}");
        }
    }
}
