//! Big-endian fields, strings and varints, written and read by hand. Driven by the requests of `connection` and the
//! batches of `batch`.

use anyhow::{Context, Result, ensure};

/// Writes fields at the end of a buffer.
#[derive(Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn u8(&mut self, value: u8) -> &mut Self {
        self.raw(&[value])
    }

    pub(crate) fn i16(&mut self, value: i16) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn i32(&mut self, value: i32) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    pub(crate) fn i64(&mut self, value: i64) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    /// The number of elements that follow.
    pub(crate) fn count(&mut self, count: usize) -> &mut Self {
        self.i32(i32::try_from(count).expect("the checks send short arrays"))
    }

    pub(crate) fn string(&mut self, value: &str) -> &mut Self {
        self.i16(i16::try_from(value.len()).expect("the checks send short strings"));
        self.raw(value.as_bytes())
    }

    pub(crate) fn null_string(&mut self) -> &mut Self {
        self.i16(-1)
    }

    /// Bytes with their length before them.
    pub(crate) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.count(value.len()).raw(value)
    }

    /// A zigzag varint, up to 64 bits.
    pub(crate) fn varint(&mut self, value: i64) -> &mut Self {
        let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
        while rest >= 0x80 {
            self.u8((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        self.u8(rest as u8)
    }

    pub(crate) fn raw(&mut self, value: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(value);
        self
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// Reads fields from the front of a slice.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn left(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (taken, rest) =
            self.rest.split_at_checked(len).with_context(|| format!("{len} bytes wanted, {} left", self.rest.len()))?;
        self.rest = rest;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.take(N)?.try_into().expect("take gives what was asked for"))
    }

    pub(crate) fn u8(&mut self) -> Result<u8> {
        Ok(self.fixed::<1>()?[0])
    }

    pub(crate) fn i16(&mut self) -> Result<i16> {
        Ok(i16::from_be_bytes(self.fixed()?))
    }

    pub(crate) fn i32(&mut self) -> Result<i32> {
        Ok(i32::from_be_bytes(self.fixed()?))
    }

    pub(crate) fn i64(&mut self) -> Result<i64> {
        Ok(i64::from_be_bytes(self.fixed()?))
    }

    /// The number of elements that follow; null counts as none.
    pub(crate) fn count(&mut self) -> Result<usize> {
        let count = usize::try_from(self.i32()?.max(0)).expect("not negative");
        ensure!(count <= self.rest.len(), "{count} elements in {} bytes", self.rest.len());
        Ok(count)
    }

    pub(crate) fn string(&mut self) -> Result<String> {
        let len = usize::try_from(self.i16()?.max(0)).expect("not negative");
        Ok(String::from_utf8(self.take(len)?.to_vec())?)
    }

    /// Bytes with their length before them; null reads as empty.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8]> {
        let len = self.count()?;
        self.take(len)
    }

    pub(crate) fn varint(&mut self) -> Result<i64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
            }
        }
        anyhow::bail!("a varint of more than ten bytes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_come_back() {
        for value in [0, 1, -1, 63, 64, -64, -65, 300, i64::from(i32::MAX), i64::MAX, i64::MIN] {
            let mut writer = Writer::default();
            writer.varint(value);
            let bytes = writer.finish();
            let mut reader = Reader::new(&bytes);
            assert_eq!(reader.varint().expect("it was written whole"), value);
            assert!(reader.is_empty());
        }
    }

    #[test]
    fn a_count_beyond_the_bytes_is_refused() {
        let mut writer = Writer::default();
        writer.i32(i32::MAX).u8(0);
        assert!(Reader::new(&writer.finish()).count().is_err());
    }
}
