//! A way to a broker on which every connection can be reset: what clients are told to connect to. Threads that copy bytes;
//! it knows nothing of what they say.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

const COPY_BYTES: usize = 64 * 1024;

/// Connections that are open, both halves of each.
type Open = Arc<Mutex<Vec<(TcpStream, TcpStream)>>>;

/// The way.
pub(crate) struct Proxy {
    port: u16,
    open: Open,
}

impl Proxy {
    /// Listens on `port` and connects to `to` for each connection that comes.
    pub(crate) fn start(port: u16, to: u16) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port)).context("the port of the proxy")?;
        let port = listener.local_addr()?.port();
        let open = Open::default();
        let kept = Arc::clone(&open);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // While the broker is down nobody answers, as without a proxy.
                let Ok(broker) = TcpStream::connect(("127.0.0.1", to)) else {
                    reset(&client);
                    continue;
                };
                drop((client.set_nodelay(true), broker.set_nodelay(true)));
                if carry(&client, &broker).is_ok() {
                    kept.lock().unwrap_or_else(PoisonError::into_inner).push((client, broker));
                }
            }
        });
        Ok(Proxy { port, open })
    }

    /// Where clients connect.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Resets every connection. Gives how many there were.
    pub(crate) fn reset_all(&self) -> usize {
        let open = std::mem::take(&mut *self.open.lock().unwrap_or_else(PoisonError::into_inner));
        for (client, broker) in &open {
            reset(client);
            reset(broker);
        }
        open.len()
    }
}

/// Copies both ways until either end closes.
fn carry(client: &TcpStream, broker: &TcpStream) -> Result<()> {
    for (from, to) in [(client, broker), (broker, client)] {
        let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
        thread::spawn(move || {
            let mut buffer = vec![0; COPY_BYTES];
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                if to.write_all(&buffer[..count]).is_err() {
                    break;
                }
            }
            drop((from.shutdown(Shutdown::Read), to.shutdown(Shutdown::Write)));
        });
    }
    Ok(())
}

/// Ends a connection with RST instead of FIN.
fn reset(stream: &TcpStream) {
    // Both fail only when it is gone already.
    let _ = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO));
    drop(stream.shutdown(Shutdown::Both));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_go_both_ways_until_the_connection_is_reset() {
        let broker = TcpListener::bind("127.0.0.1:0").expect("a port");
        let proxy = Proxy::start(0, broker.local_addr().expect("bound").port()).expect("starts");
        let mut client = TcpStream::connect(("127.0.0.1", proxy.port())).expect("connects");
        let (mut served, _) = broker.accept().expect("a connection");
        client.write_all(b"ask").expect("sent");
        let mut bytes = [0; 3];
        served.read_exact(&mut bytes).expect("received");
        served.write_all(b"yes").expect("sent");
        client.read_exact(&mut bytes).expect("received");
        assert_eq!(&bytes, b"yes");
        assert_eq!(proxy.reset_all(), 1);
        assert!(!matches!(client.read(&mut bytes), Ok(1..)), "nothing comes any more");
        assert!(!matches!(served.read(&mut bytes), Ok(1..)));
        assert_eq!(proxy.reset_all(), 0);
    }
}
