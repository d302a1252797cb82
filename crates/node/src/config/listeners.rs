//! Owns the notation of listeners and end points: `NAME://HOST:PORT`, the security protocol
//! map, and what Kafka forbids about them.
//! Must not know sockets: nothing here is resolved or bound.

use std::collections::BTreeMap;
use std::fmt;

/// A place to listen at, or to be told to clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The listener's name in upper case, `PLAINTEXT` when nobody gave one.
    pub listener: String,
    /// Name or address without brackets; empty means every interface.
    pub host: String,
    /// The port; 0 means any free one.
    pub port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "{}://[{}]:{}", self.listener, self.host, self.port)
        } else {
            write!(f, "{}://{}:{}", self.listener, self.host, self.port)
        }
    }
}

/// Whom a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerRole {
    /// Clients and brokers.
    Broker,
    /// The quorum, and tools that speak to the controller.
    Controller,
}

/// Reads `NAME://HOST:PORT`; `HOST:PORT` alone is a `PLAINTEXT` listener.
pub(super) fn parse_endpoint(text: &str) -> Result<Endpoint, String> {
    let bad = || format!("\"{text}\" is not of the form NAME://HOST:PORT");
    let (listener, address) = text.split_once("://").unwrap_or(("PLAINTEXT", text));
    let (host, port) = address.rsplit_once(':').ok_or_else(bad)?;
    if listener.is_empty() || listener.contains(|c: char| c.is_whitespace() || c == ':') {
        return Err(bad());
    }
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').ok_or_else(bad)?,
        None if host.contains(':') => {
            return Err(format!("\"{text}\": put an IPv6 address in brackets"));
        }
        None => host,
    };
    if !host.chars().all(|c| c.is_ascii_alphanumeric() || "-._:%".contains(c)) {
        return Err(bad());
    }
    let port = port.parse().map_err(|_| {
        if port.bytes().all(|b| b.is_ascii_digit()) && !port.is_empty() {
            format!("\"{text}\": a port is at most 65535")
        } else {
            bad()
        }
    })?;
    Ok(Endpoint { listener: listener.to_uppercase(), host: host.to_owned(), port })
}

/// Reads a comma-separated list of end points and refuses what Kafka refuses: a name twice, or
/// a port twice (except 0, or once for IPv4 and once for IPv6).
pub(super) fn parse_endpoints(text: &str, unique_ports: bool) -> Result<Vec<Endpoint>, String> {
    let endpoints = split_list(text).map(parse_endpoint).collect::<Result<Vec<_>, _>>()?;
    for (at, one) in endpoints.iter().enumerate() {
        for other in endpoints.iter().skip(at + 1) {
            let pair = one.port == other.port && ip_versions_differ(&one.host, &other.host);
            if one.listener == other.listener && !pair {
                return Err(format!(
                    "each listener must have its own name; {} comes twice",
                    one.listener
                ));
            }
            if unique_ports && one.port != 0 && one.port == other.port && !pair {
                return Err(format!(
                    "each listener must have its own port; {} comes twice",
                    one.port
                ));
            }
        }
    }
    Ok(endpoints)
}

fn ip_versions_differ(one: &str, other: &str) -> bool {
    match (one.parse::<std::net::IpAddr>(), other.parse::<std::net::IpAddr>()) {
        (Ok(one), Ok(other)) => one.is_ipv4() != other.is_ipv4(),
        _ => false,
    }
}

/// The items of a comma-separated list, without blanks around them and without empty ones.
pub(super) fn split_list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// Kafka's security protocols.
const PROTOCOLS: [&str; 4] = ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"];

/// Which security protocol each listener name speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ProtocolMap {
    protocols: BTreeMap<String, String>,
    given: bool,
}

impl ProtocolMap {
    /// Kafka's default: the four protocols under their own names.
    pub(super) fn standard() -> Self {
        let protocols =
            PROTOCOLS.iter().map(|name| ((*name).to_owned(), (*name).to_owned())).collect();
        Self { protocols, given: false }
    }

    /// Reads `NAME:PROTOCOL,NAME:PROTOCOL`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut protocols = BTreeMap::new();
        for item in split_list(text) {
            let (name, protocol) = item
                .rsplit_once(':')
                .ok_or_else(|| format!("\"{item}\" is not of the form NAME:PROTOCOL"))?;
            let protocol = protocol.trim().to_uppercase();
            if !PROTOCOLS.contains(&protocol.as_str()) {
                return Err(format!(
                    "\"{protocol}\" is no security protocol; there are {}",
                    PROTOCOLS.join(", ")
                ));
            }
            protocols.insert(name.trim().to_uppercase(), protocol);
        }
        Ok(Self { protocols, given: true })
    }

    /// The protocol of a listener. As in Kafka, a controller listener is `PLAINTEXT` when no
    /// map was given.
    pub(super) fn protocol_of(&self, listener: &str, role: ListenerRole) -> Result<&str, String> {
        match self.protocols.get(listener) {
            Some(protocol) => Ok(protocol),
            None if role == ListenerRole::Controller && !self.given => Ok("PLAINTEXT"),
            None => Err(format!(
                "no security protocol is defined for listener {listener} in listener.security.protocol.map"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn endpoint(listener: &str, host: &str, port: u16) -> Endpoint {
        Endpoint { listener: listener.into(), host: host.into(), port }
    }

    #[test]
    fn endpoints() {
        for (text, expected) in [
            ("PLAINTEXT://localhost:9092", endpoint("PLAINTEXT", "localhost", 9092)),
            ("plaintext://:0", endpoint("PLAINTEXT", "", 0)),
            ("127.0.0.1:9092", endpoint("PLAINTEXT", "127.0.0.1", 9092)),
            ("CONTROLLER://[::1]:9093", endpoint("CONTROLLER", "::1", 9093)),
            ("A://[fe80::1%eth0]:1", endpoint("A", "fe80::1%eth0", 1)),
        ] {
            assert_eq!(parse_endpoint(text).as_ref(), Ok(&expected), "{text}");
        }
        for (text, part) in [
            ("", "NAME://HOST:PORT"),
            ("localhost", "NAME://HOST:PORT"),
            ("PLAINTEXT://localhost", "NAME://HOST:PORT"),
            ("PLAINTEXT://localhost:", "NAME://HOST:PORT"),
            ("PLAINTEXT://localhost:-1", "NAME://HOST:PORT"),
            ("PLAINTEXT://a b:1", "NAME://HOST:PORT"),
            ("://a:1", "NAME://HOST:PORT"),
            ("PLAINTEXT://localhost:65536", "at most 65535"),
            ("PLAINTEXT://::1:9092", "brackets"),
            ("PLAINTEXT://[::1:9092", "NAME://HOST:PORT"),
        ] {
            let error = parse_endpoint(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn lists() {
        let read = |text| parse_endpoints(text, true);
        assert_eq!(read("A://:1, B://:2,").unwrap(), [endpoint("A", "", 1), endpoint("B", "", 2)]);
        assert_eq!(read("A://:0,B://:0").unwrap().len(), 2);
        assert!(read("A://:1,a://:2").unwrap_err().contains("own name; A"));
        assert!(read("A://:1,B://:1").unwrap_err().contains("own port; 1"));
        assert_eq!(parse_endpoints("A://x:1,B://y:1", false).unwrap().len(), 2);
        assert_eq!(read("A://127.0.0.1:1,A://[::1]:1").unwrap().len(), 2);
        assert_eq!(read("").unwrap(), []);
    }

    #[test]
    fn protocol_maps() {
        use ListenerRole::{Broker, Controller};
        let standard = ProtocolMap::standard();
        assert_eq!(standard.protocol_of("SSL", Broker).unwrap(), "SSL");
        assert_eq!(standard.protocol_of("CONTROLLER", Controller).unwrap(), "PLAINTEXT");
        assert!(standard.protocol_of("INSIDE", Broker).unwrap_err().contains("INSIDE"));
        let map = ProtocolMap::parse("inside:plaintext, OUT:SASL_SSL").unwrap();
        assert_eq!(map.protocol_of("INSIDE", Broker).unwrap(), "PLAINTEXT");
        assert_eq!(map.protocol_of("OUT", Broker).unwrap(), "SASL_SSL");
        assert!(map.protocol_of("CONTROLLER", Controller).is_err());
        assert!(ProtocolMap::parse("A").is_err());
        assert!(ProtocolMap::parse("A:TLS").unwrap_err().contains("TLS"));
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in ".{0,40}") {
            let _ = parse_endpoints(&text, true);
            let _ = ProtocolMap::parse(&text);
        }

        #[test]
        fn what_is_shown_is_read_back(
            listener in "[A-Z_]{1,8}", host in "([a-z][a-z0-9.-]{0,9})?|::1", port: u16,
        ) {
            let endpoint = Endpoint { listener, host, port };
            prop_assert_eq!(parse_endpoint(&endpoint.to_string()), Ok(endpoint));
        }
    }
}
