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

    /// Counts against other limits from here on.
    fn change(&self, limits: ConnectionLimits, overrides: BTreeMap<IpAddr, usize>) {
        *self.limits.borrow_mut() = limits;
        *self.overrides.borrow_mut() = overrides;
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
        let overrides = self.addresses_of(&limits).await?;
        self.connections.change(limits, overrides);
        Ok(())
    }

    /// Puts other limits in force while the broker runs. Connections that are open stay, and count.
    pub(crate) async fn change_connection_limits(&self, limits: ConnectionLimits) {
        match self.addresses_of(&limits).await {
            Ok(overrides) => self.connections.change(limits, overrides),
            Err(why) => tracing::error!(target: "SocketServer", "{why}; the limits of connections stay as they were"),
        }
    }

    async fn addresses_of(&self, limits: &ConnectionLimits) -> Result<BTreeMap<IpAddr, usize>, String> {
        let mut overrides = BTreeMap::new();
        for (host, limit) in &limits.per_host_max {
            let addresses = self.env.net.resolve(host, 0).await;
            let addresses = addresses
                .map_err(|error| format!("max.connections.per.ip.overrides: cannot resolve {host}: {error}"))?;
            overrides.extend(addresses.into_iter().map(|address| (address.ip(), *limit)));
        }
        Ok(overrides)
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
        counts.change(limits, BTreeMap::new());
        assert_eq!(counts.open(ip), Err("max.connections.per.ip"));
        counts.close(ip);
        assert_eq!(counts.open(ip), Ok(()));
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
