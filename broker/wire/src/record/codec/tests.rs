//! Tests of the codecs alone: bombs, lies about lengths, foreign framings. Round trips stand with the batches.

use super::*;

const LIMIT: usize = 1 << 20;

fn packed(codec: Compression, plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Compressor::new().compress(codec, None, plain, &mut out).expect("compresses");
    out
}

fn unpacked(codec: Compression, block: &[u8], limit: usize) -> Result<Bytes, RecordError> {
    Decompressor::new().decompress(codec, Bytes::copy_from_slice(block), limit)
}

const CODECS: [Compression; 4] = [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

#[test]
fn output_stops_at_the_limit() {
    let plain = vec![7; LIMIT];
    for codec in CODECS {
        let block = packed(codec, &plain);
        assert_eq!(unpacked(codec, &block, LIMIT), Ok(Bytes::from(plain.clone())));
        assert_eq!(
            unpacked(codec, &block, LIMIT - 1),
            Err(RecordError::TooLarge { limit_bytes: LIMIT - 1 }),
            "{codec}"
        );
        assert!(unpacked(codec, &block, 0).is_err(), "{codec} at limit 0");
    }
}

/// 64 MiB of zeros in a few KiB: the limit ends the work early, whatever the block claims.
#[test]
fn bombs_are_cut_short() {
    let plain = vec![0; 64 << 20];
    for codec in CODECS {
        let block = packed(codec, &plain);
        assert!(block.len() < plain.len() / 20, "{codec} is no bomb");
        assert_eq!(unpacked(codec, &block, LIMIT), Err(RecordError::TooLarge { limit_bytes: LIMIT }), "{codec}");
    }
}

#[test]
fn every_cut_and_every_tail_is_seen() {
    let plain: Vec<u8> = (0..200_000_u32).flat_map(|n| (n.wrapping_mul(2_654_435_761) >> 22).to_le_bytes()).collect();
    for codec in CODECS {
        let block = packed(codec, &plain);
        for len in (0..block.len()).step_by(211).chain([block.len() - 1]) {
            // Snappy blocks stand alone, so that a cut between two is a shorter but valid stream; the record count
            // of the batch tells.
            match unpacked(codec, &block[..len], LIMIT) {
                Err(_) => {}
                Ok(short) => assert!(codec == Compression::Snappy && plain.starts_with(&short), "{codec} cut at {len}"),
            }
        }
        let mut longer = block.clone();
        longer.extend_from_slice(b"tail");
        assert_eq!(unpacked(codec, &longer, LIMIT), Err(RecordError::Decompression(codec)), "{codec} with a tail");
    }
}

#[test]
fn empty_blocks_are_not_empty_payloads() {
    for codec in CODECS {
        if let Ok(bytes) = unpacked(codec, &[], LIMIT) {
            panic!("{codec} made {} bytes of nothing", bytes.len());
        }
    }
}

#[test]
fn contexts_are_clean_after_a_failure() {
    let mut decompressor = Decompressor::new();
    let block = Bytes::from(packed(Compression::Zstd, &[5; 100_000]));
    for _ in 0..3 {
        let cut = block.slice(..block.len() - 3);
        assert!(decompressor.decompress(Compression::Zstd, cut, LIMIT).is_err());
        let whole = decompressor.decompress(Compression::Zstd, block.clone(), LIMIT);
        assert_eq!(whole.map(|plain| plain.len()), Ok(100_000));
    }
}

#[test]
fn several_frames_in_a_row_are_one_stream() {
    for codec in [Compression::Gzip, Compression::Snappy, Compression::Zstd] {
        let mut block = packed(codec, b"one ");
        block.extend_from_slice(&packed(codec, b"two"));
        assert_eq!(unpacked(codec, &block, LIMIT), Ok(Bytes::from_static(b"one two")), "{codec}");
    }
}

/// Yields `left` bytes one by one, and counts in `cleared` the bytes of its buffer that were cleared since it last had
/// them: it leaves none at zero.
struct OneByOne<'a> {
    left: usize,
    cleared: &'a mut usize,
}

impl Read for OneByOne<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        *self.cleared += buf.iter().filter(|byte| **byte == 0).count();
        buf.fill(7);
        let read = usize::from(self.left > 0);
        self.left -= read;
        Ok(read)
    }
}

#[test]
fn the_output_is_cleared_once_however_it_arrives() {
    const OUTPUT_BYTES: usize = 2_000;
    let mut cleared = 0;
    let reader = OneByOne { left: OUTPUT_BYTES, cleared: &mut cleared };
    let out = read_capped(reader, OUTPUT_BYTES, LIMIT).expect("reads");
    assert_eq!(out, [7; OUTPUT_BYTES]);
    assert_eq!(cleared, OUTPUT_STEP_BYTES);
}

#[test]
fn many_small_members_are_one_stream() {
    let member = packed(Compression::Gzip, &[5]);
    for (members, limit) in [(50_000, 50_000), (50_000, 49_999)] {
        let whole = (members <= limit).then(|| Bytes::from(vec![5; members]));
        let expected = whole.ok_or(RecordError::TooLarge { limit_bytes: limit });
        assert_eq!(unpacked(Compression::Gzip, &member.repeat(members), limit), expected);
    }
    let empty = packed(Compression::Gzip, &[]).repeat(50_000);
    assert_eq!(unpacked(Compression::Gzip, &empty, LIMIT), Ok(Bytes::new()));
}

#[test]
fn raw_snappy_is_read() {
    let plain = b"librdkafka writes no frame ".repeat(50);
    let block = snap::raw::Encoder::new().compress_vec(&plain).expect("compresses");
    assert_eq!(unpacked(Compression::Snappy, &block, LIMIT), Ok(Bytes::from(plain)));
}

#[test]
fn xerial_versions_may_be_little_endian() {
    let mut block = packed(Compression::Snappy, b"from python");
    block[8..16].copy_from_slice(&[1, 0, 0, 0, 1, 0, 0, 0]);
    assert_eq!(unpacked(Compression::Snappy, &block, LIMIT), Ok(Bytes::from_static(b"from python")));
    block[8..12].copy_from_slice(&[0; 4]);
    assert!(unpacked(Compression::Snappy, &block, LIMIT).is_err());
}

#[test]
fn snappy_blocks_that_lie_about_their_length_are_refused() {
    // Declares 4 GiB - 1, then one literal.
    let liar = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x00, b'x'];
    let refused = Err(RecordError::Decompression(Compression::Snappy));
    assert_eq!(unpacked(Compression::Snappy, &liar, usize::MAX), refused);
    let mut framed = packed(Compression::Snappy, b"");
    framed.extend_from_slice(&(-1_i32).to_be_bytes());
    assert_eq!(unpacked(Compression::Snappy, &framed, LIMIT), refused);
    framed.truncate(16);
    framed.extend_from_slice(&i32::MAX.to_be_bytes());
    assert_eq!(unpacked(Compression::Snappy, &framed, LIMIT), refused);
}

/// Kafka's reader knows neither dependent blocks nor the legacy frame: storing them would leave consumers stuck.
#[test]
fn lz4_frames_the_jvm_cannot_read_are_refused() {
    use lz4_flex::frame::{BlockMode, FrameEncoder, FrameInfo};
    use std::io::Write;

    let write = |info: FrameInfo| {
        let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
        encoder.write_all(&[3; 1000]).expect("into memory");
        encoder.finish().expect("into memory")
    };
    let good = write(FrameInfo::new().content_checksum(true).block_checksums(true));
    assert_eq!(unpacked(Compression::Lz4, &good, LIMIT), Ok(Bytes::from(vec![3; 1000])));
    let refused = Err(RecordError::Decompression(Compression::Lz4));
    let linked = write(FrameInfo::new().block_mode(BlockMode::Linked));
    assert_eq!(unpacked(Compression::Lz4, &linked, LIMIT), refused);
    let mut legacy = good.clone();
    legacy[..4].copy_from_slice(&0x184c_2102_u32.to_le_bytes());
    assert_eq!(unpacked(Compression::Lz4, &legacy, LIMIT), refused);
}

/// Level 22 declares a window of up to 128 MiB; the kept context stops at 8 MiB and a one-off takes over.
#[test]
fn wide_zstd_windows_are_read_and_wider_ones_refused() {
    use ::zstd::stream::raw::CParameter;

    let frame = |window_log| {
        let mut encoder = ::zstd::Encoder::new(Vec::new(), 1).expect("encoder");
        encoder.set_parameter(CParameter::WindowLog(window_log)).expect("valid window");
        encoder.include_contentsize(false).expect("valid flag");
        std::io::Write::write_all(&mut encoder, b"small").expect("into memory");
        encoder.finish().expect("into memory")
    };
    let mut decompressor = Decompressor::new();
    for window_log in [23, 24, 27] {
        let block = Bytes::from(frame(window_log));
        assert_eq!(
            decompressor.decompress(Compression::Zstd, block, LIMIT),
            Ok(Bytes::from_static(b"small")),
            "window 2^{window_log}"
        );
    }
    assert_eq!(
        decompressor.decompress(Compression::Zstd, Bytes::from(frame(28)), LIMIT),
        Err(RecordError::Decompression(Compression::Zstd))
    );
}

#[test]
fn levels_are_held_within_their_codec() {
    for codec in CODECS {
        for level in [-5, 0, 1, 9, 22, i32::MAX] {
            let mut block = Vec::new();
            Compressor::new().compress(codec, Some(level), &[1; 5000], &mut block).expect("any level compresses");
            assert_eq!(unpacked(codec, &block, LIMIT).map(|plain| plain.len()), Ok(5000), "{codec} at level {level}");
        }
    }
}
