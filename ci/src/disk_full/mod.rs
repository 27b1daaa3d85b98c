//! `cargo ci disk-full`: a broker on a small ext4 of its own that is filled to the last byte. Produce is refused and
//! everything else goes on; the broker is killed and starts again without a free byte; deleting makes room; when room
//! returns, it heals. The simulator has the same story with power losses (`sim/world/tests/full_disk.rs`).

mod volume;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::broker::{Broker, Kind, Spec};
use crate::raw::{Connection, ProducerIdentity, batch};
use crate::{process, workspace};
use volume::Volume;

const IMAGE_BYTES: u64 = 96 * 1024 * 1024;
/// Filled by whatever is written to it.
const FULL: &str = "full";
/// Deleted to make room.
const SPARE: &str = "spare";
const TOPIC_CONFIGS: [(&str, &str); 2] = [("segment.bytes", "1048576"), ("file.delete.delay.ms", "100")];
/// Record sizes by which the device is filled to its last block.
const SIZES: [usize; 4] = [500_000, 50_000, 4_000, 10];
const SPARE_RECORDS: u32 = 20;
const KAFKA_STORAGE_ERROR: i16 = 56;
/// Starts in a row without a free byte.
const STARTS: u32 = 5;
/// Within this, room that was made is used again. Retention looks once a second here.
const ROOM_DEADLINE: Duration = Duration::from_secs(60);
const RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// Plays the story on a fresh volume.
pub(crate) fn run(binary: Option<&Path>) -> Result<()> {
    let folder = workspace::scratch("disk-full")?;
    let volume = Volume::mount(&folder, IMAGE_BYTES)?;
    let spec = Spec::new(Kind::Barnabas, binary)?
        .with("log.retention.check.interval.ms", "1000")
        .with("log.flush.offset.checkpoint.interval.ms", "1000")
        // Decisions are due in a segment of their own again and again: what makes room must not need any.
        .with("metadata.log.segment.ms", "1000")
        .with("auto.create.topics.enable", "false");
    // Only the data lies on the volume: what the broker logs must not be lost there.
    std::os::unix::fs::symlink(volume.path(), folder.join("data"))?;
    let mut broker = Broker::start(spec, &folder)?;
    let outcome = play(&mut broker, &volume);
    if outcome.is_err() {
        eprintln!("{}", broker.last_log_lines());
    }
    drop(broker);
    volume.unmount()?;
    outcome?;
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

fn play(broker: &mut Broker, volume: &Volume) -> Result<()> {
    broker.create_topic(SPARE, 1, &TOPIC_CONFIGS)?;
    broker.create_topic(FULL, 1, &TOPIC_CONFIGS)?;
    let mut connection = broker.connect()?;
    for _ in 0..SPARE_RECORDS {
        ensure!(produce(&mut connection, SPARE, SIZES[0])? == 0, "a fresh volume has room");
    }
    let mut written = fill(&mut connection, volume)?;
    println!("the volume is full after {written} records, {} bytes are free", volume.free_bytes()?);
    let refused = connection.ask_for_topic("late", 1, &[])?;
    ensure!(refused == KAFKA_STORAGE_ERROR, "CreateTopics without room answered {refused}");
    for _ in 0..STARTS {
        written += restart_full(broker, volume, written)?;
    }
    let mut connection = broker.connect()?;
    make_room(&mut connection, volume, written)?;
    heal(&mut connection, volume)?;
    fill(&mut connection, volume)?;
    broker.stop().context("a clean stop without a free byte")?;
    let said = broker.last_log_lines();
    broker.restart().context("the start after a clean stop without a free byte")?;
    ensure!(!said.contains("offline"), "a full directory is not a broken one: {said}");
    let mut connection = broker.connect()?;
    volume.clear_filler()?;
    await_room(&mut connection, FULL, "the filler was removed").map(drop)?;
    broker.stop()
}

/// Kills the broker on the full volume, starts it again and looks for what it had acknowledged. Gives how many records
/// went into what the start left.
fn restart_full(broker: &mut Broker, volume: &Volume, written: i64) -> Result<i64> {
    broker.kill()?;
    volume.fill()?;
    let free = volume.free_bytes()?;
    ensure!(free < 4096, "{free} bytes are free before the start");
    broker.restart().context("a start without a free byte")?;
    let mut connection = broker.connect()?;
    let spare = connection.list_offset(SPARE, 0, -1)?;
    ensure!(spare == i64::from(SPARE_RECORDS), "{SPARE} ends at {spare}");
    let end = connection.list_offset(FULL, 0, -1)?;
    ensure!(end == written, "{FULL} ends at {end}, {written} records were acknowledged");
    let start = connection.list_offset(FULL, 0, -2)?;
    let read = connection.read_partition(FULL, 0, start, end)?.len();
    println!("killed and ready again after {:.2} s, {read} batches read", broker.ready_in().as_secs_f64());
    // Filled by others first: what a start needs later, it has by now.
    volume.fill()?;
    let refused = connection.ask_for_topic("late", 1, &[])?;
    ensure!(refused == KAFKA_STORAGE_ERROR, "CreateTopics without room answered {refused}");
    connection.delete_records(SPARE, 0, 1).context("DeleteRecords after a start without a free byte")?;
    fill(&mut connection, volume)
}

/// Each of the three ways by which an operator makes room works without any.
fn make_room(connection: &mut Connection, volume: &Volume, written: i64) -> Result<()> {
    connection.delete_records(FULL, 0, written / 4)?;
    await_room(connection, FULL, "DeleteRecords")?;
    fill(connection, volume)?;
    connection.set_topic_config(FULL, "retention.bytes", "30000000")?;
    await_room(connection, FULL, "a lowered retention")?;
    fill(connection, volume)?;
    connection.delete_topic(SPARE)?;
    await_room(connection, FULL, "DeleteTopics")?;
    Ok(())
}

/// Others took the room and give it back.
fn heal(connection: &mut Connection, volume: &Volume) -> Result<()> {
    fill(connection, volume)?;
    volume.clear_filler()?;
    // The filler may have been small: most of the volume is the topic's own.
    connection.set_topic_config(FULL, "retention.bytes", "10000000")?;
    await_room(connection, FULL, "the filler was removed")?;
    let created = process::poll_until(ROOM_DEADLINE, RETRY_INTERVAL, || {
        Ok((connection.ask_for_topic("late", 1, &[])? == 0).then_some(()))
    })?;
    created.context("a topic is created when there is room again")?;
    connection.append("late", 0, &batch_of(100)).map(drop)
}

/// Writes until nothing is accepted, then has the volume itself filled: how many records were accepted.
fn fill(connection: &mut Connection, volume: &Volume) -> Result<i64> {
    let mut written = 0;
    for size in SIZES {
        loop {
            match produce(connection, FULL, size)? {
                0 => written += 1,
                KAFKA_STORAGE_ERROR => break,
                error_code => bail!("Produce answered error {error_code}"),
            }
        }
    }
    volume.fill()?;
    while produce(connection, FULL, SIZES[3])? == 0 {
        written += 1;
    }
    Ok(written)
}

fn await_room(connection: &mut Connection, topic: &str, after: &str) -> Result<()> {
    let began = Instant::now();
    let accepted = process::poll_until(ROOM_DEADLINE, RETRY_INTERVAL, || {
        Ok((produce(connection, topic, SIZES[1])? == 0).then_some(()))
    })?;
    accepted.with_context(|| format!("nothing is accepted although {after} made room"))?;
    println!("{after}: accepted again after {:.2} s", began.elapsed().as_secs_f64());
    Ok(())
}

fn produce(connection: &mut Connection, topic: &str, size: usize) -> Result<i16> {
    connection.send_produce(topic, 0, -1, &batch_of(size))?;
    Ok(connection.receive_produce()?.error_code)
}

fn batch_of(size: usize) -> Vec<u8> {
    batch::build(ProducerIdentity::NONE, batch::now_ms(), &[&vec![7; size]])
}
