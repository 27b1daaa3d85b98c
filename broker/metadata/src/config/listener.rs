//! Listeners: where a node listens, under which name, and which address it gives to clients. Parsing and checks only.

use std::collections::{BTreeMap, BTreeSet};

use super::load::ConfigProblem;
use super::lookup::BrokerLayers;

/// One address a node listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name, upper case.
    pub name: String,
    /// Host to bind; empty for all interfaces.
    pub host: String,
    /// Port to bind; 0 lets the kernel choose.
    pub port: u16,
    /// Host and port that clients are told, when configured. Without them the broker answers `localhost` to peers on
    /// this machine and the address they connected to otherwise.
    pub advertised: Option<(String, u16)>,
    /// Whether it serves controllers instead of clients.
    pub is_controller: bool,
}

/// The listeners of a node: `listeners`, `advertised.listeners`, `listener.security.protocol.map` and
/// `controller.listener.names` put together. Problems are added to `problems`.
pub(crate) fn listeners(layers: &BrokerLayers<'_>, problems: &mut Vec<ConfigProblem>) -> Vec<Listener> {
    let mut refuse = |key: &str, message: String| problems.push(layers.statics.problem(key, message));
    let bound = parse_listeners(&layers.list("listeners").unwrap_or_default(), true);
    let advertised = parse_listeners(&layers.list("advertised.listeners").unwrap_or_default(), false);
    let protocols = parse_protocol_map(&layers.string("listener.security.protocol.map").unwrap_or_default());
    let (bound, advertised, protocols) = match (bound, advertised, protocols) {
        (Ok(bound), Ok(advertised), Ok(protocols)) => (bound, advertised, protocols),
        (bound, advertised, protocols) => {
            bound.err().into_iter().for_each(|message| refuse("listeners", message));
            advertised.err().into_iter().for_each(|message| refuse("advertised.listeners", message));
            protocols.err().into_iter().for_each(|message| refuse("listener.security.protocol.map", message));
            return Vec::new();
        }
    };
    let controllers = layers.list("controller.listener.names").unwrap_or_default();
    let controllers: Vec<String> = controllers.iter().map(|name| name.to_ascii_uppercase()).collect();
    check_protocols(layers, &protocols, &controllers, (&bound, &advertised), &mut refuse);
    check_advertised(&bound, &advertised, &mut refuse);
    if bound.iter().all(|one| controllers.contains(&one.name)) {
        let message = "a broker has at least one listener that is not a controller's";
        refuse("controller.listener.names", message.to_owned());
    }
    let advertised_of =
        |name: &str| advertised.iter().find(|one| one.name == name).map(|one| (one.host.clone(), one.port));
    let listener = |address: ListenerAddress| Listener {
        advertised: advertised_of(&address.name),
        is_controller: controllers.contains(&address.name),
        name: address.name,
        host: address.host,
        port: address.port,
    };
    bound.into_iter().map(listener).collect()
}

/// Every listener speaks PLAINTEXT, the only protocol that works.
fn check_protocols(
    layers: &BrokerLayers<'_>,
    protocols: &BTreeMap<String, String>,
    controllers: &[String],
    (bound, advertised): (&[ListenerAddress], &[ListenerAddress]),
    refuse: &mut dyn FnMut(&str, String),
) {
    let map_key = "listener.security.protocol.map";
    let map_is_given = layers.statics.get(map_key).is_some();
    let bound = bound.iter().map(|address| ("listeners", address));
    for (key, address) in bound.chain(advertised.iter().map(|address| ("advertised.listeners", address))) {
        // Without a map of its own, a controller listener speaks PLAINTEXT (`KafkaConfig`).
        let implied = (!map_is_given && controllers.contains(&address.name)).then_some("PLAINTEXT");
        match protocols.get(&address.name).map(String::as_str).or(implied) {
            Some("PLAINTEXT") => {}
            Some(other) => refuse(
                if map_is_given { map_key } else { key },
                format!("{} speaks {other}; only PLAINTEXT works yet", address.name),
            ),
            None => refuse(key, format!("No security protocol defined for listener {}", address.name)),
        }
    }
}

fn check_advertised(bound: &[ListenerAddress], advertised: &[ListenerAddress], refuse: &mut dyn FnMut(&str, String)) {
    for address in advertised {
        if ["0.0.0.0", "::", ""].contains(&address.host.as_str()) {
            let message = "advertised.listeners cannot use the nonroutable meta-address 0.0.0.0. \
                           Use a routable IP address.";
            refuse("advertised.listeners", message.to_owned());
        }
        if !bound.iter().any(|one| one.name == address.name) {
            refuse("advertised.listeners", format!("{} is not one of the listeners", address.name));
        }
    }
}

/// Name of the listener that brokers use among themselves.
pub(crate) fn inter_broker_listener(
    layers: &BrokerLayers<'_>,
    listeners: &[Listener],
    problems: &mut Vec<ConfigProblem>,
) -> String {
    let clients = || listeners.iter().filter(|one| !one.is_controller);
    let Some(named) = layers.string("inter.broker.listener.name") else {
        // Kafka takes the listener named after security.inter.broker.protocol, which is PLAINTEXT here.
        let plain = clients().find(|one| one.name == "PLAINTEXT").or_else(|| clients().next());
        return plain.map_or_else(|| "PLAINTEXT".to_owned(), |one| one.name.clone());
    };
    let named = named.to_ascii_uppercase();
    if !clients().any(|one| one.name == named) && !listeners.is_empty() {
        let message = format!("{named} is not one of the broker's listeners");
        problems.push(layers.statics.problem("inter.broker.listener.name", message));
    }
    named
}

/// `NAME://host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListenerAddress {
    pub(crate) name: String,
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl ListenerAddress {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (name, address) =
            text.split_once("://").ok_or_else(|| format!("Unable to parse a listener name from {text}"))?;
        let valid = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
        if !valid {
            return Err(format!("Unable to parse a listener name from {text}"));
        }
        let (host, port) = parse_host_port(address).ok_or_else(|| format!("Unable to parse {text} to an endpoint"))?;
        Ok(Self { name: name.to_ascii_uppercase(), host, port })
    }
}

/// `host:port` with an empty host allowed and IPv6 addresses in brackets, which are taken off.
pub(crate) fn parse_host_port(address: &str) -> Option<(String, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?,
        None if host.contains(':') => return None,
        None => host,
    };
    Some((host.to_owned(), port.parse().ok()?))
}

/// Parses a list of listeners and checks that names differ, and ports too where they are bound.
pub(crate) fn parse_listeners(entries: &[String], ports_differ: bool) -> Result<Vec<ListenerAddress>, String> {
    let mut addresses = Vec::with_capacity(entries.len());
    let (mut names, mut places) = (BTreeSet::new(), BTreeSet::new());
    for entry in entries {
        let address = ListenerAddress::parse(entry)?;
        let list = || format!("listeners: [{}]", entries.join(", "));
        if !names.insert(address.name.clone()) {
            return Err(format!("Each listener must have a different name, {}", list()));
        }
        if ports_differ && address.port != 0 && !places.insert(address.port) {
            return Err(format!("Each listener must have a different port, {}", list()));
        }
        addresses.push(address);
    }
    Ok(addresses)
}

/// Parses `NAME:PROTOCOL` pairs.
pub(crate) fn parse_protocol_map(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut map = BTreeMap::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, protocol) = pair
            .split_once(':')
            .ok_or_else(|| format!("{pair} has to be of the form LISTENER_NAME:SECURITY_PROTOCOL"))?;
        if !["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"].contains(&protocol) {
            return Err(format!("Invalid security protocol `{protocol}` defined in listener.security.protocol.map"));
        }
        map.insert(name.to_ascii_uppercase(), protocol.to_owned());
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let parse = |text: &str| ListenerAddress::parse(text).map(|one| (one.name, one.host, one.port));
        let good = |name: &str, host: &str, port| Ok((name.to_owned(), host.to_owned(), port));
        assert_eq!(parse("PLAINTEXT://:9092"), good("PLAINTEXT", "", 9092));
        assert_eq!(parse("internal://h.example:1"), good("INTERNAL", "h.example", 1));
        assert_eq!(parse("A_B-c://[::1]:0"), good("A_B-C", "::1", 0));
        for refused in ["bla", "://h:1", "P://h", "P://::1:9092", "P://h:99999", "P://[::1:2", "a b://h:1"] {
            assert!(parse(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn names_and_ports_differ() {
        let parse = |text: &str, ports| {
            parse_listeners(&text.split(',').map(str::to_owned).collect::<Vec<_>>(), ports).map(|list| list.len())
        };
        assert_eq!(parse("A://:1,B://:2", true), Ok(2));
        assert_eq!(parse("A://:0,B://:0", true), Ok(2));
        assert_eq!(parse("A://x:1,B://y:1", false), Ok(2));
        assert!(parse("A://:1,A://:2", true).is_err());
        assert!(parse("A://:1,B://:1", true).is_err());
    }
}
