//! Half an hour of coming and going: connections, topics, producers and committed offsets. What a broker holds at the
//! end must be what it held after five minutes. Shorter when the other rows are: sixty times their length.

use std::time::Instant;

use anyhow::{Context, Result};

use super::super::{meter, per};
use super::{Bench, MEBIBYTE, Sample};
use crate::broker::Broker;
use crate::raw::{ProducerIdentity, batch};

/// In lengths of the other rows: half an hour.
const LENGTH: u32 = 60;
/// In lengths of the other rows: five minutes.
const REFERENCE: u32 = 10;
/// Small segments, so that they roll and go under the churn.
const CONFIGS: [(&str, &str); 3] =
    [("segment.bytes", "1048576"), ("retention.bytes", "4194304"), ("file.delete.delay.ms", "1000")];
/// What a broker keeps for minutes or a day by default goes soon, so that it is not the defaults that are measured.
const CHURNING: [(&str, &str); 3] = [
    ("log.retention.check.interval.ms", "5000"),
    ("producer.id.expiration.ms", "20000"),
    ("producer.id.expiration.check.interval.ms", "5000"),
];
/// Topics that exist at one time.
const TOPICS: u64 = 20;
const CONNECTIONS_A_ROUND: usize = 20;
const VALUE_LEN: usize = 50_000;

/// Measures one contestant.
pub(super) fn measure(bench: &Bench) -> Result<Sample> {
    let spec = CHURNING.iter().fold(bench.spec.clone(), |spec, (key, value)| spec.with(key, value));
    let broker = Broker::start(spec, &bench.folder)?;
    let began = Instant::now();
    let mut reference = None;
    let mut round = 0;
    while began.elapsed() < bench.length * LENGTH {
        churn(&broker, round)?;
        round += 1;
        if reference.is_none() && began.elapsed() >= bench.length * REFERENCE {
            reference = Some(Holding::of(&broker)?);
        }
    }
    let reference = reference.context("the run was shorter than its reference")?;
    let last = Holding::of(&broker)?;
    Ok(Sample::from([
        ("MiB at the end", last.bytes / MEBIBYTE),
        ("memory, end / minute 5", per(last.bytes, reference.bytes)?),
        ("descriptors, end / minute 5", per(last.descriptors, reference.descriptors)?),
        ("threads, end / minute 5", per(last.threads, reference.threads)?),
    ]))
}

/// What a broker holds at one moment.
struct Holding {
    bytes: f64,
    descriptors: f64,
    threads: f64,
}

impl Holding {
    fn of(broker: &Broker) -> Result<Self> {
        let pid = broker.pid()?;
        Ok(Holding {
            bytes: meter::resident_bytes(pid)? as f64,
            descriptors: meter::descriptors(pid)? as f64,
            threads: meter::threads(pid)? as f64,
        })
    }
}

/// One round: a topic goes and comes back, producers come and go, groups commit.
fn churn(broker: &Broker, round: u64) -> Result<()> {
    let topic = format!("churn-{}", round % TOPICS);
    let mut connection = broker.connect()?;
    if round >= TOPICS && round.is_multiple_of(5) {
        connection.delete_topic(&topic)?;
    }
    broker.create_topic(&topic, 3, &CONFIGS)?;
    let value = vec![b'x'; VALUE_LEN];
    for turn in 0..CONNECTIONS_A_ROUND {
        let mut connection = broker.connect()?;
        let (producer_id, producer_epoch) = connection.init_producer_id()?;
        let producer = ProducerIdentity { producer_id, producer_epoch, base_sequence: 0 };
        let batch = batch::build(producer, batch::now_ms(), &[&value]);
        let partition = i32::try_from(turn)? % 3;
        connection.append(&topic, partition, &batch)?;
        let end = connection.list_offset(&topic, partition, -1)?;
        let group = format!("churn-group-{}", round % 100);
        connection.find_coordinator(&group)?;
        connection.commit_offset(&group, &topic, partition, end)?;
    }
    Ok(())
}
