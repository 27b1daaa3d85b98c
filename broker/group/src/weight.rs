//! What groups weigh in the memory budget: estimates that err to the heavy side, so that the account is full before the
//! memory is. Pure arithmetic; the fold and the groups charge themselves by it.

use barnabas_wire::internal::offsets_schema::GroupMetadataValue;

use crate::classic::Member;
use crate::fold::CommittedOffset;
use crate::id::{GroupId, MemberId, TopicName};

/// One partition of one group with its committed offset: key, value and its share of half-filled tree nodes.
pub(crate) const CELL_BYTES: u64 = 192;
/// A member id that was handed out, with its timer.
pub(crate) const PENDING_MEMBER_BYTES: u64 = 256;
/// A group id with everything of fixed size.
const ENTRY_BYTES: u64 = 768;
const TOPIC_BYTES: u64 = 128;
/// An offset that is emitted and not settled; its record waits with it.
const PENDING_OFFSET_BYTES: u64 = 256;
/// A member with its places in the group's maps and its timer.
const MEMBER_BYTES: u64 = 512;

/// A group without members and offsets.
pub(crate) fn entry(id: &GroupId) -> u64 {
    ENTRY_BYTES + len(id.as_str())
}

/// A topic of a group without its partitions.
pub(crate) fn topic(name: &TopicName) -> u64 {
    TOPIC_BYTES + len(name.as_str())
}

/// The text of a committed offset.
pub(crate) fn metadata(value: Option<&CommittedOffset>) -> u64 {
    value.map_or(0, |value| len(&value.metadata))
}

/// An offset that is emitted and not settled.
pub(crate) fn pending(value: Option<&CommittedOffset>) -> u64 {
    PENDING_OFFSET_BYTES + metadata(value)
}

/// A member as it is now.
pub(crate) fn member(id: &MemberId, member: &Member) -> u64 {
    let protocols = member.protocols.iter().map(|protocol| len(&protocol.name) + bytes(&protocol.metadata));
    let names = 2 * len(id.as_str()) + len(&member.client.id) + len(&member.client.host);
    MEMBER_BYTES + names + protocols.sum::<u64>() + bytes(&member.assignment)
}

/// What the last record of a group says.
pub(crate) fn record(value: &GroupMetadataValue) -> u64 {
    let members = value.members.iter().map(|member| {
        let names = len(&member.member_id) + len(&member.client_id) + len(&member.client_host);
        MEMBER_BYTES + names + bytes(&member.subscription) + bytes(&member.assignment)
    });
    members.sum()
}

fn len(text: &str) -> u64 {
    bytes(text.as_bytes())
}

fn bytes(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).expect("a size fits 64 bits")
}
