//! Which topics the members of a group consume, as far as their embedded protocol tells.
//!
//! Only groups of type `consumer` say so in a form the coordinator may read; the rest of the metadata is opaque.
//! Used to keep offsets of consumed topics from expiring (KIP-211) and from being deleted (KIP-496).

use std::collections::BTreeSet;

use barnabas_wire::codec::FieldCodec;
use barnabas_wire::{DecodeError, Decoder, Version};
use bytes::Bytes;

use crate::id::TopicName;

/// The protocol type of Kafka's consumers.
pub(crate) const CONSUMER_PROTOCOL_TYPE: &str = "consumer";

/// Every version of `ConsumerProtocolSubscription` begins with its version and the list of topics, in the old form.
const TOPICS_VERSION: Version = Version::new(0, None);

/// Adds the topics that one member's subscription names.
pub(crate) fn collect_topics(metadata: &Bytes, topics: &mut BTreeSet<TopicName>) -> Result<(), DecodeError> {
    let mut decoder = Decoder::new(metadata.clone());
    let version = decoder.i16()?;
    if version < 0 {
        return Err(DecodeError::UnsupportedVersion { message: "ConsumerProtocolSubscription", version });
    }
    let names = Vec::<String>::decode_field(&mut decoder, TOPICS_VERSION)?;
    topics.extend(names.into_iter().map(TopicName::from));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_topics_of_any_version() {
        let metadata = Bytes::from_static(b"\x00\x09\x00\x00\x00\x02\x00\x01b\x00\x01a unknown rest");
        let mut topics = BTreeSet::new();
        assert_eq!(collect_topics(&metadata, &mut topics), Ok(()));
        assert_eq!(topics.iter().map(TopicName::as_str).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn hostile_metadata_is_an_error() {
        for bytes in [&b""[..], b"\x00", b"\x00\x00\x7f\xff\xff\xff", b"\xff\xff\x00\x00\x00\x00"] {
            assert!(collect_topics(&Bytes::copy_from_slice(bytes), &mut BTreeSet::new()).is_err(), "{bytes:?}");
        }
    }
}
