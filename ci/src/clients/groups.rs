//! A group of two: one member, a second one, the broker killed and started again, the second leaves. Nothing may be
//! lost, what was committed may not come again, and the committed offsets outlive the broker. Seen from outside by
//! requests of the checks' own, so that it holds for every client alike.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;

use super::client::{Client, Member};
use super::record::Seen;
use super::{Suite, java, kcat, python};
use crate::broker::Broker;
use crate::process::Pipe;
use crate::raw::{GroupDescription, ProducerIdentity, batch};

/// Partitions of the topic: they divide evenly by one and by two.
const PARTITIONS: i32 = 6;
/// Records per partition and step.
const STEP_RECORDS: i64 = 20;
/// A session runs out after six seconds, so a stuck group is given a few of those.
const STEP_DEADLINE: Duration = Duration::from_secs(60);
/// How long one look at the members takes at most.
const LOOK: Duration = Duration::from_millis(20);

/// The members' settings that differ from their defaults, in the names that librdkafka and Java share.
pub(super) fn member_properties() -> [String; 4] {
    [
        "auto.offset.reset=earliest".to_owned(),
        "auto.commit.interval.ms=200".to_owned(),
        "session.timeout.ms=6000".to_owned(),
        "heartbeat.interval.ms=500".to_owned(),
    ]
}

/// Runs the groups: one pair in the short run, else every client with itself and some with others.
pub(super) fn run(suite: &mut Suite<'_>) -> Result<()> {
    let mixed =
        [(Client::Confluent, Client::KafkaPython), (Client::Kcat, Client::Java), (Client::Aiokafka, Client::Kcat)];
    let mut pairs: Vec<(Client, Client)> = mixed.to_vec();
    if suite.options.short {
        pairs.truncate(1);
    } else {
        pairs.extend(Client::ALL.map(|client| (client, client)));
    }
    pairs.retain(|(first, second)| suite.clients.contains(first) && suite.clients.contains(second));
    for (first, second) in pairs {
        let name = format!("{} and {}, rebalance, broker killed", first.name(), second.name());
        let broker = &mut suite.broker;
        suite.results.case("groups", &name, || run_pair(broker, first, second));
        // A failed scenario may leave the broker down.
        if suite.broker.pid().is_err() {
            suite.broker.restart().context("restarting the broker after a failed case")?;
        }
    }
    Ok(())
}

fn run_pair(broker: &mut Broker, first: Client, second: Client) -> Result<()> {
    let name = format!("group-{}-{}", first.name(), second.name());
    broker.create_topic(&name, PARTITIONS, &[])?;
    let mut scenario = Scenario {
        broker,
        name,
        members: Vec::new(),
        produced: 0,
        committed: 0,
        seen: vec![BTreeSet::new(); usize::try_from(PARTITIONS)?],
    };
    scenario.produce_step()?;
    scenario.join(first)?;
    scenario.settle("one member has everything")?;
    scenario.join(second)?;
    scenario.await_balance()?;
    scenario.produce_step()?;
    scenario.settle("two members share the partitions")?;
    scenario.broker.kill()?;
    scenario.broker.restart()?;
    scenario.check_committed("after the restart")?;
    scenario.produce_step()?;
    scenario.settle("both go on after the restart")?;
    scenario.leave()?;
    scenario.produce_step()?;
    scenario.settle("the first has everything again")?;
    scenario.leave()?;
    scenario.check_committed("after the last one left")
}

struct Scenario<'a> {
    broker: &'a mut Broker,
    /// Of the topic and the group.
    name: String,
    members: Vec<Member>,
    /// Records written to each partition so far.
    produced: i64,
    /// Every offset below was seen to be committed.
    committed: i64,
    /// Offsets that were delivered, by partition.
    seen: Vec<BTreeSet<i64>>,
}

impl Scenario<'_> {
    fn produce_step(&mut self) -> Result<()> {
        let mut connection = self.broker.connect()?;
        for partition in 0..PARTITIONS {
            let values: Vec<String> =
                (self.produced..self.produced + STEP_RECORDS).map(|offset| format!("{partition}/{offset}")).collect();
            let values: Vec<&[u8]> = values.iter().map(String::as_bytes).collect();
            let batch = batch::build(ProducerIdentity::NONE, batch::now_ms(), &values);
            let base_offset = connection.append(&self.name, partition, &batch)?;
            ensure!(base_offset == self.produced, "offset {base_offset} where {} was next", self.produced);
        }
        self.produced += STEP_RECORDS;
        Ok(())
    }

    fn join(&mut self, client: Client) -> Result<()> {
        let member = client.join(&self.broker.bootstrap(), &self.name, &self.name)?;
        self.members.push(member);
        Ok(())
    }

    /// The member that joined last leaves, as a user would end it.
    fn leave(&mut self) -> Result<()> {
        let mut member = self.members.pop().context("a member to leave")?;
        match member.client {
            Client::Kcat | Client::Java => member.process.signal(Signal::TERM)?,
            Client::Confluent | Client::KafkaPython | Client::Aiokafka => member.process.close_input(),
        }
        let status = member.process.wait(STEP_DEADLINE)?;
        ensure!(status.is_some(), "{} did not end when it was told to", member.client.name());
        while self.look_at(&member, Duration::ZERO)? {}
        Ok(())
    }

    /// Waits until everything produced was delivered and committed, with the partitions shared evenly.
    fn settle(&mut self, step: &str) -> Result<()> {
        self.await_balance().with_context(|| step.to_owned())?;
        self.wait(step, |scenario| {
            let wanted = usize::try_from(scenario.produced)?;
            let missing: Vec<String> = scenario
                .seen
                .iter()
                .enumerate()
                .filter(|(_, seen)| seen.len() < wanted)
                .map(|(partition, seen)| format!("{partition}: {} of {wanted}", seen.len()))
                .collect();
            if !missing.is_empty() {
                return Ok(Err(format!("delivered of partition {}", missing.join(", "))));
            }
            let committed = scenario.committed_offsets()?;
            if committed.iter().any(|offset| *offset != scenario.produced) {
                return Ok(Err(format!("committed {committed:?} of {}", scenario.produced)));
            }
            Ok(Ok(()))
        })?;
        self.committed = self.produced;
        Ok(())
    }

    fn await_balance(&mut self) -> Result<()> {
        self.wait("the group is stable", |scenario| {
            let group = scenario.broker.connect()?.describe_group(&scenario.name)?;
            Ok(is_balanced(&group, scenario.members.len()).map_err(|reason| format!("{reason}: {group:?}")))
        })
    }

    fn check_committed(&mut self, when: &str) -> Result<()> {
        let committed = self.committed_offsets()?;
        ensure!(
            committed.iter().all(|offset| *offset == self.committed),
            "{when} the offsets are {committed:?}, {} was committed",
            self.committed
        );
        Ok(())
    }

    /// The coordinator may still be loading right after a start: that is an error to ask again after.
    fn committed_offsets(&self) -> Result<Vec<i64>> {
        let mut asked = || {
            let answer = self.broker.connect()?.committed_offsets(&self.name, &self.name, PARTITIONS);
            Ok(answer.ok())
        };
        crate::process::poll_until(STEP_DEADLINE, LOOK, &mut asked)?.context("OffsetFetch kept failing")
    }

    /// Reads what the members print until `done`, which says what is still missing otherwise.
    fn wait(&mut self, step: &str, mut done: impl FnMut(&Self) -> Result<Result<(), String>>) -> Result<()> {
        let end = Instant::now() + STEP_DEADLINE;
        loop {
            self.look_at_all()?;
            match done(self)? {
                Ok(()) => return Ok(()),
                Err(missing) if Instant::now() > end => bail!("{step}: {missing}"),
                Err(_) => {}
            }
        }
    }

    fn look_at_all(&mut self) -> Result<()> {
        let mut members = std::mem::take(&mut self.members);
        let looked = members.iter_mut().try_for_each(|member| {
            let mut patience = LOOK;
            while self.look_at(member, patience)? {
                patience = Duration::ZERO;
            }
            ensure!(member.process.is_running()?, "a member of {} ended", member.client.name());
            Ok(())
        });
        self.members = members;
        looked
    }

    /// Takes one line of a member; false when there is none.
    fn look_at(&mut self, member: &Member, patience: Duration) -> Result<bool> {
        let Some((pipe, line)) = member.process.line(patience) else {
            return Ok(false);
        };
        if pipe == Pipe::Output && !line.is_empty() {
            let seen = match member.client {
                Client::Kcat => kcat::parse_member_line(&line)?,
                Client::Java => java::parse_member_line(&line)?,
                Client::Confluent | Client::KafkaPython | Client::Aiokafka => python::parse_member_line(&line)?,
            };
            self.deliver(member.client, &seen)?;
        }
        Ok(true)
    }

    fn deliver(&mut self, client: Client, seen: &Seen) -> Result<()> {
        let (partition, offset) = (seen.partition, seen.offset);
        let expected = format!("{partition}/{offset}").into_bytes();
        ensure!(
            seen.record.value.as_ref() == Some(&expected),
            "{} was given another record at offset {offset} of partition {partition}",
            client.name()
        );
        ensure!(
            offset >= self.committed,
            "{} was given offset {offset} of partition {partition} again, {} was committed",
            client.name(),
            self.committed
        );
        self.seen[usize::try_from(partition)?].insert(offset);
        Ok(())
    }
}

fn is_balanced(group: &GroupDescription, members: usize) -> Result<(), String> {
    if group.error_code != 0 {
        return Err(format!("error {}", group.error_code));
    }
    if group.state != "Stable" {
        return Err("not stable".to_owned());
    }
    if group.assignments.len() != members {
        return Err(format!("{} members where {members} joined", group.assignments.len()));
    }
    let mut partitions: Vec<i32> = group.assignments.concat();
    partitions.sort_unstable();
    if partitions != (0..PARTITIONS).collect::<Vec<i32>>() {
        return Err("not every partition has one owner".to_owned());
    }
    let share = partitions.len() / members;
    if group.assignments.iter().any(|assignment| assignment.len() != share) {
        return Err("not shared evenly".to_owned());
    }
    Ok(())
}
