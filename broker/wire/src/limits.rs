//! The bounds of one decode. Nothing here is a policy of the broker; frame sizes are bounded by its listeners.
//!
//! Every count and length that a peer claims is compared with one of these before memory is asked for.

/// The most elements of one array. Kafka has no such bound; its largest real arrays are a few thousand long.
pub const ELEMENTS_MAX: usize = 1_000_000;

/// The most tagged fields of one section (KIP-482); Kafka itself defines fewer than ten anywhere.
pub const TAGGED_FIELDS_MAX: u32 = 10_000;

/// The longest string in bytes, in compact form too: Kafka refuses longer ones in both directions.
pub const STRING_BYTES_MAX: usize = 32_767;

/// The longest unsigned varint in bytes; the fifth byte carries the last four bits of 32.
pub const VARINT_BYTES_MAX: usize = 5;

/// Memory that the decoded form may take for each byte of the frame. Arrays of short strings in compact form
/// are the widest honest case: 2 bytes become the 24 of a `String`.
pub const ALLOCATION_PER_BYTE: usize = 16;

/// The least memory that a decode may use, so that short frames are not refused for their fixed parts.
pub const ALLOCATION_FLOOR: usize = 64 * 1024;

/// The most memory that a decode may use beside the frame itself. Record bytes are slices of the frame and
/// cost nothing.
pub const ALLOCATION_CEILING: usize = 64 * 1024 * 1024;

/// Byte strings above this length are handed on by reference when encoded; shorter ones are copied.
pub const INLINE_BYTES_MAX: usize = 512;

/// How much a decode of `frame_bytes` bytes may allocate for elements and strings.
pub const fn allocation_budget(frame_bytes: usize) -> usize {
    let proportional = frame_bytes.saturating_mul(ALLOCATION_PER_BYTE);
    if proportional < ALLOCATION_FLOOR {
        ALLOCATION_FLOOR
    } else if proportional > ALLOCATION_CEILING {
        ALLOCATION_CEILING
    } else {
        proportional
    }
}
