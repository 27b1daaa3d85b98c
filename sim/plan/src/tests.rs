//! The text form says everything and nothing else.

use std::collections::BTreeMap;

use crate::{
    Action, ClientName, Fate, Fault, Lane, NodeName, Operation, Plan, PlannedClient, PlannedFault, PlannedTopic, Quiet,
    TopicName, Trigger,
};

fn client(name: u16) -> PlannedClient {
    PlannedClient {
        name: ClientName(name),
        acks: -1,
        idempotent: true,
        in_flight: 5,
        compression: "zstd".to_owned(),
        delivery_timeout_ms: 30_000,
        session_timeout_ms: 6_000,
        fetch_bytes: 1_024,
    }
}

fn plan() -> Plan {
    let mut plan = Plan::empty(0x7f3a, Lane::Durable);
    plan.knobs.set("world.link.max_us", 20_000);
    plan.knobs.set("broker.log.segment.bytes", 4_096);
    let configs = BTreeMap::from([("cleanup.policy".to_owned(), "compact".to_owned())]);
    plan.topics.push(PlannedTopic { name: TopicName(0), partitions: 3, configs });
    plan.clients.push(client(0));
    plan.quiet = Some(Quiet { at_ms: 5_000, for_ms: 3_600_000 });
    let action = Action::Send { topic: TopicName(0), partition: 2, records: 4, bytes: 100 };
    plan.operations.push(Operation { id: 7, client: ClientName(0), at_ms: 120, action });
    plan.faults.push(PlannedFault {
        id: 1,
        trigger: Trigger::Issued {
            node: NodeName(0),
            call: crate::Call::Sync,
            file: crate::FileClass::Journal,
            count: 3,
            since_ms: 200,
        },
        fault: Fault::PowerLoss { node: NodeName(0), fate: Fate::Sectors, back_ms: 900 },
    });
    plan.planted.push("M25".to_owned());
    plan
}

#[test]
fn a_plan_reads_back_as_it_was_written() {
    let text = plan().to_string();
    assert_eq!(Plan::parse(&text).as_ref(), Ok(&plan()), "{text}");
    let commented = text.replace("knob", "# a remark\nknob");
    assert_eq!(Plan::parse(&commented), Ok(plan()));
}

#[test]
fn a_bad_line_is_named() {
    let text = plan().to_string();
    for (good, bad, reason) in [
        ("fate=sectors", "fate=sektors", "`fate=sektors` cannot be read"),
        ("records=4", "", "`records=` is missing"),
        ("lane=durable", "lane=durable colour=red", "`colour=` means nothing here"),
        ("op 7", "opp 7", "a plan has no line `opp`"),
        ("power-loss", "power-gain", "nobody knows `power-gain`"),
    ] {
        let broken = text.replace(good, bad);
        assert_ne!(broken, text);
        let malformed = Plan::parse(&broken).expect_err("the line is bad");
        assert!(malformed.line > 0);
        assert_eq!(malformed.reason, reason);
    }
    assert!(Plan::parse("").is_err());
    assert!(Plan::parse(&text.replace("op 7 c0", "op 7 c9")).is_err(), "a client that is not there");
    assert!(Plan::parse(&text.replace("max_us 20000", "max_us many")).is_err(), "a knob that is no number");
}

#[test]
fn what_comes_after_the_quiet_comes_later() {
    let plan = plan();
    assert_eq!(plan.after_quiet_ms(4_999), 4_999);
    assert_eq!(plan.after_quiet_ms(5_000), 3_605_000);
}
