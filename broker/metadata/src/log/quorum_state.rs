//! The `quorum-state` file: who leads which epoch and whom this node voted for, in Kafka's JSON (version 1, KIP-853).
//!
//! Text only; the node replaces the file durably before it acts on what it says.

use barnabas_base::{BrokerId, LeaderEpoch, Uuid};
use serde_json::Value;

/// Version that is written. Version 0 also names voters, which belong to the log since.
const DATA_VERSION: i64 = 1;

/// Largest file that is parsed; Kafka's own is some hundred bytes.
const QUORUM_STATE_BYTES_MAX: usize = 64 * 1024;

/// The state of this node's part in the quorum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuorumState {
    /// The leader of the epoch; −1 when it is not known.
    pub leader_id: BrokerId,
    /// The epoch.
    pub leader_epoch: LeaderEpoch,
    /// Whom this node voted for in the epoch; −1 for nobody.
    pub voted_id: BrokerId,
    /// The directory of that candidate.
    pub voted_directory_id: Uuid,
}

/// The text of the file.
#[must_use]
pub fn format_quorum_state(state: &QuorumState) -> String {
    serde_json::json!({
        "leaderId": state.leader_id.0,
        "leaderEpoch": state.leader_epoch.0,
        "votedId": state.voted_id.0,
        "votedDirectoryId": state.voted_directory_id.to_string(),
        "data_version": DATA_VERSION,
    })
    .to_string()
}

/// Reads the text of a file of version 0 or 1; `None` when it is none.
#[must_use]
pub fn parse_quorum_state(text: &str) -> Option<QuorumState> {
    if text.len() > QUORUM_STATE_BYTES_MAX {
        return None;
    }
    let file: Value = serde_json::from_str(text).ok()?;
    let number = |name: &str| file.get(name).and_then(Value::as_i64).and_then(|value| i32::try_from(value).ok());
    let version = file.get("data_version").and_then(Value::as_i64)?;
    if !(0..=DATA_VERSION).contains(&version) {
        return None;
    }
    let directory = file.get("votedDirectoryId").and_then(Value::as_str).map_or(Some(Uuid::ZERO), |id| id.parse().ok());
    let epoch = number("leaderEpoch").filter(|epoch| *epoch >= 0)?;
    Some(QuorumState {
        leader_id: BrokerId(number("leaderId")?),
        leader_epoch: LeaderEpoch(epoch),
        voted_id: BrokerId(number("votedId").unwrap_or(-1)),
        voted_directory_id: directory?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: QuorumState = QuorumState {
        leader_id: BrokerId(1),
        leader_epoch: LeaderEpoch(7),
        voted_id: BrokerId(-1),
        voted_directory_id: Uuid::ZERO,
    };

    #[test]
    fn it_comes_back() {
        assert_eq!(parse_quorum_state(&format_quorum_state(&STATE)), Some(STATE));
    }

    #[test]
    fn files_of_kafka() {
        let version_1 = r#"{"leaderId":1,"leaderEpoch":7,"votedId":-1,"votedDirectoryId":"AAAAAAAAAAAAAAAAAAAAAA","data_version":1}"#;
        let version_0 = r#"{"clusterId":"","leaderId":1,"leaderEpoch":7,"votedId":-1,"appliedOffset":0,"currentVoters":[{"voterId":1}],"data_version":0}"#;
        assert_eq!(parse_quorum_state(version_1), Some(STATE));
        assert_eq!(parse_quorum_state(version_0), Some(STATE));
    }

    #[test]
    fn garbage_is_none() {
        for text in [
            "",
            "{}",
            "[",
            r#"{"leaderId":1,"leaderEpoch":-3,"data_version":1}"#,
            r#"{"leaderId":1,"leaderEpoch":1,"data_version":9}"#,
        ] {
            assert_eq!(parse_quorum_state(text), None, "{text}");
        }
    }
}
