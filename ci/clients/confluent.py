"""confluent-kafka, the newest librdkafka, under the suite's protocol. It configures nothing that a user would not."""

import sys

import confluent_kafka as kafka

import protocol


def produce(bootstrap, codec):
    producer = kafka.Producer({"bootstrap.servers": bootstrap, "compression.type": codec, "linger.ms": 50})
    sent = []

    def delivered(error, message):
        if error is not None:
            sys.exit(f"delivery failed: {error}")
        sent.append((message.topic(), message.partition(), message.offset()))

    for topic, key, value, headers in protocol.read_records():
        producer.produce(topic, value, key, partition=0, headers=headers, on_delivery=delivered)
    left = producer.flush(protocol.DEADLINE_S)
    if left:
        sys.exit(f"{left} records were not acknowledged")
    for place in sent:
        protocol.report_sent(*place)


def consume(bootstrap, wanted):
    consumer = kafka.Consumer({"bootstrap.servers": bootstrap, "group.id": "unused", "enable.auto.commit": False})
    consumer.assign([kafka.TopicPartition(topic, 0, kafka.OFFSET_BEGINNING) for topic in wanted.topics()])
    while wanted.unfinished():
        message = consumer.poll(0.2)
        if message is not None:
            _report(message)
            wanted.seen(message.topic())
    consumer.close()


def member(bootstrap, group, topic, leave):
    consumer = kafka.Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "auto.commit.interval.ms": protocol.COMMIT_INTERVAL_MS,
            "session.timeout.ms": protocol.SESSION_TIMEOUT_MS,
            "heartbeat.interval.ms": protocol.HEARTBEAT_INTERVAL_MS,
        }
    )
    consumer.subscribe([topic])
    while not leave:
        message = consumer.poll(0.1)
        # Errors are passing states here: the broker restarts under the members.
        if message is not None and message.error() is None:
            _report(message)
    consumer.close()


def transact(bootstrap, topic):
    producer = kafka.Producer({"bootstrap.servers": bootstrap, "transactional.id": topic})
    producer.init_transactions(protocol.DEADLINE_S)
    producer.begin_transaction()
    producer.produce(topic, b"v")
    producer.commit_transaction(protocol.DEADLINE_S)


def _report(message):
    if message.error() is not None:
        sys.exit(f"consuming failed: {message.error()}")
    protocol.report_record(
        message.topic(),
        message.partition(),
        message.offset(),
        message.timestamp()[1],
        message.key(),
        message.value(),
        message.headers(),
    )


protocol.main(produce, consume, member, transact)
