//! Addresses, ports, names, and the making of connections. Every node has an address of its own and a loopback.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use barnabas_runtime::sync::oneshot;
use barnabas_runtime::{Accepted, Listener, Local, Net, Stream};

use crate::config::Span;
use crate::endpoint::{Endpoint, EndpointId};
use crate::env::Place;
use crate::key::NodeId;
use crate::link::retry_ns;
use crate::listener::{BACKLOG_MAX, ListenerState, SimAccepted, SimListener};
use crate::node::{EPHEMERAL_PORT_MIN, ip_of};
use crate::stream;
use crate::world::World;

/// First wait before a connection is tried again, and how often it is (Linux: `TCP_TIMEOUT_INIT`, `tcp_syn_retries`).
const SYN_RETRY_NS: u64 = 1_000_000_000;
const SYN_RETRIES_MAX: u32 = 6;
/// The narrowest window that Linux gives (half of `SOCK_MIN_RCVBUF`); with less, a fetch takes a minute on a short way.
const WINDOW_BYTES_MIN: u64 = 1_152;

/// The network of a world.
#[derive(Debug, Default)]
pub(crate) struct NetState {
    pub(crate) endpoints: BTreeMap<EndpointId, Endpoint>,
    pub(crate) listeners: BTreeMap<(NodeId, u16), ListenerState>,
    /// Ways on which nothing gets through, from and to.
    pub(crate) closed_ways: BTreeSet<(NodeId, NodeId)>,
    /// Ways on which everything takes longer.
    pub(crate) slow_ways: BTreeMap<(NodeId, NodeId), SlowWay>,
    /// Ways on which a connection breaks after so many more bytes.
    pub(crate) fuses: BTreeMap<(NodeId, NodeId), u64>,
}

/// How much longer things take on a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlowWay {
    /// On top of the latency, drawn for each flight.
    pub extra: Span,
    /// One flight in this many is lost and sent again; 0 for none.
    pub loss_one_in: u64,
}

/// The network as one shard sees it.
pub(crate) struct SimNet {
    place: Place,
}

impl SimNet {
    pub(crate) const fn new(place: Place) -> Self {
        Self { place }
    }
}

impl Net for SimNet {
    fn listen(&self, address: SocketAddr) -> Local<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            if !self.place.is_alive() {
                return std::future::pending().await;
            }
            let bound = self.place.world.bind(self.place.key.process, address)?;
            Ok(Box::new(SimListener::new(self.place.clone(), bound)) as Box<dyn Listener>)
        })
    }

    fn connect(&self, address: SocketAddr) -> Local<'_, io::Result<Stream>> {
        Box::pin(connect(self.place.clone(), address))
    }

    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Local<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move {
            let (sender, receiver) = oneshot::channel();
            let Place { world, key } = &self.place;
            let span = world.shared.config.link;
            let delay_ns = world.draw_ns("resolve", span, key.entity(), self.place.next_ordinal());
            world.schedule(delay_ns, "resolved", key.entity(), move |_| sender.send(()));
            if receiver.await.is_err() {
                return std::future::pending().await;
            }
            let found = host.parse().ok().or_else(|| world.address_of(host));
            found.map(|ip| vec![SocketAddr::new(ip, port)]).ok_or_else(|| ErrorKind::NotFound.into())
        })
    }

    fn adopt(&self, accepted: Accepted) -> io::Result<Stream> {
        let Accepted { peer_addr, local_addr, handle } = accepted;
        let handle = handle.downcast::<SimAccepted>();
        let id = handle.expect("a connection is adopted by the runtime that accepted it").adopt();
        Ok(stream::split(self.place.clone(), id, peer_addr, local_addr))
    }
}

/// A connection in the making: closed when who wanted it does not wait.
struct Connecting {
    place: Place,
    id: EndpointId,
    made: Cell<bool>,
}

impl Drop for Connecting {
    fn drop(&mut self) {
        if !self.made.get() {
            self.place.world.close_endpoint(self.id);
        }
    }
}

async fn connect(place: Place, address: SocketAddr) -> io::Result<Stream> {
    if !place.is_alive() {
        return std::future::pending().await;
    }
    let world = place.world.clone();
    let node = place.key.node();
    // An address of nobody is a machine that does not answer.
    let Some(target) = world.node_at(node, address.ip()) else {
        let silence_ns = (0..=SYN_RETRIES_MAX).map(|retries| retry_ns(SYN_RETRY_NS, retries)).sum();
        let (sender, receiver) = oneshot::channel();
        world.schedule(silence_ns, "given up", place.key.entity(), move |_| sender.send(()));
        let _ = receiver.await;
        return Err(ErrorKind::TimedOut.into());
    };
    let local_ip = if address.ip().is_loopback() { address.ip() } else { ip_of(node) };
    let local_addr = SocketAddr::new(local_ip, world.free_port(node));
    let id = world.new_endpoint_id(node);
    let peer = world.new_endpoint_id(target);
    let mut endpoint = Endpoint::new(place.key.process, (local_addr, address), peer, target);
    endpoint.window = world.draw_window(id);
    world.shared.net.borrow_mut().endpoints.insert(id, endpoint);
    let connecting = Connecting { place: place.clone(), id, made: Cell::new(false) };
    let (sender, receiver) = oneshot::channel();
    world.knock(Knock { id, peer, from: node, to: target, retries: 0, answer: sender });
    match receiver.await {
        Ok(Ok(())) => {
            connecting.made.set(true);
            Ok(stream::split(place, id, address, local_addr))
        }
        Ok(Err(kind)) => {
            connecting.made.set(true);
            world.shared.net.borrow_mut().endpoints.remove(&id);
            Err(kind.into())
        }
        Err(oneshot::Dropped) => std::future::pending().await,
    }
}

/// An attempt to connect.
struct Knock {
    id: EndpointId,
    peer: EndpointId,
    from: NodeId,
    to: NodeId,
    retries: u32,
    answer: oneshot::Sender<Result<(), ErrorKind>>,
}

impl World {
    fn knock(&self, knock: Knock) {
        let delay_ns = self.latency_ns(knock.from, knock.to, knock.id.0, u64::from(knock.retries));
        self.schedule(delay_ns, "knock", knock.id.0, move |world| world.knocked(knock));
    }

    /// A SYN has arrived, or not.
    fn knocked(&self, knock: Knock) {
        let wanted = self.with_endpoint(knock.id, |end| !end.closed).unwrap_or(false);
        if !wanted {
            return;
        }
        // The answer takes the way back.
        if !self.reaches(knock.from, knock.to) || !self.reaches(knock.to, knock.from) {
            return self.knock_again(knock);
        }
        let address = self.with_endpoint(knock.id, |end| end.peer_addr).expect("just found");
        let opened = self.open_door(&knock, address);
        let answer = match opened {
            Door::Open => Ok(()),
            Door::Full => return self.knock_again(knock),
            Door::None => Err(ErrorKind::ConnectionRefused),
        };
        let delay_ns = self.latency_ns(knock.to, knock.from, knock.peer.0, u64::from(knock.retries));
        self.schedule(delay_ns, "answered", knock.id.0, move |_| knock.answer.send(answer));
    }

    fn knock_again(&self, mut knock: Knock) {
        if knock.retries == SYN_RETRIES_MAX {
            return knock.answer.send(Err(ErrorKind::TimedOut));
        }
        let delay_ns = retry_ns(SYN_RETRY_NS, knock.retries);
        knock.retries += 1;
        self.schedule(delay_ns, "knock again", knock.id.0, move |world| world.knock(knock));
    }

    /// Makes the other end, if somebody listens and has room.
    fn open_door(&self, knock: &Knock, address: SocketAddr) -> Door {
        let window = self.draw_window(knock.peer);
        let client_addr = self.with_endpoint(knock.id, |end| end.local_addr).expect("who knocks exists");
        let mut net = self.shared.net.borrow_mut();
        let listener = net.listeners.get_mut(&(knock.to, address.port()));
        let Some(listener) = listener.filter(|listener| listener.takes(address.ip())) else { return Door::None };
        if listener.backlog.len() >= BACKLOG_MAX {
            return Door::Full;
        }
        listener.backlog.push_back(knock.peer);
        let process = listener.process;
        listener.wake();
        let mut endpoint = Endpoint::new(process, (address, client_addr), knock.id, knock.from);
        endpoint.window = window;
        net.endpoints.insert(knock.peer, endpoint);
        Door::Open
    }

    fn draw_window(&self, id: EndpointId) -> u64 {
        // Evenly over the orders of magnitude: small windows are where the bugs are.
        let max = self.shared.config.window_bytes_max;
        let shift = self.draw("window", id.0, 0).below(11);
        (max >> shift).max(WINDOW_BYTES_MIN)
    }

    pub(crate) fn new_endpoint_id(&self, node: NodeId) -> EndpointId {
        self.with_node(node, |state| {
            state.next_endpoint += 1;
            EndpointId::new(node, state.next_endpoint)
        })
    }

    /// A port of `node` on which nobody listens.
    pub(crate) fn free_port(&self, node: NodeId) -> u16 {
        let net = self.shared.net.borrow();
        self.with_node(node, |state| {
            loop {
                let port = state.next_port;
                state.next_port = port.checked_add(1).unwrap_or(EPHEMERAL_PORT_MIN);
                if !net.listeners.contains_key(&(node, port)) {
                    return port;
                }
            }
        })
    }

    /// The node that `from` reaches under `ip`.
    fn node_at(&self, from: NodeId, ip: IpAddr) -> Option<NodeId> {
        if ip.is_loopback() || ip == ip_of(from) {
            return Some(from);
        }
        let nodes = u16::try_from(self.shared.nodes.borrow().len()).expect("a world has few nodes");
        (0..nodes).map(NodeId).find(|node| ip_of(*node) == ip)
    }

    fn address_of(&self, host: &str) -> Option<IpAddr> {
        if host == "localhost" {
            return Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        let index = self.shared.nodes.borrow().iter().position(|node| node.name == host)?;
        Some(ip_of(NodeId(u16::try_from(index).ok()?)))
    }
}

/// What who knocks finds.
enum Door {
    Open,
    Full,
    None,
}

/// The handle of an accepted connection: it travels, so that its drop is left for the world to find.
pub(crate) fn accepted(world: &World, id: EndpointId) -> Option<Accepted> {
    let (peer_addr, local_addr) = world.with_endpoint(id, |end| (end.peer_addr, end.local_addr))?;
    let handle = SimAccepted::new(id, Arc::clone(&world.shared.dropped));
    Some(Accepted { peer_addr, local_addr, handle: Box::new(handle) })
}
