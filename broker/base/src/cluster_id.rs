//! [`ClusterId`]: the name that every directory of a cluster carries. Pure data; whoever formats or opens a directory
//! drives it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::Uuid;

/// Identity of the cluster, written in every `meta.properties`. Mostly a UUID, and any text that Apache Kafka's storage tool
/// takes: examples of container set-ups use ids that only look like one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClusterId(Arc<str>);

/// Longest id in bytes.
const BYTES_MAX: usize = 255;

/// Why a text is no cluster id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseClusterIdError;

impl fmt::Display for ParseClusterIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a cluster id has 1 to {BYTES_MAX} bytes and no control characters")
    }
}

impl std::error::Error for ParseClusterIdError {}

impl ClusterId {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Uuid> for ClusterId {
    fn from(id: Uuid) -> Self {
        Self(id.to_string().into())
    }
}

impl FromStr for ClusterId {
    type Err = ParseClusterIdError;

    fn from_str(text: &str) -> Result<Self, ParseClusterIdError> {
        let is_id = (1..=BYTES_MAX).contains(&text.len()) && !text.contains(char::is_control);
        if is_id { Ok(Self(text.into())) } else { Err(ParseClusterIdError) }
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_on_one_line_is_an_id() {
        for text in ["foo", "MkU3OEVBNTcwNTJENDM2Qk", "5L6g3nShT-eMCtK--X86sw", "a b=c"] {
            assert_eq!(text.parse::<ClusterId>().map(|id| id.to_string()).as_deref(), Ok(text));
        }
        for text in ["", "a\nb", &"x".repeat(BYTES_MAX + 1)] {
            assert_eq!(text.parse::<ClusterId>(), Err(ParseClusterIdError));
        }
    }
}
