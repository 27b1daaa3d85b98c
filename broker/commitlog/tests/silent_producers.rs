//! Who is forgotten when the memory for producers is full: those from which nothing was appended for long, by a clock
//! that is simulated.

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use barnabas_base::{
    BrokerId, Budget, LeaderEpoch, PartitionIndex, ProducerEpoch, ProducerId, Sequence, TimestampMs, TopicId,
    TopicPartition, Uuid,
};
use barnabas_commitlog::{
    AppendError, AppendOptions, AppendOrigin, Appended, DirectoryOptions, DirectoryOwner, Log, LogConfig, LogDirectory,
    ShardOptions,
};
use barnabas_runtime::{Env, Local};
use barnabas_runtime_madsim::{Config, simulate};
use barnabas_wire::record::{BatchBuilder, BatchOptions, Compressor, ProducerFields};
use bytes::Bytes;

const MINUTE_MS: i64 = 60_000;
const HOUR: Duration = Duration::from_secs(3_600);
/// Room for a few producers.
const BUDGET_BYTES: u64 = 5_000;
/// Minutes between two retention checks.
const CHECK_MINUTES: i64 = 5;

fn idempotent(id: i64, sequence: i32, time: TimestampMs) -> Bytes {
    let producer = ProducerFields { id: ProducerId(id), epoch: ProducerEpoch(0), base_sequence: Sequence(sequence) };
    let mut builder = BatchBuilder::new(BatchOptions { producer: Some(producer), ..BatchOptions::default() });
    builder.append(time, None, Some(b"value"), std::iter::empty()).expect("fits");
    builder.build(&mut Compressor::new()).expect("builds")
}

async fn append(log: &Rc<Log>, records: Bytes) -> Result<Appended, AppendError> {
    let origin = AppendOrigin::Client { produce_version: 11 };
    log.append(records, AppendOptions { origin, leader_epoch: LeaderEpoch(1) }).await
}

/// Producer 0 sends records of an hour ago once a minute; all others sent theirs at the start. Nobody is forgotten in the
/// first quarter of an hour, and the busy one not at all.
async fn replay(env: Env) {
    let options = DirectoryOptions { node_id: BrokerId(1), cluster_id: None, format: true };
    let (_owner, seed) = DirectoryOwner::open(&env, Path::new("/data"), 0, &options).await.expect("opens");
    let directory = LogDirectory::join(&env, &seed, &ShardOptions::new(Budget::new(|_| BUDGET_BYTES)));
    let partition = TopicPartition { topic_id: TopicId(Uuid([9; 16])), partition: PartitionIndex(0) };
    let log = Log::open(&directory, partition, "t", LogConfig::default()).await.expect("opens").0;
    let long_ago = TimestampMs(env.wall().0 - 60 * MINUTE_MS);

    let mut known = 0;
    while append(&log, idempotent(known, 0, long_ago)).await.is_ok() {
        known += 1;
        assert!(known < 100, "there is no room for so many");
    }
    assert!(known > 2, "{known} are a few");
    let mut sequence = 0;
    for minute in 0..3 * CHECK_MINUTES {
        if minute % CHECK_MINUTES == 0 {
            log.expire_producers();
        }
        env.sleep_until(env.now().after_ms(MINUTE_MS)).await;
        sequence += 1;
        append(&log, idempotent(0, sequence, long_ago)).await.expect("a known one");
        let is_early = minute < 3 * CHECK_MINUTES - 1;
        assert_eq!(append(&log, idempotent(known, 0, long_ago)).await.is_err(), is_early, "minute {minute}");
    }
    let ids: Vec<i64> = log.producers().iter().map(|producer| producer.producer_id.0).collect();
    assert_eq!(ids, [0, known]);
    let again = append(&log, idempotent(0, sequence, long_ago)).await.expect("known");
    assert!(again.duplicate, "the busy one sends its last batch once more");
}

#[test]
fn who_replays_old_data_is_not_silent() {
    simulate(1, Config::default(), |world| {
        let is_over = Rc::new(Cell::new(false));
        let over = Rc::clone(&is_over);
        world.node("broker").start(1, move |env| -> Local<'static, ()> {
            let over = Rc::clone(&over);
            Box::pin(async move {
                replay(env).await;
                over.set(true);
            })
        });
        assert!(world.run_until(HOUR, || is_over.get()), "the life ends");
    });
}
