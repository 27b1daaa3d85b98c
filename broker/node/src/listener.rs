//! Listening sockets: accept, hold to the limits on connections, hand out to the data shards in turn.
//!
//! One shard accepts. A connection over a limit is closed at once, as Kafka closes it; the accept loop never stops.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use barnabas_base::ShardId;
use barnabas_runtime::{Accepted, Listener};

use crate::mail::Mail;
use crate::shard::Shard;

/// The shard that accepts connections.
pub(crate) const ACCEPT_SHARD: ShardId = ShardId(0);

/// How long accepting rests when the process has run out of descriptors.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Limits on the number of connections (`max.connections`, `max.connections.per.ip`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionLimits {
    /// Most connections of the broker.
    pub(crate) total_max: usize,
    /// Most connections from one address.
    pub(crate) per_ip_max: usize,
}

/// Counts connections against the limits. Lives on the accepting shard.
#[derive(Debug)]
pub(crate) struct ConnectionCounts {
    limits: ConnectionLimits,
    total: Cell<usize>,
    by_ip: RefCell<BTreeMap<IpAddr, usize>>,
}

impl ConnectionCounts {
    pub(crate) fn new(limits: ConnectionLimits) -> Self {
        Self { limits, total: Cell::new(0), by_ip: RefCell::default() }
    }

    /// Counts a connection, or says which limit it would pass.
    pub(crate) fn open(&self, ip: IpAddr) -> Result<(), &'static str> {
        if self.total.get() >= self.limits.total_max {
            return Err("max.connections");
        }
        let mut by_ip = self.by_ip.borrow_mut();
        let count = by_ip.entry(ip).or_insert(0);
        if *count >= self.limits.per_ip_max {
            return Err("max.connections.per.ip");
        }
        *count += 1;
        self.total.set(self.total.get() + 1);
        Ok(())
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
    /// Accepts on `listener` until the node stops.
    pub(crate) async fn accept_all(self: Rc<Self>, listener: Box<dyn Listener>, index: usize) {
        let mut next_shard = 0;
        loop {
            match listener.accept().await {
                Ok(accepted) => {
                    self.admit_connection(accepted, index, ShardId(next_shard));
                    next_shard = (next_shard + 1) % self.data_shards;
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

    #[test]
    fn connections_are_counted_in_total_and_by_address() {
        let counts = ConnectionCounts::new(ConnectionLimits { total_max: 3, per_ip_max: 2 });
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
