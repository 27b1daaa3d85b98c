//! What every top-level message knows of itself: its name, its versions, its answer.
//!
//! Implemented by the derive only. Driven by whoever has a version in hand.

use std::ops::RangeInclusive;

use bytes::Bytes;

use crate::codec::FieldCodec;
use crate::{ApiKey, DecodeError, Decoder, EncodeError, Encoder};

/// A version of a message together with its form: flexible (KIP-482: compact lengths, tagged fields) or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Version {
    number: i16,
    flexible: bool,
}

impl Version {
    /// A version of a message that is flexible from `flexible_from` on.
    pub const fn new(number: i16, flexible_from: Option<i16>) -> Self {
        let flexible = match flexible_from {
            Some(first) => number >= first,
            None => false,
        };
        Self { number, flexible }
    }

    /// The version's number.
    pub const fn number(self) -> i16 {
        self.number
    }

    /// Whether lengths are compact and structs end in tagged fields.
    pub const fn is_flexible(self) -> bool {
        self.flexible
    }
}

/// A message with versions of its own: a request, a response, an internal record.
pub trait Message: FieldCodec + Default {
    /// Kafka's name of the message.
    const NAME: &'static str;
    /// The versions that are encoded and decoded.
    const VERSIONS: RangeInclusive<i16>;
    /// The first flexible version, none if all are of the old form.
    const FLEXIBLE_FROM: Option<i16>;

    /// Appends the message. On an error the encoder holds half a message and is to be dropped.
    fn encode(&self, version: i16, encoder: &mut Encoder) -> Result<(), EncodeError> {
        if !Self::VERSIONS.contains(&version) {
            let message = Self::NAME;
            return Err(EncodeError::UnsupportedVersion { message, version });
        }
        self.encode_field(encoder, Version::new(version, Self::FLEXIBLE_FROM))
    }

    /// Reads the message and leaves the decoder behind it; `Decoder::finish` refuses what follows.
    fn decode(version: i16, decoder: &mut Decoder) -> Result<Self, DecodeError> {
        if !Self::VERSIONS.contains(&version) {
            let message = Self::NAME;
            return Err(DecodeError::UnsupportedVersion { message, version });
        }
        Self::decode_field(decoder, Version::new(version, Self::FLEXIBLE_FROM))
    }

    /// The message as one piece, for those without record ranges.
    fn to_bytes(&self, version: i16) -> Result<Bytes, EncodeError> {
        let mut encoder = Encoder::new();
        self.encode(version, &mut encoder)?;
        encoder.into_bytes()
    }

    /// The message that `bytes` are, all of them.
    fn from_bytes(version: i16, bytes: Bytes) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(bytes);
        let message = Self::decode(version, &mut decoder)?;
        decoder.finish()?;
        Ok(message)
    }
}

/// A message that is sent to be answered.
pub trait Request: Message {
    /// The API.
    const KEY: ApiKey;
    /// What ApiVersions tells clients. Wider than `VERSIONS` for Produce only: old librdkafka turns compression
    /// off unless version 0 is listed (KAFKA-18659), and the versions below 3 are refused when used.
    const ADVERTISED: RangeInclusive<i16>;
    /// The answer's type, of the same version.
    type Response: Message;
}
