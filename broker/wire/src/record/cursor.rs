//! A bounds-checked position in the bytes of records: varints and length-prefixed fields, both directions. Not the
//! decoder of requests; the record reader and builder drive it.

use super::RecordError;

/// Longest varint of a 32-bit value.
const VARINT_BYTES_MAX: usize = 5;
/// Longest varint of a 64-bit value.
const VARLONG_BYTES_MAX: usize = 10;

/// Reads forward through `bytes`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) const fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Takes the next `len` bytes.
    #[inline]
    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], RecordError> {
        if len > self.remaining() {
            return Err(RecordError::RecordLength);
        }
        let start = self.at;
        self.at += len;
        Ok(&self.bytes[start..self.at])
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Result<u8, RecordError> {
        match self.bytes.get(self.at) {
            Some(byte) => {
                self.at += 1;
                Ok(*byte)
            }
            None => Err(RecordError::RecordLength),
        }
    }

    /// A zigzag varint of at most five bytes.
    #[inline]
    pub(super) fn varint(&mut self) -> Result<i32, RecordError> {
        let first = self.byte()?;
        if first < 0x80 {
            return Ok(unzigzag32(u32::from(first)));
        }
        self.varint_rest(first)
    }

    fn varint_rest(&mut self, first: u8) -> Result<i32, RecordError> {
        let mut value = u32::from(first & 0x7f);
        for index in 1..VARINT_BYTES_MAX {
            let byte = self.byte()?;
            let is_last = index == VARINT_BYTES_MAX - 1;
            if is_last && byte > 0x0f {
                return Err(RecordError::Varint);
            }
            value |= u32::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                return Ok(unzigzag32(value));
            }
        }
        Err(RecordError::Varint)
    }

    /// A zigzag varint of at most ten bytes.
    #[inline]
    pub(super) fn varlong(&mut self) -> Result<i64, RecordError> {
        let first = self.byte()?;
        if first < 0x80 {
            return Ok(unzigzag64(u64::from(first)));
        }
        self.varlong_rest(first)
    }

    fn varlong_rest(&mut self, first: u8) -> Result<i64, RecordError> {
        let mut value = u64::from(first & 0x7f);
        for index in 1..VARLONG_BYTES_MAX {
            let byte = self.byte()?;
            let is_last = index == VARLONG_BYTES_MAX - 1;
            if is_last && byte > 0x01 {
                return Err(RecordError::Varint);
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                return Ok(unzigzag64(value));
            }
        }
        Err(RecordError::Varint)
    }

    /// A field with a length varint before it; −1 is null, anything below is corrupt.
    #[inline]
    pub(super) fn nullable_bytes(&mut self) -> Result<Option<&'a [u8]>, RecordError> {
        let len = self.varint()?;
        match usize::try_from(len) {
            Ok(len) => self.take(len).map(Some),
            Err(_) if len == -1 => Ok(None),
            Err(_) => Err(RecordError::RecordLength),
        }
    }
}

const fn unzigzag32(raw: u32) -> i32 {
    (raw >> 1).cast_signed() ^ -(raw & 1).cast_signed()
}

const fn unzigzag64(raw: u64) -> i64 {
    (raw >> 1).cast_signed() ^ -(raw & 1).cast_signed()
}

/// Appends a zigzag varint; 32-bit values are the same bytes as 64-bit ones.
pub(super) fn put_varlong(out: &mut Vec<u8>, value: i64) {
    let mut raw = (value << 1 ^ value >> 63).cast_unsigned();
    while raw >= 0x80 {
        out.push(raw.to_le_bytes()[0] | 0x80);
        raw >>= 7;
    }
    out.push(raw.to_le_bytes()[0]);
}

/// Bytes that [`put_varlong`] appends.
pub(super) const fn varlong_bytes(value: i64) -> usize {
    let raw = (value << 1 ^ value >> 63).cast_unsigned();
    let bits = 64 - (raw | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_round_trip_at_their_edges() {
        let edges = [0, -1, 1, 63, 64, -64, -65, 8191, 8192];
        let wide = [i64::from(i32::MAX), i64::from(i32::MIN), i64::MAX, i64::MIN];
        for value in edges.into_iter().chain(wide) {
            let mut bytes = Vec::new();
            put_varlong(&mut bytes, value);
            assert_eq!(bytes.len(), varlong_bytes(value), "length of {value}");
            assert_eq!(Cursor::new(&bytes).varlong(), Ok(value));
            if let Ok(narrow) = i32::try_from(value) {
                assert_eq!(Cursor::new(&bytes).varint(), Ok(narrow));
            } else {
                assert_eq!(Cursor::new(&bytes).varint(), Err(RecordError::Varint));
            }
        }
    }

    #[test]
    fn overlong_varints_are_refused() {
        let endless = [0xff; 11];
        assert_eq!(Cursor::new(&endless).varint(), Err(RecordError::Varint));
        assert_eq!(Cursor::new(&endless).varlong(), Err(RecordError::Varint));
        let cut = [0x80, 0x80];
        assert_eq!(Cursor::new(&cut).varint(), Err(RecordError::RecordLength));
        assert_eq!(Cursor::new(&cut).varlong(), Err(RecordError::RecordLength));
    }

    #[test]
    fn lengths_below_null_are_corrupt() {
        let mut bytes = Vec::new();
        put_varlong(&mut bytes, -2);
        assert_eq!(Cursor::new(&bytes).nullable_bytes(), Err(RecordError::RecordLength));
    }
}
