//! The client and its cores against two fake brokers: the good way, and every way back from trouble.

mod fake;

use std::collections::BTreeMap;

use barnabas_base::{BrokerId, Monotonic, Offset, PartitionIndex, TimestampMs};
use barnabas_client::{
    CallError, Consumer, ConsumerConfig, ConsumerError, Delivery, DeliveryError, Destination, MemberConfig,
    MemberEvent, Membership, Producer, ProducerConfig, RecordToSend, StartAt,
};
use barnabas_wire::message::{MetadataRequest, ProduceRequest};
use barnabas_wire::{ApiKey, ErrorCode, RequestBody, ResponseBody};
use bytes::Bytes;
use fake::{Net, PARTITIONS, TOPIC};

const LIMIT: Monotonic = Monotonic(600_000_000_000);

fn record(value: &str, partition: i32) -> RecordToSend {
    RecordToSend {
        topic: TOPIC.to_owned(),
        partition: Some(PartitionIndex(partition)),
        value: Some(Bytes::copy_from_slice(value.as_bytes())),
        timestamp: TimestampMs(1),
        ..Default::default()
    }
}

/// Runs until every record is delivered or given up.
fn deliver(net: &mut Net, producer: &mut Producer) -> Vec<Delivery> {
    deliver_until(net, producer, |_| {})
}

/// The same, with something that happens on the way.
fn deliver_until(net: &mut Net, producer: &mut Producer, meanwhile: impl Fn(&mut Net)) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    while producer.undelivered() > 0 {
        meanwhile(net);
        producer.poll(net.now, &mut net.client);
        let before = net.activity;
        let events = net.settle();
        let idle = events.is_empty() && net.activity == before;
        for event in events {
            producer.on_event(net.now, &mut net.client, &event);
        }
        if idle && producer.undelivered() > 0 {
            assert!(net.now < LIMIT, "a producer gives up in time");
            net.wake(producer.next_wakeup(), LIMIT);
        }
        deliveries.extend(std::iter::from_fn(|| producer.poll_delivery()));
    }
    deliveries
}

fn results(deliveries: &[Delivery]) -> Vec<(u64, Result<i64, DeliveryError>)> {
    let result = |one: &Delivery| (one.ordinal, one.result.clone().map(|offset| offset.0));
    deliveries.iter().map(result).collect()
}

/// Runs until `count` records are read.
fn consume(net: &mut Net, consumer: &mut Consumer, count: usize) -> Vec<(i32, i64, String)> {
    let mut read = Vec::new();
    while read.len() < count {
        consumer.poll(net.now, &mut net.client);
        let before = net.activity;
        let events = net.settle();
        let idle = events.is_empty() && net.activity == before;
        for event in events {
            consumer.on_event(net.now, &mut net.client, &event);
        }
        while let Some(record) = consumer.poll_record() {
            let value = String::from_utf8(record.value.expect("a value").to_vec()).expect("text");
            read.push((record.partition.0, record.offset.0, value));
        }
        if idle {
            assert!(net.now < LIMIT, "records come in time");
            net.wake(consumer.next_wakeup(), LIMIT);
        }
    }
    read
}

#[test]
fn records_go_to_leaders_and_come_back_in_order() {
    let mut net = Net::new();
    let mut producer = Producer::new(ProducerConfig::default());
    for index in 0..5 {
        producer.send(net.now, record(&format!("v{index}"), index % PARTITIONS));
    }
    let delivered = results(&deliver(&mut net, &mut producer));
    assert_eq!(delivered, [(0, Ok(0)), (2, Ok(1)), (4, Ok(2)), (1, Ok(0)), (3, Ok(1))]);
    let produced_to: Vec<i32> =
        net.cluster.seen.iter().filter(|(_, api)| *api == ApiKey::Produce).map(|(broker, _)| *broker).collect();
    assert_eq!(produced_to, [1, 2], "one batch to each leader");
    let mut consumer = Consumer::new(ConsumerConfig::default());
    for partition in 0..PARTITIONS {
        consumer.assign(TOPIC, PartitionIndex(partition), StartAt::Beginning);
    }
    let mut read = consume(&mut net, &mut consumer, 5);
    read.sort();
    let values: Vec<&str> = read.iter().map(|(_, _, value)| value.as_str()).collect();
    assert_eq!(values, ["v0", "v2", "v4", "v1", "v3"]);
    assert!(consumer.is_at_end());
    assert_eq!(consumer.position(TOPIC, PartitionIndex(0)), Some(Offset(3)));
}

#[test]
fn old_brokers_are_spoken_to_by_name() {
    let mut net = Net::new();
    for (api, version) in [(ApiKey::Metadata, 4), (ApiKey::Produce, 3), (ApiKey::Fetch, 4), (ApiKey::ListOffsets, 1)] {
        net.cluster.cap(api, version);
    }
    let mut producer = Producer::new(ProducerConfig::default());
    producer.send(net.now, record("v", 0));
    assert_eq!(results(&deliver(&mut net, &mut producer)), [(0, Ok(0))]);
    let mut consumer = Consumer::new(ConsumerConfig::default());
    consumer.assign(TOPIC, PartitionIndex(0), StartAt::Beginning);
    assert_eq!(consume(&mut net, &mut consumer, 1), [(0, 0, "v".to_owned())]);
}

#[test]
fn a_batch_follows_its_leader_and_is_appended_once() {
    let mut net = Net::new();
    let mut producer = Producer::new(ProducerConfig::default());
    // Metadata lags behind, then the answer is lost after the append.
    net.cluster.leaders = vec![2, 2];
    net.cluster.rumoured_leaders = Some(vec![1, 1]);
    producer.send(net.now, record("v", 0));
    net.cluster.lost_answers.insert(ApiKey::Produce, 2);
    let deliveries = deliver_until(&mut net, &mut producer, |net| {
        // The cluster agrees after a while.
        if net.now > Monotonic(1_000_000_000) {
            net.cluster.rumoured_leaders = None;
        }
    });
    assert_eq!(results(&deliveries), [(0, Ok(0))]);
    assert_eq!(net.cluster.logs[0].len(), 1, "the retried batch is recognised");
}

#[test]
fn a_refused_batch_is_given_up_and_the_next_starts_over() {
    let mut net = Net::new();
    let mut producer = Producer::new(ProducerConfig::default());
    net.cluster.refuse(ApiKey::Produce, ErrorCode::NotEnoughReplicas);
    net.cluster.refuse(ApiKey::Produce, ErrorCode::MessageTooLarge);
    producer.send(net.now, record("large", 0));
    let given_up = results(&deliver(&mut net, &mut producer));
    assert_eq!(given_up, [(0, Err(DeliveryError::Refused(ErrorCode::MessageTooLarge, None)))]);
    producer.send(net.now, record("small", 0));
    assert_eq!(results(&deliver(&mut net, &mut producer)), [(1, Ok(0))]);
}

/// A producer that has five batches of one record under way, for the numbers 0 to 4 and what comes after.
fn five_in_flight(net: &mut Net, count: u32) -> Producer {
    let mut producer =
        Producer::new(ProducerConfig { batch_bytes: 1, delivery_timeout_ms: 20_000, ..Default::default() });
    for number in 0..count {
        producer.send(net.now, record(&number.to_string(), 0));
    }
    producer
}

fn values_in_log(net: &mut Net) -> String {
    let mut consumer = Consumer::new(ConsumerConfig::default());
    consumer.assign(TOPIC, PartitionIndex(0), StartAt::Beginning);
    let count = usize::try_from(net.cluster.ends[0]).expect("not negative");
    consume(net, &mut consumer, count).into_iter().map(|(_, _, value)| value).collect()
}

#[test]
fn five_batches_are_under_way_and_retries_keep_their_order() {
    let mut net = Net::new();
    let mut producer = five_in_flight(&mut net, 8);
    // The first is refused, so that those behind it are early; later an answer is lost with its connection.
    net.cluster.refuse(ApiKey::Produce, ErrorCode::NotEnoughReplicas);
    let mut most = 0;
    let mut lost = false;
    let mut deliveries = Vec::new();
    while producer.undelivered() > 0 {
        producer.poll(net.now, &mut net.client);
        let before = net.cluster.seen.len();
        let events = net.settle();
        most = most.max(net.cluster.seen[before..].iter().filter(|(_, api)| *api == ApiKey::Produce).count());
        let idle = events.is_empty();
        for event in events {
            producer.on_event(net.now, &mut net.client, &event);
        }
        if !lost && net.cluster.ends[0] >= 2 {
            net.cluster.lost_answers.insert(ApiKey::Produce, 1);
            lost = true;
        }
        if idle {
            net.wake(producer.next_wakeup(), LIMIT);
        }
        deliveries.extend(std::iter::from_fn(|| producer.poll_delivery()));
    }
    assert_eq!(most, 5, "as many as the broker remembers");
    let expected: Vec<(u64, Result<i64, DeliveryError>)> =
        (0..8_u64).map(|number| (number, Ok(number.cast_signed()))).collect();
    assert_eq!(results(&deliveries), expected);
    assert!(deliveries[1].attempts.made > 1 && !deliveries[1].attempts.open, "early, which is a definite answer");
    assert_eq!(values_in_log(&mut net), "01234567");
    assert_eq!(net.cluster.logs[0].len(), 8, "what was there already is recognised");
}

#[test]
fn what_is_behind_a_batch_that_was_given_up_goes_on_in_order() {
    let mut net = Net::new();
    let mut producer = five_in_flight(&mut net, 7);
    net.cluster.refuse(ApiKey::Produce, ErrorCode::MessageTooLarge);
    let deliveries = deliver(&mut net, &mut producer);
    let given_up: Vec<u64> = deliveries.iter().filter(|one| one.result.is_err()).map(|one| one.ordinal).collect();
    assert_eq!(given_up, [0], "the others surely did not get in, and are sent under another id");
    assert!(!deliveries[0].attempts.open);
    assert_eq!(values_in_log(&mut net), "123456");
}

#[test]
fn an_attempt_without_an_answer_leaves_a_delivery_open() {
    let mut net = Net::new();
    let mut producer = five_in_flight(&mut net, 1);
    net.cluster.silent.push(ApiKey::Produce);
    let deliveries = deliver(&mut net, &mut producer);
    assert_eq!(results(&deliveries), [(0, Err(DeliveryError::TimedOut))]);
    assert!(deliveries[0].attempts.open && deliveries[0].attempts.made > 0);
    assert_eq!(net.cluster.ends[0], 1, "and it is in the log indeed");
}

#[test]
fn records_without_a_producer_id_are_given_up_in_time() {
    let mut net = Net::new();
    let mut producer = five_in_flight(&mut net, 1);
    net.cluster.silent.push(ApiKey::InitProducerId);
    let deliveries = deliver(&mut net, &mut producer);
    assert_eq!(results(&deliveries), [(0, Err(DeliveryError::TimedOut))]);
    assert_eq!((deliveries[0].attempts.open, deliveries[0].attempts.made), (false, 0));
}

#[test]
fn records_for_a_topic_that_never_appears_are_given_up() {
    let mut net = Net::new();
    net.cluster.topic_exists = false;
    let config = ProducerConfig { delivery_timeout_ms: 5_000, ..Default::default() };
    let mut producer = Producer::new(config);
    producer.send(net.now, RecordToSend { topic: TOPIC.to_owned(), ..Default::default() });
    let given_up = results(&deliver(&mut net, &mut producer));
    assert_eq!(given_up, [(0, Err(DeliveryError::Refused(ErrorCode::UnknownTopicOrPartition, None)))]);
    assert!(net.now >= Monotonic(5_000_000_000), "not before its time is up");
}

#[test]
fn records_for_a_partition_that_is_not_there_are_given_up_at_once() {
    let mut net = Net::new();
    let mut producer = Producer::new(ProducerConfig::default());
    producer.send(net.now, record("here", 0));
    assert_eq!(results(&deliver(&mut net, &mut producer)), [(0, Ok(0))]);
    producer.send(net.now, record("nowhere", PARTITIONS));
    let given_up = results(&deliver(&mut net, &mut producer));
    assert_eq!(given_up, [(1, Err(DeliveryError::Refused(ErrorCode::UnknownTopicOrPartition, None)))]);
    assert_eq!(net.now, Monotonic::ZERO);
}

#[test]
fn without_acks_nothing_is_waited_for() {
    let mut net = Net::new();
    let config = ProducerConfig { acks: 0, idempotent: false, ..Default::default() };
    let mut producer = Producer::new(config);
    producer.send(net.now, record("v", 1));
    assert_eq!(results(&deliver(&mut net, &mut producer)), [(0, Ok(-1))]);
    net.settle();
    assert_eq!(net.cluster.ends[1], 1);
}

#[test]
fn a_consumer_out_of_range_begins_where_it_was_told_to() {
    let mut net = Net::new();
    let mut producer = Producer::new(ProducerConfig::default());
    producer.send(net.now, record("v", 0));
    deliver(&mut net, &mut producer);
    let config = ConsumerConfig { reset: Some(StartAt::Beginning), ..Default::default() };
    let mut consumer = Consumer::new(config);
    consumer.assign(TOPIC, PartitionIndex(0), StartAt::Offset(Offset(50)));
    net.cluster.refuse(ApiKey::Fetch, ErrorCode::NotLeaderOrFollower);
    net.cluster.refuse(ApiKey::ListOffsets, ErrorCode::LeaderNotAvailable);
    assert_eq!(consume(&mut net, &mut consumer, 1), [(0, 0, "v".to_owned())]);
    let config = ConsumerConfig { reset: None, ..Default::default() };
    let mut strict = Consumer::new(config);
    strict.assign(TOPIC, PartitionIndex(0), StartAt::Offset(Offset(50)));
    strict.poll(net.now, &mut net.client);
    for event in net.settle() {
        strict.on_event(net.now, &mut net.client, &event);
    }
    let error = strict.poll_error().expect("no place to go");
    assert_eq!(error.to_string(), "t-0 at offset 50: OFFSET_OUT_OF_RANGE");
}

/// Runs a consumer of the first partition until it has something to complain about.
fn complaint(net: &mut Net, consumer: &mut Consumer) -> ConsumerError {
    loop {
        consumer.poll(net.now, &mut net.client);
        for event in net.settle() {
            consumer.on_event(net.now, &mut net.client, &event);
        }
        if let Some(error) = consumer.poll_error() {
            return error;
        }
        assert!(net.now < LIMIT, "it does not try for ever without a word");
        net.wake(consumer.next_wakeup(), LIMIT);
    }
}

#[test]
fn damage_is_told_with_its_place_and_not_asked_for_again() {
    let mut net = Net::new();
    let mut consumer = Consumer::new(ConsumerConfig::default());
    consumer.assign(TOPIC, PartitionIndex(0), StartAt::Offset(Offset(0)));
    net.cluster.refuse(ApiKey::Fetch, ErrorCode::CorruptMessage);
    let error = complaint(&mut net, &mut consumer);
    assert_eq!(error.to_string(), "t-0 at offset 0: CORRUPT_MESSAGE");
    assert_eq!((error.code, error.is_final), (Some(ErrorCode::CorruptMessage), true));
    let asked = net.cluster.seen.len();
    consumer.poll(net.now.after_ms(60_000), &mut net.client);
    net.settle();
    assert_eq!(net.cluster.seen.len(), asked);
}

#[test]
fn bootstrap_goes_on_to_the_next_broker() {
    let mut net = Net::new();
    net.down.push(1);
    let request = RequestBody::Metadata(MetadataRequest::default());
    let tag = net.client.call(net.now, Destination::Any, request, None, 10_000);
    let mut events = net.settle();
    while events.is_empty() {
        net.wake(None, LIMIT);
        events = net.settle();
    }
    assert_eq!(events[0].tag, tag);
    assert!(matches!(&events[0].reply, Ok((_, ResponseBody::Metadata(_)))));
    assert_eq!(net.client.last_failure(), Some("refused"));
}

#[test]
fn silence_is_a_timeout_and_an_unknown_broker_is_waited_for() {
    let mut net = Net::new();
    net.cluster.silent.push(ApiKey::Produce);
    let late = RequestBody::Produce(ProduceRequest { acks: 1, ..Default::default() });
    let late = net.client.call(net.now, Destination::Controller, late, None, 1_000);
    let nowhere = RequestBody::Metadata(MetadataRequest::default());
    let nowhere = net.client.call(net.now, Destination::Broker(BrokerId(9)), nowhere, None, 2_000);
    let mut replies = BTreeMap::new();
    while replies.len() < 2 {
        net.wake(None, LIMIT);
        replies.extend(net.settle().into_iter().map(|event| (event.tag, event.reply)));
    }
    assert_eq!(replies[&late], Err(CallError::TimedOut));
    assert_eq!(replies[&nowhere], Err(CallError::TimedOut));
    assert!(net.now < LIMIT);
}

#[test]
fn a_consumer_outlives_the_whole_cluster() {
    let mut net = Net::new();
    let mut producer = Producer::new(ProducerConfig::default());
    producer.send(net.now, record("before", 0));
    deliver(&mut net, &mut producer);
    let mut consumer = Consumer::new(ConsumerConfig::default());
    consumer.assign(TOPIC, PartitionIndex(0), StartAt::Beginning);
    assert_eq!(consume(&mut net, &mut consumer, 1), [(0, 0, "before".to_owned())]);
    net.cluster.silent.push(ApiKey::Fetch);
    consumer.poll(net.now, &mut net.client);
    net.settle();
    net.crash();
    let back = net.now.after_ms(3_000);
    let mut rounds = 0;
    while net.now < back {
        rounds += 1;
        assert!(rounds < 1_000, "it waits, and does not spin");
        for event in net.settle() {
            consumer.on_event(net.now, &mut net.client, &event);
        }
        consumer.poll(net.now, &mut net.client);
        net.wake(consumer.next_wakeup(), back);
    }
    net.down.clear();
    net.cluster.silent.clear();
    let copy = net.cluster.logs[0][0].clone();
    net.cluster.append_copy(0, &copy);
    assert_eq!(consume(&mut net, &mut consumer, 1), [(0, 1, "before".to_owned())]);
    assert!(net.now < back.after_ms(5_000), "soon after it is back");
}

/// Runs a member until it says something.
fn until_event(net: &mut Net, member: &mut Membership) -> MemberEvent {
    loop {
        if let Some(event) = member.poll_event() {
            return event;
        }
        member.poll(net.now, &mut net.client);
        let before = net.activity;
        let events = net.settle();
        let idle = events.is_empty() && net.activity == before;
        for event in events {
            member.on_event(net.now, &mut net.client, &event);
        }
        if idle {
            assert!(net.now < LIMIT, "a member gets its turn in time");
            net.wake(member.next_wakeup(), LIMIT);
        }
    }
}

#[test]
fn a_member_joins_assigns_commits_and_comes_back() {
    let mut net = Net::new();
    let mut member = Membership::new(MemberConfig::new("g", [TOPIC.to_owned()].into()));
    net.cluster.committed.insert(1, 7);
    net.cluster.refuse(ApiKey::FindCoordinator, ErrorCode::CoordinatorNotAvailable);
    net.cluster.refuse(ApiKey::JoinGroup, ErrorCode::NotCoordinator);
    net.cluster.refuse(ApiKey::SyncGroup, ErrorCode::RebalanceInProgress);
    let key = |partition: i32| (TOPIC.to_owned(), PartitionIndex(partition));
    let assigned = MemberEvent::Assigned([(key(0), None), (key(1), Some(Offset(7)))].into());
    assert_eq!(until_event(&mut net, &mut member), assigned);
    assert_eq!((member.member_id(), member.generation()), ("member", 2));
    member.commit(net.now, &mut net.client, &[(key(0), Offset(3))].into());
    assert_eq!(until_event(&mut net, &mut member), MemberEvent::Committed(Ok(())));
    assert_eq!(net.cluster.committed[&0], 3);
    // A rebalance: it gives up what it has, and joins again.
    net.cluster.refuse(ApiKey::Heartbeat, ErrorCode::RebalanceInProgress);
    assert_eq!(until_event(&mut net, &mut member), MemberEvent::Revoked { lost: false });
    let assigned = MemberEvent::Assigned([(key(0), Some(Offset(3))), (key(1), Some(Offset(7)))].into());
    assert_eq!(until_event(&mut net, &mut member), assigned);
    // Thrown out: what it had may be somebody else's.
    net.cluster.refuse(ApiKey::Heartbeat, ErrorCode::UnknownMemberId);
    assert_eq!(until_event(&mut net, &mut member), MemberEvent::Revoked { lost: true });
    assert!(matches!(until_event(&mut net, &mut member), MemberEvent::Assigned(_)));
    member.commit(net.now, &mut net.client, &[(key(0), Offset(4))].into());
    net.cluster.refuse(ApiKey::OffsetCommit, ErrorCode::IllegalGeneration);
    let refused = MemberEvent::Committed(Err(ErrorCode::IllegalGeneration));
    assert_eq!(until_event(&mut net, &mut member), refused);
    member.leave(net.now, &mut net.client);
    assert_eq!(until_event(&mut net, &mut member), MemberEvent::Left);
}

#[test]
fn a_fenced_member_ends() {
    let mut net = Net::new();
    let config =
        MemberConfig { instance_id: Some("i".to_owned()), ..MemberConfig::new("g", [TOPIC.to_owned()].into()) };
    let mut member = Membership::new(config);
    assert!(matches!(until_event(&mut net, &mut member), MemberEvent::Assigned(_)));
    net.cluster.refuse(ApiKey::Heartbeat, ErrorCode::FencedInstanceId);
    assert_eq!(until_event(&mut net, &mut member), MemberEvent::Revoked { lost: true });
    assert_eq!(until_event(&mut net, &mut member), MemberEvent::Failed(ErrorCode::FencedInstanceId));
}
