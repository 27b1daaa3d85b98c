//! `barnabas produce`: lines of standard input become records.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::process::ExitCode;

use barnabas_base::PartitionIndex;
use barnabas_client::{Delivery, Producer, ProducerConfig, RecordToSend};
use barnabas_runtime::sync::oneshot;
use barnabas_wire::ErrorCode;
use barnabas_wire::record::Compression;
use bytes::Bytes;
use serde_json::json;

use super::parse_property;
use crate::client::{ClusterArgs, Session, run};
use crate::output::{Cause, Failure};

/// Bytes taken from standard input at once.
const CHUNK_BYTES: usize = 64 * 1024;
/// Lines that wait for the producer before no more are read.
const LINES_QUEUED_MAX: usize = 10_000;
/// Failed records that are named; the rest are counted.
const FAILURES_SHOWN_MAX: usize = 10;

/// Options of `barnabas produce`.
#[derive(clap::Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Produce {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Name of the topic
    topic: String,
    /// Send everything to this partition [default: by key, or in turn]
    #[arg(long, short = 'p')]
    partition: Option<i32>,
    /// What separates key and value on a line; without it lines are values
    #[arg(long, short = 'K', value_name = "TEXT")]
    key_separator: Option<String>,
    /// A value that stands for none: a tombstone
    #[arg(long, value_name = "TEXT")]
    null_marker: Option<String>,
    /// Add a header to every record; may be repeated
    #[arg(long, short = 'H', value_name = "KEY=VALUE", value_parser = parse_property)]
    header: Vec<(String, String)>,
    /// Who must have a record before it counts as sent: all, 1 or 0
    #[arg(long, default_value = "all", value_parser = parse_acks)]
    acks: i16,
    /// Codec of the batches: none, gzip, snappy, lz4 or zstd
    #[arg(long, short = 'z', default_value = "none", value_parser = parse_compression)]
    compression: Compression,
    /// Largest batch in bytes, before compression
    #[arg(long, default_value_t = 16 * 1024)]
    batch_size: usize,
}

const EXAMPLES: &str = "\
Examples:
  echo 'a value' | barnabas produce orders
  printf 'key:value\\n' | barnabas produce orders --key-separator :
  barnabas produce orders --compression zstd --header source=import < lines.txt
  echo 'key:NULL' | barnabas produce orders -K : --null-marker NULL      (a tombstone)

Lines of standard input are records. With acks=all, the default, the producer is idempotent. With --format json the place
of each record is printed once it is acknowledged.";

fn parse_acks(text: &str) -> Result<i16, String> {
    match text {
        "all" | "-1" => Ok(-1),
        "0" => Ok(0),
        "1" => Ok(1),
        _ => Err("expected all, 1 or 0".to_owned()),
    }
}

fn parse_compression(text: &str) -> Result<Compression, String> {
    Compression::from_name(text).ok_or_else(|| "expected none, gzip, snappy, lz4 or zstd".to_owned())
}

/// What every record has in common.
struct Template {
    record: RecordToSend,
    key_separator: Option<String>,
    null_marker: Option<String>,
}

impl Produce {
    pub(crate) fn run(self) -> ExitCode {
        let config = ProducerConfig {
            acks: self.acks,
            idempotent: self.acks == -1,
            batch_bytes: self.batch_size,
            compression: self.compression,
            ..Default::default()
        };
        let headers = self.header.into_iter();
        let record = RecordToSend {
            topic: self.topic,
            partition: self.partition.map(PartitionIndex),
            headers: headers.map(|(key, value)| (Bytes::from(key), Some(Bytes::from(value)))).collect(),
            ..Default::default()
        };
        let template = Template { record, key_separator: self.key_separator, null_marker: self.null_marker };
        run(&self.cluster, true, async move |session| produce(session, config, template).await)
    }
}

impl Template {
    /// The record of one line, without its end.
    fn record(&self, line: &[u8]) -> RecordToSend {
        let mut record = self.record.clone();
        let separated = self.key_separator.as_ref().and_then(|separator| split_once(line, separator.as_bytes()));
        let (key, value) = separated.map_or((None, line), |(key, value)| (Some(key), value));
        let is_null = self.null_marker.as_ref().is_some_and(|marker| marker.as_bytes() == value);
        record.key = key.map(Bytes::copy_from_slice);
        record.value = (!is_null).then(|| Bytes::copy_from_slice(value));
        record
    }
}

fn split_once<'a>(line: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    if separator.is_empty() {
        return None;
    }
    let position = line.windows(separator.len()).position(|window| window == separator)?;
    Some((&line[..position], &line[position + separator.len()..]))
}

#[derive(Default)]
struct Tally {
    delivered: u64,
    failed: u64,
    /// Kafka's error of the first one.
    first_code: Option<ErrorCode>,
}

async fn produce(session: &mut Session, config: ProducerConfig, template: Template) -> Result<(), Failure> {
    session.reach_cluster().await?;
    let config = ProducerConfig {
        request_timeout_ms: i32::try_from(session.request_timeout_ms).unwrap_or(i32::MAX),
        delivery_timeout_ms: session.request_timeout_ms,
        ..config
    };
    let mut producer = Producer::new(config);
    let mut tally = Tally::default();
    let mut lines = Lines::new();
    while !lines.is_done() || producer.undelivered() > 0 {
        lines.read_on(session);
        while producer.has_room() {
            let Some(line) = lines.queue.pop_front() else { break };
            let mut record = template.record(&line);
            record.timestamp = session.driver.env.wall();
            producer.send(session.driver.now(), record);
        }
        pump(session, &mut producer);
        report(session, &mut producer, &mut tally)?;
        if producer.undelivered() > 0 {
            session.step(producer.next_wakeup()).await;
            lines.try_take()?;
        } else if lines.queue.is_empty() {
            session.out.flush()?;
            lines.wait().await?;
        }
    }
    session.driver.close().await;
    if tally.failed > 0 {
        let (delivered, failed) = (tally.delivered, tally.failed);
        let message = format!("{failed} records were not delivered, {delivered} were");
        let failure = if delivered == 0 { Failure::refused(message) } else { Failure::partly(message) };
        return Err(failure.with_code(tally.first_code));
    }
    Ok(())
}

fn pump(session: &mut Session, producer: &mut Producer) {
    producer.poll(session.driver.now(), &mut session.driver.client);
    while let Some(event) = session.driver.poll_event() {
        producer.on_event(session.driver.now(), &mut session.driver.client, &event);
        producer.poll(session.driver.now(), &mut session.driver.client);
    }
}

fn report(session: &mut Session, producer: &mut Producer, tally: &mut Tally) -> Result<(), Failure> {
    while let Some(Delivery { topic, partition, result, .. }) = producer.poll_delivery() {
        match result {
            Ok(offset) => {
                tally.delivered += 1;
                let partition = partition.map_or(-1, |partition| partition.0);
                if session.out.is_json() {
                    let value = json!({ "topic": topic, "partition": partition, "offset": offset.0 });
                    session.out.line(String::new, || value)?;
                }
            }
            Err(error) => {
                tally.failed += 1;
                tally.first_code = tally.first_code.or(error.code());
                if tally.failed <= FAILURES_SHOWN_MAX as u64 {
                    let message = match partition {
                        Some(partition) => format!("{topic}-{partition}: {error}"),
                        // It never came to a partition.
                        None => format!("{topic}: {error}"),
                    };
                    session.out.complain(&Cause { message, code: error.code() })?;
                }
            }
        }
    }
    Ok(())
}

/// Standard input in lines, read away from the event loop: a person types slowly.
struct Lines {
    queue: VecDeque<Vec<u8>>,
    /// The last line so far without its end.
    partial: Vec<u8>,
    reading: Option<oneshot::Receiver<io::Result<Vec<u8>>>>,
    ended: bool,
}

impl Lines {
    const fn new() -> Self {
        Self { queue: VecDeque::new(), partial: Vec::new(), reading: None, ended: false }
    }

    /// Whether every line was taken.
    fn is_done(&self) -> bool {
        self.ended && self.queue.is_empty()
    }

    /// Reads on where there is room.
    fn read_on(&mut self, session: &Session) {
        if self.reading.is_none() && !self.ended && self.queue.len() < LINES_QUEUED_MAX {
            let env = session.driver.env.clone();
            let read = async move { env.offload(read_chunk).await };
            self.reading = Some(session.driver.env.spawn_detached("standard input", read));
        }
    }

    /// Takes what has been read, if anything has.
    fn try_take(&mut self) -> Result<(), Failure> {
        match self.reading.as_mut().and_then(oneshot::Receiver::try_take) {
            Some(read) => self.take(read.unwrap_or_else(|_| Ok(Vec::new()))),
            None => Ok(()),
        }
    }

    /// Waits until something has been read.
    async fn wait(&mut self) -> Result<(), Failure> {
        let Some(reading) = self.reading.take() else { return Ok(()) };
        self.take(reading.await.unwrap_or_else(|_| Ok(Vec::new())))
    }

    fn take(&mut self, read: io::Result<Vec<u8>>) -> Result<(), Failure> {
        self.reading = None;
        let chunk = read.map_err(|error| Failure::refused(format!("cannot read standard input: {error}")))?;
        if chunk.is_empty() {
            self.ended = true;
            if !self.partial.is_empty() {
                self.queue.push_back(std::mem::take(&mut self.partial));
            }
        }
        self.split(&chunk);
        Ok(())
    }

    fn split(&mut self, chunk: &[u8]) {
        for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(piece);
            if self.partial.pop_if(|last| *last == b'\n').is_some() {
                self.partial.pop_if(|last| *last == b'\r');
                self.queue.push_back(std::mem::take(&mut self.partial));
            }
        }
    }
}

/// What is there of standard input, at least one byte; nothing at its end.
fn read_chunk() -> io::Result<Vec<u8>> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let read = io::stdin().lock().read(&mut chunk)?;
    chunk.truncate(read);
    Ok(chunk)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_keys_values_and_tombstones() {
        let template = Template {
            record: RecordToSend::default(),
            key_separator: Some("::".to_owned()),
            null_marker: Some("NULL".to_owned()),
        };
        let parts = |line: &[u8]| {
            let record = template.record(line);
            (record.key, record.value)
        };
        let bytes = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
        assert_eq!(parts(b"k::v::w"), (bytes("k"), bytes("v::w")));
        assert_eq!(parts(b"no key"), (None, bytes("no key")));
        assert_eq!(parts(b"k::NULL"), (bytes("k"), None));
        assert_eq!(parts(b"::"), (bytes(""), bytes("")));
    }

    #[test]
    fn lines_are_cut_wherever_reads_end() {
        let mut lines = Lines::new();
        for chunk in [&b"on"[..], b"e\r\ntwo\n\nth", b"ree"] {
            lines.take(Ok(chunk.to_vec())).expect("read");
        }
        lines.take(Ok(Vec::new())).expect("the end");
        let read: Vec<String> = lines.queue.drain(..).map(|line| String::from_utf8(line).expect("text")).collect();
        assert_eq!(read, ["one", "two", "", "three"]);
        assert!(lines.is_done());
    }
}
