//! Gigabytes of records, SIGKILL in the midst of more, and the time until every partition answers with all that was
//! acknowledged. Driven by `cargo ci scale`.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::{cost_of_start, megabytes};
use crate::broker::Broker;
use crate::process;
use crate::raw::{Connection, ProducerIdentity, batch};

const TOPIC: &str = "long";
const PARTITIONS: i32 = 8;
/// A batch stays below `max.message.bytes` as shipped.
const RECORDS_PER_BATCH: usize = 100;
const RECORD_BYTES: usize = 10_000;
/// Requests on their way to one partition.
const IN_FLIGHT_MAX: usize = 4;
/// From the start of the process until every partition has answered.
const READY_GOAL: Duration = Duration::from_secs(1);
const WRITE_DEADLINE: Duration = Duration::from_secs(1_800);
const WRITE_INTERVAL: Duration = Duration::from_millis(10);

/// Writes to one partition, each batch a number of its own.
struct Writer {
    partition: i32,
    /// Batches that were acknowledged; their base offsets follow from their number.
    acknowledged: i64,
}

/// Writes, kills in the midst, restarts and asks.
pub(super) fn play(broker: &mut Broker, bytes: u64) -> Result<()> {
    broker.create_topic(TOPIC, PARTITIONS, &[])?;
    let mut writers: Vec<Writer> = (0..PARTITIONS).map(|partition| Writer { partition, acknowledged: 0 }).collect();
    let began = Instant::now();
    let written = write_until_killed(broker, &mut writers, bytes)?;
    println!(
        "{:.0} MB acknowledged in {:.1} s on {PARTITIONS} partitions",
        megabytes(written),
        began.elapsed().as_secs_f64()
    );
    await_answers(broker, &writers)
}

/// All writers write until `bytes` are acknowledged, which ends in a kill while more is on its way.
fn write_until_killed(broker: &mut Broker, writers: &mut [Writer], bytes: u64) -> Result<u64> {
    let (port, acknowledged) = (broker.port(), AtomicU64::new(0));
    thread::scope(|scope| {
        for writer in writers {
            let acknowledged = &acknowledged;
            // The connection breaks by design; what else can go wrong shows in what is not acknowledged.
            scope.spawn(move || writer.write(port, acknowledged));
        }
        let done = process::poll_until(WRITE_DEADLINE, WRITE_INTERVAL, || {
            Ok((acknowledged.load(Ordering::Relaxed) >= bytes).then_some(()))
        })?;
        broker.kill()?;
        done.context("the broker takes no more records")
    })?;
    Ok(acknowledged.into_inner())
}

impl Writer {
    /// Writes until the connection breaks.
    fn write(&mut self, port: u16, acknowledged: &AtomicU64) -> Result<()> {
        let mut connection = Connection::open(port)?;
        let mut in_flight = VecDeque::new();
        let mut number = 0;
        loop {
            while in_flight.len() < IN_FLIGHT_MAX {
                let batch = batch_of(self.partition, number);
                connection.send_produce(TOPIC, self.partition, -1, &batch)?;
                in_flight.push_back(batch.len());
                number += 1;
            }
            let answer = connection.receive_produce()?;
            ensure!(answer.error_code == 0, "Produce answered error {}", answer.error_code);
            let wanted = base_offset(self.acknowledged);
            ensure!(answer.base_offset == wanted, "offset {} for a batch at {wanted}", answer.base_offset);
            self.acknowledged += 1;
            let len = in_flight.pop_front().expect("an answer has its request");
            acknowledged.fetch_add(u64::try_from(len)?, Ordering::Relaxed);
        }
    }
}

/// Starts the broker and looks in every partition for its end and the last batch that was acknowledged.
fn await_answers(broker: &mut Broker, writers: &[Writer]) -> Result<()> {
    let began = Instant::now();
    broker.restart().context("the start after SIGKILL")?;
    let mut connection = broker.connect()?;
    for writer in writers {
        let end = connection.list_offset(TOPIC, writer.partition, -1)?;
        let wanted = base_offset(writer.acknowledged);
        ensure!(end >= wanted, "LOST: partition {} ends at {end}, {wanted} were acknowledged", writer.partition);
        let last = writer.acknowledged - 1;
        ensure!(last >= 0, "nothing was acknowledged on partition {}", writer.partition);
        let batches = connection.read_partition(TOPIC, writer.partition, base_offset(last), wanted)?;
        let read = batches.first().and_then(|batch| batch.records.first()).context("the last batch is there")?;
        let sent = (base_offset(last), first_value(writer.partition, last));
        ensure!(*read == sent, "partition {} has other records than were sent", writer.partition);
    }
    let took = began.elapsed();
    println!(
        "killed: ready after {:.2} s, every partition has answered ListOffsets and Fetch after {:.2} s, {}",
        broker.ready_in().as_secs_f64(),
        took.as_secs_f64(),
        cost_of_start(broker)?
    );
    ensure!(took <= READY_GOAL, "the answers took {took:?} from the start, the goal is {READY_GOAL:?}");
    Ok(())
}

fn base_offset(number: i64) -> i64 {
    number * i64::try_from(RECORDS_PER_BATCH).expect("a short batch")
}

/// Only the first record tells batches apart: the client must not be what is measured.
fn batch_of(partition: i32, number: i64) -> Vec<u8> {
    let first = first_value(partition, number);
    let rest = [b'x'; RECORD_BYTES];
    let mut values: Vec<&[u8]> = vec![&rest; RECORDS_PER_BATCH];
    values[0] = &first;
    batch::build(ProducerIdentity::NONE, batch::now_ms(), &values)
}

fn first_value(partition: i32, number: i64) -> Vec<u8> {
    format!("{partition}:{number}").into_bytes()
}
