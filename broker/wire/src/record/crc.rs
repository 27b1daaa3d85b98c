//! CRC-32C (Castagnoli), the checksum of record batches and producer snapshots. A thin wrapper, so that another
//! implementation is a change of one file; it keeps no state and nobody drives it.

/// CRC-32C of `bytes`.
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    ::crc32c::crc32c(bytes)
}

/// CRC-32C of the bytes that gave `crc`, followed by `bytes`.
#[must_use]
pub fn crc32c_append(crc: u32, bytes: &[u8]) -> u32 {
    ::crc32c::crc32c_append(crc, bytes)
}

/// CRC-32C of the bytes that gave `crc`, followed by `len` bytes whose own CRC-32C is `next`.
#[must_use]
pub fn crc32c_combine(crc: u32, next: u32, len: usize) -> u32 {
    ::crc32c::crc32c_combine(crc, next, len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_castagnoli() {
        // Check value of the CRC catalogue for CRC-32/ISCSI.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c_append(crc32c(b"1234"), b"56789"), 0xe306_9283);
        assert_eq!(crc32c_combine(crc32c(b"1234"), crc32c(b"56789"), 5), 0xe306_9283);
    }
}
