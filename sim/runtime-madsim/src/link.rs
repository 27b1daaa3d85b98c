//! Carries what one end of a connection sends to the other: in order, after the latency of the way, again and again where
//! the way is closed or the machine silent. TCP as its users see it, not its packets.

use std::io::ErrorKind;

use crate::endpoint::{Endpoint, EndpointId, Flight};
use crate::key::{NodeId, ProcessKey};
use crate::net::SlowWay;
use crate::world::World;

/// First wait before something is sent again, and the longest; it doubles in between (Linux: `TCP_RTO_MIN`, `TCP_RTO_MAX`).
const RETRY_NS_MIN: u64 = 200_000_000;
const RETRY_NS_MAX: u64 = 120_000_000_000;

/// Deliveries that fail before the sender gives up (Linux: `tcp_retries2`); about a quarter of an hour.
const RETRIES_MAX: u32 = 15;

/// Doublings of the wait between two probes of a peer that is there and has no room.
const ROOM_ASKED_FOR: u32 = 5;

/// The wait before attempt `retries` is repeated.
pub(crate) fn retry_ns(first_ns: u64, retries: u32) -> u64 {
    first_ns.checked_shl(retries).unwrap_or(RETRY_NS_MAX).min(RETRY_NS_MAX)
}

impl World {
    /// The state of one end; `None` when it is gone. `with` must not reach for the world.
    pub(crate) fn with_endpoint<T>(&self, id: EndpointId, with: impl FnOnce(&mut Endpoint) -> T) -> Option<T> {
        self.shared.net.borrow_mut().endpoints.get_mut(&id).map(with)
    }

    /// Opens or closes the way from one node to another.
    pub(crate) fn set_way_open(&self, from: NodeId, to: NodeId, open: bool) {
        self.record(if open { "way opened" } else { "way closed" }, u64::from(from.0), u64::from(to.0));
        let closed = &mut self.shared.net.borrow_mut().closed_ways;
        if open {
            closed.remove(&(from, to));
        } else {
            closed.insert((from, to));
        }
    }

    /// Whether what `from` sends is heard by the machine `to`.
    pub(crate) fn reaches(&self, from: NodeId, to: NodeId) -> bool {
        !self.shared.net.borrow().closed_ways.contains(&(from, to)) && self.with_node(to, |node| node.powered)
    }

    /// A drawn latency of the way between two nodes, for `entity`.
    pub(crate) fn latency_ns(&self, from: NodeId, to: NodeId, entity: u64, ordinal: u64) -> u64 {
        let config = &self.shared.config;
        let latency_ns =
            self.draw_ns("latency", if from == to { config.loopback } else { config.link }, entity, ordinal);
        let slow = self.shared.net.borrow().slow_ways.get(&(from, to)).copied();
        let extra_ns = slow.map_or(0, |slow| self.draw_ns("slow way", slow.extra, entity, ordinal));
        let is_lost = |one_in| self.draw_one_in("loss", one_in, entity, ordinal);
        let lost = is_lost(config.loss_one_in) || slow.is_some_and(|slow| is_lost(slow.loss_one_in));
        latency_ns + extra_ns + if lost { RETRY_NS_MIN } else { 0 }
    }

    /// Sets how much longer things take from one node to another.
    pub(crate) fn set_way_slow(&self, from: NodeId, to: NodeId, slow: Option<SlowWay>) {
        self.record("way slow", u64::from(from.0), u64::from(to.0));
        let ways = &mut self.shared.net.borrow_mut().slow_ways;
        match slow {
            Some(slow) => drop(ways.insert((from, to), slow)),
            None => drop(ways.remove(&(from, to))),
        }
    }

    /// Lets a connection break once `bytes` more have arrived from one node at another.
    pub(crate) fn set_fuse(&self, from: NodeId, to: NodeId, bytes: u64) {
        self.record("fuse", u64::from(from.0), bytes);
        self.shared.net.borrow_mut().fuses.insert((from, to), bytes);
    }

    /// Breaks the connections between two nodes at both ends.
    pub(crate) fn reset_connections(&self, one: NodeId, other: NodeId) {
        self.forget_connections(one, other);
        self.forget_connections(other, one);
    }

    /// Breaks the ends at `node` of the connections with `peer`; the other ends are not told.
    pub(crate) fn forget_connections(&self, node: NodeId, peer: NodeId) {
        self.record("connections broken", u64::from(node.0), u64::from(peer.0));
        let concerned = |end: &Endpoint| end.process.node == node && end.peer_node == peer && !end.broken;
        let mut net = self.shared.net.borrow_mut();
        for end in net.endpoints.values_mut().filter(|end| concerned(end)) {
            end.break_off(ErrorKind::ConnectionReset);
        }
    }

    /// How much of `len` bytes gets through from one node to another before a connection breaks; `None` for all.
    fn burn_fuse(&self, from: NodeId, to: NodeId, len: u64) -> Option<u64> {
        let fuses = &mut self.shared.net.borrow_mut().fuses;
        let left = fuses.get_mut(&(from, to))?;
        if *left >= len {
            *left -= len;
            return None;
        }
        fuses.remove(&(from, to))
    }

    /// Puts `flight` on the way from the end `from`, behind all that is under way.
    pub(crate) fn depart(&self, from: EndpointId, flight: Flight) {
        let route = self.with_endpoint(from, |end| (end.process.node, end.peer_node, end.next_ordinal()));
        let (node, peer_node, ordinal) = route.expect("an end that sends exists");
        let arrival_ns = self.now_ns() + self.latency_ns(node, peer_node, from.0, ordinal);
        let bandwidth = self.shared.config.bandwidth_bytes_per_s;
        self.with_endpoint(from, |end| {
            let mut last_arrival_ns = end.last_arrival_ns;
            if let Flight::Bytes(bytes) = &flight {
                end.outstanding += bytes.len() as u64;
                let on_the_wire_ns = (bytes.len() as u64 * 1_000_000_000).checked_div(bandwidth).unwrap_or(0);
                last_arrival_ns += on_the_wire_ns;
            }
            end.last_arrival_ns = arrival_ns.max(last_arrival_ns);
            end.flights.push_back((end.last_arrival_ns, flight));
        });
        self.schedule_arrival(from);
    }

    /// Sees to the arrival of the first flight.
    fn schedule_arrival(&self, from: EndpointId) {
        let now_ns = self.now_ns();
        let delay_ns = self.with_endpoint(from, |end| {
            let (arrival_ns, _) = end.flights.front()?;
            let first = !std::mem::replace(&mut end.arriving, true);
            first.then(|| arrival_ns.saturating_sub(now_ns))
        });
        if let Some(delay_ns) = delay_ns.flatten() {
            self.schedule(delay_ns, "arrival", from.0, move |world| world.arrive(from));
        }
    }

    /// The first flight of `from` arrives, or does not get through.
    fn arrive(&self, from: EndpointId) {
        let route = self.with_endpoint(from, |end| {
            end.arriving = false;
            (end.process.node, end.peer_node, end.peer)
        });
        let Some((node, peer_node, peer)) = route else { return };
        if !self.reaches(node, peer_node) {
            return self.miss(from);
        }
        let flight = self.with_endpoint(from, |end| {
            end.retries = 0;
            end.flights.pop_front()
        });
        // Broken off meanwhile.
        let Some(Some((_, mut flight))) = flight else { return self.forget_if_done(from) };
        if let Flight::Bytes(bytes) = &mut flight
            && let Some(through) = self.burn_fuse(node, peer_node, bytes.len() as u64)
        {
            bytes.truncate(usize::try_from(through).expect("less than there is"));
            if through > 0 {
                self.hand_over(from, peer, flight);
            }
            self.with_endpoint(from, |end| end.break_off(ErrorKind::ConnectionReset));
            self.with_endpoint(peer, |end| end.break_off(ErrorKind::ConnectionReset));
            return self.forget_if_done(from);
        }
        self.hand_over(from, peer, flight);
        self.schedule_arrival(from);
        self.forget_if_done(from);
    }

    /// The first flight of `from` did not get through: a reset is lost, everything else is sent again, for a while.
    fn miss(&self, from: EndpointId) {
        let retry = self.with_endpoint(from, |end| {
            if matches!(end.flights.front(), None | Some((_, Flight::Reset))) {
                end.flights.clear();
                return None;
            }
            if end.retries == RETRIES_MAX {
                end.break_off(ErrorKind::TimedOut);
                return None;
            }
            end.arriving = true;
            end.retries += 1;
            Some(retry_ns(RETRY_NS_MIN, end.retries - 1))
        });
        match retry.flatten() {
            Some(delay_ns) => {
                self.schedule(delay_ns, "arrival", from.0, move |world| world.arrive(from));
            }
            None => self.forget_if_done(from),
        }
    }

    /// `flight` has reached the machine of `to`.
    fn hand_over(&self, from: EndpointId, to: EndpointId, flight: Flight) {
        if let Flight::Bytes(bytes) = &flight {
            self.record_bytes("delivered", to.0, bytes);
        } else {
            self.record("delivered", to.0, 0);
        }
        let taken = self.with_endpoint(to, |end| {
            match flight {
                Flight::Reset => end.break_off(ErrorKind::ConnectionReset),
                Flight::Finish => {
                    end.finished = true;
                    end.wake();
                }
                Flight::Bytes(_) if end.closed || end.broken => {
                    end.flights.clear();
                    return false;
                }
                Flight::Bytes(bytes) => {
                    end.received.push_back(bytes);
                    end.wake();
                }
            }
            true
        });
        // Bytes for nobody are answered by a reset; a FIN or a reset for nobody is not answered.
        let unwanted = match taken {
            Some(taken) => !taken,
            None => self.with_endpoint(from, |end| !end.closed).unwrap_or(false),
        };
        if unwanted {
            self.answer_with_reset(from, to);
        }
    }

    /// The machine of `to` tells `from` that there is no such connection.
    fn answer_with_reset(&self, from: EndpointId, to: EndpointId) {
        let route = self.with_endpoint(from, |end| (end.peer_node, end.process.node, end.next_ordinal()));
        let Some((peer_node, node, ordinal)) = route else { return };
        let delay_ns = self.latency_ns(peer_node, node, to.0, ordinal);
        self.schedule(delay_ns, "reset", from.0, move |world| {
            if world.reaches(peer_node, node) {
                world.with_endpoint(from, |end| end.break_off(ErrorKind::ConnectionReset));
                world.forget_if_done(from);
            }
        });
        self.forget_if_done(to);
    }

    /// `count` bytes were read at `id`: its peer learns of the room after a while.
    pub(crate) fn confirm(&self, id: EndpointId, count: u64) {
        let route = self.with_endpoint(id, |end| {
            end.unconfirmed += count;
            let first = !std::mem::replace(&mut end.confirming, true);
            first.then(|| (end.process.node, end.peer_node, end.next_ordinal()))
        });
        if let Some((node, peer_node, ordinal)) = route.flatten() {
            let delay_ns = self.latency_ns(node, peer_node, id.0, ordinal);
            self.schedule(delay_ns, "room", id.0, move |world| world.confirmed(id));
        }
    }

    fn confirmed(&self, id: EndpointId) {
        let route = self.with_endpoint(id, |end| (end.process.node, end.peer_node, end.peer));
        let Some((node, peer_node, peer)) = route else { return };
        if !self.reaches(node, peer_node) {
            self.schedule(RETRY_NS_MIN, "room", id.0, move |world| world.confirmed(id));
            return;
        }
        let count = self.with_endpoint(id, |end| {
            end.confirming = false;
            std::mem::take(&mut end.unconfirmed)
        });
        self.with_endpoint(peer, |end| {
            end.outstanding = end.outstanding.saturating_sub(count.unwrap_or(0));
            if let Some(writer) = end.writer.take() {
                writer.wake();
            }
        });
    }

    /// The writer at `id` waits for room. As in Linux, the peer is asked for some from time to time: one that is gone
    /// answers with a reset, also when its first one was lost.
    pub(crate) fn ask_for_room(&self, id: EndpointId) {
        if self.with_endpoint(id, |end| end.probes.replace(0).is_none()) == Some(true) {
            self.schedule(RETRY_NS_MIN, "probe", id.0, move |world| world.probe(id));
        }
    }

    fn probe(&self, id: EndpointId) {
        let waiting = self.with_endpoint(id, |end| {
            if !end.is_full() {
                end.probes = None;
            }
            end.probes.map(|probes| (probes, end.process.node, end.peer_node, end.peer))
        });
        let Some((probes, node, peer_node, peer)) = waiting.flatten() else { return };
        let is_answered = self.reaches(node, peer_node) && self.reaches(peer_node, node);
        let is_there = || self.with_endpoint(peer, |end| !end.closed && !end.broken).unwrap_or(false);
        let broken = match is_answered {
            true => (!is_there()).then_some(ErrorKind::ConnectionReset),
            false => (probes >= RETRIES_MAX).then_some(ErrorKind::TimedOut),
        };
        if let Some(kind) = broken {
            self.with_endpoint(id, |end| end.break_off(kind));
            return self.forget_if_done(id);
        }
        self.with_endpoint(id, |end| end.probes = Some(if is_answered { 0 } else { probes + 1 }));
        let delay_ns = retry_ns(RETRY_NS_MIN, if is_answered { ROOM_ASKED_FOR } else { probes + 1 });
        self.schedule(delay_ns, "probe", id.0, move |world| world.probe(id));
    }

    /// Breaks the connection from the end `id`: of what is under way a drawn part still arrives, then the reset does.
    pub(crate) fn abort_endpoint(&self, id: EndpointId) {
        let under_way = self.with_endpoint(id, |end| (end.flights.len() as u64, end.next_ordinal()));
        let Some((under_way, ordinal)) = under_way else { return };
        let kept = self.draw("abort", id.0, ordinal).below(under_way + 1);
        let alive = self.with_endpoint(id, |end| {
            end.flights.truncate(usize::try_from(kept).expect("not more than there are"));
            end.received.clear();
            end.wake();
            !std::mem::replace(&mut end.broken, true)
        });
        if alive == Some(true) {
            self.depart(id, Flight::Reset);
        }
    }

    /// Nobody holds the end `id` any more. As in Linux, bytes that were not read make that a reset.
    pub(crate) fn close_endpoint(&self, id: EndpointId) {
        let state = self.with_endpoint(id, |end| {
            let first = !std::mem::replace(&mut end.closed, true);
            first.then(|| (end.received.is_empty(), end.broken, std::mem::replace(&mut end.shut, true)))
        });
        match state.flatten() {
            None => return,
            Some((_, true, _)) | Some((true, false, true)) => {}
            Some((false, false, _)) => self.abort_endpoint(id),
            Some((true, false, false)) => self.depart(id, Flight::Finish),
        }
        self.forget_if_done(id);
    }

    /// Drops a closed end when nothing of it is under way.
    pub(crate) fn forget_if_done(&self, id: EndpointId) {
        let mut net = self.shared.net.borrow_mut();
        if net.endpoints.get(&id).is_some_and(|end| end.closed && end.flights.is_empty()) {
            net.endpoints.remove(&id);
        }
    }

    /// The kernel closes what a process leaves.
    pub(crate) fn close_sockets(&self, process: ProcessKey) {
        for id in self.sockets_of(process) {
            self.close_endpoint(id);
        }
    }

    /// A machine without power says nothing.
    pub(crate) fn forget_sockets(&self, process: ProcessKey) {
        let ids = self.sockets_of(process);
        let mut net = self.shared.net.borrow_mut();
        for id in ids {
            net.endpoints.remove(&id);
        }
    }

    /// The ends of a process; its listeners are gone with this call.
    fn sockets_of(&self, process: ProcessKey) -> Vec<EndpointId> {
        let mut net = self.shared.net.borrow_mut();
        net.listeners.retain(|_, listener| listener.process != process);
        net.endpoints.iter().filter(|(_, end)| end.process == process).map(|(id, _)| *id).collect()
    }
}
