//! How each Rust type of a message field lies on the wire, in the old form and in the flexible one.
//!
//! The traits that the derive implements and calls; nothing else needs them by name.

use barnabas_base::Uuid;
use bytes::Bytes;

use crate::{DecodeError, Decoder, EncodeError, Encoder, Version};

/// A type that can be a field. Structs of the derive have it too; whether they are top-level makes no difference.
pub trait FieldCodec: Sized {
    /// Appends the value.
    fn encode_field(&self, encoder: &mut Encoder, version: Version) -> Result<(), EncodeError>;

    /// Reads a value.
    fn decode_field(decoder: &mut Decoder, version: Version) -> Result<Self, DecodeError>;

    /// Shows every error code in the value but that of success: what a field of the name `error_code` holds. Whether the
    /// version carries it is not asked.
    #[inline]
    fn error_codes(&self, _each: &mut dyn FnMut(i16)) {}
}

/// An `Option` in a version where null is allowed.
pub trait NullableCodec: Sized {
    /// Appends the value or null.
    fn encode_nullable(&self, encoder: &mut Encoder, version: Version) -> Result<(), EncodeError>;

    /// Reads a value or null.
    fn decode_nullable(decoder: &mut Decoder, version: Version) -> Result<Self, DecodeError>;
}

/// A struct of the derive; it makes `Option` of one nullable by a marker byte in front.
pub trait NullableStruct: FieldCodec {}

/// Appends a value in a version where null is not allowed.
pub fn encode_present<T: FieldCodec>(
    value: &Option<T>,
    field: &'static str,
    encoder: &mut Encoder,
    version: Version,
) -> Result<(), EncodeError> {
    match value {
        Some(value) => value.encode_field(encoder, version),
        None => Err(EncodeError::UnexpectedNull { field }),
    }
}

/// Fixed-width integers and doubles, big-endian.
macro_rules! fixed_width {
    ($($ty:ty => $read:ident),* $(,)?) => {$(
        impl FieldCodec for $ty {
            #[inline]
            fn encode_field(&self, encoder: &mut Encoder, _: Version) -> Result<(), EncodeError> {
                encoder.put(&self.to_be_bytes());
                Ok(())
            }

            #[inline]
            fn decode_field(decoder: &mut Decoder, _: Version) -> Result<Self, DecodeError> {
                decoder.$read()
            }
        }
    )*};
}

fixed_width! {
    i8 => i8, i16 => i16, u16 => u16, i32 => i32, u32 => u32, i64 => i64, f64 => f64,
}

impl FieldCodec for bool {
    #[inline]
    fn encode_field(&self, encoder: &mut Encoder, _: Version) -> Result<(), EncodeError> {
        encoder.put(&[u8::from(*self)]);
        Ok(())
    }

    /// Any byte but zero is true, as Kafka reads it.
    #[inline]
    fn decode_field(decoder: &mut Decoder, _: Version) -> Result<Self, DecodeError> {
        Ok(decoder.i8()? != 0)
    }
}

impl FieldCodec for Uuid {
    #[inline]
    fn encode_field(&self, encoder: &mut Encoder, _: Version) -> Result<(), EncodeError> {
        encoder.put(&self.0);
        Ok(())
    }

    #[inline]
    fn decode_field(decoder: &mut Decoder, _: Version) -> Result<Self, DecodeError> {
        decoder.uuid().map(Uuid)
    }
}

impl FieldCodec for String {
    fn encode_field(&self, encoder: &mut Encoder, version: Version) -> Result<(), EncodeError> {
        encoder.put_string_length(Some(self.len()), version.is_flexible())?;
        encoder.put(self.as_bytes());
        Ok(())
    }

    fn decode_field(decoder: &mut Decoder, version: Version) -> Result<Self, DecodeError> {
        present(Option::<Self>::decode_nullable(decoder, version)?)
    }
}

impl NullableCodec for Option<String> {
    fn encode_nullable(&self, encoder: &mut Encoder, version: Version) -> Result<(), EncodeError> {
        match self {
            Some(text) => text.encode_field(encoder, version),
            None => encoder.put_string_length(None, version.is_flexible()),
        }
    }

    fn decode_nullable(decoder: &mut Decoder, version: Version) -> Result<Self, DecodeError> {
        match decoder.string_length(version.is_flexible())? {
            Some(length) => decoder.string(length).map(Some),
            None => Ok(None),
        }
    }
}

impl FieldCodec for Bytes {
    fn encode_field(&self, encoder: &mut Encoder, version: Version) -> Result<(), EncodeError> {
        encoder.put_length(Some(self.len()), version.is_flexible())?;
        encoder.put_byte_string(self);
        Ok(())
    }

    fn decode_field(decoder: &mut Decoder, version: Version) -> Result<Self, DecodeError> {
        present(Option::<Self>::decode_nullable(decoder, version)?)
    }
}

impl NullableCodec for Option<Bytes> {
    fn encode_nullable(&self, encoder: &mut Encoder, version: Version) -> Result<(), EncodeError> {
        match self {
            Some(bytes) => bytes.encode_field(encoder, version),
            None => encoder.put_length(None, version.is_flexible()),
        }
    }

    fn decode_nullable(decoder: &mut Decoder, version: Version) -> Result<Self, DecodeError> {
        match decoder.length(version.is_flexible())? {
            Some(length) => decoder.byte_string(length).map(Some),
            None => Ok(None),
        }
    }
}

impl<T: FieldCodec> FieldCodec for Vec<T> {
    fn error_codes(&self, each: &mut dyn FnMut(i16)) {
        self.iter().for_each(|element| element.error_codes(each));
    }

    fn encode_field(&self, encoder: &mut Encoder, version: Version) -> Result<(), EncodeError> {
        encoder.put_length(Some(self.len()), version.is_flexible())?;
        for element in self {
            element.encode_field(encoder, version)?;
        }
        Ok(())
    }

    fn decode_field(decoder: &mut Decoder, version: Version) -> Result<Self, DecodeError> {
        present(Option::<Self>::decode_nullable(decoder, version)?)
    }
}

impl<T: FieldCodec> NullableCodec for Option<Vec<T>> {
    fn encode_nullable(&self, encoder: &mut Encoder, version: Version) -> Result<(), EncodeError> {
        match self {
            Some(elements) => elements.encode_field(encoder, version),
            None => encoder.put_length(None, version.is_flexible()),
        }
    }

    fn decode_nullable(decoder: &mut Decoder, version: Version) -> Result<Self, DecodeError> {
        let Some(count) = decoder.element_count(version.is_flexible())? else {
            return Ok(None);
        };
        decoder.charge(count.saturating_mul(size_of::<T>()))?;
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(T::decode_field(decoder, version)?);
        }
        Ok(Some(elements))
    }
}

/// The byte in front of a nullable struct: below zero means null.
const STRUCT_PRESENT: i8 = 1;
const STRUCT_NULL: i8 = -1;

impl<T: NullableStruct> NullableCodec for Option<T> {
    fn encode_nullable(&self, encoder: &mut Encoder, version: Version) -> Result<(), EncodeError> {
        match self {
            Some(value) => {
                STRUCT_PRESENT.encode_field(encoder, version)?;
                value.encode_field(encoder, version)
            }
            None => STRUCT_NULL.encode_field(encoder, version),
        }
    }

    fn decode_nullable(decoder: &mut Decoder, version: Version) -> Result<Self, DecodeError> {
        match decoder.i8()? {
            marker if marker < 0 => Ok(None),
            _ => T::decode_field(decoder, version).map(Some),
        }
    }
}

/// Appends a nullable struct that is a tagged field. There the marker is a varint, zero for null: Kafka's
/// generator writes it so, and nowhere else.
pub fn encode_tagged_struct<T: NullableStruct>(
    value: &Option<T>,
    encoder: &mut Encoder,
    version: Version,
) -> Result<(), EncodeError> {
    encoder.put_unsigned_varint(u32::from(value.is_some()));
    match value {
        Some(value) => value.encode_field(encoder, version),
        None => Ok(()),
    }
}

/// Reads a nullable struct that is a tagged field.
pub fn decode_tagged_struct<T: NullableStruct>(
    decoder: &mut Decoder,
    version: Version,
) -> Result<Option<T>, DecodeError> {
    match decoder.unsigned_varint()? {
        0 => Ok(None),
        _ => T::decode_field(decoder, version).map(Some),
    }
}

fn present<T>(value: Option<T>) -> Result<T, DecodeError> {
    value.ok_or(DecodeError::UnexpectedNull)
}
