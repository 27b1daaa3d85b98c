//! Millions of committed offsets into one partition of `__consumer_offsets`: the folder stays small, and after SIGKILL
//! OffsetFetch soon answers what was acknowledged last. Driven by `cargo ci scale`.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::{cost_of_start, megabytes};
use crate::broker::Broker;
use crate::process;
use crate::raw::Connection;

const TOPIC: &str = "committed";
/// Offsets in one request.
const PARTITIONS: i32 = 1_000;
/// `offsets.topic.num.partitions` as shipped.
const OFFSETS_PARTITIONS: i32 = 50;
/// One connection each.
const COMMITTERS: usize = 4;
/// Commit in turn on one connection.
const GROUPS_PER_COMMITTER: usize = 8;
/// Requests on their way on one connection.
const IN_FLIGHT_MAX: usize = 4;
/// Committed on top while the broker is killed.
const BURST: u64 = 200_000;

const FOLDER_BYTES_MAX: u64 = 300_000_000;
/// The cleaner rests for 15 s and replaced segments stay for 60 s, as shipped.
const SETTLE_DEADLINE: Duration = Duration::from_secs(180);
const SETTLE_INTERVAL: Duration = Duration::from_millis(500);
/// From the start of the process until every group has its right answer.
const ANSWER_GOAL: Duration = Duration::from_secs(2);
const ANSWER_DEADLINE: Duration = Duration::from_secs(120);
const ANSWER_INTERVAL: Duration = Duration::from_millis(2);

/// A simple consumer's group that commits the same number for every partition of the topic.
struct Group {
    name: String,
    /// The last number it sent, 0 before the first.
    sent: i64,
    /// The last number that was acknowledged for every partition.
    acknowledged: i64,
}

/// The groups of one connection.
struct Committer {
    groups: Vec<Group>,
    turn: usize,
}

/// Commits, waits until the folder is small, kills in the midst of more, and asks.
pub(super) fn play(broker: &mut Broker, commits: u64) -> Result<()> {
    broker.create_topic(TOPIC, PARTITIONS, &[])?;
    let mut committers = committers();
    let mut connection = broker.connect()?;
    for group in groups(&committers) {
        connection.find_coordinator(&group.name)?;
        connection.commit_offset(&group.name, TOPIC, 0, 0)?;
    }
    let began = Instant::now();
    commit_all(broker, &mut committers, commits)?;
    let took = began.elapsed();
    println!(
        "{commits} offsets of {} groups acknowledged in {:.1} s, {:.0} a second",
        groups(&committers).count(),
        took.as_secs_f64(),
        commits as f64 / took.as_secs_f64()
    );
    await_small_folder(&broker.data())?;
    commit_until_killed(broker, &mut committers)?;
    await_answers(broker, &committers)?;
    await_small_folder(&broker.data())
}

/// All groups hash to one partition: a folder with all of the commits is the worst there can be.
fn committers() -> Vec<Committer> {
    let names = (0..).map(|number: u32| format!("scale-{number}"));
    let mut groups =
        names.filter(|name| offsets_partition(name) == 0).map(|name| Group { name, sent: 0, acknowledged: 0 });
    (0..COMMITTERS)
        .map(|_| Committer { groups: groups.by_ref().take(GROUPS_PER_COMMITTER).collect(), turn: 0 })
        .collect()
}

/// Java's hash of the name, as every coordinator is found.
fn offsets_partition(group: &str) -> i32 {
    let hash = group.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    hash.checked_abs().unwrap_or(0) % OFFSETS_PARTITIONS
}

fn groups(committers: &[Committer]) -> impl Iterator<Item = &Group> {
    committers.iter().flat_map(|committer| &committer.groups)
}

fn commit_all(broker: &Broker, committers: &mut [Committer], commits: u64) -> Result<()> {
    let (port, left) = (broker.port(), AtomicU64::new(commits));
    thread::scope(|scope| {
        let mut working = Vec::new();
        for committer in committers {
            let left = &left;
            working.push(scope.spawn(move || committer.commit(port, left)));
        }
        for committer in working {
            committer.join().expect("a committer does not panic")?;
        }
        Ok(())
    })
}

fn commit_until_killed(broker: &mut Broker, committers: &mut [Committer]) -> Result<()> {
    let (port, left) = (broker.port(), AtomicU64::new(u64::MAX));
    thread::scope(|scope| {
        for committer in committers {
            let left = &left;
            // The connection breaks by design; what else can go wrong shows in the answers.
            scope.spawn(move || committer.commit(port, left));
        }
        let sent = process::poll_until(ANSWER_DEADLINE, ANSWER_INTERVAL, || {
            Ok((u64::MAX - left.load(Ordering::Relaxed) >= BURST).then_some(()))
        })?;
        broker.kill()?;
        sent.context("the broker takes no more commits")
    })
}

impl Committer {
    /// Commits until none are `left` to be sent and everything is answered.
    fn commit(&mut self, port: u16, left: &AtomicU64) -> Result<()> {
        let mut connection = Connection::open(port)?;
        let mut in_flight = VecDeque::new();
        loop {
            while in_flight.len() < IN_FLIGHT_MAX && take(left, PARTITIONS.unsigned_abs().into()) {
                let turn = self.turn;
                self.turn = (turn + 1) % self.groups.len();
                let group = &mut self.groups[turn];
                group.sent += 1;
                connection.send_commits(&group.name, TOPIC, PARTITIONS, group.sent)?;
                in_flight.push_back((turn, group.sent));
            }
            let Some((turn, number)) = in_flight.pop_front() else {
                return Ok(());
            };
            connection.receive_commits(PARTITIONS)?;
            self.groups[turn].acknowledged = number;
        }
    }
}

/// Takes `wanted` of what is left, or what there is; whether there was any.
fn take(left: &AtomicU64, wanted: u64) -> bool {
    let taken =
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| (left > 0).then(|| left.saturating_sub(wanted)));
    taken.is_ok()
}

fn await_small_folder(data: &Path) -> Result<()> {
    let began = Instant::now();
    let mut largest = 0;
    let mut last = 0;
    let small = process::poll_until(SETTLE_DEADLINE, SETTLE_INTERVAL, || {
        last = offsets_bytes(data)?;
        largest = largest.max(last);
        Ok((last < FOLDER_BYTES_MAX).then_some(()))
    })?;
    let (last, largest) = (megabytes(last), megabytes(largest));
    small.with_context(|| format!("__consumer_offsets holds {last:.0} MB after {SETTLE_DEADLINE:?} of rest"))?;
    println!(
        "__consumer_offsets holds {last:.0} MB after {:.1} s of rest, {largest:.0} MB before",
        began.elapsed().as_secs_f64()
    );
    Ok(())
}

/// What all folders of the topic take, files that wait for their deletion included.
fn offsets_bytes(data: &Path) -> Result<u64> {
    let mut bytes = 0;
    for folder in std::fs::read_dir(data)? {
        let folder = folder?;
        if !folder.file_name().to_string_lossy().starts_with("__consumer_offsets-") {
            continue;
        }
        for file in std::fs::read_dir(folder.path())? {
            // The cleaner may rename or delete it in between. Preallocated indexes count by what they take.
            if let Ok(metadata) = file?.metadata() {
                bytes += allocated_bytes(&metadata);
            }
        }
    }
    Ok(bytes)
}

fn allocated_bytes(metadata: &std::fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    metadata.blocks() * 512
}

/// Starts the broker and asks for the offsets of every group until all are there and right.
fn await_answers(broker: &mut Broker, committers: &[Committer]) -> Result<()> {
    let began = Instant::now();
    broker.restart().context("the start after SIGKILL")?;
    let mut connection = broker.connect()?;
    let mut first = None;
    for group in groups(committers) {
        let offsets = process::poll_until(ANSWER_DEADLINE, ANSWER_INTERVAL, || {
            connection.loaded_offsets(&group.name, TOPIC, PARTITIONS)
        })?;
        let offsets = offsets.with_context(|| format!("no answer within {ANSWER_DEADLINE:?}"))?;
        first.get_or_insert_with(|| began.elapsed());
        for (partition, offset) in offsets.into_iter().enumerate() {
            let (low, high) = (group.acknowledged, group.sent);
            ensure!(
                (low..=high).contains(&offset),
                "LOST: {} has offset {offset} for partition {partition}, {low} was acknowledged and {high} sent last",
                group.name
            );
        }
    }
    let (all, first) = (began.elapsed(), first.context("there are groups")?);
    println!(
        "killed: ready after {:.2} s, the first group's offsets after {:.2} s, all after {:.2} s, {}",
        broker.ready_in().as_secs_f64(),
        first.as_secs_f64(),
        all.as_secs_f64(),
        cost_of_start(broker)?
    );
    ensure!(all <= ANSWER_GOAL, "OffsetFetch took {all:?} from the start, the goal is {ANSWER_GOAL:?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_hash_as_in_java() {
        // Its hash is the smallest integer, which has no absolute value.
        assert_eq!(offsets_partition("polygenelubricants"), 0);
        assert_eq!(offsets_partition("a"), 97 % 50);
        assert_eq!(offsets_partition("ab"), (97 * 31 + 98) % 50);
    }

    #[test]
    fn committers_share_what_is_left() {
        let left = AtomicU64::new(1_500);
        assert!(take(&left, 1_000));
        assert!(take(&left, 1_000), "the last request rounds up");
        assert!(!take(&left, 1_000));
    }
}
