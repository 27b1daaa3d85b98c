//! Limits: connections, idleness, the size and the number of requests, readers that do not read.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use barnabas_base::Observation;
use barnabas_sim_world::{NoAnswer, RawClient, Visitor, play, requests, with_broker};
use barnabas_wire::message::*;
use barnabas_wire::record::BatchOptions;
use barnabas_wire::{ApiKey, ResponseBody};

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

#[test]
fn idle_connections_are_closed_and_waiting_ones_are_not() {
    with_broker(2, &[("connections.max.idle.ms", "5000")], async |visitor, mut client| {
        topic(&mut client, "t", 1).await;
        let mut active = visitor.connect().await;
        let began = visitor.env.now();
        let mut waiting = visitor.connect().await;
        let request = FetchRequest { max_wait_ms: 20_000, min_bytes: 1, ..requests::fetch("t", 0, 0) };
        waiting.send(FETCH, request).await.expect("it is connected");
        for _ in 0..4 {
            assert!(is_served(&mut active).await);
            visitor.env.sleep(Duration::from_secs(3)).await;
        }
        assert_eq!(client.frame().await, Err(NoAnswer::Closed));
        assert!(matches!(waiting.receive().await, Ok(ResponseBody::Fetch(_))));
        assert!(visitor.env.now().since(began) >= Duration::from_secs(20));
        assert_eq!(waiting.frame().await, Err(NoAnswer::Closed), "now it is idle");
    });
}

/// A claim of many bytes holds the memory that they would need, but not for long when they do not come.
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
