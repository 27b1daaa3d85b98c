//! LZ4 frame bodies with independent blocks, the only kind Kafka's own reader takes.

use std::io::{BufRead, Read, Write};

use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};

use super::Fault;

const MAGIC: [u8; 4] = 0x184d_2204_u32.to_le_bytes();
/// The flag byte: bits 6-7 version 1, bit 5 independent blocks, bits 0-1 reserved (bit 0 would be a dictionary id).
const FLAG_MASK: u8 = 0b1110_0011;
const FLAG_WANTED: u8 = 0b0110_0000;

pub(super) fn decompress(block: &[u8], limit: usize) -> Result<Vec<u8>, Fault> {
    let flags = block.get(MAGIC.len()).ok_or(Fault::Corrupt)?;
    if !block.starts_with(&MAGIC) || flags & FLAG_MASK != FLAG_WANTED {
        return Err(Fault::Corrupt);
    }
    let mut decoder = FrameDecoder::new(block);
    let mut out = Vec::new();
    loop {
        let chunk = decoder.fill_buf().map_err(|_| Fault::Corrupt)?;
        if chunk.is_empty() {
            break;
        }
        let len = chunk.len();
        if len > limit - out.len() {
            return Err(Fault::TooLarge);
        }
        out.extend_from_slice(chunk);
        decoder.consume(len);
    }
    check_end(decoder)?;
    Ok(out)
}

/// The decoder takes a frame that is cut between two blocks for a finished one. Given the first bytes of a new frame,
/// it begins that frame when the last one was closed, and otherwise sees a block of 389 MiB and fails.
fn check_end(mut decoder: FrameDecoder<&[u8]>) -> Result<(), Fault> {
    if !decoder.get_ref().is_empty() {
        return Err(Fault::Corrupt);
    }
    *decoder.get_mut() = &MAGIC;
    match decoder.read(&mut [0]) {
        Ok(0) => Ok(()),
        Ok(_) | Err(_) => Err(Fault::Corrupt),
    }
}

pub(super) fn compress(plain: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    let info = FrameInfo::new().block_size(BlockSize::Max64KB).block_mode(BlockMode::Independent);
    let mut encoder = FrameEncoder::with_frame_info(info, out);
    encoder.write_all(plain).map_err(|_| Fault::Corrupt)?;
    encoder.finish().map_err(|_| Fault::Corrupt)?;
    Ok(())
}
