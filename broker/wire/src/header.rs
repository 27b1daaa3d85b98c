//! What stands in front of a request and of a response, and in which form.
//!
//! Written by hand: the client id keeps its old form in flexible headers, and the key decides how the header
//! itself is read. Driven by the connection, before anything is known of the body.

use crate::codec::{FieldCodec, NullableCodec};
use crate::{ApiKey, DecodeError, Decoder, EncodeError, Encoder, Version};

/// The form of header strings that never became compact.
const PLAIN: Version = Version::new(0, None);

/// The header versions of a request and of its response: (1, 0) in old versions and (2, 1) in flexible ones.
///
/// An ApiVersions response always has header 0: the client that asks does not know yet what the broker reads
/// (KIP-511). Versions that do not exist have a header too, so that they can be answered.
pub const fn header_versions(api: ApiKey, version: i16) -> (i16, i16) {
    let flexible = Version::new(version, api.flexible_from()).is_flexible();
    match (flexible, api) {
        (false, _) => (1, 0),
        (true, ApiKey::ApiVersions) => (2, 0),
        (true, _) => (2, 1),
    }
}

/// The header of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestHeader {
    /// The API.
    pub api_key: ApiKey,
    /// The version of the request and of its response.
    pub api_version: i16,
    /// What the response repeats.
    pub correlation_id: i32,
    /// What the client calls itself.
    pub client_id: Option<String>,
}

impl RequestHeader {
    /// Reads a header; the version is not compared with what is implemented.
    pub fn decode(decoder: &mut Decoder) -> Result<Self, DecodeError> {
        let key = decoder.i16()?;
        let api_key = ApiKey::from_code(key).ok_or(DecodeError::UnknownApiKey { key })?;
        let api_version = decoder.i16()?;
        let correlation_id = decoder.i32()?;
        let client_id = NullableCodec::decode_nullable(decoder, PLAIN)?;
        let (header_version, _) = header_versions(api_key, api_version);
        if header_version >= 2 {
            decoder.skip_tagged_fields()?;
        }
        Ok(Self { api_key, api_version, correlation_id, client_id })
    }

    /// Appends the header in the form that its key and version ask for.
    pub fn encode(&self, encoder: &mut Encoder) -> Result<(), EncodeError> {
        self.api_key.code().encode_field(encoder, PLAIN)?;
        self.api_version.encode_field(encoder, PLAIN)?;
        self.correlation_id.encode_field(encoder, PLAIN)?;
        self.client_id.encode_nullable(encoder, PLAIN)?;
        let (header_version, _) = header_versions(self.api_key, self.api_version);
        if header_version >= 2 {
            encoder.put_tag_count(0);
        }
        Ok(())
    }
}

/// The header of a response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ResponseHeader {
    /// That of the request.
    pub correlation_id: i32,
}

impl ResponseHeader {
    /// Reads the header of an answer to `api` in `version`.
    pub fn decode(api: ApiKey, version: i16, decoder: &mut Decoder) -> Result<Self, DecodeError> {
        let correlation_id = decoder.i32()?;
        let (_, header_version) = header_versions(api, version);
        if header_version >= 1 {
            decoder.skip_tagged_fields()?;
        }
        Ok(Self { correlation_id })
    }

    /// Appends the header of an answer to `api` in `version`.
    pub fn encode(&self, api: ApiKey, version: i16, encoder: &mut Encoder) -> Result<(), EncodeError> {
        self.correlation_id.encode_field(encoder, PLAIN)?;
        let (_, header_version) = header_versions(api, version);
        if header_version >= 1 {
            encoder.put_tag_count(0);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn an_answer_to_api_versions_has_the_oldest_header() {
        assert_eq!(header_versions(ApiKey::ApiVersions, 2), (1, 0));
        assert_eq!(header_versions(ApiKey::ApiVersions, 3), (2, 0));
        assert_eq!(header_versions(ApiKey::ApiVersions, 99), (2, 0));
        assert_eq!(header_versions(ApiKey::Fetch, 11), (1, 0));
        assert_eq!(header_versions(ApiKey::Fetch, 12), (2, 1));
        assert_eq!(header_versions(ApiKey::SaslHandshake, 1), (1, 0));
    }

    #[test]
    fn the_client_id_keeps_its_old_form_in_flexible_headers() {
        let header = RequestHeader {
            api_key: ApiKey::Fetch,
            api_version: 12,
            correlation_id: 7,
            client_id: Some("ab".to_owned()),
        };
        let mut encoder = Encoder::new();
        header.encode(&mut encoder).expect("a header always has bytes");
        let bytes = encoder.into_bytes().expect("a header has no file range");
        assert_eq!(&bytes[..], [0, 1, 0, 12, 0, 0, 0, 7, 0, 2, b'a', b'b', 0]);
        let mut decoder = Decoder::new(bytes);
        assert_eq!(RequestHeader::decode(&mut decoder), Ok(header));
        assert_eq!(decoder.finish(), Ok(()));
    }

    #[test]
    fn unknown_keys_are_named() {
        let mut decoder = Decoder::new(Bytes::from_static(&[0x7f, 0xff, 0, 0, 0, 0, 0, 0]));
        let refused = RequestHeader::decode(&mut decoder);
        assert_eq!(refused, Err(DecodeError::UnknownApiKey { key: 0x7fff }));
    }
}
