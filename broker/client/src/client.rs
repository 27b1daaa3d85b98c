//! [`Client`]: calls to a cluster. Finds out who must be asked, keeps a connection to each broker it needs, refreshes
//! what it knows, and gives every call exactly one reply. A driver moves bytes and time; cores and tools make calls.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use barnabas_base::{BrokerId, Monotonic, PartitionIndex};
use barnabas_wire::message::metadata::{MetadataRequestTopic, MetadataResponseTopic};
use barnabas_wire::message::{FindCoordinatorRequest, FindCoordinatorResponse, MetadataRequest, MetadataResponse};
use barnabas_wire::{ErrorCode, RequestBody, ResponseBody};
use bytes::Bytes;

use crate::cluster::{Address, Cluster};
use crate::connection::{Connection, ConnectionError};
use crate::limits::{CALLS_MAX, backoff_ms};
use crate::{CallError, limits};

/// How long our own Metadata and FindCoordinator calls may take, in milliseconds.
const LOOKUP_TIMEOUT_MS: i64 = 10_000;
/// Misanswers that are kept for whoever asks.
const MISANSWERS_MAX: usize = 16;
/// After this time the metadata of wanted topics is asked for again, in milliseconds (`metadata.max.age.ms`).
const METADATA_MAX_AGE_MS: i64 = 300_000;
/// FindCoordinator with one key; from version 4 on it has a list.
const FIND_COORDINATOR_VERSION_MAX: i16 = 3;
/// The key type of groups.
const KEY_TYPE_GROUP: i8 = 0;

/// Settings of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientConfig {
    /// `client.id`.
    pub client_id: String,
    /// `bootstrap.servers`: asked in turn until one answers.
    pub bootstrap: Vec<Address>,
    /// Whether asking for a topic may create it.
    pub auto_create_topics: bool,
}

/// Who is to answer a call.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Destination {
    /// Any broker.
    Any,
    /// The broker that takes administrative requests.
    Controller,
    /// This broker.
    Broker(BrokerId),
    /// The leader of a partition.
    Leader(String, PartitionIndex),
    /// The coordinator of a group.
    Coordinator(String),
}

/// Names one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(u64);

/// Names one connection, from its opening to its end. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(u64);

/// What the driver has to do, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transmit {
    /// Connect, and report [`Client::on_connected`] or [`Client::on_closed`].
    Connect(LinkId, Address),
    /// Send these bytes.
    Send(LinkId, Bytes),
    /// Close the connection. Nothing is reported of it any more.
    Close(LinkId),
}

/// The reply to one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The call.
    pub tag: Tag,
    /// The version it was made in and the answer, or why there is none. A Produce with `acks` 0 is answered by an
    /// empty response as soon as its bytes are handed to the driver.
    pub reply: Result<(i16, ResponseBody), CallError>,
}

/// Whom a link leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Peer {
    Bootstrap(usize),
    Broker(BrokerId),
}

#[derive(Debug)]
struct Link {
    peer: Peer,
    is_connected: bool,
    /// When it is given up if it does not take calls by then: a broker that went silent while a connection was being made
    /// would otherwise be waited for as long as TCP allows, which is for ever once it has acknowledged our bytes.
    ready_by: Monotonic,
    connection: Connection,
}

#[derive(Debug)]
struct Call {
    destination: Destination,
    request: RequestBody,
    version_cap: Option<i16>,
    deadline: Monotonic,
    /// The link it was sent on.
    link: Option<LinkId>,
    purpose: Purpose,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Purpose {
    User,
    Metadata { asked: BTreeSet<String> },
    Coordinator { group: String },
}

/// Something that is looked up, again after a growing pause when that failed.
#[derive(Debug, Default)]
struct Lookup {
    in_flight: bool,
    not_before: Monotonic,
    attempt: u32,
}

impl Lookup {
    fn may_start(&self, now: Monotonic) -> bool {
        !self.in_flight && now >= self.not_before
    }

    fn finish(&mut self, now: Monotonic, found: bool) {
        self.in_flight = false;
        self.attempt = if found { 0 } else { self.attempt + 1 };
        // Also after success: whoever finds the answer stale at once asks no faster than this.
        self.not_before = now.after_ms(backoff_ms(self.attempt.saturating_sub(1)));
    }
}

/// Where a call can go.
enum Route {
    To(LinkId),
    Wait,
    Refused(ErrorCode),
}

/// The client.
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    cluster: Cluster,
    wanted_topics: BTreeSet<String>,
    metadata: Lookup,
    metadata_is_stale: bool,
    metadata_expires: Monotonic,
    coordinators: BTreeMap<String, BrokerId>,
    coordinator_lookups: BTreeMap<String, Lookup>,
    links: BTreeMap<LinkId, Link>,
    by_peer: BTreeMap<Peer, LinkId>,
    reconnects: BTreeMap<Peer, Lookup>,
    next_bootstrap: usize,
    calls: BTreeMap<Tag, Call>,
    waiting: VecDeque<Tag>,
    deadlines: BTreeSet<(Monotonic, Tag)>,
    next_number: u64,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
    last_failure: Option<String>,
    /// What brokers sent that is no answer to what they were asked, until somebody takes it.
    misanswers: VecDeque<ConnectionError>,
    /// When calls were last sent as far as possible.
    pumped_at: Monotonic,
}

impl Client {
    /// A client that is not connected to anything.
    #[must_use]
    pub fn new(config: ClientConfig) -> Self {
        assert!(!config.bootstrap.is_empty(), "a client knows at least one broker");
        Self {
            config,
            cluster: Cluster::default(),
            wanted_topics: BTreeSet::new(),
            metadata: Lookup::default(),
            metadata_is_stale: false,
            metadata_expires: Monotonic::NEVER,
            coordinators: BTreeMap::new(),
            coordinator_lookups: BTreeMap::new(),
            links: BTreeMap::new(),
            by_peer: BTreeMap::new(),
            reconnects: BTreeMap::new(),
            next_bootstrap: 0,
            calls: BTreeMap::new(),
            waiting: VecDeque::new(),
            deadlines: BTreeSet::new(),
            next_number: 0,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            last_failure: None,
            misanswers: VecDeque::new(),
            pumped_at: Monotonic::ZERO,
        }
    }

    /// What is known of the cluster: topics that were wanted, and all brokers.
    #[must_use]
    pub const fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Why the last connection could not be made or broke.
    #[must_use]
    pub fn last_failure(&self) -> Option<&str> {
        self.last_failure.as_deref()
    }

    /// Keeps the metadata of this topic up to date from here on.
    pub fn want_topic(&mut self, now: Monotonic, topic: &str) {
        if self.wanted_topics.insert(topic.to_owned()) {
            self.metadata_is_stale = true;
            self.pump(now);
        }
    }

    /// Asks for the metadata of all wanted topics again: what is known turned out to be wrong.
    pub fn refresh_metadata(&mut self, now: Monotonic) {
        self.metadata_is_stale = true;
        self.pump(now);
    }

    /// Forgets who leads a partition: it said that it does not.
    pub fn forget_leader(&mut self, now: Monotonic, topic: &str, partition: PartitionIndex) {
        self.cluster.forget_leader(topic, partition);
        self.refresh_metadata(now);
    }

    /// Forgets who coordinates a group: it said that it does not.
    pub fn forget_coordinator(&mut self, group: &str) {
        self.coordinators.remove(group);
    }

    /// Makes a call and names it. `version_cap` is the newest version whose form the request has.
    pub fn call(
        &mut self,
        now: Monotonic,
        destination: Destination,
        request: RequestBody,
        version_cap: Option<i16>,
        timeout_ms: i64,
    ) -> Tag {
        let call = Call {
            destination,
            request,
            version_cap,
            deadline: now.after_ms(timeout_ms),
            link: None,
            purpose: Purpose::User,
        };
        if let Destination::Leader(topic, _) = &call.destination {
            self.wanted_topics.insert(topic.clone());
        }
        let tag = self.enqueue(call);
        self.pump(now);
        tag
    }

    /// What the driver has to do next.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// The next reply.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// What a broker sent that is no answer to what it was asked; its connection is closed by then. The last
    /// [`MISANSWERS_MAX`] are kept.
    pub fn poll_misanswer(&mut self) -> Option<ConnectionError> {
        self.misanswers.pop_front()
    }

    /// A connection is open.
    pub fn on_connected(&mut self, now: Monotonic, link: LinkId) {
        if let Some(open) = self.links.get_mut(&link) {
            open.is_connected = true;
            self.flush(link);
            self.pump(now);
        }
    }

    /// Bytes arrived on a connection.
    pub fn on_bytes(&mut self, now: Monotonic, link: LinkId, bytes: &[u8]) {
        let Some(open) = self.links.get_mut(&link) else { return };
        if let Err(error) = open.connection.on_bytes(bytes) {
            self.close(now, link, &error.to_string());
            self.pump(now);
            if self.misanswers.len() == MISANSWERS_MAX {
                self.misanswers.pop_front();
            }
            self.misanswers.push_back(error);
            return;
        }
        if open.connection.is_ready() {
            self.reconnects.remove(&open.peer);
        }
        let mut answers = Vec::new();
        while let Some(answer) = open.connection.poll_answer() {
            answers.push(answer);
        }
        for answer in answers {
            self.finish(now, Tag(answer.call), Ok((answer.version, answer.body)));
        }
        self.flush(link);
        self.pump(now);
    }

    /// A connection could not be made, or ended.
    pub fn on_closed(&mut self, now: Monotonic, link: LinkId, reason: &str) {
        if self.links.contains_key(&link) {
            self.close(now, link, reason);
            self.pump(now);
        }
    }

    /// Time has passed.
    pub fn on_timeout(&mut self, now: Monotonic) {
        while let Some((deadline, tag)) = self.deadlines.first().copied() {
            if deadline > now {
                break;
            }
            self.expire(now, tag);
        }
        let is_late = |link: &Link| !link.connection.is_ready() && link.ready_by <= now;
        let late: Vec<LinkId> = self.links.iter().filter(|(_, link)| is_late(link)).map(|(id, _)| *id).collect();
        for link in late {
            self.close(now, link, "the broker does not answer");
        }
        if now >= self.metadata_expires {
            self.metadata_is_stale = true;
        }
        self.pump(now);
    }

    /// When [`on_timeout`](Self::on_timeout) is due.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Monotonic> {
        let deadline = self.deadlines.first().map(|(deadline, _)| *deadline);
        let lookups = self.coordinator_lookups.values().chain(self.reconnects.values());
        // Pauses matter only to those who wait, and those that are over have been used by the last pump.
        let somebody_waits = !self.waiting.is_empty();
        let matters = |lookup: &&Lookup| somebody_waits && !lookup.in_flight && lookup.not_before > self.pumped_at;
        let pauses = lookups.filter(matters).map(|lookup| lookup.not_before);
        let metadata = (self.metadata_is_stale && !self.metadata.in_flight).then_some(self.metadata.not_before);
        let expiry = Some(self.metadata_expires).filter(|at| *at != Monotonic::NEVER && !self.metadata_is_stale);
        let ready = self.links.values().filter(|link| !link.connection.is_ready()).map(|link| link.ready_by);
        pauses.chain(deadline).chain(metadata).chain(expiry).chain(ready).min()
    }

    fn enqueue(&mut self, call: Call) -> Tag {
        let tag = Tag(self.next_number);
        self.next_number += 1;
        if call.purpose == Purpose::User && self.calls.len() >= CALLS_MAX {
            self.events.push_back(Event { tag, reply: Err(CallError::Overloaded) });
            return tag;
        }
        self.deadlines.insert((call.deadline, tag));
        self.calls.insert(tag, call);
        self.waiting.push_back(tag);
        tag
    }

    /// Sends whatever can be sent.
    fn pump(&mut self, now: Monotonic) {
        self.pumped_at = now;
        if self.metadata_is_stale {
            self.look_up_metadata(now);
        }
        // Lookups made on the way are appended and served in the same pass.
        let mut blocked = VecDeque::new();
        while let Some(tag) = self.waiting.pop_front() {
            let Some(call) = self.calls.get(&tag) else { continue };
            let destination = call.destination.clone();
            match self.route(now, &destination) {
                Route::To(link) if self.links.get(&link).is_some_and(|link| link.connection.has_room()) => {
                    self.send(now, tag, link);
                }
                Route::To(_) | Route::Wait => blocked.push_back(tag),
                Route::Refused(code) => self.finish(now, tag, Err(CallError::Refused(code))),
            }
        }
        self.waiting = blocked;
    }

    fn send(&mut self, now: Monotonic, tag: Tag, link: LinkId) {
        let call = self.calls.get_mut(&tag).expect("only known calls are sent");
        let open = self.links.get_mut(&link).expect("calls are routed to open links");
        match open.connection.send(tag.0, &call.request, call.version_cap) {
            Ok(true) => call.link = Some(link),
            Ok(false) => {
                let empty = ResponseBody::Produce(Default::default());
                self.finish(now, tag, Ok((0, empty)));
            }
            Err(error) => self.finish(now, tag, Err(error)),
        }
        self.flush(link);
    }

    fn route(&mut self, now: Monotonic, destination: &Destination) -> Route {
        match destination {
            Destination::Any => self.route_to_any(now),
            Destination::Broker(id) => self.route_to_broker(now, *id),
            Destination::Controller => match self.cluster.controller() {
                Some(id) => self.route_to_broker(now, id),
                None => self.wait_for_metadata(now),
            },
            Destination::Leader(topic, partition) => match self.cluster.leader(topic, *partition) {
                Some(id) => self.route_to_broker(now, id),
                None => match self.cluster.refusal(topic) {
                    Some(code) if !code.is_retriable() => Route::Refused(code),
                    _ => self.wait_for_metadata(now),
                },
            },
            Destination::Coordinator(group) => match self.coordinators.get(group) {
                Some(id) => self.route_to_broker(now, *id),
                None => {
                    self.look_up_coordinator(now, group);
                    Route::Wait
                }
            },
        }
    }

    fn route_to_any(&mut self, now: Monotonic) -> Route {
        let ready = self.links.iter().find(|(_, link)| link.connection.has_room());
        if let Some((id, _)) = ready {
            return Route::To(*id);
        }
        if self.links.is_empty() {
            let peer = Peer::Bootstrap(self.next_bootstrap % self.config.bootstrap.len());
            let address = self.config.bootstrap[self.next_bootstrap % self.config.bootstrap.len()].clone();
            self.connect(now, peer, address);
        }
        Route::Wait
    }

    fn route_to_broker(&mut self, now: Monotonic, id: BrokerId) -> Route {
        let peer = Peer::Broker(id);
        if let Some(link) = self.by_peer.get(&peer) {
            return Route::To(*link);
        }
        match self.cluster.broker(id).map(|broker| broker.address.clone()) {
            Some(address) => {
                self.connect(now, peer, address);
                Route::Wait
            }
            None => self.wait_for_metadata(now),
        }
    }

    fn wait_for_metadata(&mut self, now: Monotonic) -> Route {
        self.metadata_is_stale = true;
        self.look_up_metadata(now);
        Route::Wait
    }

    fn connect(&mut self, now: Monotonic, peer: Peer, address: Address) {
        let reconnect = self.reconnects.entry(peer).or_default();
        if !reconnect.may_start(now) {
            return;
        }
        reconnect.in_flight = true;
        let id = LinkId(self.next_number);
        self.next_number += 1;
        let connection = Connection::new(&self.config.client_id);
        let ready_by = now.after_ms(LOOKUP_TIMEOUT_MS);
        self.links.insert(id, Link { peer, is_connected: false, ready_by, connection });
        self.by_peer.insert(peer, id);
        self.transmits.push_back(Transmit::Connect(id, address));
    }

    fn flush(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if !link.is_connected {
            return;
        }
        while let Some(bytes) = link.connection.poll_transmit() {
            self.transmits.push_back(Transmit::Send(id, bytes));
        }
    }

    /// Ends a link; the fate of its calls is unknown.
    fn close(&mut self, now: Monotonic, id: LinkId, reason: &str) {
        let Some(link) = self.links.remove(&id) else { return };
        self.by_peer.remove(&link.peer);
        self.reconnects.entry(link.peer).or_default().finish(now, false);
        if matches!(link.peer, Peer::Bootstrap(_)) {
            self.next_bootstrap += 1;
        }
        self.last_failure = Some(reason.to_owned());
        self.transmits.push_back(Transmit::Close(id));
        // The broker may be gone for good, and others lead its partitions.
        self.metadata_is_stale = !self.wanted_topics.is_empty();
        self.coordinators.retain(|_, broker| Peer::Broker(*broker) != link.peer);
        let lost: Vec<Tag> = self.calls.iter().filter(|(_, call)| call.link == Some(id)).map(|(tag, _)| *tag).collect();
        for tag in lost {
            self.finish(now, tag, Err(CallError::Disconnected));
        }
    }

    fn expire(&mut self, now: Monotonic, tag: Tag) {
        let call = self.calls.get(&tag).expect("a deadline belongs to a call");
        let refusal = match &call.destination {
            Destination::Leader(topic, _) if call.link.is_none() => self.cluster.refusal(topic),
            _ => None,
        };
        let link = call.link;
        let error = refusal.map_or(CallError::TimedOut, CallError::Refused);
        self.finish(now, tag, Err(error));
        // Answers come in order: what is behind the late one is late as well.
        if let Some(link) = link {
            self.close(now, link, "no answer in time");
        }
    }

    /// Gives a call its reply.
    fn finish(&mut self, now: Monotonic, tag: Tag, reply: Result<(i16, ResponseBody), CallError>) {
        // The reply to a call that has expired comes too late.
        let Some(call) = self.calls.remove(&tag) else { return };
        self.deadlines.remove(&(call.deadline, tag));
        match call.purpose {
            Purpose::User => self.events.push_back(Event { tag, reply }),
            Purpose::Metadata { asked } => self.on_metadata(now, &asked, reply),
            Purpose::Coordinator { group } => self.on_coordinator(now, group, reply),
        }
    }

    fn look_up_metadata(&mut self, now: Monotonic) {
        if !self.metadata.may_start(now) {
            return;
        }
        self.metadata.in_flight = true;
        self.metadata_is_stale = false;
        let asked = self.wanted_topics.clone();
        let topic = |name: &String| MetadataRequestTopic { name: Some(name.clone()), ..Default::default() };
        let request = MetadataRequest {
            topics: Some(asked.iter().map(topic).collect()),
            allow_auto_topic_creation: self.config.auto_create_topics,
            ..Default::default()
        };
        self.enqueue(Call {
            destination: Destination::Any,
            request: RequestBody::Metadata(request),
            version_cap: None,
            deadline: now.after_ms(LOOKUP_TIMEOUT_MS),
            link: None,
            purpose: Purpose::Metadata { asked },
        });
    }

    fn on_metadata(&mut self, now: Monotonic, asked: &BTreeSet<String>, reply: Result<(i16, ResponseBody), CallError>) {
        let Ok((_, ResponseBody::Metadata(response))) = reply else {
            self.metadata.finish(now, false);
            self.metadata_is_stale = true;
            return;
        };
        let complete = is_complete(&response, asked);
        self.cluster.update(response, Some(asked));
        self.metadata.finish(now, complete);
        self.metadata_is_stale |= !complete;
        self.metadata_expires = now.after_ms(METADATA_MAX_AGE_MS);
    }

    fn look_up_coordinator(&mut self, now: Monotonic, group: &str) {
        let lookup = self.coordinator_lookups.entry(group.to_owned()).or_default();
        if !lookup.may_start(now) {
            return;
        }
        lookup.in_flight = true;
        let request = FindCoordinatorRequest { key: group.to_owned(), key_type: KEY_TYPE_GROUP, ..Default::default() };
        self.enqueue(Call {
            destination: Destination::Any,
            request: RequestBody::FindCoordinator(request),
            version_cap: Some(FIND_COORDINATOR_VERSION_MAX),
            deadline: now.after_ms(LOOKUP_TIMEOUT_MS),
            link: None,
            purpose: Purpose::Coordinator { group: group.to_owned() },
        });
    }

    fn on_coordinator(&mut self, now: Monotonic, group: String, reply: Result<(i16, ResponseBody), CallError>) {
        let found = match reply {
            Ok((_, ResponseBody::FindCoordinator(response))) => self.learn_coordinator(now, &group, response),
            Ok(_) | Err(_) => false,
        };
        if let Some(lookup) = self.coordinator_lookups.get_mut(&group) {
            lookup.finish(now, found);
        }
    }

    fn learn_coordinator(&mut self, now: Monotonic, group: &str, response: FindCoordinatorResponse) -> bool {
        let code = ErrorCode::from_code(response.error_code).unwrap_or(ErrorCode::UnknownServerError);
        if code != ErrorCode::None {
            if !code.is_retriable() {
                self.refuse_waiting(now, group, code);
            }
            return false;
        }
        let id = BrokerId(response.node_id);
        self.coordinators.insert(group.to_owned(), id);
        if let Ok(port) = u16::try_from(response.port) {
            self.cluster.learn_broker(id, Address { host: response.host, port });
        }
        true
    }

    fn refuse_waiting(&mut self, now: Monotonic, group: &str, code: ErrorCode) {
        let of_group = |call: &Call| call.destination == Destination::Coordinator(group.to_owned());
        let refused: Vec<Tag> =
            self.calls.iter().filter(|(_, call)| call.link.is_none() && of_group(call)).map(|(tag, _)| *tag).collect();
        for tag in refused {
            self.finish(now, tag, Err(CallError::Refused(code)));
        }
    }
}

/// Whether an answer leaves nothing to ask again for: every topic is there and led, or refused for good.
fn is_complete(response: &MetadataResponse, asked: &BTreeSet<String>) -> bool {
    let is_settled = |topic: &MetadataResponseTopic| match ErrorCode::from_code(topic.error_code) {
        Some(ErrorCode::None) => topic.partitions.iter().all(|partition| partition.leader_id >= 0),
        Some(code) => !code.is_retriable(),
        None => true,
    };
    let settled = response.topics.iter().filter(|topic| is_settled(topic)).count();
    settled >= asked.len() && !response.brokers.is_empty()
}

const _: () = assert!(limits::CALLS_PER_CONNECTION_MAX < CALLS_MAX, "one connection cannot hold all calls");
