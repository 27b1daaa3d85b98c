//! Moves bytes and time for one [`Client`]: opens the connections it asks for, sends what it sends, tells it what came.

use std::collections::BTreeMap;
use std::fmt;

use barnabas_base::Monotonic;
use barnabas_client::{Address, Client, LinkId, Transmit};
use barnabas_runtime::sync::queue;
use barnabas_runtime::{Env, ReadHalf, Segment, TaskHandle, WriteHalf};
use bytes::{Bytes, BytesMut};

/// Bytes asked for in one read.
const READ_BYTES: usize = 64 * 1024;
/// News that wait for the client; the connections wait when it is full.
const NEWS_MAX: usize = 1_024;
/// Frames that wait to be sent on one connection.
const FRAMES_MAX: usize = 1_024;

/// What happened on a connection.
pub(crate) enum News {
    Connected(LinkId, queue::Sender<Bytes>),
    Bytes(LinkId, Bytes),
    Closed(LinkId, String),
}

/// Carries out what a client asks for.
pub struct Driver {
    env: Env,
    links: BTreeMap<LinkId, Link>,
    news: queue::Receiver<News>,
    tell: queue::Sender<News>,
}

struct Link {
    frames: Option<queue::Sender<Bytes>>,
    _task: TaskHandle,
}

impl Driver {
    /// A driver without connections.
    #[must_use]
    pub fn new(env: &Env) -> Self {
        let (tell, news) = queue::bounded(NEWS_MAX);
        Self { env: env.clone(), links: BTreeMap::new(), news, tell }
    }

    /// Does everything the client has asked for.
    pub fn perform(&mut self, client: &mut Client) {
        while let Some(transmit) = client.poll_transmit() {
            match transmit {
                Transmit::Connect(link, address) => self.connect(link, address),
                Transmit::Send(link, bytes) => self.send(client, link, bytes),
                Transmit::Close(link) => drop(self.links.remove(&link)),
            }
        }
    }

    /// Waits until something happens, or until `deadline`, and tells the client. Everything that has happened by then is
    /// told at once.
    pub async fn wait(&mut self, client: &mut Client, deadline: Monotonic) {
        let deadline = client.next_wakeup().map_or(deadline, |wakeup| wakeup.min(deadline));
        let env = self.env.clone();
        if let Some(first) = env.timeout_at(deadline, self.next_news()).await {
            self.take_news(client, first);
        }
        let now = self.env.now();
        client.on_timeout(now);
    }

    /// Waits until something happens. To be handed to [`take_news`](Self::take_news); dropped, it has taken nothing.
    pub(crate) async fn next_news(&mut self) -> News {
        self.news.receive().await.expect("the driver itself holds a sender")
    }

    /// Tells the client what happened first and whatever has happened since.
    pub(crate) fn take_news(&mut self, client: &mut Client, first: News) {
        self.tell(client, first);
        while let Some(more) = self.news.try_receive() {
            self.tell(client, more);
        }
    }

    fn tell(&mut self, client: &mut Client, news: News) {
        let now = self.env.now();
        match news {
            News::Connected(id, frames) => {
                if let Some(link) = self.links.get_mut(&id) {
                    link.frames = Some(frames);
                    client.on_connected(now, id);
                }
            }
            News::Bytes(id, bytes) => {
                if self.links.contains_key(&id) {
                    client.on_bytes(now, id, &bytes);
                }
            }
            News::Closed(id, reason) => {
                if self.links.remove(&id).is_some() {
                    client.on_closed(now, id, &reason);
                }
            }
        }
    }

    fn connect(&mut self, id: LinkId, address: Address) {
        let (env, tell) = (self.env.clone(), self.tell.clone());
        let task = self.env.spawn("client connection", async move {
            let reason = match serve(&env, id, &address, &tell).await {
                Ok(()) => "the broker closed the connection".to_owned(),
                Err(error) => error.to_string(),
            };
            // A driver that has gone needs no news.
            drop(tell.send(News::Closed(id, reason)).await);
        });
        self.links.insert(id, Link { frames: None, _task: task });
    }

    fn send(&mut self, client: &mut Client, id: LinkId, bytes: Bytes) {
        let frames = self.links.get(&id).and_then(|link| link.frames.as_ref());
        let sent = frames.is_some_and(|frames| frames.try_send(bytes).is_ok());
        if !sent && self.links.remove(&id).is_some() {
            client.on_closed(self.env.now(), id, "the connection does not take more requests");
        }
    }
}

async fn serve(env: &Env, id: LinkId, address: &Address, tell: &queue::Sender<News>) -> std::io::Result<()> {
    let resolved = env.net.resolve(&address.host, address.port).await?;
    let first = *resolved.first().ok_or(std::io::ErrorKind::NotFound)?;
    let stream = env.net.connect(first).await?;
    let (frames, to_send) = queue::bounded(FRAMES_MAX);
    drop(tell.send(News::Connected(id, frames)).await);
    let writer = env.spawn("client writes", write_all(stream.write, to_send));
    let outcome = read_all(stream.read, id, tell).await;
    drop(writer);
    outcome
}

async fn read_all(mut read: Box<dyn ReadHalf>, id: LinkId, tell: &queue::Sender<News>) -> std::io::Result<()> {
    let mut buffer = BytesMut::new();
    while read.read(&mut buffer, READ_BYTES).await? > 0 {
        drop(tell.send(News::Bytes(id, buffer.split().freeze())).await);
    }
    Ok(())
}

async fn write_all(mut write: Box<dyn WriteHalf>, mut frames: queue::Receiver<Bytes>) {
    while let Some(frame) = frames.receive().await {
        // The reader hears of a broken connection and reports it.
        if write.send(&[Segment::Bytes(frame)]).await.is_err() {
            return;
        }
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("links", &self.links.len()).finish_non_exhaustive()
    }
}
