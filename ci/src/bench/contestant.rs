//! Who is measured: each broker in the two forms that promise the same, and what each form is.

use std::path::Path;

use anyhow::Result;
use clap::ValueEnum;

use crate::broker::{Kind, Spec};

/// A broker in one configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(super) enum Contestant {
    /// Barnabas as shipped: synced before acknowledged.
    BarnabasAck,
    /// Barnabas with the page cache as its promise, as Kafka has it.
    BarnabasOs,
    /// Apache Kafka as shipped: not synced.
    Kafka,
    /// Apache Kafka with a sync for every append.
    KafkaFlush,
}

impl Contestant {
    /// All of them.
    pub(super) const ALL: [Contestant; 4] =
        [Contestant::BarnabasAck, Contestant::Kafka, Contestant::BarnabasOs, Contestant::KafkaFlush];

    /// The name for tables and files.
    pub(super) fn name(self) -> &'static str {
        match self {
            Contestant::BarnabasAck => "barnabas-ack",
            Contestant::BarnabasOs => "barnabas-os",
            Contestant::Kafka => "kafka",
            Contestant::KafkaFlush => "kafka-flush",
        }
    }

    /// Whether the binary of this workspace is needed.
    pub(super) fn is_barnabas(self) -> bool {
        match self {
            Contestant::BarnabasAck | Contestant::BarnabasOs => true,
            Contestant::Kafka | Contestant::KafkaFlush => false,
        }
    }

    /// How it is started.
    pub(super) fn spec(self, binary: Option<&Path>) -> Result<Spec> {
        Ok(match self {
            Contestant::BarnabasAck => Spec::new(Kind::Barnabas, binary)?,
            Contestant::BarnabasOs => Spec::new(Kind::Barnabas, binary)?.with("flush.policy", "os"),
            Contestant::Kafka => Spec::new(Kind::Kafka, binary)?,
            Contestant::KafkaFlush => Spec::new(Kind::Kafka, binary)?.with("log.flush.interval.messages", "1"),
        })
    }
}
