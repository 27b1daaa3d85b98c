//! Numbered records: idempotent producers that send values no other sends, and a reader that reads everything at the end.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use barnabas_base::{Offset, PartitionIndex};
use barnabas_client::{
    Address, Client, ClientConfig, Consumer, ConsumerConfig, DeliveryError, Producer, ProducerConfig, Received,
    RecordToSend, StartAt,
};
use barnabas_history::{Event, History, Process, Sent, Value};
use barnabas_runtime::Env;
use barnabas_wire::record::Compression;
use bytes::Bytes;

use crate::Driver;
use crate::driver::SharedHistory;

/// How often an idle client looks around, whatever happens.
const TICK: Duration = Duration::from_millis(100);
/// Values of one producer; producer p sends p × this and up.
const VALUES_PER_PROCESS: u64 = 1 << 32;

/// What the workload does.
#[derive(Clone, Debug)]
pub struct Numbered {
    /// The brokers.
    pub bootstrap: Vec<Address>,
    /// The topic; it is created by being asked for.
    pub topic: String,
    /// Its partitions.
    pub partitions: i32,
    /// Records that one producer has on their way at most.
    pub in_flight_max: usize,
    /// Bytes of padding of each record.
    pub padding_bytes: usize,
    /// `delivery.timeout.ms` of the producers.
    pub delivery_timeout_ms: i64,
    /// `compression.type` of the producers.
    pub compression: Compression,
}

impl Numbered {
    fn client(&self, process: Process) -> Client {
        Client::new(ClientConfig {
            client_id: format!("numbered-{}", process.0),
            bootstrap: self.bootstrap.clone(),
            auto_create_topics: true,
        })
    }

    fn record(&self, env: &Env, partition: PartitionIndex, value: Value) -> RecordToSend {
        let mut bytes = value.0.to_be_bytes().to_vec();
        bytes.resize(bytes.len() + self.padding_bytes, b'.');
        RecordToSend {
            topic: self.topic.clone(),
            partition: Some(partition),
            value: Some(Bytes::from(bytes)),
            timestamp: env.wall(),
            ..RecordToSend::default()
        }
    }
}

/// Sends `count` values as `process` and records what became of each. Ends when all of them are delivered or given up.
pub async fn produce(env: Env, plan: Numbered, process: Process, count: u64, history: Rc<RefCell<History>>) {
    let mut sender = Sender::new(&env, &plan, process, history);
    let mut next = 0;
    while next < count || sender.producer.undelivered() > 0 {
        while next < count && sender.producer.undelivered() < plan.in_flight_max {
            sender.invoke(next);
            next += 1;
        }
        sender.turn().await;
    }
}

struct Sender {
    env: Env,
    plan: Numbered,
    process: Process,
    history: SharedHistory,
    client: Client,
    producer: Producer,
    driver: Driver,
    /// Partition and value of each ordinal of the producer.
    sent: Vec<(PartitionIndex, Value)>,
}

impl Sender {
    fn new(env: &Env, plan: &Numbered, process: Process, history: SharedHistory) -> Self {
        let config = ProducerConfig {
            delivery_timeout_ms: plan.delivery_timeout_ms,
            compression: plan.compression,
            ..ProducerConfig::default()
        };
        Self {
            env: env.clone(),
            plan: plan.clone(),
            process,
            history,
            client: plan.client(process),
            producer: Producer::new(config),
            driver: Driver::new(env),
            sent: Vec::new(),
        }
    }

    fn invoke(&mut self, ordinal: u64) {
        let partitions = u64::from(self.plan.partitions.unsigned_abs());
        let partition = i32::try_from(ordinal % partitions).expect("a remainder of a partition count");
        let partition = PartitionIndex(partition);
        let value = Value(u64::from(self.process.0) * VALUES_PER_PROCESS + ordinal);
        let process = self.process;
        self.history.borrow_mut().push(Event::SendInvoked { process, partition, value });
        let record = self.plan.record(&self.env, partition, value);
        let given = self.producer.send(self.env.now(), record);
        assert_eq!(given, self.sent.len() as u64, "a producer numbers its records from 0 on");
        self.sent.push((partition, value));
    }

    /// Lets the client work once, and takes what was delivered.
    async fn turn(&mut self) {
        self.producer.poll(self.env.now(), &mut self.client);
        self.driver.perform(&mut self.client);
        let tick = self.env.now().after(TICK);
        let deadline = self.producer.next_wakeup().map_or(tick, |wakeup| wakeup.min(tick));
        self.driver.wait(&mut self.client, deadline).await;
        while let Some(event) = self.client.poll_event() {
            self.producer.on_event(self.env.now(), &mut self.client, &event);
        }
        while let Some(delivery) = self.producer.poll_delivery() {
            let index = usize::try_from(delivery.ordinal).expect("ordinals are positions");
            let (partition, value) = self.sent[index];
            let outcome = outcome(&delivery.result);
            let process = self.process;
            self.history.borrow_mut().push(Event::SendEnded { process, partition, value, outcome });
        }
    }
}

/// Only what was never sent has surely failed: an earlier attempt of a refused record may have got through.
fn outcome(result: &Result<Offset, DeliveryError>) -> Sent {
    match result {
        Ok(offset) => Sent::Ok(*offset),
        Err(DeliveryError::Build(_)) => Sent::Failed,
        Err(DeliveryError::Refused(..) | DeliveryError::TimedOut | DeliveryError::Call(_)) => Sent::Unknown,
    }
}

/// Reads every partition from its start to its end and records it as the final read. `bytes_max` bounds each fetch.
pub async fn final_read(env: Env, plan: Numbered, bytes_max: i32, history: Rc<RefCell<History>>) {
    history.borrow_mut().push(Event::FinalRead);
    let process = Process(u32::MAX);
    let mut client = plan.client(process);
    let mut driver = Driver::new(&env);
    let mut consumer = Consumer::new(ConsumerConfig {
        partition_max_bytes: bytes_max,
        reset: Some(StartAt::Beginning),
        ..ConsumerConfig::default()
    });
    for partition in (0..plan.partitions).map(PartitionIndex) {
        consumer.assign(&plan.topic, partition, StartAt::Beginning);
    }
    while !consumer.is_at_end() {
        consumer.poll(env.now(), &mut client);
        driver.perform(&mut client);
        let tick = env.now().after(TICK);
        let deadline = consumer.next_wakeup().map_or(tick, |wakeup| wakeup.min(tick));
        driver.wait(&mut client, deadline).await;
        while let Some(event) = client.poll_event() {
            consumer.on_event(env.now(), &mut client, &event);
        }
        let mut polled = Vec::new();
        while let Some(record) = consumer.poll_record() {
            polled.push(record);
        }
        record_polls(&mut history.borrow_mut(), process, polled);
    }
}

/// Records of one turn as one poll a partition.
fn record_polls(history: &mut History, process: Process, polled: Vec<Received>) {
    let mut by_partition = std::collections::BTreeMap::<PartitionIndex, Vec<(Offset, Value)>>::new();
    for record in polled {
        let number = record.value.as_deref().and_then(|bytes| bytes.first_chunk::<8>().copied());
        let value = Value(number.map_or(u64::MAX, u64::from_be_bytes));
        by_partition.entry(record.partition).or_default().push((record.offset, value));
    }
    for (partition, records) in by_partition {
        history.push(Event::Polled { process, partition, records });
    }
}
