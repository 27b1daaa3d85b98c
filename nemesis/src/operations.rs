//! Operations of a run: what each client does, drawn from the alphabets of the workloads that are switched on.

use barnabas_plan::{
    Action, ClientName, GroupName, Lane, OffsetSpec, Operation, Plan, PlannedTopic, RawTrick, TopicName, Workload,
    WrongRequest,
};

use crate::dice::Dice;
use crate::draw::Swarm;

/// Mean time between two operations of all clients together.
const GAP_MS: u64 = 28;
/// Operations end this long before the safety phase does.
const TAIL_MS: u64 = 2_000;
/// Keys of a compacted topic.
const KEYS: u32 = 24;
/// Groups of a run.
const GROUPS: u32 = 2;
/// Topics that administration plays with, beside those that exist from the start.
const ADMIN_TOPICS: u16 = 3;

pub(crate) fn draw(dice: &mut Dice, swarm: &Swarm, plan: &mut Plan) {
    let clients: Vec<ClientName> = plan.clients.iter().map(|client| client.name).collect();
    let mut at_ms = 0;
    let mut id = 0;
    // The pace changes along the run: bursts and lulls find other bugs than an even stream.
    let mut pace = 1;
    let mut members = vec![false; clients.len()];
    loop {
        if dice.chance(1, 200) {
            pace = *dice.pick(&[1, 1, 2, 4]);
        }
        at_ms += dice.below(GAP_MS * 2 * pace) + 1;
        if at_ms + TAIL_MS >= plan.safety_ms {
            break;
        }
        let who = usize::try_from(dice.below(clients.len() as u64)).expect("a position");
        let workload = *dice.pick(&swarm.workloads);
        let action = draw_action(dice, plan, workload, &mut members[who]);
        if matches!(action, Action::Crash {}) {
            members[who] = false;
        }
        plan.operations.push(Operation { id, client: clients[who], at_ms, action });
        id += 1;
    }
}

fn draw_action(dice: &mut Dice, plan: &Plan, workload: Workload, is_member: &mut bool) -> Action {
    // Clients die in every lane (F30).
    if dice.chance(1, 400) {
        return Action::Crash {};
    }
    match workload {
        Workload::Log => draw_log(dice, plan),
        Workload::Group => draw_group(dice, plan, is_member),
        Workload::Compacted => draw_compacted(dice, plan),
        Workload::Admin => draw_admin(dice, plan),
        Workload::Queries => draw_query(dice, plan),
        Workload::Retention => draw_retention(dice, plan),
        Workload::Raw => draw_raw(dice, plan),
    }
}

fn topic_of<'a>(dice: &mut Dice, plan: &'a Plan, compacted: bool) -> Option<&'a PlannedTopic> {
    let fitting: Vec<&PlannedTopic> = plan.topics.iter().filter(|topic| topic.is_compacted() == compacted).collect();
    if fitting.is_empty() { None } else { Some(*dice.pick(&fitting)) }
}

/// A topic for plain records, and one of its partitions.
fn place(dice: &mut Dice, plan: &Plan) -> (TopicName, u32) {
    match topic_of(dice, plan, false).or(plan.topics.first()) {
        Some(topic) => (topic.name, dice.small(topic.partitions)),
        None => (TopicName(0), 0),
    }
}

fn draw_send(dice: &mut Dice, plan: &Plan) -> Action {
    let Some(topic) = topic_of(dice, plan, false) else { return draw_compacted(dice, plan) };
    let records = 1 + dice.small(4);
    let bytes = u32::try_from(dice.magnitude(40, 4_000)).expect("small");
    Action::Send { topic: topic.name, partition: dice.small(topic.partitions), records, bytes }
}

fn draw_log(dice: &mut Dice, plan: &Plan) -> Action {
    match dice.below(16) {
        0 => {
            let (topic, _) = place(dice, plan);
            Action::Assign { topic, from_start: dice.chance(1, 2) }
        }
        1..=3 => Action::Poll { wait_ms: *dice.pick(&[0, 50, 500]) },
        _ => draw_send(dice, plan),
    }
}

fn draw_group(dice: &mut Dice, plan: &Plan, is_member: &mut bool) -> Action {
    if !*is_member {
        *is_member = true;
        let (topic, _) = place(dice, plan);
        let group = GroupName(u16::try_from(dice.small(GROUPS)).expect("few groups"));
        let instance = if dice.chance(1, 3) { 1 + dice.small(3) } else { 0 };
        return Action::Join { group, topic, instance };
    }
    match dice.below(32) {
        0 => {
            *is_member = false;
            Action::Leave {}
        }
        1..=9 => Action::Poll { wait_ms: *dice.pick(&[0, 50, 500]) },
        // Where clocks jump, what was committed is asked for more often than it is committed anew.
        10..=12 => Action::Commit {},
        13..=15 if plan.lane != Lane::Clock => Action::Commit {},
        13..=18 => {
            let (topic, _) = place(dice, plan);
            Action::Committed { group: GroupName(u16::try_from(dice.small(GROUPS)).expect("few groups")), topic }
        }
        _ => draw_send(dice, plan),
    }
}

fn draw_compacted(dice: &mut Dice, plan: &Plan) -> Action {
    let Some(topic) = topic_of(dice, plan, true) else { return draw_send(dice, plan) };
    let (topic, partition) = (topic.name, dice.small(topic.partitions));
    let key = dice.small(KEYS);
    match dice.below(8) {
        0 => Action::Delete { topic, partition, key },
        1 => Action::Poll { wait_ms: 50 },
        _ => Action::Put { topic, partition, key, bytes: u32::try_from(dice.magnitude(40, 1_000)).expect("small") },
    }
}

fn draw_admin(dice: &mut Dice, plan: &Plan) -> Action {
    let first = u16::try_from(plan.topics.len()).expect("few topics");
    // Deployments make again at once what they drop: the old one is still going while the new one comes.
    if let Some(Action::Drop { topic }) = plan.operations.last().map(|last| &last.action)
        && dice.chance(1, 2)
    {
        return Action::Create { topic: *topic, partitions: 1 + dice.small(4) };
    }
    let topic = TopicName(first + u16::try_from(dice.small(u32::from(ADMIN_TOPICS))).expect("few topics"));
    match dice.below(16) {
        0 | 1 => Action::Create { topic, partitions: 1 + dice.small(4) },
        2 => Action::Drop { topic },
        3 => Action::Grow { topic, partitions: 2 + dice.small(6) },
        4 => {
            let (key, value) = *dice.pick(&[
                ("retention.ms", "3600000"),
                ("max.message.bytes", "100000"),
                ("internal.segment.bytes", "5000"),
                ("min.insync.replicas", "1"),
                ("message.timestamp.type", "LogAppendTime"),
            ]);
            Action::Configure { topic, key: key.to_owned(), value: value.to_owned() }
        }
        5 => Action::Assign { topic, from_start: true },
        6 => Action::Poll { wait_ms: 50 },
        _ => Action::Send { topic, partition: dice.small(3), records: 1 + dice.small(3), bytes: 100 },
    }
}

fn draw_query(dice: &mut Dice, plan: &Plan) -> Action {
    let (topic, partition) = place(dice, plan);
    match dice.below(3) {
        0 => draw_send(dice, plan),
        1 => Action::Poll { wait_ms: 50 },
        _ => Action::Offsets { topic, partition, spec: *dice.pick(OffsetSpec::ALL) },
    }
}

fn draw_retention(dice: &mut Dice, plan: &Plan) -> Action {
    let (topic, partition) = place(dice, plan);
    match dice.below(24) {
        0 => Action::Trim { topic, partition, percent: *dice.pick(&[10, 50, 90, 100]) },
        1 => Action::Offsets { topic, partition, spec: OffsetSpec::Earliest },
        2 => {
            let bytes = dice.magnitude(4_000, 100_000);
            // What only time limits stays so: that is where age alone decides what may go.
            if is_limited_by_time(plan, topic) {
                return draw_send(dice, plan);
            }
            Action::Configure { topic, key: "retention.bytes".to_owned(), value: bytes.to_string() }
        }
        3 | 4 => Action::Poll { wait_ms: 50 },
        _ => draw_send(dice, plan),
    }
}

fn is_limited_by_time(plan: &Plan, topic: TopicName) -> bool {
    let configs = plan.topics.iter().find(|planned| planned.name == topic).map(|planned| &planned.configs);
    configs.is_some_and(|configs| configs.contains_key("retention.ms") && !configs.contains_key("retention.bytes"))
}

fn draw_raw(dice: &mut Dice, plan: &Plan) -> Action {
    let (topic, partition) = place(dice, plan);
    if plan.lane == Lane::Raw && dice.chance(1, 6) {
        if dice.chance(1, 3) {
            return Action::Wrong { request: *dice.pick(WrongRequest::ALL), topic, partition };
        }
        return Action::Raw { trick: *dice.pick(RawTrick::ALL), topic, partition };
    }
    draw_log(dice, plan)
}
