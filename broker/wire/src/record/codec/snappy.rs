//! Snappy bodies in the framing of xerial's snappy-java, which the JVM client writes, and as one raw block, which
//! librdkafka writes. Kafka's own reader takes both, so this one does.
//!
//! ```text
//! 0x82 "SNAPPY" 0x00   magic, 8 bytes
//! version i32          lowest compatible version i32
//! length i32, raw snappy block of that length      repeated
//! ```

use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

use super::Fault;

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const FRAME_HEADER_BYTES: usize = 16;
const VERSION: i32 = 1;
/// Plain bytes per block, as snappy-java cuts them.
const BLOCK_BYTES: usize = 32 * 1024;
/// The best a snappy element does is a 3-byte copy of 64 bytes; a block that claims more lies.
const EXPANSION_MAX: usize = 22;

pub(super) fn decompress(input: &[u8], limit: usize) -> Result<Vec<u8>, Fault> {
    let mut out = Vec::new();
    if !input.starts_with(&MAGIC) {
        append_block(input, limit, &mut out)?;
        return Ok(out);
    }
    let mut rest = input;
    while !rest.is_empty() {
        if rest.starts_with(&MAGIC) {
            rest = skip_frame_header(rest)?;
            continue;
        }
        let (len, tail) = rest.split_first_chunk::<4>().ok_or(Fault::Corrupt)?;
        let len = usize::try_from(i32::from_be_bytes(*len)).map_err(|_| Fault::Corrupt)?;
        let (block, tail) = tail.split_at_checked(len).ok_or(Fault::Corrupt)?;
        append_block(block, limit, &mut out)?;
        rest = tail;
    }
    Ok(out)
}

/// The versions are only bounded from below, as in snappy-java: some clients write them in little-endian order.
fn skip_frame_header(input: &[u8]) -> Result<&[u8], Fault> {
    let (header, rest) = input.split_first_chunk::<FRAME_HEADER_BYTES>().ok_or(Fault::Corrupt)?;
    let version = i32::from_be_bytes([header[8], header[9], header[10], header[11]]);
    if version < VERSION {
        return Err(Fault::Corrupt);
    }
    Ok(rest)
}

fn append_block(block: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
    let declared = decompress_len(block).map_err(|_| Fault::Corrupt)?;
    if declared > block.len().saturating_mul(EXPANSION_MAX) {
        return Err(Fault::Corrupt);
    }
    let start = out.len();
    if declared > limit.saturating_sub(start) {
        return Err(Fault::TooLarge);
    }
    out.resize(start + declared, 0);
    let written = Decoder::new().decompress(block, &mut out[start..]).map_err(|_| Fault::Corrupt)?;
    if written == declared { Ok(()) } else { Err(Fault::Corrupt) }
}

pub(super) fn compress(plain: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_be_bytes());
    out.extend_from_slice(&VERSION.to_be_bytes());
    let mut encoder = Encoder::new();
    for block in plain.chunks(BLOCK_BYTES) {
        let length_at = out.len();
        let start = length_at + 4;
        out.resize(start + max_compress_len(block.len()), 0);
        let written = encoder.compress(block, &mut out[start..]).map_err(|_| Fault::Corrupt)?;
        let length = i32::try_from(written).map_err(|_| Fault::Corrupt)?;
        out[length_at..start].copy_from_slice(&length.to_be_bytes());
        out.truncate(start + written);
    }
    Ok(())
}
