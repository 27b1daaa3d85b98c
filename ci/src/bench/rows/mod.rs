//! The rows of the table: one file each measures one thing of one contestant from an empty folder, and answers with
//! named figures. What they share is the broker's start and the rule that the kernel does the counting.

mod churn;
mod cold_read;
mod consume;
mod idle;
mod latency;
mod many_partitions;
mod produce;
mod recovery;
mod start;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;

use crate::broker::{Broker, Spec};

/// Bytes in the megabyte of every figure.
const MEGABYTE: f64 = 1e6;
/// Bytes in the mebibyte of memory.
const MEBIBYTE: f64 = 1_048_576.0;

/// The figures of one run, by name.
pub(super) type Sample = BTreeMap<&'static str, f64>;

/// One measurement of one contestant.
pub(super) struct Bench {
    pub(super) spec: Spec,
    pub(super) folder: PathBuf,
    pub(super) length: Duration,
    pub(super) cold_bytes: u64,
}

impl Bench {
    /// Starts the contestant in its empty folder.
    fn start(&self) -> Result<Broker> {
        Broker::start(self.spec.clone(), &self.folder)
    }
}

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(super) enum Row {
    /// Produce, 1 KiB.
    Produce,
    /// Produce, 100 B.
    ProduceSmall,
    /// Consume.
    Consume,
    /// Acknowledgement latency.
    Latency,
    /// Clean start.
    Start,
    /// Start after SIGKILL.
    Recovery,
    /// Memory and idle processor time.
    Idle,
    /// Produce to 2,000 partitions.
    ManyPartitions,
    /// Latency beside a reader of cold segments.
    ColdRead,
    /// Half an hour of coming and going.
    Churn,
}

impl Row {
    /// All of them.
    pub(super) const ALL: [Row; 10] = [
        Row::Produce,
        Row::ProduceSmall,
        Row::Consume,
        Row::Latency,
        Row::Start,
        Row::Recovery,
        Row::Idle,
        Row::ManyPartitions,
        Row::ColdRead,
        Row::Churn,
    ];

    /// The name on the command line and in tables.
    pub(super) fn name(self) -> &'static str {
        match self {
            Row::Produce => "produce",
            Row::ProduceSmall => "produce-small",
            Row::Consume => "consume",
            Row::Latency => "latency",
            Row::Start => "start",
            Row::Recovery => "recovery",
            Row::Idle => "idle",
            Row::ManyPartitions => "many-partitions",
            Row::ColdRead => "cold-read",
            Row::Churn => "churn",
        }
    }

    /// What it measures.
    pub(super) fn what(self) -> &'static str {
        match self {
            Row::Produce => "records of 1 KiB with acks=all, as fast as the client can",
            Row::ProduceSmall => "records of 100 B with acks=all, as fast as the client can",
            Row::Consume => "records of 1 KiB read from the beginning, first and again",
            Row::Latency => "acknowledgement at 200 and 1,000 records a second, one record a batch",
            Row::Start => "from the start of the process to the first acknowledged record",
            Row::Recovery => "the same after SIGKILL with 3.9 GB of log, and with 2,200 partitions",
            Row::Idle => "resident memory idle and loaded, processor time idle",
            Row::ManyPartitions => "records of 1 KiB over 2,000 partitions",
            Row::ColdRead => "acknowledgement at 1,000 records a second beside a reader of cold segments",
            Row::Churn => "half an hour of connections, groups and topics that come and go",
        }
    }

    /// Measures one contestant once.
    pub(super) fn measure(self, bench: &Bench) -> Result<Sample> {
        match self {
            Row::Produce => produce::measure(bench, 1024),
            Row::ProduceSmall => produce::measure(bench, 100),
            Row::Consume => consume::measure(bench),
            Row::Latency => latency::measure(bench),
            Row::Start => start::measure(bench),
            Row::Recovery => recovery::measure(bench),
            Row::Idle => idle::measure(bench),
            Row::ManyPartitions => many_partitions::measure(bench),
            Row::ColdRead => cold_read::measure(bench),
            Row::Churn => churn::measure(bench),
        }
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
