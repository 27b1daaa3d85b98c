//! Kafka's 16-byte ids and their 22-character base64url form (`org.apache.kafka.common.Uuid`). Pure value; the bytes of
//! a fresh id come from the seam's entropy.

use std::fmt;
use std::str::FromStr;

/// A 16-byte id. All zeroes means "none".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const TEXT_CHARS: usize = 22;

impl Uuid {
    /// "None": what messages carry where an id is absent.
    pub const ZERO: Self = Self([0; 16]);
    /// The id that Kafka reserves for the topic of the metadata log.
    pub const METADATA_TOPIC: Self = Self([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

    /// Whether this is [`Uuid::ZERO`].
    #[must_use]
    pub fn is_zero(self) -> bool {
        self == Self::ZERO
    }

    /// The 16 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// A random (version 4) id from 128 random bits, or `None` for the few values Kafka never hands out: the reserved
    /// ones and those whose text would start with `-`, which command lines take for a flag. The caller draws again.
    #[must_use]
    pub fn from_random(high: u64, low: u64) -> Option<Self> {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&high.to_be_bytes());
        bytes[8..].copy_from_slice(&low.to_be_bytes());
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        let starts_with_dash = bytes[0] >> 2 == 62;
        (!starts_with_dash).then_some(Self(bytes))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; TEXT_CHARS];
        for (index, char) in text.iter_mut().enumerate() {
            *char = ALPHABET[usize::from(sextet(&self.0, index))];
        }
        f.pad(std::str::from_utf8(&text).expect("the alphabet is ASCII"))
    }
}

/// Six bits of `bytes`, counted from the front; bits past the end are zero.
fn sextet(bytes: &[u8; 16], index: usize) -> u8 {
    let bit = index * 6;
    let high = u16::from(bytes[bit / 8]) << 8;
    let low = bytes.get(bit / 8 + 1).map_or(0, |byte| u16::from(*byte));
    let shift = 10 - bit % 8;
    u8::try_from(((high | low) >> shift) & 0x3f).expect("six bits fit a byte")
}

/// The text is not the base64url form of 16 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseUuidError;

impl fmt::Display for ParseUuidError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id is 22 characters of base64url without padding")
    }
}

impl std::error::Error for ParseUuidError {}

impl FromStr for Uuid {
    type Err = ParseUuidError;

    fn from_str(text: &str) -> Result<Self, ParseUuidError> {
        if text.len() != TEXT_CHARS {
            return Err(ParseUuidError);
        }
        let mut bits: u128 = 0;
        for (index, char) in text.bytes().enumerate() {
            let position = ALPHABET.iter().position(|known| *known == char).ok_or(ParseUuidError)?;
            let value = u128::try_from(position).map_err(|_| ParseUuidError)?;
            if index + 1 < TEXT_CHARS {
                bits = (bits << 6) | value;
            } else if value & 0x0f == 0 {
                bits = (bits << 2) | (value >> 4);
            } else {
                return Err(ParseUuidError);
            }
        }
        Ok(Self(bits.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_matches_kafka() {
        // The fixed cluster id of Apache Kafka's container image and the reserved id of its metadata topic.
        assert_eq!(Uuid::METADATA_TOPIC.to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        let known = "5L6g3nShT-eMCtK--X86sw";
        assert_eq!(known.parse::<Uuid>().map(|id| id.to_string()).as_deref(), Ok(known));
    }

    #[test]
    fn refuses_what_is_not_an_id() {
        for text in ["", "AAAA", "AAAAAAAAAAAAAAAAAAAAA=", "AAAAAAAAAAAAAAAAAAAAAB", "AAAAAAAAAAAAAAAAAAAAAQA"] {
            assert_eq!(text.parse::<Uuid>(), Err(ParseUuidError), "{text}");
        }
    }

    #[test]
    fn random_ids_never_look_like_a_flag() {
        assert_eq!(Uuid::from_random(62 << 58, 0), None);
        let id = Uuid::from_random(0x0123_4567_89ab_cdef, 42).expect("does not start with a dash");
        assert!(!id.to_string().starts_with('-'));
        assert_eq!(id.to_string().parse::<Uuid>(), Ok(id));
    }
}
