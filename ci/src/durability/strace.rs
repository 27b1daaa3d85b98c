//! Runs a broker under strace, has clients create topics, write with acks=all and commit offsets, and judges from the
//! system calls whether each answer came after what it acknowledges was durable. The same check on a broker that does
//! not sync has to fail: a check that cannot fail shows nothing.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;

use super::proof::{self, Claim, Findings};
use super::trace;
use crate::broker::{Broker, Kind, Spec};
use crate::process;
use crate::raw::{Connection, ProducerIdentity, batch};
use crate::workspace;

/// The calls that make, write, name and sync files, and those that send answers.
const TRACED: &str = "trace=open,openat,creat,mkdir,mkdirat,rename,renameat,renameat2,write,pwrite64,writev,pwritev,\
                      pwritev2,sendto,sendmsg,fsync,fdatasync,syncfs";
/// As much of a buffer as holds the records of one commit.
const STRING_MAX: &str = "65536";
/// Records so large that the active segment is rolled under the trace.
const LARGE_RECORDS: u32 = 60;
const LARGE_RECORD_LEN: usize = 20_000;
const SEGMENT_BYTES: &str = "1048576";
const SMALL_RECORDS: u32 = 40;
/// Connections that write at once, so that commits of several records meet.
const CONNECTIONS: u32 = 6;
/// Partitions that they write to: enough that one sync a file would not do.
const PARTITIONS: i32 = 24;
const RECORDS_A_CONNECTION: u32 = 30;
const COMMITS: u32 = 10;
/// Each connection numbers its requests from a place of its own.
const CORRELATION_IDS_A_CONNECTION: i32 = 1_000_000;
const BUILD_DEADLINE: Duration = Duration::from_secs(1_200);
/// How many violations are quoted.
const QUOTED: usize = 5;

/// What to trace.
#[derive(Args)]
pub(crate) struct Options {
    /// The broker under test.
    #[arg(long, value_enum, default_value = "barnabas")]
    against: Kind,
    /// Also build a broker whose sync does nothing and see the check fail on it.
    #[arg(long)]
    planted: bool,
    /// More configuration, as key=value.
    #[arg(long = "override")]
    overrides: Vec<String>,
}

/// Runs the check on the broker as it is, and on brokers that it must fail on.
pub(super) fn run(options: &Options, binary: Option<&Path>) -> Result<()> {
    let spec = Spec::new(options.against, binary)?;
    let (found, folder) = trace_one(with_overrides(spec.clone(), &options.overrides)?)?;
    // The trace of a broker that fails is kept.
    ensure!(found.violations.is_empty(), "in {}: {}", folder.display(), quoted(&found));
    std::fs::remove_dir_all(folder)?;
    println!("{} answers, each after a completed sync of what it acknowledges", found.held);
    if options.against == Kind::Barnabas {
        let seen = see_violations(spec.with("flush.policy", "os"))?;
        println!("flush.policy=os: seen, {seen} answers without a sync");
    }
    if options.planted {
        let planted = build_planted()?;
        let seen = see_violations(Spec::new(Kind::Barnabas, Some(&planted))?)?;
        println!("a sync that does nothing: seen, {seen} violations");
    }
    Ok(())
}

/// Traces a broker that does not sync; how many violations the check has seen, which must not be none.
fn see_violations(spec: Spec) -> Result<usize> {
    let (found, folder) = trace_one(spec)?;
    ensure!(!found.violations.is_empty(), "the check has passed a broker that does not sync");
    std::fs::remove_dir_all(folder)?;
    Ok(found.violations.len())
}

fn with_overrides(spec: Spec, overrides: &[String]) -> Result<Spec> {
    overrides.iter().try_fold(spec, |spec, line| {
        let (key, value) = line.split_once('=').context("an override is key=value")?;
        Ok(spec.with(key, value))
    })
}

fn quoted(found: &Findings) -> String {
    let shown = &found.violations[..found.violations.len().min(QUOTED)];
    format!("{} violations, {} answers held:\n  {}", found.violations.len(), found.held, shown.join("\n  "))
}

/// Builds the broker with the sync taken out, apart from every other build.
fn build_planted() -> Result<PathBuf> {
    println!("building a broker whose sync does nothing");
    let folder = workspace::target().join("planted-no-sync");
    let mut cargo = Command::new("cargo");
    cargo
        .args(["build", "--quiet", "--locked", "-p", "barnabas", "--features", "planted-no-sync", "--target-dir"])
        .arg(&folder)
        .current_dir(workspace::root());
    process::run(&mut cargo, &[], BUILD_DEADLINE)?.success().context("building the planted bug")?;
    Ok(folder.join("debug/barnabas"))
}

/// One broker from start to stop under the tracer; what the trace shows, and the folder where it lies.
fn trace_one(mut spec: Spec) -> Result<(Findings, PathBuf)> {
    let folder = workspace::scratch("strace")?.canonicalize()?;
    let file = folder.join("trace");
    // -D: the tracer is nobody's parent, so that signals and the end of the process are the broker's own.
    let options =
        ["strace", "-D", "-f", "-qq", "-yy", "-xx", "-s", STRING_MAX, "-e", TRACED, "-e", "signal=none", "-o"];
    spec.launcher = options.iter().map(Into::into).collect();
    spec.launcher.push(file.clone().into_os_string());
    let mut broker = Broker::start(spec, &folder).context("starting a broker under strace")?;
    let data = broker.data();
    let claims = drive(&broker)?;
    broker.stop()?;
    let text = await_trace(&file)?;
    let calls = trace::parse(&text)?;
    let found = proof::judge(&calls, &data, &claims);
    Ok((found, folder))
}

/// The tracer ends a moment after the broker; the file has grown to its end when it no longer grows.
fn await_trace(file: &Path) -> Result<String> {
    let mut last_len = 0;
    let settled = process::poll_until(Duration::from_secs(30), Duration::from_millis(300), || {
        let len = std::fs::metadata(file)?.len();
        let is_settled = len > 0 && len == last_len;
        last_len = len;
        Ok(is_settled.then_some(()))
    })?;
    settled.context("the tracer does not end")?;
    std::fs::read_to_string(file).context("the trace")
}

/// Everything whose answer is a promise, with its marker.
struct Driver<'a> {
    broker: &'a Broker,
    next_marker: AtomicU32,
}

fn drive(broker: &Broker) -> Result<Vec<Claim>> {
    let driver = Driver { broker, next_marker: AtomicU32::new(1) };
    let mut claims = Vec::new();
    let mut connection = driver.connect(1)?;
    let topic = driver.create_topic(&mut connection, 1, &mut claims)?;
    for _ in 0..SMALL_RECORDS {
        claims.push(driver.produce(&mut connection, &topic, 0, 100)?);
    }
    for _ in 0..LARGE_RECORDS {
        claims.push(driver.produce(&mut connection, &topic, 0, LARGE_RECORD_LEN)?);
    }
    let wide = driver.create_topic(&mut connection, PARTITIONS, &mut claims)?;
    claims.extend(driver.produce_at_once(&wide)?);
    for _ in 0..COMMITS {
        claims.push(driver.commit(&mut connection, &topic)?);
    }
    Ok(claims)
}

impl Driver<'_> {
    fn connect(&self, number: i32) -> Result<Connection> {
        let mut connection = self.broker.connect()?;
        connection.number_from(number * CORRELATION_IDS_A_CONNECTION);
        Ok(connection)
    }

    fn marker(&self) -> String {
        proof::marker(self.next_marker.fetch_add(1, Ordering::Relaxed))
    }

    /// The topic's own name is the marker: the metadata log holds it.
    fn create_topic(&self, connection: &mut Connection, partitions: i32, claims: &mut Vec<Claim>) -> Result<String> {
        let topic = self.marker();
        let correlation_id = connection.next_correlation_id();
        connection.create_topic(&topic, partitions, &[("segment.bytes", SEGMENT_BYTES)])?;
        claims.push(Claim { what: format!("CreateTopics {topic}"), correlation_id, marker: topic.clone() });
        self.broker.create_topic(&topic, partitions, &[])?;
        Ok(topic)
    }

    fn produce(&self, connection: &mut Connection, topic: &str, partition: i32, len: usize) -> Result<Claim> {
        let marker = self.marker();
        let value = format!("{marker}{}", ".".repeat(len));
        let batch = batch::build(ProducerIdentity::NONE, batch::now_ms(), &[value.as_bytes()]);
        connection.append(topic, partition, &batch)?;
        let correlation_id = connection.next_correlation_id() - 1;
        Ok(Claim { what: format!("Produce {topic}-{partition} {marker}"), correlation_id, marker })
    }

    /// Several connections write to many partitions at the same time.
    fn produce_at_once(&self, topic: &str) -> Result<Vec<Claim>> {
        thread::scope(|scope| {
            let mut writers = Vec::new();
            for number in 0..CONNECTIONS {
                writers.push(scope.spawn(move || self.produce_on(topic, number)));
            }
            let mut claims = Vec::new();
            for writer in writers {
                claims.extend(writer.join().expect("a writer does not panic")?);
            }
            Ok(claims)
        })
    }

    fn produce_on(&self, topic: &str, number: u32) -> Result<Vec<Claim>> {
        let mut connection = self.connect(i32::try_from(number)? + 2)?;
        (0..RECORDS_A_CONNECTION)
            .map(|turn| {
                let partition = i32::try_from(turn * CONNECTIONS + number)? % PARTITIONS;
                self.produce(&mut connection, topic, partition, 50)
            })
            .collect()
    }

    /// The group's own name is the marker: the log of committed offsets holds it.
    fn commit(&self, connection: &mut Connection, topic: &str) -> Result<Claim> {
        let group = self.marker();
        connection.find_coordinator(&group)?;
        let correlation_id = connection.commit_offset(&group, topic, 0, 1)?;
        Ok(Claim { what: format!("OffsetCommit {group}"), correlation_id, marker: group })
    }
}
