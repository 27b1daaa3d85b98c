//! Tricks where nothing goes wrong: each is played to its end, so that what it proves is proved.

use std::collections::BTreeMap;

use barnabas_history::{Call, Outcome};
use barnabas_plan::{Plan, RawTrick};
use barnabas_sim_world::{Options, Scope, execute, judge};

const CLIENTS: usize = 6;
/// Some wait for a minute.
const SAFETY_MS: usize = 600_000;

/// Every trick once, dealt out to a few clients, beside somebody who sends.
fn every_trick() -> Plan {
    let mut text = format!("barnabas plan 1\nrun seed=0x7 lane=raw safety_ms={SAFETY_MS}\ntopic t0 2\n");
    for client in 0..=CLIENTS {
        text += &format!(
            "client c{client} acks=-1 idempotent=true in_flight=1 compression=none delivery_timeout_ms=120000 \
             session_timeout_ms=30000 fetch_bytes=1048576\n"
        );
    }
    for (id, trick) in RawTrick::ALL.iter().enumerate() {
        text += &format!("op {id} c{} {} raw trick={trick} topic=t0 partition=0\n", id % CLIENTS, 1_000 + 100 * id);
    }
    for number in 0..40 {
        let (id, at_ms) = (1_000 + number, 100 * number);
        text += &format!("op {id} c{CLIENTS} {at_ms} send topic=t0 partition=0 records=4 bytes=188\n");
    }
    Plan::parse(&text).expect("it is a plan")
}

#[test]
fn every_trick_comes_to_its_end() {
    let report = execute(&every_trick(), Options::default());
    assert_eq!(judge(&report.evidence, Scope::All).broken, []);
    let calls = report.evidence.calls();
    let outcomes: BTreeMap<&str, &Outcome> = calls
        .iter()
        .filter_map(|view| match (view.call, view.outcome) {
            (Call::Raw { trick }, Some(outcome)) => Some((trick.as_str(), outcome)),
            _ => None,
        })
        .collect();
    assert_eq!(outcomes.len(), RawTrick::ALL.len(), "each is played");
    let open: Vec<_> = outcomes.iter().filter(|(_, outcome)| !matches!(outcome, Outcome::Ok(_))).collect();
    assert!(open.is_empty(), "{open:?}");
}
