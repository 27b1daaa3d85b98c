//! [`read_everything`]: every record of every partition, every committed offset, the ends of every log.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use barnabas_base::{Monotonic, Offset};
use barnabas_client::{Address, Destination};
use barnabas_history::{Call, ClientLife, LogName, Outcome};
use barnabas_plan::{Action, GroupName, Lane, OffsetSpec, PlannedClient, TopicName};
use barnabas_runtime::Env;
use barnabas_wire::ResponseBody;
use barnabas_wire::message::{ListGroupsRequest, MetadataRequest};

use crate::Recorder;
use crate::client::Script;
use crate::reading::Damage;
use crate::session::{Purpose, Session};

/// How long anything may take without getting on, in milliseconds.
const STUCK_MS: i64 = 60_000;
/// How long committed offsets that nobody tells are asked for where only detection is promised, in milliseconds.
const UNTOLD_MS: i64 = 5_000;
/// How long an offset of which nothing comes is asked for before it is passed over, in milliseconds: longer than the
/// largest fetch takes on the slowest link, lest it be thrown away and asked for again for ever.
const SILENT_MS: i64 = 20_000;
/// Longest wait of one poll.
const POLL_MS: u64 = 1_000;
/// Places at which each log is looked at.
const LOOKS: i64 = 5;
/// The pause before a question is asked again.
const PAUSE_MS: i64 = 200;

/// Reads every partition of every topic that exists from its start to its end, then the ends themselves and the committed
/// offsets of every group that the plan names or the cluster lists. Records all of it as calls of `by`. `fetch_bytes`
/// bounds each fetch.
///
/// Where only detection is promised, an offset that cannot be read is passed over, and the poll that met it fails; so are
/// the committed offsets of a group that nobody tells.
///
/// # Errors
/// What did not come to an end.
pub async fn read_everything(
    env: Env,
    bootstrap: Vec<Address>,
    fetch_bytes: u32,
    lane: Lane,
    by: ClientLife,
    recorder: Recorder,
) -> Result<(), String> {
    let groups = planned_groups(&recorder);
    let client = PlannedClient {
        name: by.client,
        acks: -1,
        idempotent: false,
        in_flight: 1,
        compression: "none".to_owned(),
        delivery_timeout_ms: 30_000,
        session_timeout_ms: 10_000,
        fetch_bytes,
    };
    let script = Script { client, bootstrap, operations: Rc::from([]), lane, safety_ms: 0 };
    let mut session = Session::new(env, Rc::new(script), by.life, recorder);
    session.reader.bound_fetches();
    let topics = session.all_topics().await?;
    for topic in topics.keys() {
        session.read_topic(*topic).await?;
    }
    for (topic, partitions) in &topics {
        for partition in 0..*partitions {
            session.look_around(*topic, partition).await?;
            for spec in [OffsetSpec::Earliest, OffsetSpec::Latest] {
                let deadline = session.env.now().after_ms(STUCK_MS);
                while !session.offsets(*topic, partition, spec).await {
                    session.pause(deadline, || format!("{spec} offset of {topic}-{partition}")).await?;
                }
            }
        }
    }
    for group in groups.union(&session.listed_groups().await?) {
        for topic in topics.keys() {
            session.read_committed(*group, *topic).await?;
        }
    }
    Ok(())
}

fn planned_groups(recorder: &Recorder) -> BTreeSet<GroupName> {
    let group = |action: &Action| match action {
        Action::Join { group, .. } | Action::Committed { group, .. } => Some(*group),
        _ => None,
    };
    recorder.of_plan(|plan| plan.operations.iter().filter_map(|operation| group(&operation.action)).collect())
}

impl Session {
    /// Waits before something is tried again.
    async fn pause(&mut self, deadline: Monotonic, what: impl Fn() -> String) -> Result<(), String> {
        let now = self.env.now();
        if now >= deadline {
            return Err(format!("{} not told within {} s", what(), STUCK_MS / 1_000));
        }
        let until = now.after_ms(PAUSE_MS);
        while self.env.now() < until {
            self.turn(until).await;
        }
        Ok(())
    }

    /// Every topic of a plan with its partitions.
    async fn all_topics(&mut self) -> Result<BTreeMap<TopicName, u32>, String> {
        let deadline = self.env.now().after_ms(STUCK_MS);
        loop {
            let request = MetadataRequest { topics: None, ..Default::default() };
            let answer = self.ask(Destination::Any, request).await;
            if let Ok((_, ResponseBody::Metadata(response))) = &answer {
                let topics = response.topics.iter().filter_map(|topic| {
                    let name: TopicName = topic.name.as_deref()?.parse().ok()?;
                    Some((name, u32::try_from(topic.partitions.len()).expect("a topic has few partitions")))
                });
                return Ok(topics.collect());
            }
            self.pause(deadline, || "the topics are".to_owned()).await?;
        }
    }

    /// Looks at a few places of a log that was read: what is there is known.
    async fn look_around(&mut self, topic: TopicName, partition: u32) -> Result<(), String> {
        if self.script.lane.promises().detection_only {
            return Ok(());
        }
        let end = self.known(topic, partition).end;
        for place in 1..=LOOKS {
            let from = Offset(end.0 * place / (LOOKS + 1));
            let deadline = self.env.now().after_ms(STUCK_MS);
            while !self.look(topic, partition, from).await {
                self.pause(deadline, || format!("what stands at {from} of {topic}-{partition}")).await?;
            }
        }
        Ok(())
    }

    async fn listed_groups(&mut self) -> Result<BTreeSet<GroupName>, String> {
        let brokers: Vec<_> = self.client(Purpose::Work).cluster().brokers().map(|broker| broker.id).collect();
        let mut groups = BTreeSet::new();
        for broker in brokers {
            let deadline = self.env.now().after_ms(STUCK_MS);
            loop {
                let answer = self.ask(Destination::Broker(broker), ListGroupsRequest::default()).await;
                if let Ok((_, ResponseBody::ListGroups(response))) = &answer
                    && response.error_code == 0
                {
                    groups.extend(response.groups.iter().filter_map(|group| group.group_id.parse::<GroupName>().ok()));
                    break;
                }
                self.pause(deadline, || format!("the groups of broker {broker} are")).await?;
            }
        }
        Ok(groups)
    }

    /// Asks for the committed offsets of a group until they are told.
    async fn read_committed(&mut self, group: GroupName, topic: TopicName) -> Result<(), String> {
        let is_forgiving = self.script.lane.promises().detection_only;
        let deadline = self.env.now().after_ms(if is_forgiving { UNTOLD_MS } else { STUCK_MS });
        while !self.committed(group, topic).await {
            let paused = self.pause(deadline, || format!("committed offsets of {group} in {topic}")).await;
            match paused {
                Err(_) if is_forgiving => break,
                other => other?,
            }
        }
        Ok(())
    }

    /// Reads one topic from its start to its end.
    async fn read_topic(&mut self, topic: TopicName) -> Result<(), String> {
        let deadline = self.env.now().after_ms(STUCK_MS);
        while !self.know(Purpose::Read, topic).await {
            self.pause(deadline, || format!("metadata of {topic}")).await?;
        }
        self.assign(topic, true).await;
        let is_forgiving = self.script.lane.promises().detection_only;
        let mut positions: BTreeMap<LogName, Offset> = BTreeMap::new();
        let mut moved_at = self.env.now();
        while !self.reader.consumer.is_at_end() || self.reader.is_damaged() {
            let came = self.poll(POLL_MS).await;
            let before = positions.clone();
            positions.extend(self.reader.positions());
            let now = self.env.now();
            if came || positions != before {
                moved_at = now;
            }
            if came {
                // Records that came before damage may still wait to be taken; it is met again behind them.
                continue;
            }
            let is_stuck = now >= moved_at.after_ms(if is_forgiving { SILENT_MS } else { STUCK_MS });
            let mut damage: Vec<Damage> = std::iter::from_fn(|| self.reader.take_damage()).collect();
            if is_stuck && damage.is_empty() {
                let silent = self.reader.first_unfinished();
                let silence = |log| Damage { log, at: None, reason: "nothing comes".to_owned() };
                damage.extend(silent.map(silence));
            }
            if !is_forgiving && let Some(Damage { reason, .. }) = damage.first() {
                return Err(format!("reading {topic} does not end: {reason}, at {}", show(&positions)));
            }
            for damage in damage {
                self.pass_over(damage, &mut positions);
                moved_at = now;
            }
        }
        Ok(())
    }

    /// Goes on behind an offset that cannot be read, and says so.
    fn pass_over(&mut self, damage: Damage, positions: &mut BTreeMap<LogName, Offset>) {
        let Damage { log, at, reason } = damage;
        let at = at.or_else(|| positions.get(&log).copied()).unwrap_or(Offset(0));
        let call = self.call(Call::Poll { group: None });
        self.recorder.end(call, Outcome::Failed(format!("{log:?} at {at}: {reason}")));
        positions.insert(log, at.plus(1));
        self.reader.go_on_at(log, at.plus(1));
    }
}

fn show(positions: &BTreeMap<LogName, Offset>) -> String {
    let one = |(log, offset): (&LogName, &Offset)| format!("{}-{}@{offset}", log.topic, log.partition);
    positions.iter().map(one).collect::<Vec<_>>().join(" ")
}
