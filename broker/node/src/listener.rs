//! Listening sockets: accept, hold to the limits on connections, hand out to the data shards in turn.
//!
//! One shard accepts. A connection over a limit is closed at once, as Kafka closes it; the accept loop never stops.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use barnabas_base::{Monotonic, ShardId};
use barnabas_runtime::{Accepted, Listener};

use crate::mail::Mail;
use crate::shard::Shard;

/// The shard that accepts connections.
pub(crate) const ACCEPT_SHARD: ShardId = ShardId(0);

/// How long accepting rests when the process has run out of descriptors.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// How long the look-up of one host may take while the broker runs. Resolvers whose servers do not answer ask again for half
/// a minute, and the hosts behind this one wait for it.
const HOST_LOOKUP_MAX: Duration = Duration::from_secs(10);

/// Limits on connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionLimits {
    /// Most new connections a second (`max.connection.creation.rate`); more of them wait in the kernel's backlog.
    pub(crate) rate_max: u32,
    /// Limits of single hosts (`max.connections.per.ip.overrides`).
    pub(crate) per_host_max: BTreeMap<String, usize>,
    /// Most connections of the broker.
    pub(crate) total_max: usize,
    /// Most connections from one address.
    pub(crate) per_ip_max: usize,
}

/// Counts connections against the limits. Lives on the accepting shard.
#[derive(Debug)]
pub(crate) struct ConnectionCounts {
    limits: RefCell<ConnectionLimits>,
    total: Cell<usize>,
    by_ip: RefCell<BTreeMap<IpAddr, usize>>,
    /// Limits of single hosts, by the addresses their names have.
    overrides: RefCell<BTreeMap<IpAddr, usize>>,
    /// The hosts that these are of, or will be when a look-up ends; none when some of them were not found.
    hosts: RefCell<Option<BTreeMap<String, usize>>>,
    /// The second that is being counted, and the connections accepted in it.
    second: Cell<(Monotonic, u32)>,
}

impl ConnectionCounts {
    pub(crate) fn new(limits: ConnectionLimits) -> Self {
        Self {
            limits: RefCell::new(limits),
            total: Cell::new(0),
            by_ip: RefCell::default(),
            overrides: RefCell::default(),
            hosts: RefCell::new(Some(BTreeMap::new())),
            second: Cell::default(),
        }
    }

    /// Counts a new connection against the rate; when it is used up, the time at which the next one may be accepted.
    pub(crate) fn pace(&self, now: Monotonic) -> Option<Monotonic> {
        const SECOND: Duration = Duration::from_secs(1);
        let (began, count) = self.second.get();
        let (began, count) = if now.since(began) >= SECOND { (now, 1) } else { (began, count + 1) };
        self.second.set((began, count));
        (count >= self.limits.borrow().rate_max).then(|| began.after(SECOND))
    }

    /// Counts a connection, or says which limit it would pass.
    pub(crate) fn open(&self, ip: IpAddr) -> Result<(), &'static str> {
        let limits = self.limits.borrow();
        if self.total.get() >= limits.total_max {
            return Err("max.connections");
        }
        let mut by_ip = self.by_ip.borrow_mut();
        let count = by_ip.get(&ip).copied().unwrap_or(0);
        let own_max = self.overrides.borrow().get(&ip).copied();
        if count >= own_max.unwrap_or(limits.per_ip_max) {
            return Err("max.connections.per.ip");
        }
        // An address that is refused leaves nothing behind: there are more of them than memory.
        by_ip.insert(ip, count + 1);
        self.total.set(self.total.get() + 1);
        Ok(())
    }

    /// Counts against other limits from here on. Gives the hosts with limits of their own when they have to be looked up;
    /// until [`ConnectionCounts::found`] those that were known hold.
    fn change(&self, limits: ConnectionLimits) -> Option<BTreeMap<String, usize>> {
        let hosts = limits.per_host_max.clone();
        *self.limits.borrow_mut() = limits;
        if self.hosts.borrow().as_ref() == Some(&hosts) {
            return None;
        }
        *self.hosts.borrow_mut() = Some(hosts.clone());
        Some(hosts)
    }

    /// Takes over what a look-up found. What is missing is looked up again with the next change of the configuration.
    fn found(&self, overrides: BTreeMap<IpAddr, usize>, are_all: bool) {
        *self.overrides.borrow_mut() = overrides;
        if !are_all {
            *self.hosts.borrow_mut() = None;
        }
    }

    /// Forgets a connection.
    pub(crate) fn close(&self, ip: IpAddr) {
        let mut by_ip = self.by_ip.borrow_mut();
        let count = by_ip.get_mut(&ip).expect("a connection that closes was counted");
        *count -= 1;
        if *count == 0 {
            by_ip.remove(&ip);
        }
        self.total.set(self.total.get() - 1);
    }
}

impl Shard {
    /// Looks up the hosts that have limits of their own. A name that cannot be resolved stops the start: its limit would
    /// silently not hold.
    pub(crate) async fn resolve_host_limits(&self) -> Result<(), String> {
        let limits = self.options.connection_limits(&self.options.config);
        let mut overrides = BTreeMap::new();
        for (host, limit) in &limits.per_host_max {
            let found = self.env.net.resolve(host, 0).await;
            let found =
                found.map_err(|error| format!("max.connections.per.ip.overrides: cannot resolve {host}: {error}"))?;
            overrides.extend(found.into_iter().map(|address| (address.ip(), *limit)));
        }
        self.connections.change(limits);
        self.connections.found(overrides, true);
        Ok(())
    }

    /// Puts other limits in force while the broker runs. Connections that are open stay, and count. Hosts with limits of
    /// their own follow when they have been looked up: nobody waits for a server of names that does not answer.
    pub(crate) fn change_connection_limits(self: &Rc<Self>, limits: ConnectionLimits) {
        let Some(hosts) = self.connections.change(limits) else { return };
        // An earlier look-up that is still under way ends here: its hosts are no longer asked for.
        drop(self.host_lookup.take());
        if hosts.is_empty() {
            self.connections.found(BTreeMap::new(), true);
            return;
        }
        let shard = Rc::clone(self);
        let look_up = self.env.spawn("look up hosts", async move {
            let (overrides, are_all) = shard.look_up(&hosts).await;
            shard.connections.found(overrides, are_all);
        });
        *self.host_lookup.borrow_mut() = Some(look_up);
    }

    /// The limits of the addresses of `hosts`, and whether every host was found.
    async fn look_up(&self, hosts: &BTreeMap<String, usize>) -> (BTreeMap<IpAddr, usize>, bool) {
        let mut overrides = BTreeMap::new();
        let mut are_all = true;
        for (host, limit) in hosts {
            let patience = self.env.now().after(HOST_LOOKUP_MAX);
            let why = match self.env.timeout_at(patience, self.env.net.resolve(host, 0)).await {
                Some(Ok(found)) => {
                    overrides.extend(found.into_iter().map(|address| (address.ip(), *limit)));
                    continue;
                }
                Some(Err(error)) => error.to_string(),
                None => format!("no answer within {HOST_LOOKUP_MAX:?}"),
            };
            are_all = false;
            tracing::warn!(
                target: "SocketServer",
                "max.connections.per.ip.overrides: cannot resolve {host}, whose limit does not hold: {why}"
            );
        }
        (overrides, are_all)
    }

    /// Accepts on `listener` until the node stops.
    pub(crate) async fn accept_all(self: Rc<Self>, listener: Box<dyn Listener>, index: usize) {
        let mut next_shard = 0;
        loop {
            match listener.accept().await {
                Ok(accepted) => {
                    self.admit_connection(accepted, index, ShardId(next_shard));
                    next_shard = (next_shard + 1) % self.data_shards;
                    if let Some(next) = self.connections.pace(self.env.now()) {
                        barnabas_base::reachable!(self.env, ACCEPTING_PACED);
                        self.env.sleep_until(next).await;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::error!(target: "SocketServer", "cannot accept connections: {error}");
                    self.env.sleep(EXHAUSTED_PAUSE).await;
                }
            }
        }
    }

    fn admit_connection(self: &Rc<Self>, accepted: Accepted, listener: usize, to: ShardId) {
        let peer: SocketAddr = accepted.peer_addr;
        if let Err(limit) = self.connections.open(peer.ip()) {
            barnabas_base::reachable!(self.env, CONNECTION_OVER_LIMIT);
            tracing::info!(target: "SocketServer", "closing the connection of {peer}: {limit} is reached");
            return;
        }
        if to == self.id {
            self.adopt(accepted, listener);
        } else {
            self.env.shards.send(to, Box::new(Mail::Adopt { accepted, listener }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(total_max: usize, per_ip_max: usize, rate_max: u32) -> ConnectionCounts {
        ConnectionCounts::new(ConnectionLimits { rate_max, per_host_max: BTreeMap::new(), total_max, per_ip_max })
    }

    #[test]
    fn a_host_may_have_a_limit_of_its_own() {
        let counts = counts(10, 1, u32::MAX);
        let special = IpAddr::from([10, 0, 0, 1]);
        counts.overrides.borrow_mut().insert(special, 2);
        assert_eq!([counts.open(special), counts.open(special)], [Ok(()), Ok(())]);
        assert_eq!(counts.open(special), Err("max.connections.per.ip"));
    }

    #[test]
    fn a_used_up_rate_waits_for_the_next_second() {
        let counts = counts(10, 10, 2);
        let start = Monotonic::ZERO.after_ms(5_000);
        assert_eq!(counts.pace(start), None);
        assert_eq!(counts.pace(start.after_ms(10)), Some(start.after_ms(1_000)));
        assert_eq!(counts.pace(start.after_ms(1_000)), None, "a new second");
    }

    #[test]
    fn other_limits_hold_for_those_that_are_there() {
        let counts = counts(10, 10, u32::MAX);
        let ip = IpAddr::from([127, 0, 0, 1]);
        assert_eq!([counts.open(ip), counts.open(ip)], [Ok(()), Ok(())]);
        let limits = ConnectionLimits { per_ip_max: 2, ..counts.limits.borrow().clone() };
        assert_eq!(counts.change(limits), None);
        assert_eq!(counts.open(ip), Err("max.connections.per.ip"));
        counts.close(ip);
        assert_eq!(counts.open(ip), Ok(()));
    }

    #[test]
    fn hosts_are_looked_up_when_they_are_others_or_were_not_found() {
        let counts = counts(10, 10, 10);
        let hosts = BTreeMap::from([("a".to_owned(), 1)]);
        let limits = ConnectionLimits { per_host_max: hosts.clone(), ..counts.limits.borrow().clone() };
        assert_eq!(counts.change(limits.clone()), Some(hosts.clone()));
        assert_eq!(counts.change(ConnectionLimits { total_max: 5, ..limits.clone() }), None, "it is under way");
        counts.found(BTreeMap::new(), false);
        assert_eq!(counts.change(limits.clone()), Some(hosts), "it was not found");
        counts.found(BTreeMap::new(), true);
        assert_eq!(counts.change(limits), None);
    }

    #[test]
    fn who_may_not_connect_at_all_is_not_counted() {
        let counts = counts(10, 0, u32::MAX);
        assert_eq!(counts.open(IpAddr::from([10, 0, 0, 1])), Err("max.connections.per.ip"));
        assert!(counts.by_ip.borrow().is_empty());
    }

    #[test]
    fn connections_are_counted_in_total_and_by_address() {
        let counts = counts(3, 2, u32::MAX);
        let [a, b] = [IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2])];
        assert_eq!(counts.open(a), Ok(()));
        assert_eq!(counts.open(a), Ok(()));
        assert_eq!(counts.open(a), Err("max.connections.per.ip"));
        assert_eq!(counts.open(b), Ok(()));
        assert_eq!(counts.open(b), Err("max.connections"));
        counts.close(a);
        assert_eq!(counts.open(b), Ok(()));
    }
}
