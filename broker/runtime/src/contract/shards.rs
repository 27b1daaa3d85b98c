//! Promises between the shards of one node. Each function runs on every shard. Driven by `contract`.

use std::time::Duration;

use barnabas_base::ShardId;

use super::net::{ANY_PORT, read_exactly, send};
use crate::{Accepted, Either, Env, race};

/// Messages each shard sends to each.
const MESSAGES: u64 = 1_000;

pub(super) async fn messages_are_fifo_per_sender(env: Env) {
    let (this, count) = (env.shards.this(), env.shards.count());
    assert_eq!(count, super::SHARDS, "the harness starts as many shards");
    for ordinal in 0..MESSAGES {
        for to in 0..count {
            env.shards.send(ShardId(to), Box::new((this, ordinal)));
        }
    }
    let mut expected = vec![0; usize::from(count)];
    for _ in 0..MESSAGES * u64::from(count) {
        let message = env.shards.receive().await;
        let (from, ordinal) = *message.downcast::<(ShardId, u64)>().expect("the type that was sent");
        let next = &mut expected[usize::from(from.0)];
        assert_eq!(ordinal, *next, "messages of one sender arrive in order");
        *next += 1;
    }
    assert!(expected.iter().all(|count| *count == MESSAGES), "every message arrives");
}

pub(super) async fn a_connection_moves_to_another_shard(env: Env) {
    match env.shards.this().0 {
        0 => {
            let listener = env.net.listen(ANY_PORT).await.expect("a free port");
            env.shards.send(ShardId(2), Box::new(listener.local_addr()));
            let accepted = listener.accept().await.expect("shard 2 connects");
            env.shards.send(ShardId(1), Box::new(accepted));
        }
        1 => {
            let message = env.shards.receive().await;
            let accepted = *message.downcast::<Accepted>().expect("the type that was sent");
            let mut stream = env.net.adopt(accepted).expect("an accepted connection can be used");
            assert_eq!(read_exactly(&mut *stream.read, 4).await, "ping");
            send(&mut *stream.write, b"pong").await.expect("an open connection");
        }
        _ => {
            let message = env.shards.receive().await;
            let address = *message.downcast().expect("the type that was sent");
            let mut stream = env.net.connect(address).await.expect("shard 0 listens");
            send(&mut *stream.write, b"ping").await.expect("an open connection");
            assert_eq!(read_exactly(&mut *stream.read, 4).await, "pong");
        }
    }
}

pub(super) async fn a_dropped_receive_loses_nothing(env: Env) {
    let next = ShardId((env.shards.this().0 + 1) % env.shards.count());
    for ordinal in 0..MESSAGES / 10 {
        // Given up before there is anything, and as often as anything may come in between.
        let early = race(env.shards.receive(), env.tasks.yield_now()).await;
        env.shards.send(next, Box::new(ordinal));
        let message = match early {
            Either::First(message) => message,
            Either::Second(()) => env.shards.receive().await,
        };
        assert_eq!(message.downcast_ref(), Some(&ordinal), "every message comes once, in order");
    }
}

pub(super) async fn messages_to_an_ended_shard_are_dropped(env: Env) {
    if env.shards.this() == ShardId(0) {
        return;
    }
    for _ in 0..3 {
        env.shards.send(ShardId(0), Box::new("nobody reads this"));
        env.sleep(Duration::from_millis(2)).await;
    }
}
