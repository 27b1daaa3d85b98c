//! Names of topics: which are allowed, which are Kafka's own. Pure functions of the name.

use barnabas_base::limits::TOPIC_NAME_CHARS_MAX;

/// Topic of committed offsets and groups.
pub const CONSUMER_OFFSETS_TOPIC: &str = "__consumer_offsets";

/// Topic of the metadata log, which is no topic for clients.
pub const CLUSTER_METADATA_TOPIC: &str = "__cluster_metadata";

/// Topics that clients are told are internal (Kafka's `Topic.INTERNAL_TOPICS`).
const INTERNAL_TOPICS: [&str; 3] = [CONSUMER_OFFSETS_TOPIC, "__transaction_state", "__share_group_state"];

/// Whether clients are told that the topic is internal.
#[must_use]
pub fn is_internal_topic(name: &str) -> bool {
    INTERNAL_TOPICS.contains(&name)
}

/// Whether a topic may bear the name.
#[must_use]
pub fn is_valid_topic_name(name: &str) -> bool {
    invalid_topic_name(name).is_none()
}

/// Why no topic may bear the name, in Kafka's words; `None` when one may.
#[must_use]
pub fn invalid_topic_name(name: &str) -> Option<String> {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let reason = match name {
        "" => "the empty string is not allowed".to_owned(),
        "." => "'.' is not allowed".to_owned(),
        ".." => "'..' is not allowed".to_owned(),
        _ if name.encode_utf16().count() > TOPIC_NAME_CHARS_MAX => {
            format!("the length of '{name}' is longer than the max allowed length {TOPIC_NAME_CHARS_MAX}")
        }
        _ if !name.bytes().all(is_legal) => {
            format!("'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'")
        }
        _ => return None,
    };
    Some(format!("Topic name is invalid: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let longest = "x".repeat(TOPIC_NAME_CHARS_MAX);
        for valid in ["a", "a.b_c-D9", "...", "__x", longest.as_str()] {
            assert_eq!(invalid_topic_name(valid), None);
        }
        let too_long = "x".repeat(TOPIC_NAME_CHARS_MAX + 1);
        for invalid in ["", ".", "..", "a b", "a/b", "ü", "a\0", too_long.as_str()] {
            assert!(invalid_topic_name(invalid).is_some(), "{invalid:?}");
        }
    }
}
