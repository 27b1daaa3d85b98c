//! The five clients behind one face: what they are called, what they can express, how they produce and consume.
//! Each client's own file knows its command line.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use clap::ValueEnum;

use super::record::{Expressible, Record, Seen};
use super::{java, kcat, python};
use crate::process::Running;

/// A case that takes longer has failed.
pub(crate) const CASE_DEADLINE: Duration = Duration::from_secs(75);

/// A client under its own name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Client {
    /// Debian's kcat, on an old librdkafka.
    Kcat,
    /// confluent-kafka, on the newest librdkafka.
    Confluent,
    /// kafka-python.
    KafkaPython,
    /// aiokafka.
    Aiokafka,
    /// Apache Kafka's console tools.
    Java,
}

impl Client {
    /// All of them.
    pub(crate) const ALL: [Client; 5] =
        [Client::Kcat, Client::Confluent, Client::KafkaPython, Client::Aiokafka, Client::Java];

    /// The name for tables and topics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Client::Kcat => "kcat",
            Client::Confluent => "confluent",
            Client::KafkaPython => "kafka-python",
            Client::Aiokafka => "aiokafka",
            Client::Java => "java",
        }
    }

    /// What the client can be told to send.
    pub(crate) fn expressible(self) -> Expressible {
        match self {
            // kcat reads lines, takes headers for all of them at once, and its switch for nulls makes every empty
            // field one.
            Client::Kcat => Expressible { binary: false, empty: false, null_header: true, own_headers: false },
            Client::Confluent | Client::Aiokafka => {
                Expressible { binary: true, empty: true, null_header: true, own_headers: true }
            }
            // kafka-python refuses a header without a value.
            Client::KafkaPython => Expressible { binary: true, empty: true, null_header: false, own_headers: true },
            Client::Java => Expressible { binary: false, empty: true, null_header: true, own_headers: true },
        }
    }

    /// Sends `records` to partition 0 of a topic with acks=all and waits until they are acknowledged.
    pub(crate) fn produce(self, bootstrap: &str, topic: &str, codec: Codec, records: &[Record]) -> Result<()> {
        match self {
            Client::Kcat => kcat::produce(bootstrap, topic, codec, records),
            Client::Confluent | Client::KafkaPython | Client::Aiokafka => {
                python::produce(self, bootstrap, topic, codec, records)
            }
            Client::Java => java::produce(bootstrap, topic, codec, records),
        }
    }

    /// Reads partition 0 of each topic from its beginning, until the wanted number of records was seen.
    pub(crate) fn consume(self, bootstrap: &str, wanted: &BTreeMap<String, usize>) -> Result<Vec<Seen>> {
        ensure!(!wanted.is_empty(), "no topic to read");
        match self {
            Client::Kcat => kcat::consume(bootstrap, wanted),
            Client::Confluent | Client::KafkaPython | Client::Aiokafka => python::consume(self, bootstrap, wanted),
            Client::Java => java::consume(bootstrap, wanted),
        }
    }

    /// Sends a record in a transaction to a topic, whose name is the transactional id as well. The answer is what a user
    /// sees when that does not work.
    pub(crate) fn transact(self, bootstrap: &str, topic: &str) -> Result<Option<String>> {
        match self {
            Client::Kcat => bail!("kcat has no transactions"),
            Client::Confluent | Client::KafkaPython | Client::Aiokafka => python::transact(self, bootstrap, topic),
            Client::Java => java::transact(bootstrap, topic),
        }
    }

    /// Joins a group as one more member.
    pub(crate) fn join(self, bootstrap: &str, group: &str, topic: &str) -> Result<Member> {
        let mut command = match self {
            Client::Kcat => kcat::member(bootstrap, group, topic),
            Client::Confluent | Client::KafkaPython | Client::Aiokafka => python::member(self, bootstrap, group, topic),
            Client::Java => java::member(bootstrap, group, topic),
        };
        Ok(Member { client: self, process: Running::start(&mut command)? })
    }
}

/// A member of a consumer group: a client process that prints what it is given.
pub(crate) struct Member {
    /// Which client it is.
    pub(crate) client: Client,
    /// Its process.
    pub(crate) process: Running,
}

/// A compression codec by Kafka's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Codec {
    /// Not compressed.
    None,
    /// gzip.
    Gzip,
    /// snappy, which the Java clients and kafka-python frame as xerial does.
    Snappy,
    /// lz4 frames.
    Lz4,
    /// zstd.
    Zstd,
}

impl Codec {
    /// All of them.
    pub(crate) const ALL: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

    /// Kafka's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Codec::None => "none",
            Codec::Gzip => "gzip",
            Codec::Snappy => "snappy",
            Codec::Lz4 => "lz4",
            Codec::Zstd => "zstd",
        }
    }
}
