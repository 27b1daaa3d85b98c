//! Limits: connections, idleness, the size and the number of requests, readers that do not read.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use barnabas_base::Observation;
use barnabas_runtime::{Local, join_all};
use barnabas_sim_world::{NoAnswer, RawClient, Visitor, play, requests, with_broker};
use barnabas_wire::message::incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use barnabas_wire::message::*;
use barnabas_wire::record::BatchOptions;
use barnabas_wire::{ApiKey, RequestBody, RequestHeader, ResponseBody, Segment};
use bytes::{Bytes, BytesMut};

use crate::{FETCH, PRODUCE, append, fetched, topic};

async fn is_served(client: &mut RawClient) -> bool {
    match client.ask(0, ApiVersionsRequest::default()).await {
        Ok(_) => true,
        Err(NoAnswer::Closed | NoAnswer::Broken(_)) => false,
        Err(other) => panic!("neither served nor closed: {other}"),
    }
}

/// How many of `count` new connections are served at the same time.
async fn served(visitor: &Visitor, count: usize) -> Vec<RawClient> {
    let mut served = Vec::new();
    for _ in 0..count {
        let mut client = visitor.connect().await;
        if is_served(&mut client).await {
            served.push(client);
        }
    }
    served
}

#[test]
fn connections_are_counted_by_address_and_in_total() {
    for limit in [("max.connections.per.ip", "5"), ("max.connections", "5")] {
        with_broker(1, &[limit], async move |visitor, first| {
            let mut others = served(&visitor, 7).await;
            assert_eq!(others.len(), 4, "{limit:?}");
            drop(others.split_off(1));
            drop(first);
            visitor.env.sleep(Duration::from_secs(1)).await;
            assert_eq!(served(&visitor, 7).await.len(), 4, "{limit:?}: those that closed count no more");
            assert!(is_served(&mut others[0]).await, "{limit:?}: those that were there stay");
        });
    }
}

async fn alter_brokers(client: &mut RawClient, values: &[(&str, &str)]) {
    let config = |(name, value): &(&str, &str)| AlterableConfig {
        name: (*name).to_owned(),
        config_operation: 0,
        value: Some((*value).to_owned()),
    };
    let configs = values.iter().map(config).collect();
    let resource = AlterConfigsResource { resource_type: 4, resource_name: String::new(), configs };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
    assert_eq!(client.call(1, request).await.responses[0].error_code, 0);
}

#[test]
fn limits_that_were_set_while_it_ran_hold_after_a_restart() {
    play(7, &[], |scene| {
        scene.visit(async |visitor| {
            let mut client = visitor.connect().await;
            alter_brokers(&mut client, &[("max.connections.per.ip", "3")]).await;
            assert_eq!(served(&visitor, 5).await.len(), 2);
        });
        scene.broker().stop().expect("it stops");
        scene.broker().start().expect("it starts");
        scene.visit(async |visitor| assert_eq!(served(&visitor, 5).await.len(), 3));
    });
}

/// A host that nobody knows has no limit of its own, and takes from nobody theirs.
#[test]
fn an_unknown_host_keeps_no_limit_from_holding() {
    play(9, &[], |scene| {
        scene.visit(async |visitor| {
            let mut client = visitor.connect().await;
            let limits = [("max.connections.per.ip", "3"), ("max.connections.per.ip.overrides", "nobody.invalid:1")];
            alter_brokers(&mut client, &limits).await;
            assert_eq!(served(&visitor, 5).await.len(), 2);
        });
        scene.broker().stop().expect("it stops");
        scene.broker().start().expect("what was set while it ran keeps it from nothing");
        scene.visit(async |visitor| assert_eq!(served(&visitor, 5).await.len(), 3));
    });
}

#[test]
fn idle_connections_are_closed_and_active_ones_are_not() {
    with_broker(2, &[("connections.max.idle.ms", "5000")], async |visitor, mut client| {
        topic(&mut client, "t", 1).await;
        let mut active = visitor.connect().await;
        for _ in 0..4 {
            assert!(is_served(&mut active).await);
            visitor.env.sleep(Duration::from_secs(3)).await;
        }
        assert_eq!(client.frame().await, Err(NoAnswer::Closed));
    });
}

/// Whoever waits is not idle. Nobody looks whether it is still there, so that a poll without end hears that nothing has come.
#[test]
fn no_poll_is_longer_than_a_connection_may_be_idle() {
    with_broker(2, &[("connections.max.idle.ms", "5000")], async |visitor, mut waiting| {
        topic(&mut waiting, "t", 1).await;
        let began = visitor.env.now();
        let request = FetchRequest { max_wait_ms: i32::MAX, min_bytes: 1, ..requests::fetch("t", 0, 0) };
        waiting.send(FETCH, request).await.expect("it is connected");
        assert!(matches!(waiting.receive().await, Ok(ResponseBody::Fetch(_))));
        let waited = visitor.env.now().since(began);
        assert!((Duration::from_secs(5)..Duration::from_secs(6)).contains(&waited), "{waited:?}");
        assert_eq!(waiting.frame().await, Err(NoAnswer::Closed), "now it is idle");
    });
}

/// A claim of many bytes costs nothing, and what does not come is not waited for long.
#[test]
fn a_large_frame_passes_and_an_unfinished_one_is_dropped() {
    with_broker(3, &[("message.max.bytes", "8000000")], async |visitor, mut client| {
        topic(&mut client, "t", 1).await;
        let mut unfinished = Vec::new();
        for _ in 0..2 {
            let mut claim = visitor.connect().await;
            claim.send_bytes(100_000_000_i32.to_be_bytes().to_vec()).await.expect("it is connected");
            unfinished.push(claim);
        }
        assert_eq!(append(&mut client, "t", &vec![b'x'; 5_000_000]).await, 0);
        let answer = client.call(FETCH, FetchRequest { max_bytes: 1, ..requests::fetch("t", 0, 0) }).await;
        assert_eq!(crate::records(fetched(&answer))[0].1.len(), 5_000_000);
        for mut claim in unfinished {
            let answer = claim.frame().await;
            assert!(matches!(answer, Err(NoAnswer::Closed | NoAnswer::Broken(_))), "{answer:?}");
        }
    });
}

/// Request memory is short and a consumer waits with its request: a request larger than all of that memory has to get
/// through all the same.
#[test]
fn a_large_request_is_admitted_beside_waiting_ones() {
    with_broker(4, &[("barnabas.memory.bytes", "1048576")], async |visitor, mut client| {
        topic(&mut client, "t", 1).await;
        topic(&mut client, "quiet", 1).await;
        let mut waiting = Vec::new();
        for _ in 0..4 {
            let mut consumer = visitor.connect().await;
            let request = FetchRequest { max_wait_ms: 60_000, min_bytes: 1, ..requests::fetch("quiet", 0, 0) };
            consumer.send(FETCH, request).await.expect("it is connected");
            waiting.push(consumer);
        }
        let began = visitor.env.now();
        for offset in 0..4 {
            let mut producer = visitor.connect().await;
            assert_eq!(append(&mut producer, "t", &vec![b'x'; 600_000]).await, offset);
        }
        let took = visitor.env.now().since(began);
        assert!(took < Duration::from_secs(10), "took {took:?}");
    });
}

/// A Produce as it is on the wire.
fn framed_produce(value: &[u8]) -> Bytes {
    let records = requests::batch(BatchOptions::default(), &[value]);
    let header = RequestHeader {
        api_key: ApiKey::Produce,
        api_version: PRODUCE,
        correlation_id: 7,
        client_id: Some("slow".to_owned()),
    };
    let frame = RequestBody::from(requests::produce("t", 0, -1, records)).to_frame(&header);
    let mut framed = BytesMut::new();
    for segment in frame.expect("the version carries it") {
        let Segment::Bytes(bytes) = segment else { panic!("a request holds its records") };
        framed.extend_from_slice(&bytes);
    }
    framed.freeze()
}

/// Sends `bytes` one a second, until the connection is closed or nothing is left of them.
async fn drip(visitor: &Visitor, client: &mut RawClient, bytes: &Bytes) -> Option<NoAnswer> {
    for byte in bytes {
        if let Err(closed) = client.send_bytes(vec![*byte]).await {
            return Some(closed);
        }
        visitor.env.sleep(Duration::from_secs(1)).await;
    }
    None
}

/// Clients that promise much and stand still: what they hold keeps nobody from anything, on any shard.
#[test]
fn unfinished_requests_keep_nobody_waiting() {
    const SIZE: usize = 1_000_000;
    let crowds = [
        (4, 90_000_000, 0),
        (4, 90_000_000, 5_000_000),
        (16, SIZE, SIZE / 2),
        (600, SIZE, 9_000),
        (200, 16_000, 8_000),
    ];
    for (count, claim, sent) in crowds {
        with_broker(7, &[("barnabas.memory.bytes", "8388608")], async move |visitor, mut client| {
            topic(&mut client, "t", 1).await;
            let mut unfinished = Vec::new();
            for _ in 0..count {
                let mut stands = visitor.connect().await;
                let mut promise = i32::try_from(claim).expect("a size").to_be_bytes().to_vec();
                promise.resize(promise.len() + sent, 0);
                // What the broker has no room for stays in the network.
                let sending = async { stands.send_bytes(promise).await };
                drop(visitor.env.timeout_at(visitor.env.now().after(Duration::from_millis(100)), sending).await);
                unfinished.push(stands);
            }
            let began = visitor.env.now();
            for offset in 0..4 {
                let mut other = visitor.connect().await;
                assert_eq!(append(&mut other, "t", b"little").await, offset);
                let metadata = other.call(12, MetadataRequest::default()).await;
                assert_eq!(metadata.brokers.len(), 1);
            }
            let took = visitor.env.now().since(began);
            assert!(took < Duration::from_secs(1), "{count} of {claim}: took {took:?}");
            for offset in 4..8 {
                let mut large = visitor.connect().await;
                assert_eq!(append(&mut large, "t", &vec![b'x'; 900_000]).await, offset);
            }
            let took = visitor.env.now().since(began);
            assert!(took < Duration::from_secs(60), "{count} of {claim}: took {took:?}");
        });
    }
}

/// Too little for others that wait is enough while nobody does: the same slow client is served, or gives way.
#[test]
fn a_request_that_drips_gives_way_to_those_that_wait() {
    let memory = ("barnabas.memory.bytes", "1048576");
    let (patient, pressed) = (8, 9);
    with_broker(patient, &[memory, ("connections.max.idle.ms", "20000")], async |visitor, mut client| {
        topic(&mut client, "t", 1).await;
        let mut whole = framed_produce(&vec![b'x'; 600_000]);
        let rest = whole.split_off(whole.len() - 60);
        let mut slow = visitor.connect().await;
        slow.send_bytes(whole).await.expect("it is connected");
        assert_eq!(drip(&visitor, &mut slow, &rest).await, None, "nobody waits");
        let answer = slow.frame().await.expect("an answer");
        assert_eq!(answer[..4], 7_i32.to_be_bytes());
        let stored = visitor.connect().await.call(FETCH, requests::fetch("t", 0, 0)).await;
        assert_eq!(fetched(&stored).high_watermark, 1);
    });
    with_broker(pressed, &[memory], async |visitor, mut client| {
        topic(&mut client, "t", 1).await;
        let mut whole = framed_produce(&vec![b'x'; 600_000]);
        let rest = whole.split_off(whole.len() - 600);
        // One for each shard.
        let mut slow = Vec::new();
        for _ in 0..2 {
            let mut drips = visitor.connect().await;
            drips.send_bytes(whole.clone()).await.expect("it is connected");
            slow.push(drips);
        }
        let began = visitor.env.now();
        let others = async {
            for offset in 0..2 {
                let mut other = visitor.connect().await;
                assert_eq!(append(&mut other, "t", &vec![b'x'; 600_000]).await, offset);
            }
            let took = visitor.env.now().since(began);
            assert!(took > Duration::from_secs(5) && took < Duration::from_secs(30), "took {took:?}");
            None
        };
        let mut all: Vec<Local<'_, Option<NoAnswer>>> = vec![Box::pin(others)];
        all.extend(slow.iter_mut().map(|slow| Box::pin(drip(&visitor, slow, &rest)) as Local<'_, _>));
        let closed = join_all(all).await.split_off(1);
        assert!(closed.iter().all(Option::is_some), "{closed:?}");
    });
}

/// Answers that nobody takes: the broker stops reading requests of that connection, and serves all others.
#[test]
fn a_slow_reader_is_not_read_from_and_loses_nothing() {
    let answered = (5..9).filter(|seed| do_all_answers_reach_a_slow_reader(*seed)).count();
    assert!(answered > 0, "no window of a connection held what was asked");
}

/// Whether everything could be asked: a connection with a small window is full before, because nobody reads at the other
/// end, and then it ends in half a request.
fn do_all_answers_reach_a_slow_reader(seed: u64) -> bool {
    const ASKED: usize = 300;
    const IN_FLIGHT_MAX: u32 = 150;
    play(seed, &[], |scene| {
        let received = Rc::new(Cell::new(0));
        let counter = Rc::clone(&received);
        scene.world().on_observation(move |observed| {
            if let Observation::RequestReceived { api_key, .. } = observed.observation
                && *api_key == ApiKey::Fetch.code()
            {
                counter.set(counter.get() + 1);
            }
        });
        scene.visit(async move |visitor| {
            let mut client = visitor.connect().await;
            topic(&mut client, "t", 1).await;
            append(&mut client, "t", &vec![b'x'; 900_000]).await;
            let mut slow = visitor.connect().await;
            let patience = visitor.env.now().after(Duration::from_secs(30));
            let mut asked = 0;
            while asked < ASKED {
                let sending = slow.send(FETCH, requests::fetch("t", 0, 0));
                let Some(sent) = visitor.env.timeout_at(patience, sending).await else { break };
                sent.expect("it is connected");
                asked += 1;
            }
            visitor.env.sleep_until(patience).await;
            assert!(
                received.get() < IN_FLIGHT_MAX,
                "{} requests are held for a reader that does not read",
                received.get()
            );
            append(&mut client, "t", b"others are served").await;
            if asked < ASKED {
                return false;
            }
            for _ in 0..ASKED {
                let Ok(ResponseBody::Fetch(answer)) = slow.receive().await else { panic!("an answer is due") };
                assert!(fetched(&answer).error_code == 0);
            }
            true
        })
    })
}

/// A request holds its memory until its answer is known, not until a client that does not read has taken the answers before.
#[test]
fn who_does_not_read_keeps_no_memory_from_others() {
    with_broker(7, &[("barnabas.memory.bytes", "4194304")], async |visitor, mut client| {
        topic(&mut client, "t", 1).await;
        append(&mut client, "t", &vec![b'x'; 900_000]).await;
        let mut slow = visitor.connect().await;
        let large = || requests::batch(BatchOptions::default(), &[&vec![b'y'; 1_000_000]]);
        for _ in 0..50 {
            slow.send(FETCH, requests::fetch("t", 0, 0)).await.expect("it is connected");
        }
        let asking = async {
            for _ in 0..2 {
                let request = requests::produce("nowhere", 0, -1, large());
                slow.send(PRODUCE, request).await.expect("it is connected");
            }
        };
        let patience = visitor.env.now().after(Duration::from_secs(20));
        visitor.env.timeout_at(patience, asking).await.expect("requests are read");
        visitor.env.sleep(Duration::from_secs(1)).await;
        // Whichever shard the slow one is on.
        for _ in 0..4 {
            let mut other = visitor.connect().await;
            let record = vec![b'z'; 900_000];
            let patience = visitor.env.now().after(Duration::from_secs(20));
            visitor.env.timeout_at(patience, append(&mut other, "t", &record)).await.expect("others are served");
        }
    });
}

/// Who takes nothing of its answers for as long as a connection may be idle is closed; who takes some is not.
#[test]
fn who_does_not_take_its_answers_is_closed() {
    with_broker(8, &[("connections.max.idle.ms", "5000")], async |visitor, mut client| {
        const ASKED: usize = 50;
        topic(&mut client, "t", 1).await;
        append(&mut client, "t", &vec![b'x'; 900_000]).await;
        for pause in [Duration::from_secs(1), Duration::from_secs(60)] {
            let mut slow = visitor.connect().await;
            for _ in 0..ASKED {
                slow.send(FETCH, requests::fetch("t", 0, 0)).await.expect("it is connected");
            }
            let mut answers = 0;
            while answers < ASKED {
                visitor.env.sleep(pause).await;
                let Ok(ResponseBody::Fetch(answer)) = slow.receive().await else { break };
                assert_eq!(fetched(&answer).error_code, 0);
                answers += 1;
            }
            assert_eq!(answers == ASKED, pause < Duration::from_secs(5), "{answers} answers came");
        }
    });
}

/// A client that goes away in the middle of everything leaves nothing behind that others notice.
#[test]
fn clients_that_vanish_are_forgotten() {
    with_broker(6, &[("max.connections.per.ip", "12")], async |visitor, mut client| {
        topic(&mut client, "t", 1).await;
        for _ in 0..5 {
            for _ in 0..8 {
                let mut gone = visitor.connect().await;
                let records = requests::batch(BatchOptions::default(), &[b"v"]);
                gone.send(PRODUCE, requests::produce("t", 0, -1, records)).await.expect("it is connected");
                gone.send_bytes(vec![0, 0]).await.expect("it is connected");
                let waiting = FetchRequest { max_wait_ms: 2_000, min_bytes: 1 << 20, ..requests::fetch("t", 0, 0) };
                let mut other = visitor.connect().await;
                other.send(FETCH, waiting).await.expect("it is connected");
                drop((gone, other));
                visitor.env.sleep(Duration::from_secs(3)).await;
            }
            assert!(is_served(&mut client).await);
        }
        let stored = client.call(FETCH, requests::fetch("t", 0, 0)).await;
        assert_eq!(fetched(&stored).high_watermark, 40, "what was sent took effect");
    });
}
