"""kafka-python under the suite's protocol. It configures nothing that a user would not."""

import kafka

import protocol


def produce(bootstrap, codec):
    producer = kafka.KafkaProducer(
        bootstrap_servers=bootstrap,
        compression_type=None if codec == "none" else codec,
        linger_ms=50,
    )
    sent = [
        producer.send(topic, value=value, key=key, headers=headers, partition=0)
        for topic, key, value, headers in protocol.read_records()
    ]
    for future in sent:
        place = future.get(timeout=protocol.DEADLINE_S)
        protocol.report_sent(place.topic, place.partition, place.offset)
    producer.close()


def consume(bootstrap, wanted):
    consumer = kafka.KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    partitions = [kafka.TopicPartition(topic, 0) for topic in wanted.topics()]
    consumer.assign(partitions)
    consumer.seek_to_beginning(*partitions)
    while wanted.unfinished():
        for message in _poll(consumer, 200):
            _report(message)
            wanted.seen(message.topic)
    consumer.close()


def member(bootstrap, group, topic, leave):
    consumer = kafka.KafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
        auto_commit_interval_ms=protocol.COMMIT_INTERVAL_MS,
        session_timeout_ms=protocol.SESSION_TIMEOUT_MS,
        heartbeat_interval_ms=protocol.HEARTBEAT_INTERVAL_MS,
    )
    while not leave:
        for message in _poll(consumer, 100):
            _report(message)
    consumer.close()


def transact(bootstrap, topic):
    producer = kafka.KafkaProducer(bootstrap_servers=bootstrap, transactional_id=topic)
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(topic, b"v")
    producer.commit_transaction()


def _poll(consumer, timeout_ms):
    for messages in consumer.poll(timeout_ms=timeout_ms).values():
        yield from messages


def _report(message):
    protocol.report_record(
        message.topic,
        message.partition,
        message.offset,
        message.timestamp,
        message.key,
        message.value,
        message.headers,
    )


protocol.main(produce, consume, member, transact)
