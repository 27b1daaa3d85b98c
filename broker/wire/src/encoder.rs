//! Builds the bytes of a message as a list of segments: own bytes, shared bytes, and holes for file ranges.
//!
//! Copies small values only; what fills a hole is the node's business. The codecs of the derive drive it.

use bytes::Bytes;

use crate::EncodeError;
use crate::limits::{INLINE_BYTES_MAX, STRING_BYTES_MAX, VARINT_BYTES_MAX};

/// A piece of an encoded message, in the order of sending.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Segment {
    /// Bytes in memory.
    Bytes(Bytes),
    /// Bytes that the sender takes from elsewhere, such as a range of a log file.
    External {
        /// How many bytes; they are counted in every length before them.
        len: u32,
        /// What the value carried to tell the sender where they are.
        token: u32,
    },
}

impl Segment {
    /// How many bytes the segment puts on the wire.
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::External { len, .. } => *len as usize,
        }
    }

    /// Whether the segment puts nothing on the wire.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Where a tagged value began; given back to `Encoder::end_tag`.
#[derive(Debug)]
#[must_use]
pub struct TagMark {
    position: usize,
}

/// The builder. All own bytes lie in one buffer; shared segments are spliced in when it is finished.
#[derive(Debug, Default)]
pub struct Encoder {
    buffer: Vec<u8>,
    /// Segments that belong before the buffer's byte at that position; positions never fall.
    splices: Vec<(usize, Segment)>,
    spliced_bytes: usize,
    /// How many tagged values are open. Their length is only known at their end, so they are kept in the buffer.
    open_tags: u32,
}

/// Bytes of the size in front of a frame.
const FRAME_PREFIX_BYTES: usize = 4;

impl Encoder {
    /// An empty encoder.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty encoder with room for `capacity` own bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { buffer: Vec::with_capacity(capacity), ..Self::default() }
    }

    /// Bytes on the wire so far, holes included.
    pub fn len(&self) -> usize {
        self.buffer.len() + self.spliced_bytes
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The segments, without a size in front.
    pub fn into_segments(self) -> Vec<Segment> {
        assert!(self.open_tags == 0, "every begun tag was ended");
        let own = Bytes::from(self.buffer);
        let mut segments = Vec::with_capacity(2 * self.splices.len() + 1);
        let mut start = 0;
        for (position, segment) in self.splices {
            if position > start {
                segments.push(Segment::Bytes(own.slice(start..position)));
                start = position;
            }
            segments.push(segment);
        }
        if start < own.len() {
            segments.push(Segment::Bytes(own.slice(start..)));
        }
        segments
    }

    /// The segments of a frame: a 32-bit size, then what was written by `write`.
    pub fn frame(write: impl FnOnce(&mut Self) -> Result<(), EncodeError>) -> Result<Vec<Segment>, EncodeError> {
        let mut encoder = Self::new();
        encoder.put(&[0; FRAME_PREFIX_BYTES]);
        write(&mut encoder)?;
        let length = encoder.len() - FRAME_PREFIX_BYTES;
        let size = i32::try_from(length).map_err(|_| EncodeError::TooLong { length })?;
        encoder.buffer[..FRAME_PREFIX_BYTES].copy_from_slice(&size.to_be_bytes());
        Ok(encoder.into_segments())
    }

    /// Everything as one piece; refused when there is a hole for a file range.
    pub fn into_bytes(self) -> Result<Bytes, EncodeError> {
        let total = self.len();
        let mut segments = self.into_segments();
        if let [Segment::Bytes(_)] = segments[..] {
            let Some(Segment::Bytes(only)) = segments.pop() else {
                unreachable!("the slice pattern holds one byte segment");
            };
            return Ok(only);
        }
        let mut joined = Vec::with_capacity(total);
        for segment in segments {
            match segment {
                Segment::Bytes(bytes) => joined.extend_from_slice(&bytes),
                Segment::External { .. } => return Err(EncodeError::ExternalNotAllowed),
            }
        }
        Ok(Bytes::from(joined))
    }

    /// Appends raw bytes, copied.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Appends an unsigned varint (KIP-482).
    #[inline]
    pub fn put_unsigned_varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.buffer.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.buffer.push(value as u8);
    }

    /// Appends the length of a string, none for null.
    #[inline]
    pub fn put_string_length(&mut self, length: Option<usize>, flexible: bool) -> Result<(), EncodeError> {
        match length {
            Some(bytes) if bytes > STRING_BYTES_MAX => Err(EncodeError::StringTooLong { bytes }),
            length if flexible => self.put_compact_length(length),
            Some(length) => {
                self.put(&(length as i16).to_be_bytes());
                Ok(())
            }
            None => {
                self.put(&(-1i16).to_be_bytes());
                Ok(())
            }
        }
    }

    /// Appends the length of a byte string or array, none for null.
    #[inline]
    pub fn put_length(&mut self, length: Option<usize>, flexible: bool) -> Result<(), EncodeError> {
        if flexible {
            return self.put_compact_length(length);
        }
        let length = match length {
            Some(length) => i32::try_from(length).map_err(|_| EncodeError::TooLong { length })?,
            None => -1,
        };
        self.put(&length.to_be_bytes());
        Ok(())
    }

    fn put_compact_length(&mut self, length: Option<usize>) -> Result<(), EncodeError> {
        let Some(length) = length else {
            self.put_unsigned_varint(0);
            return Ok(());
        };
        let fits = i32::try_from(length).map_err(|_| EncodeError::TooLong { length })?;
        self.put_unsigned_varint(fits.unsigned_abs() + 1);
        Ok(())
    }

    /// Appends a byte string: short ones are copied, long ones become a segment of their own.
    #[inline]
    pub fn put_byte_string(&mut self, bytes: &Bytes) {
        if bytes.len() <= INLINE_BYTES_MAX || self.open_tags > 0 {
            self.put(bytes);
            return;
        }
        self.spliced_bytes += bytes.len();
        self.splices.push((self.buffer.len(), Segment::Bytes(bytes.clone())));
    }

    /// Leaves a hole of `len` bytes for the sender to fill.
    pub fn put_external(&mut self, len: u32, token: u32) -> Result<(), EncodeError> {
        if self.open_tags > 0 {
            return Err(EncodeError::ExternalNotAllowed);
        }
        self.spliced_bytes += len as usize;
        self.splices.push((self.buffer.len(), Segment::External { len, token }));
        Ok(())
    }

    /// Appends the number of tagged fields that follow.
    #[inline]
    pub fn put_tag_count(&mut self, count: u32) {
        self.put_unsigned_varint(count);
    }

    /// Begins the value of a tagged field.
    pub fn begin_tag(&mut self, tag: u32) -> TagMark {
        self.put_unsigned_varint(tag);
        self.open_tags += 1;
        let position = self.buffer.len();
        TagMark { position }
    }

    /// Ends a tagged value: its size, now known, moves in front of it.
    pub fn end_tag(&mut self, mark: TagMark) -> Result<(), EncodeError> {
        let TagMark { position } = mark;
        assert!(self.open_tags > 0, "a tag ends after it began");
        self.open_tags -= 1;
        let length = self.buffer.len() - position;
        let size = i32::try_from(length).map_err(|_| EncodeError::TooLong { length })?;
        self.put_unsigned_varint(size.unsigned_abs());
        let prefix = self.buffer.len() - position - length;
        assert!(prefix <= VARINT_BYTES_MAX, "a 32-bit size is a varint of five bytes at most");
        self.buffer[position..].rotate_right(prefix);
        Ok(())
    }
}
