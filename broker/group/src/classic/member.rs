//! One member of a classic group: what it told about itself and which of its requests are parked. Plain state; the
//! group changes it.

use std::collections::BTreeSet;

use barnabas_wire::internal::offsets_schema::MemberMetadata;
use barnabas_wire::message::join_group::JoinGroupRequestProtocol;
use bytes::Bytes;

use crate::id::{InstanceId, Token};
use crate::input::ClientInfo;
use crate::timers::TimerId;

/// A JoinGroup that waits for the rebalance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ParkedJoin {
    pub(crate) token: Token,
    pub(crate) version: i16,
}

#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) instance_id: Option<InstanceId>,
    pub(crate) client: ClientInfo,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) session_timeout_ms: i32,
    /// Protocols in the member's order of preference.
    pub(crate) protocols: Vec<JoinGroupRequestProtocol>,
    pub(crate) assignment: Bytes,
    pub(crate) parked_join: Option<ParkedJoin>,
    pub(crate) parked_sync: Option<Token>,
    /// In its first JoinGroup: it sends no heartbeats yet and may be expired while parked.
    pub(crate) is_new: bool,
    pub(crate) session_timer: Option<TimerId>,
}

impl Member {
    pub(crate) fn from_record(recorded: &MemberMetadata, protocol_name: String) -> Self {
        // Records of version 0 have no rebalance timeout of their own.
        let rebalance_timeout_ms = match recorded.rebalance_timeout {
            -1 => recorded.session_timeout,
            timeout_ms => timeout_ms,
        };
        Self {
            instance_id: recorded.group_instance_id.as_deref().map(InstanceId::from),
            client: ClientInfo { id: recorded.client_id.clone(), host: recorded.client_host.clone() },
            rebalance_timeout_ms,
            session_timeout_ms: recorded.session_timeout,
            protocols: vec![JoinGroupRequestProtocol { name: protocol_name, metadata: recorded.subscription.clone() }],
            assignment: recorded.assignment.clone(),
            parked_join: None,
            parked_sync: None,
            is_new: false,
            session_timer: None,
        }
    }

    /// What the member wants to say to the leader under `protocol`.
    pub(crate) fn metadata(&self, protocol: &str) -> Option<&Bytes> {
        self.protocols.iter().find(|known| known.name == protocol).map(|known| &known.metadata)
    }

    /// The candidate that the member likes best.
    pub(crate) fn vote<'a>(&'a self, candidates: &BTreeSet<&str>) -> Option<&'a str> {
        self.protocols.iter().map(|known| known.name.as_str()).find(|name| candidates.contains(name))
    }

    pub(crate) const fn is_static(&self) -> bool {
        self.instance_id.is_some()
    }

    pub(crate) const fn awaits_join(&self) -> bool {
        self.parked_join.is_some()
    }

    /// Whether a parked request stands in for heartbeats.
    pub(crate) const fn is_excused(&self) -> bool {
        !self.is_new && (self.parked_join.is_some() || self.parked_sync.is_some())
    }
}
