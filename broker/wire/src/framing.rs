//! Frames on a stream: a 32-bit size, then that many bytes.
//!
//! Decides whether a size is acceptable and cuts frames out of what has arrived; who reads the stream, and when
//! memory is admitted for a body, is the connection's business.

use std::error::Error;
use std::fmt;

use bytes::{Buf, Bytes, BytesMut};

/// Bytes of the size in front of a frame.
pub const SIZE_BYTES: usize = 4;

/// Why a stream cannot be read any further. The connection is closed; there is no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameError {
    /// The size is below zero.
    Negative {
        /// What the bytes say.
        size: i32,
    },
    /// The size is above what the listener accepts (`socket.request.max.bytes`).
    TooLarge {
        /// What the bytes say.
        size: usize,
        /// The listener's limit in bytes.
        max: usize,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Negative { size } => write!(f, "negative frame size {size}"),
            Self::TooLarge { size, max } => {
                write!(f, "a frame of {size} bytes, {max} are accepted")
            }
        }
    }
}

impl Error for FrameError {}

/// The bytes of the frame that follows `prefix`, refused before any memory is asked for.
pub fn frame_size(prefix: [u8; SIZE_BYTES], max: usize) -> Result<usize, FrameError> {
    let size = i32::from_be_bytes(prefix);
    match usize::try_from(size) {
        Err(_) => Err(FrameError::Negative { size }),
        Ok(size) if size > max => Err(FrameError::TooLarge { size, max }),
        Ok(size) => Ok(size),
    }
}

/// Cuts the first frame off `arrived`, without its size; none while it is not complete.
pub fn split_frame(arrived: &mut BytesMut, max: usize) -> Result<Option<Bytes>, FrameError> {
    let Some(prefix) = arrived.first_chunk::<SIZE_BYTES>() else {
        return Ok(None);
    };
    let size = frame_size(*prefix, max)?;
    if arrived.len() < SIZE_BYTES + size {
        return Ok(None);
    }
    arrived.advance(SIZE_BYTES);
    Ok(Some(arrived.split_to(size).freeze()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_cut_as_they_arrive() {
        let mut arrived = BytesMut::from(&[0, 0, 0, 2, b'a'][..]);
        assert_eq!(split_frame(&mut arrived, 10), Ok(None));
        arrived.extend_from_slice(&[b'b', 0, 0, 0, 0, 0]);
        assert_eq!(split_frame(&mut arrived, 10), Ok(Some(Bytes::from_static(b"ab"))));
        assert_eq!(split_frame(&mut arrived, 10), Ok(Some(Bytes::new())));
        assert_eq!(split_frame(&mut arrived, 10), Ok(None));
        assert_eq!(&arrived[..], [0]);
    }

    #[test]
    fn pitfall_6_sizes_outside_the_limit_are_refused() {
        assert_eq!(frame_size([0, 0, 0, 10], 10), Ok(10));
        assert_eq!(frame_size([0, 0, 0, 11], 10), Err(FrameError::TooLarge { size: 11, max: 10 }));
        assert_eq!(frame_size([0xff; 4], 10), Err(FrameError::Negative { size: -1 }));
        assert_eq!(frame_size([0x80, 0, 0, 0], usize::MAX), Err(FrameError::Negative { size: i32::MIN }));
    }
}
