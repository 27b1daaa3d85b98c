//! A cursor over the bytes of one frame that never reads past them and never allocates beyond a budget.
//!
//! Knows primitives, lengths and tagged sections, no message. The codecs of the derive drive it.

use bytes::Bytes;

use crate::DecodeError;
use crate::limits::{ELEMENTS_MAX, STRING_BYTES_MAX, TAGGED_FIELDS_MAX, VARINT_BYTES_MAX, allocation_budget};

/// The cursor. Byte strings are slices of the frame: they cost no copy and keep the frame alive.
#[derive(Clone, Debug)]
pub struct Decoder {
    bytes: Bytes,
    position: usize,
    allocation_left: usize,
}

impl Decoder {
    /// A cursor at the start of `bytes`, with the budget that their length earns.
    pub fn new(bytes: Bytes) -> Self {
        let allocation_left = allocation_budget(bytes.len());
        Self::with_budget(bytes, allocation_left)
    }

    /// A cursor whose decoded form may take `allocation_bytes` of memory beside the frame.
    pub fn with_budget(bytes: Bytes, allocation_bytes: usize) -> Self {
        Self { bytes, position: 0, allocation_left: allocation_bytes }
    }

    /// Bytes behind the cursor.
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.position
    }

    /// How many bytes were read.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Ends the decode and refuses bytes that are left over.
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            left => Err(DecodeError::TrailingBytes { left }),
        }
    }

    /// Takes memory for the decoded form from the budget, before it is allocated.
    pub fn charge(&mut self, bytes: usize) -> Result<(), DecodeError> {
        match self.allocation_left.checked_sub(bytes) {
            Some(left) => {
                self.allocation_left = left;
                Ok(())
            }
            None => Err(DecodeError::BudgetExceeded { needed: bytes, left: self.allocation_left }),
        }
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.bytes[self.position..].first_chunk::<N>() {
            Some(chunk) => {
                self.position += N;
                Ok(*chunk)
            }
            None => Err(DecodeError::Truncated { needed: N, left: self.remaining() }),
        }
    }

    fn slice(&mut self, length: usize) -> Result<&[u8], DecodeError> {
        let left = self.remaining();
        if length > left {
            let needed = length;
            return Err(DecodeError::Truncated { needed, left });
        }
        let start = self.position;
        self.position += length;
        Ok(&self.bytes[start..self.position])
    }

    /// One signed byte.
    #[inline]
    pub fn i8(&mut self) -> Result<i8, DecodeError> {
        self.array().map(i8::from_be_bytes)
    }

    /// A 16-bit signed integer.
    #[inline]
    pub fn i16(&mut self) -> Result<i16, DecodeError> {
        self.array().map(i16::from_be_bytes)
    }

    /// A 16-bit unsigned integer.
    #[inline]
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    /// A 32-bit signed integer.
    #[inline]
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        self.array().map(i32::from_be_bytes)
    }

    /// A 32-bit unsigned integer.
    #[inline]
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    /// A 64-bit signed integer.
    #[inline]
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        self.array().map(i64::from_be_bytes)
    }

    /// A double.
    #[inline]
    pub fn f64(&mut self) -> Result<f64, DecodeError> {
        self.array().map(f64::from_be_bytes)
    }

    /// The 16 bytes of a UUID.
    #[inline]
    pub fn uuid(&mut self) -> Result<[u8; 16], DecodeError> {
        self.array()
    }

    /// An unsigned varint (KIP-482) of at most five bytes and 32 bits.
    #[inline]
    pub fn unsigned_varint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0u32;
        for index in 0..VARINT_BYTES_MAX {
            let [byte] = self.array::<1>()?;
            let bits = u32::from(byte & 0x7f);
            if index == VARINT_BYTES_MAX - 1 && byte > 0x0f {
                return Err(DecodeError::VarintTooLong);
            }
            value |= bits << (7 * index);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::VarintTooLong)
    }

    /// The length of a string: `i16`, or a varint of length plus one. Null is none.
    #[inline]
    pub fn string_length(&mut self, flexible: bool) -> Result<Option<usize>, DecodeError> {
        let length = if flexible {
            self.compact_length()?
        } else {
            let length = self.i16()?;
            Self::plain_length(i64::from(length))?
        };
        match length {
            Some(bytes) if bytes > STRING_BYTES_MAX => Err(DecodeError::StringTooLong { bytes }),
            other => Ok(other),
        }
    }

    /// The length of a byte string or array: `i32`, or a varint of length plus one. Null is none.
    #[inline]
    pub fn length(&mut self, flexible: bool) -> Result<Option<usize>, DecodeError> {
        if flexible {
            return self.compact_length();
        }
        let length = self.i32()?;
        Self::plain_length(i64::from(length))
    }

    fn compact_length(&mut self) -> Result<Option<usize>, DecodeError> {
        let length_plus_one = self.unsigned_varint()?;
        Ok(length_plus_one.checked_sub(1).map(|length| length as usize))
    }

    fn plain_length(length: i64) -> Result<Option<usize>, DecodeError> {
        match length {
            -1 => Ok(None),
            length => usize::try_from(length).map(Some).map_err(|_| DecodeError::NegativeLength { length }),
        }
    }

    /// The number of elements of an array, refused when no honest frame could hold them. Null is none.
    #[inline]
    pub fn element_count(&mut self, flexible: bool) -> Result<Option<usize>, DecodeError> {
        let count = self.length(flexible)?;
        let left = self.remaining();
        match count {
            Some(count) if count > left.min(ELEMENTS_MAX) => Err(DecodeError::TooManyElements { count, left }),
            other => Ok(other),
        }
    }

    /// A string of `length` bytes, copied out of the frame.
    pub fn string(&mut self, length: usize) -> Result<String, DecodeError> {
        let text = std::str::from_utf8(self.slice(length)?).map_err(|_| DecodeError::InvalidUtf8)?;
        let text = text.to_owned();
        self.charge(length)?;
        Ok(text)
    }

    /// A byte string of `length` bytes, shared with the frame.
    pub fn byte_string(&mut self, length: usize) -> Result<Bytes, DecodeError> {
        let start = self.position;
        self.slice(length)?;
        Ok(self.bytes.slice(start..start + length))
    }

    /// Everything behind the cursor, shared with the frame.
    pub fn rest(&mut self) -> Bytes {
        let start = self.position;
        self.position = self.bytes.len();
        self.bytes.slice(start..)
    }

    /// Skips a tagged section of which no field is known.
    #[inline]
    pub fn skip_tagged_fields(&mut self) -> Result<(), DecodeError> {
        self.tagged_fields(|_, _| Ok(false))
    }

    /// Reads a tagged section (KIP-482). `read` is called at each value and says whether it knew the tag;
    /// values of unknown tags are skipped.
    #[inline]
    pub fn tagged_fields(
        &mut self,
        mut read: impl FnMut(&mut Self, u32) -> Result<bool, DecodeError>,
    ) -> Result<(), DecodeError> {
        let count = self.unsigned_varint()?;
        if count > TAGGED_FIELDS_MAX {
            return Err(DecodeError::TooManyTaggedFields { count });
        }
        let mut previous = None;
        for _ in 0..count {
            let tag = self.unsigned_varint()?;
            if previous.is_some_and(|previous| tag <= previous) {
                return Err(DecodeError::TagOrder { tag });
            }
            previous = Some(tag);
            let stated = self.unsigned_varint()? as usize;
            let left = self.remaining();
            if stated > left {
                let needed = stated;
                return Err(DecodeError::Truncated { needed, left });
            }
            let start = self.position;
            if read(self, tag)? {
                let taken = self.position - start;
                if taken != stated {
                    return Err(DecodeError::TagSize { tag, stated, taken });
                }
            } else {
                self.position = start + stated;
            }
        }
        Ok(())
    }
}
