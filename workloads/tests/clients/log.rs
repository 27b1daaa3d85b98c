//! W1: sends, polls and crashes.

use std::collections::{BTreeMap, BTreeSet};

use barnabas_history::{Call, Content, Evidence, Outcome, Reply, Value, What};
use barnabas_plan::{Action, Lane, OffsetSpec, TopicName};

use crate::scene::{READER, add, client, plan, play, topic};

const TOPIC: TopicName = TopicName(0);

fn send(partition: u32, records: u32) -> Action {
    Action::Send { topic: TOPIC, partition, records, bytes: 300 }
}

/// Values of every send with how it ended.
fn sends(evidence: &Evidence) -> BTreeMap<Value, (u32, Option<Outcome>)> {
    let calls = evidence.calls();
    let send = |view: &barnabas_history::CallView<'_>| match view.call {
        Call::Send { value, partition, .. } => Some((*value, (*partition, view.outcome.cloned()))),
        _ => None,
    };
    calls.iter().filter_map(send).collect()
}

/// What the last reader saw: values of each partition in order of their offsets.
fn read_at_the_end(evidence: &Evidence) -> BTreeMap<u32, Vec<(i64, Value)>> {
    let mut read = BTreeMap::<u32, Vec<(i64, Value)>>::new();
    for view in evidence.calls().into_iter().filter(|view| view.by == READER) {
        let Some(Outcome::Ok(Reply::Polled { logs })) = view.outcome else { continue };
        for (log, records) in logs {
            for record in records {
                let Content::Value(value) = record.content else { panic!("{:?} was read", record.content) };
                read.entry(log.partition).or_default().push((record.offset.0, value));
            }
        }
    }
    read
}

#[test]
fn what_is_sent_is_acknowledged_and_read() {
    let mut plan = plan(Lane::Durable, vec![topic(0, 2)], vec![client(0), client(1)]);
    for round in 0..20_u32 {
        add(&mut plan, 0, u64::from(round) * 50, send(round % 2, 5));
    }
    add(&mut plan, 1, 0, Action::Assign { topic: TOPIC, from_start: true });
    for round in 0..40 {
        add(&mut plan, 1, round * 30, Action::Poll { wait_ms: 100 });
    }
    let evidence = play(plan, &[], |_| {});
    let sends = sends(&evidence);
    assert_eq!(sends.len(), 100);
    let read = read_at_the_end(&evidence);
    let mut acknowledged = BTreeMap::<u32, Vec<(i64, Value)>>::new();
    for (value, (partition, outcome)) in &sends {
        let Some(Outcome::Ok(Reply::Sent { log, offset: Some(offset) })) = outcome else {
            panic!("{value} ended as {outcome:?}")
        };
        assert!(!log.id.is_zero(), "the answer names the incarnation");
        acknowledged.entry(*partition).or_default().push((offset.0, *value));
    }
    assert_eq!(acknowledged, read, "values count up, and so do offsets");
    let polled: BTreeSet<Value> = evidence
        .calls()
        .iter()
        .filter(|view| view.by.client.0 == 1)
        .filter_map(|view| match view.outcome {
            Some(Outcome::Ok(Reply::Polled { logs })) => Some(logs.clone()),
            _ => None,
        })
        .flatten()
        .flat_map(|(_, records)| records)
        .filter_map(|record| record.content.value())
        .collect();
    assert_eq!(polled.len(), 100, "the reader beside the writer sees everything too");
}

#[test]
fn a_crash_leaves_calls_open_and_the_next_life_sends_other_values() {
    let mut plan = plan(Lane::Durable, vec![topic(0, 1)], vec![client(0)]);
    add(&mut plan, 0, 0, send(0, 3));
    add(&mut plan, 0, 1_000, send(0, 7));
    add(&mut plan, 0, 1_000, Action::Crash {});
    add(&mut plan, 0, 1_500, send(0, 2));
    let evidence = play(plan, &[], |_| {});
    let sends = sends(&evidence);
    assert_eq!(sends.len(), 12, "values are unique over lives");
    let open = sends.values().filter(|(_, outcome)| outcome.is_none()).count();
    assert_eq!(open, 7, "what was under way has no end");
    assert!(evidence.steps.iter().any(|step| matches!(step.what, What::Reborn { by } if by.life == 1)));
}

#[test]
fn a_client_that_is_minutes_late_gives_up_what_it_has_not_begun() {
    let mut plan = plan(Lane::Durable, vec![topic(0, 1)], vec![client(0)]);
    plan.safety_ms = 1_000;
    add(&mut plan, 0, 0, send(0, 1));
    for _ in 0..40 {
        // A topic that is not there: each question takes the whole time of its answer.
        add(&mut plan, 0, 500, Action::Offsets { topic: TopicName(7), partition: 0, spec: OffsetSpec::Latest });
    }
    let evidence = play(plan, &[], |_| {});
    let calls = evidence.calls();
    let of_client = calls.iter().filter(|view| view.by.client.0 == 0);
    let asked = of_client.filter(|view| matches!(view.call, Call::Offsets { .. })).count();
    assert!((10..20).contains(&asked), "{asked} questions in a minute and a little");
    assert_eq!(sends(&evidence).values().filter(|(_, outcome)| outcome.is_some()).count(), 1);
}

#[test]
fn a_killed_broker_costs_no_acknowledged_record_and_no_order() {
    let mut plan = plan(Lane::Durable, vec![topic(0, 1)], vec![client(0)]);
    for round in 0..100 {
        add(&mut plan, 0, round * 20, send(0, 3));
    }
    let evidence = play(plan, &[], |scene| {
        for _ in 0..3 {
            scene.wait_ms(400);
            scene.machine.crash();
            scene.wait_ms(150);
            scene.start();
        }
    });
    let sends = sends(&evidence);
    let read = &read_at_the_end(&evidence)[&0];
    let values: Vec<Value> = read.iter().map(|(_, value)| *value).collect();
    let sorted: BTreeSet<Value> = values.iter().copied().collect();
    assert!(values.iter().copied().eq(sorted.iter().copied()), "in the order of sending, none twice: {values:?}");
    let acknowledged = sends.values().filter(|(_, outcome)| matches!(outcome, Some(Outcome::Ok(_)))).count();
    assert_eq!(acknowledged, 300, "the broker came back in time for every retry");
    for (value, (_, outcome)) in &sends {
        let Some(Outcome::Ok(Reply::Sent { offset: Some(offset), .. })) = outcome else { continue };
        assert!(read.contains(&(offset.0, *value)), "{value} is where it was acknowledged to be");
    }
}

#[test]
fn what_nobody_answered_is_unknown_and_what_was_refused_has_failed() {
    let mut impatient = client(0);
    impatient.delivery_timeout_ms = 3_000;
    let mut plan = plan(Lane::Durable, vec![topic(0, 1)], vec![impatient]);
    add(&mut plan, 0, 0, send(0, 1));
    add(&mut plan, 0, 100, send(9, 1));
    add(&mut plan, 0, 200, Action::Send { topic: TOPIC, partition: 0, records: 1, bytes: 20_000 });
    // An idempotent producer needs another id by now, and has it before the broker is cut off.
    add(&mut plan, 0, 300, send(0, 1));
    add(&mut plan, 0, 1_000, send(0, 2));
    let evidence = play(plan, &[("message.max.bytes", "10000")], |scene| {
        scene.wait_ms(999);
        let open = |scene: &crate::scene::Scene| {
            sends(&scene.evidence.borrow()).values().filter(|(_, outcome)| outcome.is_none()).count()
        };
        while open(scene) == 0 {
            scene.wait_ms(1);
        }
        scene.machine.crash();
        scene.wait_ms(10_000);
        scene.start();
    });
    let outcomes: Vec<Option<Outcome>> = sends(&evidence).into_values().map(|(_, outcome)| outcome).collect();
    let [first, nowhere, large, second, cut_off @ ..] = &outcomes[..] else { panic!("{outcomes:?}") };
    for acknowledged in [first, second] {
        assert!(matches!(acknowledged, Some(Outcome::Ok(_))), "{acknowledged:?}");
    }
    let is_refused = |outcome: &Option<Outcome>, code: &str| matches!(outcome, Some(Outcome::Failed(reason)) if reason.starts_with(code));
    assert!(is_refused(nowhere, "UNKNOWN_TOPIC_OR_PARTITION"), "{nowhere:?}");
    assert!(is_refused(large, "MESSAGE_TOO_LARGE"), "{large:?}");
    assert_eq!(cut_off.len(), 2);
    assert!(cut_off.iter().all(|outcome| matches!(outcome, Some(Outcome::Unknown(_)))), "{cut_off:?}");
}

#[test]
fn a_minute_of_five_clients_is_carried_out_to_the_last_operation() {
    let clients: Vec<_> = (0..5).map(client).collect();
    let mut plan = plan(Lane::Durable, vec![topic(0, 3)], clients);
    for number in 0..5 {
        add(&mut plan, number, 0, Action::Assign { topic: TOPIC, from_start: true });
        for round in 0..400_u32 {
            let action = if round % 4 == 3 { Action::Poll { wait_ms: 50 } } else { send(round % 3, 1) };
            add(&mut plan, number, u64::from(round) * 150, action);
        }
    }
    let evidence = play(plan, &[], |_| {});
    assert_eq!(evidence.acknowledged(), 5 * 300);
    let read = read_at_the_end(&evidence);
    assert_eq!(read.values().map(Vec::len).sum::<usize>(), 5 * 300);
}
