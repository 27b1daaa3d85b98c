//! [`Driver`]: the connections and timers of one [`Client`], over the seam. One task a connection; everything else
//! happens where a command awaits.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::time::Duration;

use barnabas_base::Monotonic;
use barnabas_client::{Address, CallError, Client, Destination, Event, LinkId, Tag, Transmit};
use barnabas_runtime::sync::queue::{self, Receiver, Sender};
use barnabas_runtime::{Either, Env, ReadHalf, Segment, Stream, TaskHandle, WriteHalf, race};
use barnabas_wire::{RequestBody, ResponseBody};
use bytes::{Bytes, BytesMut};

/// Pieces of requests that wait for one connection. A request is a few pieces and a client bounds its requests.
const OUTGOING_MAX: usize = 4_096;
/// Pieces of responses that wait for the client.
const ARRIVALS_MAX: usize = 64;
/// Most bytes of one read.
const READ_BYTES: usize = 256 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the last requests may take to leave.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

enum Arrival {
    Connected(LinkId),
    Bytes(LinkId, Bytes),
    Closed(LinkId, String),
}

struct Link {
    /// None once nothing more will be sent.
    outgoing: Option<Sender<Bytes>>,
    has_answered: bool,
    /// Dropping it closes the connection.
    _task: TaskHandle,
}

/// A client with its connections.
pub(crate) struct Driver {
    pub(crate) env: Env,
    pub(crate) client: Client,
    links: BTreeMap<LinkId, Link>,
    arrive: Sender<Arrival>,
    arrivals: Receiver<Arrival>,
    events: VecDeque<Event>,
    was_connected: bool,
    /// Since when connections end without an answer, if the last one did.
    silent_since: Option<Monotonic>,
}

impl Driver {
    pub(crate) fn new(env: Env, client: Client) -> Self {
        let (arrive, arrivals) = queue::bounded(ARRIVALS_MAX);
        let (links, events) = (BTreeMap::new(), VecDeque::new());
        Self { env, client, links, arrive, arrivals, events, was_connected: false, silent_since: None }
    }

    /// Since when no broker has answered that was asked. A connection that ends is no news: the next one tells.
    pub(crate) const fn silent_since(&self) -> Option<Monotonic> {
        self.silent_since
    }

    /// Whether any broker was ever reached.
    pub(crate) const fn was_connected(&self) -> bool {
        self.was_connected
    }

    pub(crate) fn now(&self) -> Monotonic {
        self.env.now()
    }

    /// The next reply nobody has taken.
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.collect();
        self.events.pop_front()
    }

    /// Does what the client asks for, then waits until something happens, at most until `until`.
    pub(crate) async fn step(&mut self, until: Monotonic) {
        self.collect();
        if !self.events.is_empty() {
            return;
        }
        let wakeup = self.client.next_wakeup().map_or(until, |wakeup| wakeup.min(until));
        if wakeup <= self.env.now() {
            // The connections' tasks get their turn even when something is always due.
            self.env.tasks.yield_now().await;
        }
        match race(self.arrivals.receive(), self.env.sleep_until(wakeup)).await {
            Either::First(Some(arrival)) => {
                self.on_arrival(arrival);
                while let Some(arrival) = self.arrivals.try_receive() {
                    self.on_arrival(arrival);
                }
            }
            Either::First(None) | Either::Second(()) => self.client.on_timeout(self.env.now()),
        }
        self.collect();
    }

    /// Makes a call and waits for its reply. Replies to other calls stay for [`poll_event`](Self::poll_event).
    pub(crate) async fn call(
        &mut self,
        destination: Destination,
        request: RequestBody,
        version_cap: Option<i16>,
        timeout_ms: i64,
    ) -> Result<ResponseBody, CallError> {
        let tag = self.client.call(self.now(), destination, request, version_cap, timeout_ms);
        loop {
            if let Some(event) = self.take_event(tag) {
                return event.reply.map(|(_, body)| body);
            }
            self.step_past_events().await;
        }
    }

    /// Sends what is still queued and ends all connections, for requests whose answers nobody will see.
    pub(crate) async fn close(&mut self) {
        self.collect();
        self.links.values_mut().for_each(|link| link.outgoing = None);
        let deadline = self.env.now().after(CLOSE_TIMEOUT);
        while !self.links.is_empty() {
            match race(self.arrivals.receive(), self.env.sleep_until(deadline)).await {
                Either::First(Some(Arrival::Closed(link, _))) => {
                    self.links.remove(&link);
                }
                Either::First(Some(Arrival::Connected(_) | Arrival::Bytes(..))) => {}
                Either::First(None) | Either::Second(()) => return,
            }
        }
    }

    fn take_event(&mut self, tag: Tag) -> Option<Event> {
        self.collect();
        let position = self.events.iter().position(|event| event.tag == tag)?;
        self.events.remove(position)
    }

    /// As [`step`](Self::step), also when replies lie there that somebody else waits for.
    async fn step_past_events(&mut self) {
        let others = std::mem::take(&mut self.events);
        self.step(Monotonic::NEVER).await;
        let fresh = std::mem::replace(&mut self.events, others);
        self.events.extend(fresh);
    }

    fn collect(&mut self) {
        while let Some(transmit) = self.client.poll_transmit() {
            match transmit {
                Transmit::Connect(link, address) => self.connect(link, address),
                Transmit::Send(link, bytes) => self.send(link, bytes),
                Transmit::Close(link) => self.remove(link),
            }
        }
        while let Some(event) = self.client.poll_event() {
            self.events.push_back(event);
        }
    }

    fn connect(&mut self, id: LinkId, address: Address) {
        let (outgoing, queued) = queue::bounded(OUTGOING_MAX);
        let link = run_link(self.env.clone(), id, address, queued, self.arrive.clone());
        let task = self.env.spawn("client connection", link);
        self.links.insert(id, Link { outgoing: Some(outgoing), has_answered: false, _task: task });
    }

    fn remove(&mut self, link: LinkId) {
        let removed = self.links.remove(&link);
        if self.was_connected && removed.is_some_and(|link| !link.has_answered) {
            self.silent_since.get_or_insert(self.env.now());
        }
    }

    fn send(&mut self, id: LinkId, bytes: Bytes) {
        let Some(outgoing) = self.links.get(&id).and_then(|link| link.outgoing.as_ref()) else { return };
        if outgoing.try_send(bytes).is_err() {
            self.remove(id);
            self.client.on_closed(self.env.now(), id, "the broker reads too slowly");
        }
    }

    fn on_arrival(&mut self, arrival: Arrival) {
        let now = self.env.now();
        match arrival {
            Arrival::Connected(link) => {
                self.was_connected = true;
                self.client.on_connected(now, link);
            }
            Arrival::Bytes(link, bytes) => {
                if let Some(open) = self.links.get_mut(&link) {
                    open.has_answered = true;
                    self.silent_since = None;
                }
                self.client.on_bytes(now, link, &bytes);
            }
            Arrival::Closed(link, reason) => {
                self.remove(link);
                self.client.on_closed(now, link, &reason);
            }
        }
    }
}

/// The life of one connection.
async fn run_link(env: Env, id: LinkId, address: Address, outgoing: Receiver<Bytes>, arrive: Sender<Arrival>) {
    let deadline = env.now().after(CONNECT_TIMEOUT);
    let connected = env.timeout_at(deadline, connect(&env, &address)).await;
    let reason = match connected {
        None => format!("cannot connect to {address}: no answer"),
        Some(Err(error)) => format!("cannot connect to {address}: {error}"),
        Some(Ok(stream)) => {
            if arrive.send(Arrival::Connected(id)).await.is_err() {
                return;
            }
            let ended = race(read(stream.read, id, &arrive), write(stream.write, outgoing)).await;
            match ended {
                Either::First(Ok(())) | Either::Second(Ok(())) => format!("{address} closed the connection"),
                Either::First(Err(error)) | Either::Second(Err(error)) => format!("{address}: {error}"),
            }
        }
    };
    // The driver may be gone; then nobody wants to know.
    drop(arrive.send(Arrival::Closed(id, reason)).await);
}

/// Tries the addresses of a host one after another.
async fn connect(env: &Env, address: &Address) -> io::Result<Stream> {
    let mut last_error = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in env.net.resolve(&address.host, address.port).await? {
        match env.net.connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last_error = error,
        }
    }
    Err(last_error)
}

async fn read(mut half: Box<dyn ReadHalf>, id: LinkId, arrive: &Sender<Arrival>) -> io::Result<()> {
    loop {
        let mut buffer = BytesMut::new();
        if half.read(&mut buffer, READ_BYTES).await? == 0 {
            return Ok(());
        }
        if arrive.send(Arrival::Bytes(id, buffer.freeze())).await.is_err() {
            return Ok(());
        }
    }
}

async fn write(mut half: Box<dyn WriteHalf>, mut outgoing: Receiver<Bytes>) -> io::Result<()> {
    while let Some(first) = outgoing.receive().await {
        let mut segments = vec![Segment::Bytes(first)];
        while let Some(next) = outgoing.try_receive() {
            segments.push(Segment::Bytes(next));
        }
        half.send(&segments).await?;
    }
    half.finish().await
}
