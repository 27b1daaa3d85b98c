//! The codecs of batch bodies: none, gzip, snappy, lz4, zstd, both ways. Not the codecs themselves, only what bounds
//! and frames them; the reader and the builder of batches drive it.
//!
//! Decompression never believes a length the data declares: output grows as it is produced and stops at the caller's
//! limit. Whatever a JVM consumer could not read is refused here too, because it would be stored for good.

mod gzip;
mod lz4;
mod snappy;
#[cfg(test)]
mod tests;
mod zstd;

use std::fmt;
use std::io::Read;

use bytes::Bytes;

use super::{BuildError, RecordError};

/// First guess of how much a block expands, to spare most reallocations.
const EXPANSION_GUESS: usize = 4;
/// Smallest step in which an output buffer grows.
const OUTPUT_STEP_BYTES: usize = 16 * 1024;

/// Codec of a batch body, as the three low attribute bits name it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Compression {
    /// Records as they are.
    #[default]
    None,
    /// Gzip (RFC 1952).
    Gzip,
    /// Snappy in xerial's framing, or as one raw block.
    Snappy,
    /// LZ4 frame with independent blocks.
    Lz4,
    /// Zstandard (KIP-110).
    Zstd,
}

impl Compression {
    /// All codecs, in the order of their ids.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The id in the attributes.
    #[must_use]
    pub const fn id(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    /// The codec of `id`.
    #[must_use]
    pub const fn from_id(id: u8) -> Option<Self> {
        match id {
            0 => Some(Self::None),
            1 => Some(Self::Gzip),
            2 => Some(Self::Snappy),
            3 => Some(Self::Lz4),
            4 => Some(Self::Zstd),
            _ => None,
        }
    }

    /// The name in Kafka's configs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// The codec that Kafka's configs call `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.name() == name)
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Decompresses batch bodies. Keeps a zstd context between calls; holds no data of earlier ones.
#[derive(Default)]
pub struct Decompressor {
    zstd: zstd::Decoder,
}

impl Decompressor {
    /// A decompressor; contexts are made when first needed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The plain bytes of `block`, at most `limit_bytes` of them. Without a codec `block` itself, whatever its size:
    /// it is there already. Beside the output at most 8 MiB of working memory are kept, and a one-time 128 MiB of
    /// address space for a zstd frame with a window above 8 MiB.
    ///
    /// # Errors
    /// [`RecordError::Decompression`] for a block that is damaged, cut, or followed by other bytes,
    /// [`RecordError::TooLarge`] when it yields more than `limit_bytes`.
    pub fn decompress(
        &mut self,
        compression: Compression,
        block: Bytes,
        limit_bytes: usize,
    ) -> Result<Bytes, RecordError> {
        let plain = match compression {
            Compression::None => return Ok(block),
            Compression::Gzip => gzip::decompress(&block, limit_bytes),
            Compression::Snappy => snappy::decompress(&block, limit_bytes),
            Compression::Lz4 => lz4::decompress(&block, limit_bytes),
            Compression::Zstd => self.zstd.decompress(&block, limit_bytes),
        };
        plain.map(Bytes::from).map_err(|fault| fault.refuse(compression, limit_bytes))
    }
}

impl fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decompressor").finish_non_exhaustive()
    }
}

/// Compresses batch bodies. Keeps a zstd context between calls.
#[derive(Default)]
pub struct Compressor {
    zstd: zstd::Encoder,
}

impl Compressor {
    /// A compressor; contexts are made when first needed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `plain`, compressed, to `out`. `level` is that of gzip (1-9) and zstd (KIP-390), none for the codec's
    /// own default; snappy has no levels and lz4 here only the fast one.
    ///
    /// # Errors
    /// [`BuildError::Compression`] when the codec gives up.
    pub fn compress(
        &mut self,
        compression: Compression,
        level: Option<i32>,
        plain: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), BuildError> {
        let done = match compression {
            Compression::None => {
                out.extend_from_slice(plain);
                Ok(())
            }
            Compression::Gzip => gzip::compress(plain, level, out),
            Compression::Snappy => snappy::compress(plain, out),
            Compression::Lz4 => lz4::compress(plain, out),
            Compression::Zstd => self.zstd.compress(plain, level, out),
        };
        done.map_err(|_| BuildError::Compression(compression))
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").finish_non_exhaustive()
    }
}

/// Why a codec stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Corrupt,
    TooLarge,
}

impl Fault {
    const fn refuse(self, compression: Compression, limit_bytes: usize) -> RecordError {
        match self {
            Self::Corrupt => RecordError::Decompression(compression),
            Self::TooLarge => RecordError::TooLarge { limit_bytes },
        }
    }
}

/// Reads `reader` to its end, but no more than `limit` bytes. Each byte of the output is cleared once and not at each
/// read: a gzip reader returns at the end of every member, and a batch may hold tens of thousands of empty ones.
fn read_capped(mut reader: impl Read, input_len: usize, limit: usize) -> Result<Vec<u8>, Fault> {
    let mut out = Vec::new();
    let mut filled = 0;
    loop {
        if filled == out.len() {
            grow(&mut out, input_len, limit);
            out.resize(out.capacity(), 0);
        }
        let read = reader.read(&mut out[filled..]).map_err(|_| Fault::Corrupt)?;
        filled += read;
        if filled > limit {
            return Err(Fault::TooLarge);
        }
        if read == 0 {
            out.truncate(filled);
            return Ok(out);
        }
    }
}

/// Makes room in a full `out` for more output, geometrically, up to one byte past `limit`: that byte tells output
/// that just fits from output that does not.
fn grow(out: &mut Vec<u8>, input_len: usize, limit: usize) {
    if out.len() < out.capacity() {
        return;
    }
    let guess = input_len.saturating_mul(EXPANSION_GUESS);
    let wanted = if out.is_empty() { guess } else { out.len() };
    let room = limit.saturating_add(1).saturating_sub(out.len());
    out.reserve_exact(wanted.max(OUTPUT_STEP_BYTES).min(room.max(1)));
}
