//! Signals of the process as a future for the binary. Not part of the seam: a node never sees them.

use std::fmt;
use std::io;
use std::task::Poll;

use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// What the process was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: stop cleanly.
    Terminate,
    /// SIGINT: stop cleanly; a second one cuts it short.
    Interrupt,
    /// SIGHUP: read changeable files again.
    Hangup,
}

/// Receives SIGTERM, SIGINT and SIGHUP from its creation on; their default effect is gone for the life of the process.
pub struct Signals {
    streams: [(Signal, Stream); 3],
}

impl Signals {
    /// Takes the signals over. Call it inside a shard of [`crate::run`] or [`crate::block_on_single`].
    ///
    /// # Errors
    /// When the system refuses to install a handler.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            streams: [
                (Signal::Terminate, signal(SignalKind::terminate())?),
                (Signal::Interrupt, signal(SignalKind::interrupt())?),
                (Signal::Hangup, signal(SignalKind::hangup())?),
            ],
        })
    }

    /// The next signal. Signals of one kind that arrive together count as one.
    pub async fn next(&mut self) -> Signal {
        std::future::poll_fn(|context| {
            for (kind, stream) in &mut self.streams {
                if let Poll::Ready(Some(())) = stream.poll_recv(context) {
                    return Poll::Ready(*kind);
                }
            }
            Poll::Pending
        })
        .await
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
            Self::Hangup => "SIGHUP",
        })
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signals").finish_non_exhaustive()
    }
}
