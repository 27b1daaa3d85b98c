//! A log scanner of its own: reads segment and index files as Kafka documents them, with nothing of the broker's code.
//! Checkers of disks drive it.

/// CRC-32C (Castagnoli), bit by bit reversed polynomial.
const CRC_POLYNOMIAL: u32 = 0x82f6_3b78;
/// Bytes of a batch in front of what its length counts.
const LOG_OVERHEAD: usize = 12;
/// Bytes of a batch header.
const HEADER_BYTES: usize = 61;
/// Where the checksum begins to cover.
const CRC_FROM: usize = 21;

/// A batch as its header tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    /// Where it begins in the file.
    pub(crate) position: usize,
    /// Bytes of all of it.
    pub(crate) len: usize,
    pub(crate) base_offset: i64,
    pub(crate) last_offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) attributes: i16,
    pub(crate) max_timestamp: i64,
    pub(crate) count: i32,
}

fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    bytes_at(bytes, at).map(i32::from_be_bytes)
}

fn i64_at(bytes: &[u8], at: usize) -> Option<i64> {
    bytes_at(bytes, at).map(i64::from_be_bytes)
}

/// CRC-32C of `bytes`.
fn crc(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for byte in bytes {
        crc = TABLE[usize::from(crc.to_le_bytes()[0] ^ byte)] ^ (crc >> 8);
    }
    !crc
}

const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "below 256")]
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ CRC_POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
}

/// The batch at `position`, or why there is none.
pub(crate) fn batch_at(file: &[u8], position: usize) -> Result<Batch, String> {
    let bytes = file.get(position..).unwrap_or_default();
    let short = || format!("a batch at {position} is cut off");
    let length = i32_at(bytes, 8).ok_or_else(short)?;
    let length = usize::try_from(length).map_err(|_| format!("a batch at {position} has length {length}"))?;
    let len = LOG_OVERHEAD + length;
    if len < HEADER_BYTES || bytes.len() < len {
        return Err(short());
    }
    let bytes = &bytes[..len];
    if bytes[16] != 2 {
        return Err(format!("a batch at {position} has magic {}", bytes[16]));
    }
    let stored = u32::from_be_bytes(bytes_at(bytes, 17).ok_or_else(short)?);
    if crc(&bytes[CRC_FROM..]) != stored {
        return Err(format!("a batch at {position} has a wrong checksum"));
    }
    let base_offset = i64_at(bytes, 0).ok_or_else(short)?;
    Ok(Batch {
        position,
        len,
        base_offset,
        last_offset: base_offset + i64::from(i32_at(bytes, 23).ok_or_else(short)?),
        leader_epoch: i32_at(bytes, 12).ok_or_else(short)?,
        attributes: i16::from_be_bytes(bytes_at(bytes, 21).ok_or_else(short)?),
        max_timestamp: i64_at(bytes, 35).ok_or_else(short)?,
        count: i32_at(bytes, 57).ok_or_else(short)?,
    })
}

/// All batches of a segment, and why the last bytes are none, if they are not.
pub(crate) fn batches(file: &[u8]) -> (Vec<Batch>, Option<String>) {
    let mut batches = Vec::new();
    let mut position = 0;
    while position < file.len() {
        match batch_at(file, position) {
            Ok(batch) => {
                position += batch.len;
                batches.push(batch);
            }
            Err(why) => return (batches, Some(why)),
        }
    }
    (batches, None)
}

/// Values of the records of an uncompressed batch, by offset: `None` for a null value.
pub(crate) fn values<'a>(file: &'a [u8], batch: &Batch) -> Option<Vec<(i64, Option<&'a [u8]>)>> {
    if batch.attributes & 0x27 != 0 {
        return None;
    }
    let mut rest = file.get(batch.position + HEADER_BYTES..batch.position + batch.len)?;
    let mut values = Vec::new();
    for _ in 0..batch.count {
        let len = usize::try_from(varint(&mut rest)?).ok()?;
        let mut record = rest.get(..len)?;
        rest = rest.get(len..)?;
        record = record.get(1..)?;
        varint(&mut record)?;
        let offset = batch.base_offset + varint(&mut record)?;
        let key_len = varint(&mut record)?;
        record = record.get(usize::try_from(key_len.max(0)).ok()?..)?;
        let value_len = varint(&mut record)?;
        let value = if value_len < 0 { None } else { Some(record.get(..usize::try_from(value_len).ok()?)?) };
        values.push((offset, value));
    }
    Some(values)
}

/// A zigzag varint, taken off the front.
fn varint(bytes: &mut &[u8]) -> Option<i64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
        }
    }
    None
}

/// The entries of an offset index: relative offset and position.
pub(crate) fn offset_index(file: &[u8]) -> Vec<(i64, usize)> {
    let entry = |bytes: &[u8]| {
        let position = i32_at(bytes, 4).unwrap_or(-1);
        (i64::from(i32_at(bytes, 0).unwrap_or(-1)), usize::try_from(position).unwrap_or(usize::MAX))
    };
    file.chunks_exact(8).map(entry).collect()
}

/// The entries of a time index: timestamp and relative offset.
pub(crate) fn time_index(file: &[u8]) -> Vec<(i64, i64)> {
    let entry = |bytes: &[u8]| (i64_at(bytes, 0).unwrap_or(-1), i64::from(i32_at(bytes, 8).unwrap_or(-1)));
    file.chunks_exact(12).map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_crc_32c() {
        // RFC 3720, appendix B.4.
        assert_eq!(crc(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn varints_are_zigzag() {
        for (bytes, value) in [(&[0][..], 0), (&[1], -1), (&[2], 1), (&[0xac, 0x02], 150)] {
            let mut rest = bytes;
            assert_eq!(varint(&mut rest), Some(value));
            assert!(rest.is_empty());
        }
    }
}
