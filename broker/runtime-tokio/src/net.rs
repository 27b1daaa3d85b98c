//! Listening, connecting, resolving. Streams are in `stream`.

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use barnabas_runtime::{Accepted, Listener, Local, Net, Stream};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::TcpListener;

use crate::pool::Pool;
use crate::stream;

/// Connections the kernel completes before they are accepted (Kafka's `socket.listen.backlog.size` is 50). A cluster
/// whose clients all reconnect at once needs more, or their SYNs are dropped and retried a second later.
const LISTEN_BACKLOG: i32 = 1024;

/// Silence after which the kernel begins to ask whether the peer is there, and how often it asks.
const KEEPALIVE_IDLE_S: u64 = 120;
const KEEPALIVE_INTERVAL_S: u64 = 30;

/// Addresses taken from the resolver for one name.
const RESOLVED_MAX: usize = 64;

/// The TCP stack of the machine.
pub(crate) struct TokioNet {
    /// For ranges of files that the device has to be asked for.
    reads: Pool,
    names: Pool,
}

impl TokioNet {
    pub(crate) const fn new(reads: Pool, names: Pool) -> Self {
        Self { reads, names }
    }
}

impl Net for TokioNet {
    fn listen(&self, address: SocketAddr) -> Local<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move { Ok(Box::new(TokioListener::bind(address)?) as Box<dyn Listener>) })
    }

    fn connect(&self, address: SocketAddr) -> Local<'_, io::Result<Stream>> {
        let reads = self.reads.clone();
        Box::pin(async move {
            let socket = tokio::net::TcpStream::connect(address).await?;
            configure(&SockRef::from(&socket))?;
            let (peer_addr, local_addr) = (socket.peer_addr()?, socket.local_addr()?);
            Ok(stream::split(socket, peer_addr, local_addr, reads))
        })
    }

    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Local<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move {
            let host = host.to_owned();
            let found: Vec<_> = self
                .names
                .run(move || Ok::<_, io::Error>((host.as_str(), port).to_socket_addrs()?.take(RESOLVED_MAX).collect()))
                .await?;
            if found.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(found) }
        })
    }

    fn adopt(&self, accepted: Accepted) -> io::Result<Stream> {
        let Accepted { peer_addr, local_addr, handle } = accepted;
        let socket = handle.downcast::<TcpStream>().expect("a connection is adopted by the runtime that accepted it");
        let socket = tokio::net::TcpStream::from_std(*socket)?;
        Ok(stream::split(socket, peer_addr, local_addr, self.reads.clone()))
    }
}

/// Options every connection has. Requests and responses are written whole, so that waiting for more (Nagle) only costs.
fn configure(socket: &Socket) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(KEEPALIVE_IDLE_S))
        .with_interval(Duration::from_secs(KEEPALIVE_INTERVAL_S));
    socket.set_tcp_keepalive(&keepalive)
}

struct TokioListener {
    socket: TcpListener,
    local_addr: SocketAddr,
}

impl TokioListener {
    fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // A restarted broker takes its port back although connections of the old one linger in TIME_WAIT.
        socket.set_reuse_address(true)?;
        // Linux hands the options of a listener down to what it accepts: two system calls fewer per connection.
        configure(&socket)?;
        socket.bind(&address.into())?;
        socket.listen(LISTEN_BACKLOG)?;
        socket.set_nonblocking(true)?;
        let socket = TcpListener::from_std(socket.into())?;
        let local_addr = socket.local_addr()?;
        Ok(Self { socket, local_addr })
    }

    async fn next(&self) -> io::Result<Accepted> {
        let (socket, peer_addr) = self.socket.accept().await?;
        let local_addr = socket.local_addr()?;
        // Off this shard's event queue: the shard that adopts it has another.
        let socket = socket.into_std()?;
        Ok(Accepted { peer_addr, local_addr, handle: Box::new(socket) })
    }
}

impl Listener for TokioListener {
    fn accept(&self) -> Local<'_, io::Result<Accepted>> {
        Box::pin(self.next())
    }

    fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }
}
