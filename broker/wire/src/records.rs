//! The records of a Produce request or Fetch response: bytes in memory or a range that the sender will find.
//!
//! Does not look inside; record batches are parsed in `record`.

use bytes::Bytes;

use crate::codec::FieldCodec;
use crate::{DecodeError, Decoder, EncodeError, Encoder, Version};

/// A field of record batches.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Records {
    /// Null on the wire.
    #[default]
    Null,
    /// Batches in memory, shared with whoever else holds them.
    Bytes(Bytes),
    /// Batches that are not in memory: the encoder leaves a hole (`Segment::External`). Never decoded.
    External {
        /// How many bytes.
        len: u32,
        /// What tells the sender where they are.
        token: u32,
    },
}

impl Records {
    /// How many bytes of batches; none for null.
    pub fn len(&self) -> usize {
        match self {
            Self::Null => 0,
            Self::Bytes(bytes) => bytes.len(),
            Self::External { len, .. } => *len as usize,
        }
    }

    /// Whether there is no batch.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The batches in memory, none when null or elsewhere.
    pub fn bytes(&self) -> Option<&Bytes> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Null | Self::External { .. } => None,
        }
    }
}

impl From<Bytes> for Records {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl FieldCodec for Records {
    fn encode_field(&self, encoder: &mut Encoder, version: Version) -> Result<(), EncodeError> {
        let flexible = version.is_flexible();
        match self {
            Self::Null => encoder.put_length(None, flexible),
            Self::Bytes(bytes) => {
                encoder.put_length(Some(bytes.len()), flexible)?;
                encoder.put_byte_string(bytes);
                Ok(())
            }
            Self::External { len, token } => {
                encoder.put_length(Some(*len as usize), flexible)?;
                encoder.put_external(*len, *token)
            }
        }
    }

    fn decode_field(decoder: &mut Decoder, version: Version) -> Result<Self, DecodeError> {
        match decoder.length(version.is_flexible())? {
            Some(length) => decoder.byte_string(length).map(Self::Bytes),
            None => Ok(Self::Null),
        }
    }
}
