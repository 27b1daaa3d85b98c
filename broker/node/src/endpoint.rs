//! Which address a client is told to connect to. Pure; the handlers that name this broker use it.

use std::net::{IpAddr, SocketAddr};

use barnabas_metadata::config::Listener;

/// Host and port of this broker as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// What `advertised.listeners` says, else the host of the listener, as in Kafka. Where that is the wildcard address, which
/// Kafka refuses: `localhost` for clients on this machine, and for all others the address that they connected to. Clients in
/// another network namespace reach neither a name of this machine nor the wildcard address, which is how most first
/// attempts with a broker in a container fail.
pub(crate) fn endpoint_for(listener: &Listener, bound_port: u16, peer: SocketAddr, local: SocketAddr) -> Endpoint {
    if let Some((host, port)) = &listener.advertised {
        let port = if *port == 0 { bound_port } else { *port };
        return Endpoint { host: host.clone(), port };
    }
    let host = if !is_wildcard(&listener.host) {
        listener.host.clone()
    } else if unmapped(peer.ip()).is_loopback() {
        "localhost".to_owned()
    } else {
        unmapped(local.ip()).to_string()
    };
    Endpoint { host, port: bound_port }
}

/// Whether a listener of this host is reached by every address of its machine.
pub(crate) fn is_wildcard(host: &str) -> bool {
    host.parse().map_or(host.is_empty(), |ip: IpAddr| ip.is_unspecified())
}

/// An IPv4 address that arrived on an IPv6 socket as what it is.
fn unmapped(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(advertised: Option<(&str, u16)>) -> Listener {
        Listener {
            name: "PLAINTEXT".to_owned(),
            host: String::new(),
            port: 9092,
            advertised: advertised.map(|(host, port)| (host.to_owned(), port)),
            is_controller: false,
        }
    }

    fn told(listener: &Listener, peer: &str, local: &str) -> String {
        let address = |text: &str| text.parse().expect("an address");
        let endpoint = endpoint_for(listener, 19_092, address(peer), address(local));
        format!("{}:{}", endpoint.host, endpoint.port)
    }

    #[test]
    fn pitfall_12_addresses_are_those_the_client_can_reach() {
        assert_eq!(told(&listener(None), "127.0.0.1:5", "127.0.0.1:9092"), "localhost:19092");
        assert_eq!(told(&listener(None), "[::ffff:127.0.0.1]:5", "[::ffff:127.0.0.1]:9092"), "localhost:19092");
        assert_eq!(told(&listener(None), "10.0.0.9:5", "10.0.0.1:9092"), "10.0.0.1:19092");
        assert_eq!(told(&listener(Some(("kafka", 29_092))), "127.0.0.1:5", "127.0.0.1:9092"), "kafka:29092");
        assert_eq!(told(&listener(Some(("kafka", 0))), "127.0.0.1:5", "127.0.0.1:9092"), "kafka:19092");
        for (host, expected) in [("::1", "::1:19092"), ("10.0.0.1", "10.0.0.1:19092"), ("::", "localhost:19092")] {
            let configured = Listener { host: host.to_owned(), ..listener(None) };
            assert_eq!(told(&configured, "127.0.0.1:5", "127.0.0.1:9092"), expected);
        }
    }
}
