//! Gzip bodies. Several members in a row are one stream, as `java.util.zip.GZIPInputStream` has it.

use std::io::Write;

use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;

use super::{Fault, read_capped};

/// zlib's own default.
const LEVEL_DEFAULT: u32 = 6;
const LEVEL_MAX: u32 = 9;

pub(super) fn decompress(block: &[u8], limit: usize) -> Result<Vec<u8>, Fault> {
    read_capped(MultiGzDecoder::new(block), block.len(), limit)
}

pub(super) fn compress(plain: &[u8], level: Option<i32>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let level =
        level.and_then(|level| u32::try_from(level).ok()).map_or(LEVEL_DEFAULT, |level| level.clamp(1, LEVEL_MAX));
    let mut encoder = GzEncoder::new(out, flate2::Compression::new(level));
    encoder.write_all(plain).map_err(|_| Fault::Corrupt)?;
    encoder.finish().map_err(|_| Fault::Corrupt)?;
    Ok(())
}
