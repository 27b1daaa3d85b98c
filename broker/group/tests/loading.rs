//! Which logs a coordinator loads: records of kinds that it does not know are passed over, one that does not read ends
//! the load.

use barnabas_base::{Account, Budget, Monotonic, Offset, PartitionIndex, TimestampMs, TopicId, TopicPartition, Uuid};
use barnabas_group::{CommittedOffset, Config, Coordinator, Input, Output, Record, Replayed, Response, Token};
use barnabas_wire::ErrorCode;
use barnabas_wire::message::offset_fetch::OffsetFetchRequestGroup;
use bytes::Bytes;

/// Key and value of a record.
type Pair = (Bytes, Option<Bytes>);

fn coordinator() -> Coordinator {
    coordinator_within(&Budget::new(|_| u64::MAX))
}

/// A coordinator whose groups are charged to `budget`.
fn coordinator_within(budget: &Budget) -> Coordinator {
    let partition = TopicPartition { topic_id: TopicId(Uuid([7; 16])), partition: PartitionIndex(0) };
    Coordinator::new(Config::default(), partition, budget.clone())
}

fn commit(offset: i64) -> Pair {
    let value = CommittedOffset {
        offset,
        leader_epoch: -1,
        metadata: "m".into(),
        committed_at: TimestampMs(0),
        expire_at: None,
        topic_id: Uuid::ZERO,
    };
    Record::Offset { group: "g".into(), topic: "t".into(), partition: 0, value: Some(value) }.encode()
}

fn replay(coordinator: &mut Coordinator, (key, value): Pair) -> Option<Replayed> {
    coordinator.replay(key, value, Offset(0)).ok()
}

/// The code that a read of the group is answered with.
fn code_of_fetch(coordinator: &mut Coordinator) -> i16 {
    let request = OffsetFetchRequestGroup { group_id: "g".to_owned(), ..Default::default() };
    let input = Input::OffsetFetch { token: Token(0), require_stable: false, request };
    let mut out = Vec::new();
    coordinator.step(Monotonic::ZERO, TimestampMs(0), input, &mut out);
    match &out[..] {
        [Output::Reply { response: Response::OffsetFetch(answer), .. }] => answer.error_code,
        other => panic!("a read is answered by offsets: {other:?}"),
    }
}

/// The older of two commits is not served for the newer one.
#[test]
fn nothing_is_served_of_a_log_with_a_record_that_does_not_read() {
    let cut = |bytes: &Bytes, left: usize| bytes.slice(..left);
    let (key, value) = commit(2);
    let value = value.expect("a commit has a value");
    let unreadable = [
        // A commit without the end of its value, all of its value, or the end of its key.
        (key.clone(), Some(cut(&value, value.len() / 2))),
        (key.clone(), Some(Bytes::new())),
        (cut(&key, key.len() - 1), Some(value)),
        // A group, and one of another protocol.
        (Bytes::from_static(b"\x00\x02\x00\x09g"), None),
        (Bytes::from_static(b"\x00\x03\x00\x09g"), None),
        // No kind at all.
        (Bytes::from_static(b"\x00"), None),
    ];
    for bad in unreadable {
        let budget = Budget::new(|_| u64::MAX);
        let mut coordinator = coordinator_within(&budget);
        assert_eq!(replay(&mut coordinator, commit(1)), Some(Replayed::Applied));
        assert_eq!(replay(&mut coordinator, bad.clone()), None, "{bad:?}");
        assert_eq!(code_of_fetch(&mut coordinator), ErrorCode::NotCoordinator.code());
        coordinator.failed_to_load(&mut Vec::new());
        assert_eq!(code_of_fetch(&mut coordinator), ErrorCode::NotCoordinator.code());
        assert_eq!(budget.used_bytes(Account::Coordinators), 0, "nothing is kept");
    }
}

#[test]
fn kinds_that_are_not_known_are_passed_over() {
    let mut coordinator = coordinator();
    let unknown = (Bytes::from_static(b"\x00\x63zz"), Some(Bytes::from_static(b"anything")));
    assert_eq!(replay(&mut coordinator, commit(1)), Some(Replayed::Applied));
    assert_eq!(replay(&mut coordinator, unknown), Some(Replayed::PassedOver));
    coordinator.loaded(Monotonic::ZERO, TimestampMs(0), &mut Vec::new());
    assert_eq!(code_of_fetch(&mut coordinator), 0);
}
