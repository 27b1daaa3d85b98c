//! Cuts the bytes of a connection into request frames, and holds them to the memory there is and to a pace while others
//! wait for it. Knows nothing of what requests mean. The reader of a connection drives it.

use std::io;

use barnabas_runtime::{Env, ReadHalf};
use bytes::{Buf, Bytes, BytesMut};

use crate::admission::{Admission, Admitted};

mod pace;

pub(crate) use pace::GivenUp;
use pace::Pace;

/// Bytes asked for while the size of the next frame is not known yet. Frames up to this size are small: they are whole
/// before memory is asked for, and a connection costs that much anyway.
const READ_AHEAD_BYTES: usize = 16 * 1024;
/// Most bytes that a large frame is charged for, and asked for in one read, before they have come.
const READ_CHUNK_BYTES: usize = 1024 * 1024;
/// Bytes of the size in front of every frame.
const FRAME_PREFIX_BYTES: usize = 4;

/// One request.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) bytes: Bytes,
    /// What is charged for it.
    pub(crate) admitted: Admitted,
}

/// Why there is no frame.
#[derive(Debug)]
pub(crate) enum Unread {
    /// The stream broke, or carries what is no frame.
    Stream(io::Error),
    /// It came too slowly.
    GivenUp(GivenUp),
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        Self::Stream(error)
    }
}

/// Cuts a stream of bytes into frames.
pub(crate) struct FrameReader {
    env: Env,
    read: Box<dyn ReadHalf>,
    buffer: BytesMut,
    size_max: u32,
}

impl FrameReader {
    /// A reader of frames of `size_max` bytes at most.
    pub(crate) fn new(env: Env, read: Box<dyn ReadHalf>, size_max: u32) -> Self {
        Self { env, read, buffer: BytesMut::new(), size_max }
    }

    /// The next frame, `None` at a clean end. Calls `arrived` whenever bytes have come.
    pub(crate) async fn next(&mut self, admission: &Admission, arrived: impl Fn()) -> Result<Option<Frame>, Unread> {
        let Some(size) = self.size(&arrived).await? else { return Ok(None) };
        let admitted = if size <= READ_AHEAD_BYTES {
            self.small(size, admission, &arrived).await?
        } else {
            self.large(size, admission, &arrived).await?
        };
        arrived();
        Ok(Some(Frame { bytes: self.buffer.split_to(size).freeze(), admitted }))
    }

    /// The size of the next frame, `None` at a clean end.
    async fn size(&mut self, arrived: &impl Fn()) -> io::Result<Option<usize>> {
        while self.buffer.len() < FRAME_PREFIX_BYTES {
            if self.read.read(&mut self.buffer, READ_AHEAD_BYTES).await? == 0 {
                let clean = self.buffer.is_empty();
                barnabas_base::sometimes!(self.env, FRAME_ENDED_EARLY, !clean);
                return if clean { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
            arrived();
        }
        let (size, size_max) = (self.buffer.get_i32(), self.size_max);
        barnabas_base::sometimes!(
            self.env,
            FRAME_OF_WRONG_SIZE,
            u32::try_from(size).map_or(true, |size| size > size_max)
        );
        match u32::try_from(size) {
            Ok(size) if size <= size_max => Ok(Some(size as usize)),
            Ok(size) => {
                Err(invalid(format!("a request of {size} bytes is larger than socket.request.max.bytes ({size_max})")))
            }
            Err(_) => Err(invalid(format!("a request cannot have {size} bytes"))),
        }
    }

    /// Reads a small frame, and then asks for its memory: nobody holds any of it for what does not come. What is read
    /// past the frame stays in the buffer for the next one.
    async fn small(&mut self, size: usize, admission: &Admission, arrived: &impl Fn()) -> Result<Admitted, Unread> {
        let mut pace = Pace::begin(size, self.buffer.len(), self.env.now());
        while self.buffer.len() < size {
            self.read_some(READ_AHEAD_BYTES, &mut pace, None).await?;
            arrived();
        }
        let mut admitted = admission.begin_small();
        self.hold(&mut admitted, size).await;
        Ok(admitted)
    }

    /// Reads a large frame, exactly and into a buffer of its own, as far as memory is held for it.
    async fn large(&mut self, size: usize, admission: &Admission, arrived: &impl Fn()) -> Result<Admitted, Unread> {
        let mut admitted = admission.begin_large();
        let mut pace = Pace::begin(size, self.buffer.len(), self.env.now());
        loop {
            let here = self.buffer.len().min(size);
            if held(&admitted) <= here && self.hold(&mut admitted, next_hold(here, size, admission.has_plenty())).await
            {
                pace.restart(here, self.env.now());
            }
            if here == size {
                return Ok(admitted);
            }
            let ask = held(&admitted) - here;
            self.buffer.reserve(ask);
            self.read_some(ask, &mut pace, Some(&admitted)).await?;
            arrived();
        }
    }

    /// Waits until `bytes` are held; says whether that took waiting.
    async fn hold(&self, admitted: &mut Admitted, bytes: usize) -> bool {
        let granted = admitted.hold(bytes as u64, self.env.now()).await;
        barnabas_base::sometimes!(self.env, REQUEST_AWAITS_MEMORY, granted.has_waited);
        barnabas_base::sometimes!(self.env, REQUEST_MEMORY_OVERDRAWN, granted.overdraws);
        granted.has_waited
    }

    /// Reads at least one and at most `ask` bytes, unless the frame falls behind its pace.
    async fn read_some(&mut self, ask: usize, pace: &mut Pace, admitted: Option<&Admitted>) -> Result<(), Unread> {
        let mut reading = self.read.read(&mut self.buffer, ask);
        let others_wait_since = || admitted.and_then(Admitted::others_wait_since);
        let mut came = None;
        while came.is_none() {
            came = self.env.timeout_at(pace.deadline(), reading.as_mut()).await.transpose()?;
            if came == Some(0) {
                barnabas_base::reachable!(self.env, FRAME_ENDED_EARLY);
                return Err(Unread::Stream(io::ErrorKind::UnexpectedEof.into()));
            }
            let judged = pace.judge(came.unwrap_or(0), self.env.now(), others_wait_since());
            if let Err(why) = judged {
                barnabas_base::sometimes!(self.env, FRAME_STALLED, matches!(why, GivenUp::Stalled { .. }));
                barnabas_base::sometimes!(self.env, FRAME_GAVE_WAY, matches!(why, GivenUp::GaveWay { .. }));
                return Err(Unread::GivenUp(why));
            }
        }
        Ok(())
    }
}

fn held(admitted: &Admitted) -> usize {
    usize::try_from(admitted.bytes()).expect("frames fit into memory")
}

/// What a large frame of `size` bytes is charged for when `here` of them have come. Usually a whole chunk, so that most
/// frames are read at once into a buffer that does not grow; as many bytes again where memory is scarce, so that neither a
/// claim nor a few bytes cost much.
fn next_hold(here: usize, size: usize, has_plenty: bool) -> usize {
    let ahead = if has_plenty { READ_CHUNK_BYTES } else { here.clamp(READ_AHEAD_BYTES, READ_CHUNK_BYTES) };
    size.min(here + ahead)
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_costs_little_and_a_flow_is_read_in_few_steps() {
        let size = 50 * READ_CHUNK_BYTES;
        assert_eq!(next_hold(0, size, false), READ_AHEAD_BYTES);
        assert_eq!(next_hold(1, size, false), READ_AHEAD_BYTES + 1);
        assert_eq!(next_hold(1, READ_CHUNK_BYTES, true), READ_CHUNK_BYTES);
        let mut here = 0;
        let mut steps = 0;
        while here < size {
            let next = next_hold(here, size, false);
            assert!(next > here && next - here <= READ_CHUNK_BYTES && next <= size);
            (here, steps) = (next, steps + 1);
        }
        assert!(steps < 60, "{steps}");
    }
}
