//! The matrix: every client writes with every codec, and what it wrote is read by the others and compared record by
//! record. Driven by the suite on one running broker.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};

use super::Suite;
use super::client::{Client, Codec};
use super::record::{self, Record, Seen};

/// What was sent to one topic.
pub(super) struct Sent {
    producer: Client,
    codec: Codec,
    records: Vec<Record>,
    outcome: Result<()>,
}

/// What a consumer read, by topic; an error stands for all of its topics.
type Read = BTreeMap<String, Vec<Seen>>;

/// Everything that was sent, by topic.
pub(super) type AllSent = BTreeMap<String, Sent>;

/// Runs the matrix; what was sent is for [`read_again`].
pub(super) fn run(suite: &mut Suite<'_>) -> Result<AllSent> {
    let began = Instant::now();
    let sent = produce_all(suite)?;
    let mut reads: BTreeMap<Client, Result<Read>> = BTreeMap::new();
    for (position, consumer) in suite.clients.iter().enumerate() {
        let topics = wanted_by(suite, position, &sent);
        if !topics.is_empty() {
            reads.insert(*consumer, consume_all(suite, *consumer, &topics));
        }
    }
    judge(suite, &sent, &reads);
    println!("matrix took {:.1} s\n", began.elapsed().as_secs_f64());
    Ok(sent)
}

/// The first client reads everything once more, from a broker that was killed and started again in between: what it
/// serves comes from recovered files.
pub(super) fn read_again(suite: &mut Suite<'_>, sent: &AllSent) {
    let Some(consumer) = suite.clients.first().copied() else { return };
    let topics = counts(sent.iter());
    let began = Instant::now();
    let outcome = consume_all(suite, consumer, &topics).and_then(|read| {
        for topic in topics.keys() {
            let seen = read.get(topic).map_or(&[][..], Vec::as_slice);
            compare(&sent[topic], seen, None).with_context(|| topic.clone())?;
        }
        Ok(())
    });
    let name = format!("{} reads everything again after the restarts", consumer.name());
    suite.results.note("matrix", &name, began.elapsed(), outcome);
}

fn produce_all(suite: &Suite<'_>) -> Result<AllSent> {
    let bootstrap = suite.broker.bootstrap();
    let mut all = BTreeMap::new();
    for producer in &suite.clients {
        for codec in Codec::ALL {
            let topic = format!("matrix-{}-{}", producer.name(), codec.name());
            suite.broker.create_topic(&topic, 1, &[])?;
            let records = record::sample(&topic, producer.expressible());
            let outcome = producer.produce(&bootstrap, &topic, codec, &records);
            let sent = Sent { producer: *producer, codec, records, outcome };
            all.insert(topic, sent);
        }
    }
    Ok(all)
}

/// In the short run each client reads what the one before it wrote; otherwise everything.
fn wanted_by(suite: &Suite<'_>, position: usize, sent: &AllSent) -> BTreeMap<String, usize> {
    let before = (position + suite.clients.len() - 1) % suite.clients.len();
    let neighbour = suite.clients[before];
    counts(sent.iter().filter(|(_, sent)| !suite.options.short || sent.producer == neighbour))
}

/// How many records each topic holds that was written whole.
fn counts<'a>(sent: impl Iterator<Item = (&'a String, &'a Sent)>) -> BTreeMap<String, usize> {
    sent.filter(|(_, sent)| sent.outcome.is_ok()).map(|(topic, sent)| (topic.clone(), sent.records.len())).collect()
}

fn consume_all(suite: &Suite<'_>, consumer: Client, topics: &BTreeMap<String, usize>) -> Result<Read> {
    let mut read = Read::new();
    for seen in consumer.consume(&suite.broker.bootstrap(), topics)? {
        read.entry(seen.topic.clone()).or_default().push(seen);
    }
    Ok(read)
}

/// One line a producer and codec, one column a consumer.
fn judge(suite: &mut Suite<'_>, sent: &AllSent, reads: &BTreeMap<Client, Result<Read>>) {
    print!("{:<24}", "written by, read by");
    for consumer in reads.keys() {
        print!("{:<14}", consumer.name());
    }
    println!();
    for (topic, sent) in sent {
        print!("{:<24}", format!("{} {}", sent.producer.name(), sent.codec.name()));
        if let Err(error) = &sent.outcome {
            println!("not written");
            let name = format!("{} writes {}", sent.producer.name(), sent.codec.name());
            suite.results.count("matrix", &name, Err(anyhow!("{error:#}")));
            continue;
        }
        let reference = first_read(topic, reads);
        for (consumer, read) in reads {
            let outcome = match read {
                Ok(read) => match read.get(topic) {
                    Some(seen) => compare(sent, seen, reference),
                    None if suite.options.short => {
                        print!("{:<14}", "-");
                        continue;
                    }
                    None => Err(anyhow!("nothing was read")),
                },
                Err(error) => Err(anyhow!("{error:#}")),
            };
            print!("{:<14}", if outcome.is_ok() { "ok" } else { "FAILED" });
            let (producer, codec) = (sent.producer.name(), sent.codec.name());
            let name = format!("{producer} to {}, {codec}", consumer.name());
            suite.results.count("matrix", &name, outcome);
        }
        println!();
    }
}

/// What the first consumer read: timestamps and offsets, which no producer chose, must be the same for all.
fn first_read<'a>(topic: &str, reads: &'a BTreeMap<Client, Result<Read>>) -> Option<&'a Vec<Seen>> {
    reads.values().filter_map(|read| read.as_ref().ok()).find_map(|read| read.get(topic))
}

fn compare(sent: &Sent, seen: &[Seen], reference: Option<&Vec<Seen>>) -> Result<()> {
    ensure!(seen.len() == sent.records.len(), "{} records were written, {} read", sent.records.len(), seen.len());
    for (position, (seen, record)) in seen.iter().zip(&sent.records).enumerate() {
        let offset = i64::try_from(position)?;
        ensure!(seen.offset == offset, "offset {} at position {position}", seen.offset);
        ensure!(seen.record == *record, "offset {offset}: written {}, read {}", record.brief(), seen.record.brief());
    }
    for (seen, other) in seen.iter().zip(reference.into_iter().flatten()) {
        ensure!(
            seen.timestamp_ms == other.timestamp_ms,
            "offset {}: two consumers saw the timestamps {} and {}",
            seen.offset,
            seen.timestamp_ms,
            other.timestamp_ms
        );
    }
    Ok(())
}
