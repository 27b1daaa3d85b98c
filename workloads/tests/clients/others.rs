//! Groups, compacted topics, administration, questions, raw tricks: every kind of operation at work at least once.

use barnabas_history::{Call, CallView, Content, Evidence, Membership, Outcome, Reply, What};
use barnabas_plan::{Action, GroupName, Lane, OffsetSpec, RawTrick, TopicName};

use crate::scene::{READER, add, client, plan, play, topic};

const TOPIC: TopicName = TopicName(0);
const GROUP: GroupName = GroupName(0);

fn send(partition: u32, records: u32) -> Action {
    Action::Send { topic: TOPIC, partition, records, bytes: 100 }
}

/// How the calls ended that `is_it` picks.
fn ends(evidence: &Evidence, is_it: impl Fn(&CallView<'_>) -> bool) -> Vec<Option<Outcome>> {
    let calls = evidence.calls();
    calls.iter().filter(|view| is_it(view)).map(|view| view.outcome.cloned()).collect()
}

#[test]
fn members_share_a_topic_and_what_they_commit_is_there() {
    let mut plan = plan(Lane::Groups, vec![topic(0, 4)], vec![client(0), client(1), client(2)]);
    for partition in 0..4 {
        add(&mut plan, 0, 0, send(partition, 5));
    }
    for (member, instance) in [(1, 0), (2, 7)] {
        add(&mut plan, member, 500, Action::Join { group: GROUP, topic: TOPIC, instance });
        for round in 0..10 {
            add(&mut plan, member, 10_000 + round * 100, Action::Poll { wait_ms: 200 });
        }
        add(&mut plan, member, 15_000, Action::Commit {});
        add(&mut plan, member, 18_000, Action::Leave {});
    }
    let evidence = play(plan, &[], |_| {});
    for outcome in
        ends(&evidence, |view| matches!(view.call, Call::Join { .. } | Call::Commit { .. } | Call::Leave { .. }))
    {
        assert_eq!(outcome, Some(Outcome::Ok(Reply::Done)));
    }
    let polled = ends(&evidence, |view| matches!(view.call, Call::Poll { group: Some(GROUP) }));
    let records = |outcome: &Option<Outcome>| match outcome {
        Some(Outcome::Ok(Reply::Polled { logs })) => logs.iter().map(|(_, records)| records.len()).sum(),
        _ => 0,
    };
    assert_eq!(polled.iter().map(records).sum::<usize>(), 20, "every record goes to one member");
    let shares: Vec<usize> = evidence
        .steps
        .iter()
        .filter_map(|step| match &step.what {
            What::Member { change: Membership::Assigned { logs, member, .. }, .. } => {
                assert!(!member.is_empty());
                Some(logs.len())
            }
            _ => None,
        })
        .collect();
    assert!(shares.ends_with(&[2, 2]), "{shares:?}");
    let read = ends(&evidence, |view| view.by == READER && matches!(view.call, Call::Committed { .. }));
    let [Some(Outcome::Ok(Reply::Committed { offsets }))] = &read[..] else { panic!("{read:?}") };
    assert_eq!(offsets.iter().map(|(_, offset)| offset.0).collect::<Vec<_>>(), [5, 5, 5, 5]);
}

#[test]
fn keys_and_tombstones_read_back() {
    let mut plan = plan(Lane::Compacted, vec![topic(0, 1)], vec![client(0)]);
    add(&mut plan, 0, 0, Action::Put { topic: TOPIC, partition: 0, key: 3, bytes: 50 });
    add(&mut plan, 0, 10, Action::Delete { topic: TOPIC, partition: 0, key: 3 });
    let evidence = play(plan, &[], |_| {});
    let polls = ends(&evidence, |view| view.by == READER && matches!(view.call, Call::Poll { .. }));
    let seen: Vec<_> = polls
        .iter()
        .filter_map(|outcome| match outcome {
            Some(Outcome::Ok(Reply::Polled { logs })) => Some(logs),
            _ => None,
        })
        .flatten()
        .flat_map(|(_, records)| records)
        .collect();
    assert_eq!(seen.iter().map(|record| record.key).collect::<Vec<_>>(), [Some(3), Some(3)]);
    assert!(matches!((seen[0].content, seen[1].content), (Content::Value(_), Content::Tombstone(_))), "{seen:?}");
}

#[test]
fn topics_come_go_and_are_asked_about() {
    let mut plan = plan(Lane::Admin, vec![topic(0, 1)], vec![client(0)]);
    let other = TopicName(1);
    let key = "segment.bytes".to_owned();
    let actions = [
        Action::Create { topic: other, partitions: 1 },
        Action::Create { topic: other, partitions: 1 },
        Action::Grow { topic: other, partitions: 2 },
        Action::Configure { topic: other, key, value: "1048576".to_owned() },
        Action::Drop { topic: other },
        Action::Create { topic: other, partitions: 3 },
        send(0, 10),
    ];
    for (at, action) in (0..).zip(actions) {
        add(&mut plan, 0, at * 1_000, action);
    }
    for (at, spec) in
        (0..).zip([OffsetSpec::Earliest, OffsetSpec::Latest, OffsetSpec::MaxTimestamp, OffsetSpec::Timestamp])
    {
        add(&mut plan, 0, 10_000 + at * 100, Action::Offsets { topic: TOPIC, partition: 0, spec });
    }
    add(&mut plan, 0, 12_000, Action::Trim { topic: TOPIC, partition: 0, percent: 50 });
    add(&mut plan, 0, 13_000, Action::Offsets { topic: TOPIC, partition: 0, spec: OffsetSpec::Earliest });
    let evidence = play(plan, &[], |_| {});
    let creates = ends(&evidence, |view| matches!(view.call, Call::Create { .. }));
    let [
        Some(Outcome::Ok(Reply::Created { id: first })),
        Some(Outcome::Failed(again)),
        Some(Outcome::Ok(Reply::Created { id: second })),
    ] = &creates[..]
    else {
        panic!("{creates:?}")
    };
    assert!(first != second && !first.is_zero() && again == "TOPIC_ALREADY_EXISTS");
    let changes =
        ends(&evidence, |view| matches!(view.call, Call::Grow { .. } | Call::Configure { .. } | Call::Drop { .. }));
    assert_eq!(changes, vec![Some(Outcome::Ok(Reply::Done)); 3]);
    let trims = ends(&evidence, |view| matches!(view.call, Call::Trim { .. }));
    assert!(
        matches!(&trims[..], [Some(Outcome::Ok(Reply::Trimmed { low_watermark, .. }))] if low_watermark.0 == 5),
        "{trims:?}"
    );
    let offsets: Vec<i64> = ends(&evidence, |view| view.by != READER && matches!(view.call, Call::Offsets { .. }))
        .iter()
        .map(|outcome| match outcome {
            Some(Outcome::Ok(Reply::Offset { offset, log, .. })) if !log.id.is_zero() => offset.0,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!((offsets[0], offsets[1], offsets[4]), (0, 10, 5));
}

#[test]
fn every_raw_trick_ends_well_on_a_broker_that_behaves() {
    let mut plan = plan(Lane::Raw, vec![topic(0, 1)], vec![client(0)]);
    add(&mut plan, 0, 0, send(0, 3));
    for (round, trick) in (1..).zip(RawTrick::ALL.iter().copied()) {
        add(&mut plan, 0, round * 1_000, Action::Raw { trick, topic: TOPIC, partition: 0 });
    }
    let evidence = play(plan, &[], |_| {});
    let calls = evidence.calls();
    let mut played = 0;
    for view in &calls {
        let Call::Raw { trick } = view.call else { continue };
        assert_eq!(view.outcome, Some(&Outcome::Ok(Reply::Done)), "{trick}");
        played += 1;
    }
    assert_eq!(played, RawTrick::ALL.len());
}
