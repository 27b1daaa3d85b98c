"""aiokafka under the suite's protocol. It configures nothing that a user would not; its producer is idempotent only
when asked, so it is the one client here that sends without a producer id."""

import asyncio

import aiokafka

import protocol


async def produce(bootstrap, codec):
    producer = aiokafka.AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        compression_type=None if codec == "none" else codec,
        acks="all",
        linger_ms=50,
    )
    async with producer:
        sent = [
            await producer.send(topic, value=value, key=key, headers=headers, partition=0)
            for topic, key, value, headers in protocol.read_records()
        ]
        for future in sent:
            place = await asyncio.wait_for(future, protocol.DEADLINE_S)
            protocol.report_sent(place.topic, place.partition, place.offset)


async def consume(bootstrap, wanted):
    consumer = aiokafka.AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    async with consumer:
        partitions = [aiokafka.TopicPartition(topic, 0) for topic in wanted.topics()]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        while wanted.unfinished():
            for message in await _poll(consumer, 200):
                _report(message)
                wanted.seen(message.topic)


async def member(bootstrap, group, topic, leave):
    consumer = aiokafka.AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
        auto_commit_interval_ms=protocol.COMMIT_INTERVAL_MS,
        session_timeout_ms=protocol.SESSION_TIMEOUT_MS,
        heartbeat_interval_ms=protocol.HEARTBEAT_INTERVAL_MS,
    )
    async with consumer:
        while not leave:
            for message in await _poll(consumer, 100):
                _report(message)


async def transact(bootstrap, topic):
    producer = aiokafka.AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=topic)
    try:
        await producer.start()
        async with producer.transaction():
            await producer.send_and_wait(topic, b"v")
    finally:
        await producer.stop()


async def _poll(consumer, timeout_ms):
    fetched = await consumer.getmany(timeout_ms=timeout_ms)
    return [message for messages in fetched.values() for message in messages]


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


def _blocking(coroutine_function):
    return lambda *arguments: asyncio.run(coroutine_function(*arguments))


protocol.main(_blocking(produce), _blocking(consume), _blocking(member), _blocking(transact))
