//! Listening sockets of simulated nodes and the connections that wait in them.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::task::{Poll, Waker};

use barnabas_runtime::{Accepted, Listener, Local};

use crate::endpoint::EndpointId;
use crate::env::Place;
use crate::key::ProcessKey;
use crate::net::accepted;
use crate::node::ip_of;
use crate::world::{Dropped, Outbox, World, leave};

/// Connections that wait to be accepted; a SYN beyond that is dropped.
pub(crate) const BACKLOG_MAX: usize = 1024;

/// A listening port.
#[derive(Debug)]
pub(crate) struct ListenerState {
    pub(crate) process: ProcessKey,
    address: SocketAddr,
    pub(crate) backlog: VecDeque<EndpointId>,
    waiting: Vec<Waker>,
}

impl ListenerState {
    /// Whether connections to `ip` are for this listener.
    pub(crate) fn takes(&self, ip: IpAddr) -> bool {
        self.address.ip().is_unspecified() || self.address.ip() == ip
    }

    pub(crate) fn wake(&mut self) {
        for waker in self.waiting.drain(..) {
            waker.wake();
        }
    }
}

impl World {
    /// Listens on `address`; port 0 takes a free one.
    pub(crate) fn bind(&self, process: ProcessKey, mut address: SocketAddr) -> io::Result<SocketAddr> {
        let ip = address.ip();
        if !ip.is_unspecified() && !ip.is_loopback() && ip != ip_of(process.node) {
            return Err(ErrorKind::AddrNotAvailable.into());
        }
        if address.port() == 0 {
            address.set_port(self.free_port(process.node));
        }
        let mut net = self.shared.net.borrow_mut();
        let key = (process.node, address.port());
        if net.listeners.contains_key(&key) {
            return Err(ErrorKind::AddrInUse.into());
        }
        let state = ListenerState { process, address, backlog: VecDeque::new(), waiting: Vec::new() };
        net.listeners.insert(key, state);
        Ok(address)
    }
}

/// A listener as its node holds it.
pub(crate) struct SimListener {
    place: Place,
    address: SocketAddr,
}

impl SimListener {
    pub(crate) const fn new(place: Place, address: SocketAddr) -> Self {
        Self { place, address }
    }

    /// The state of the port, while the process lives.
    fn with<T>(&self, with: impl FnOnce(&mut ListenerState) -> T) -> Option<T> {
        let process = self.place.key.process;
        let mut net = self.place.world.shared.net.borrow_mut();
        let state = net.listeners.get_mut(&(process.node, self.address.port()))?;
        (state.process == process).then(|| with(state))
    }
}

impl Listener for SimListener {
    fn accept(&self) -> Local<'_, io::Result<Accepted>> {
        Box::pin(std::future::poll_fn(|context| {
            loop {
                let next = self.with(|state| {
                    let next = state.backlog.pop_front();
                    if next.is_none() {
                        state.waiting.push(context.waker().clone());
                    }
                    next
                });
                let Some(Some(id)) = next else { return Poll::Pending };
                // One that is gone already is not worth telling.
                if let Some(accepted) = accepted(&self.place.world, id) {
                    return Poll::Ready(Ok(accepted));
                }
            }
        }))
    }

    fn local_addr(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        let Some(waiting) = self.with(|state| std::mem::take(&mut state.backlog)) else { return };
        let world = &self.place.world;
        world.shared.net.borrow_mut().listeners.remove(&(self.place.key.node(), self.address.port()));
        for id in waiting {
            // Nobody has seen these connections: they are reset, not finished.
            world.abort_endpoint(id);
            world.close_endpoint(id);
        }
    }
}

/// The handle of a connection between accept and adoption.
#[derive(Debug)]
pub(crate) struct SimAccepted {
    id: Option<EndpointId>,
    dropped: Outbox<Dropped>,
}

impl SimAccepted {
    pub(crate) const fn new(id: EndpointId, dropped: Outbox<Dropped>) -> Self {
        Self { id: Some(id), dropped }
    }

    pub(crate) fn adopt(mut self) -> EndpointId {
        self.id.take().expect("a connection is adopted once")
    }
}

impl Drop for SimAccepted {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            leave(&self.dropped, Dropped::Endpoint(id));
        }
    }
}
