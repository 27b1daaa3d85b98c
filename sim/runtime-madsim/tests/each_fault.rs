//! Each fault of the world alone, so that one which did nothing would be seen: processes and clocks, connections, disks.

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use barnabas_runtime::{Env, OpenMode, Segment, Stream};
use barnabas_runtime_madsim::{Config, DiskCallKind, DiskVerdict, Node, World, simulate};
use bytes::{Bytes, BytesMut};

const PORT: u16 = 9092;
const SECOND: Duration = Duration::from_secs(1);

/// What the parts of a scenario tell one another.
type Shared<T> = Rc<RefCell<T>>;

fn path() -> &'static Path {
    Path::new("/file")
}

#[test]
fn a_frozen_shard_stands_while_the_others_go_on() {
    simulate(1, Config::default(), |world| {
        let ticks: Shared<[u32; 2]> = Rc::default();
        let counting = Rc::clone(&ticks);
        let node = world.node("n");
        node.start(2, move |env| {
            let ticks = Rc::clone(&counting);
            Box::pin(async move {
                loop {
                    env.sleep(Duration::from_millis(100)).await;
                    ticks.borrow_mut()[usize::from(env.shards.this().0)] += 1;
                }
            })
        });
        world.run_for(SECOND);
        let before = *ticks.borrow();
        node.freeze_shard(1, 5 * SECOND);
        world.run_for(4 * SECOND);
        let [moving, frozen] = *ticks.borrow();
        assert!(moving >= before[0] + 35, "{moving} after {}", before[0]);
        assert!(frozen <= before[1] + 1, "{frozen} after {}", before[1]);
        world.run_for(4 * SECOND);
        assert!(ticks.borrow()[1] > frozen + 20, "it thaws");
    });
}

/// Reads both clocks of a machine once a second of its own.
fn start_reading_clocks(node: &Node) -> Shared<(u64, i64)> {
    let read: Shared<(u64, i64)> = Rc::default();
    let place = Rc::clone(&read);
    node.start(1, move |env| {
        let read = Rc::clone(&place);
        Box::pin(async move {
            loop {
                *read.borrow_mut() = (env.now().0, env.wall().0);
                env.sleep(Duration::from_millis(100)).await;
            }
        })
    });
    read
}

#[test]
fn a_clock_drifts_at_its_rate_and_jumps_forward_and_back() {
    simulate(2, Config::default(), |world| {
        let (right, drifting) = (world.node("right"), world.node("drifting"));
        let (right_read, read) = (start_reading_clocks(&right), start_reading_clocks(&drifting));
        drifting.set_clock_rate(1_500);
        world.run_for(100 * SECOND);
        let (monotonic_ns, wall_ms) = *read.borrow();
        let (right_ns, right_wall_ms) = *right_read.borrow();
        let ahead_ms = i64::try_from((monotonic_ns - right_ns) / 1_000_000).expect("a minute");
        assert!((49_000..=51_000).contains(&ahead_ms), "half as fast again for 100 s: {ahead_ms}");
        assert!((49_000..=51_000).contains(&(wall_ms - right_wall_ms)), "so does its wall clock");
        drifting.set_clock_rate(1_000);
        drifting.jump_wall(-600_000);
        world.run_for(10 * SECOND);
        let (later_ns, later_wall_ms) = *read.borrow();
        assert!(later_ns > monotonic_ns, "the monotonic clock never goes back");
        assert!(later_wall_ms < wall_ms - 580_000, "the wall clock does");
        let right_ns = right_read.borrow().0;
        let drifted_ms = i64::try_from((later_ns - right_ns) / 1_000_000).expect("a minute");
        assert!((drifted_ms - ahead_ms).abs() < 300, "at the right rate the distance stays");
    });
}

/// What one end of a connection went through.
#[derive(Debug, Default)]
struct End {
    received: usize,
    /// How reading ended.
    read: Option<Result<(), ErrorKind>>,
    /// How writing ended.
    sent: Option<ErrorKind>,
}

async fn read_to_the_end(stream: &mut Box<dyn barnabas_runtime::ReadHalf>, end: &Shared<End>) {
    let mut buffer = BytesMut::new();
    let outcome = loop {
        buffer.clear();
        match stream.read(&mut buffer, 100_000).await {
            Ok(0) => break Ok(()),
            Ok(count) => end.borrow_mut().received += count,
            Err(error) => break Err(error.kind()),
        }
    };
    end.borrow_mut().read = Some(outcome);
}

/// Accepts one connection and reads it to its end.
fn start_server(world: &World) -> Shared<End> {
    let end: Shared<End> = Rc::default();
    let place = Rc::clone(&end);
    world.node("server").start(1, move |env| {
        let end = Rc::clone(&place);
        Box::pin(async move {
            let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT));
            let listener = env.net.listen(any).await.expect("a free port");
            let accepted = listener.accept().await.expect("a healthy network");
            let Stream { mut read, write, .. } = env.net.adopt(accepted).expect("fresh");
            read_to_the_end(&mut read, &end).await;
            drop(write);
            std::future::pending::<()>().await;
        })
    });
    world.run_for(Duration::from_millis(10));
    end
}

/// Connects, sends `size` bytes every 100 ms, and reads.
fn start_client(world: &World, size: usize) -> Shared<End> {
    let end: Shared<End> = Rc::default();
    let place = Rc::clone(&end);
    world.node("client").start(1, move |env| {
        let end = Rc::clone(&place);
        Box::pin(async move {
            let address = env.net.resolve("server", PORT).await.expect("a known name")[0];
            let Stream { mut read, mut write, .. } = env.net.connect(address).await.expect("a healthy network");
            let reading = Rc::clone(&end);
            env.spawn("reader", async move { read_to_the_end(&mut read, &reading).await }).detach();
            loop {
                let bytes = Bytes::from(vec![b'x'; size]);
                if let Err(error) = write.send(&[Segment::Bytes(bytes)]).await {
                    end.borrow_mut().sent = Some(error.kind());
                    break;
                }
                env.sleep(Duration::from_millis(100)).await;
            }
            std::future::pending::<()>().await;
        })
    });
    end
}

/// Whether this end has heard of a broken connection.
fn is_broken(end: &Shared<End>) -> bool {
    let end = end.borrow();
    let kinds = [end.read.and_then(Result::err), end.sent];
    kinds.into_iter().flatten().any(|kind| matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe))
}

#[test]
fn a_connection_breaks_behind_the_byte_that_was_named() {
    for seed in 0..10 {
        simulate(seed, Config::default(), move |world| {
            let (server, client) = (start_server(world), start_client(world, 1_000));
            world.run_for(SECOND);
            assert!(!is_broken(&server) && !is_broken(&client));
            let (at_client, at_server) = (world.node("client"), world.node("server"));
            let arrived = server.borrow().received;
            at_client.reset_after(&at_server, 2_345);
            world.run_for(10 * SECOND);
            assert!(is_broken(&server) && is_broken(&client), "both ends hear of it");
            let more = server.borrow().received - arrived;
            // What was under way when the fuse was set had not arrived either; an end that breaks drops what was not read.
            assert!(more <= 2_345, "seed {seed}: {more} bytes");
        });
    }
}

#[test]
fn a_half_open_connection_is_broken_at_one_end_until_the_other_speaks() {
    simulate(3, Config::default(), |world| {
        let (server, client) = (start_server(world), start_client(world, 0));
        world.run_for(SECOND);
        world.node("client").forget_connections(&world.node("server"));
        world.run_for(60 * SECOND);
        assert!(client.borrow().read.is_some() || is_broken(&client), "this end is broken");
        assert_eq!(server.borrow().read, None, "the other end was not told, and has nothing to say");
    });
    simulate(4, Config::default(), |world| {
        let (server, client) = (start_server(world), start_client(world, 10));
        world.run_for(SECOND);
        world.node("server").forget_connections(&world.node("client"));
        assert!(!is_broken(&client), "nobody tells the client");
        world.run_for(10 * SECOND);
        assert!(is_broken(&server));
        assert!(is_broken(&client), "what it sends is answered by a reset");
    });
}

#[test]
fn a_slow_reader_takes_its_rate_and_holds_the_sender_up() {
    let config = Config { window_bytes_max: 64 * 1024, ..Config::default() };
    simulate(5, config, |world| {
        world.node("server").set_read_rate(Some(1_000));
        let (server, client) = (start_server(world), start_client(world, 100_000));
        world.run_for(20 * SECOND);
        let slow = server.borrow().received;
        assert!((10_000..=21_000).contains(&slow), "1,000 bytes a second for 20 s: {slow}");
        world.node("server").set_read_rate(None);
        world.run_for(20 * SECOND);
        let fast = server.borrow().received - slow;
        assert!(fast > 200_000, "as fast as it can: {fast}");
        assert!(!is_broken(&client));
    });
}

/// Worlds whose writes stay on the thread, and whose writes leave it.
#[test]
fn a_writer_that_waits_for_room_learns_of_a_peer_whose_reset_was_lost() {
    let config = Config { window_bytes_max: 64 * 1024, ..Config::default() };
    simulate(6, config, |world| {
        let (at_client, at_server) = (world.node("client"), world.node("server"));
        at_server.set_read_rate(Some(1));
        let (_, client) = (start_server(world), start_client(world, 1_000_000));
        world.run_for(5 * SECOND);
        at_server.set_way_open(&at_client, false);
        at_server.crash();
        world.run_for(5 * SECOND);
        assert!(!is_broken(&client), "the reset does not get through");
        at_server.set_way_open(&at_client, true);
        world.run_for(30 * SECOND);
        assert!(is_broken(&client), "the next time it asks for room it is told");
    });
}

fn both_ways() -> [Config; 2] {
    [0, 1].map(|dirty_write_one_in| Config { dirty_write_one_in, ..Config::default() })
}

/// Writes `0123456789` and, when that is synced, `abcde` behind it under `verdict`. How the second write ended and what
/// the file then holds, before and after a power loss that follows a sync.
fn second_write_under(verdict: DiskVerdict, config: Config) -> (Result<(), ErrorKind>, Bytes) {
    simulate(6, config, move |world| {
        let node = world.node("n");
        node.on_disk_call(move |call| match (call.kind, call.ordinal) {
            (DiskCallKind::Write, 2) => verdict,
            _ => DiskVerdict::Pass,
        });
        let ended: Rc<Cell<Option<Result<(), ErrorKind>>>> = Rc::default();
        let place = Rc::clone(&ended);
        node.start(1, move |env| {
            let ended = Rc::clone(&place);
            Box::pin(async move { ended.set(Some(write_twice(&env).await)) })
        });
        assert!(node.run_until_stopped(SECOND), "it ends");
        let before = content(&node);
        node.power_loss();
        assert_eq!(content(&node), before, "the twist is synced like any write");
        (ended.take().expect("it was written twice"), before)
    })
}

async fn write_twice(env: &Env) -> Result<(), ErrorKind> {
    let file = env.disk.open(path(), OpenMode::CreateOrOpen).await.expect("a healthy disk");
    file.write_at(0, &[Bytes::from_static(b"0123456789")]).await.expect("a healthy disk");
    let outcome = file.write_at(10, &[Bytes::from_static(b"abcde")]).await.map_err(|error| error.kind());
    file.sync().await.expect("a healthy disk");
    env.disk.sync_dir(Path::new("/")).await.expect("a healthy disk");
    outcome
}

fn content(node: &Node) -> Bytes {
    node.files().into_iter().find(|(of, _)| of == path()).expect("the file is there").1
}

#[test]
fn a_short_write_leaves_its_beginning_and_says_so() {
    for config in both_ways() {
        let (outcome, content) = second_write_under(DiskVerdict::Short(2), config);
        assert_eq!(outcome, Err(ErrorKind::StorageFull));
        assert_eq!(content, "0123456789ab");
    }
}

#[test]
fn a_lost_write_is_acknowledged_and_not_there() {
    for config in both_ways() {
        let (outcome, content) = second_write_under(DiskVerdict::Lost, config);
        assert_eq!(outcome, Ok(()));
        assert_eq!(content, "0123456789\0\0\0\0\0");
    }
}

#[test]
fn a_misdirected_write_is_acknowledged_and_elsewhere() {
    for config in both_ways() {
        let (outcome, content) = second_write_under(DiskVerdict::Misdirected(3), config);
        assert_eq!(outcome, Ok(()));
        assert_eq!(content, "012abcde89\0\0\0\0\0");
    }
}

#[test]
fn rot_flips_the_bit_in_the_cache_and_on_the_device() {
    simulate(7, Config::default(), |world| {
        let node = world.node("n");
        node.start(1, |env| {
            Box::pin(async move {
                write_twice(&env).await.expect("a healthy disk");
            })
        });
        assert!(node.run_until_stopped(SECOND), "it ends");
        assert!(node.flip_bit(path(), 1, 3));
        assert_eq!(content(&node), "0923456789abcde", "'1' with its fourth bit set is '9'");
        node.power_loss();
        assert_eq!(content(&node), "0923456789abcde");
        assert!(!node.flip_bit(path(), 15, 0), "there is no such byte");
        assert!(!node.flip_bit(Path::new("/other"), 0, 0), "nor such a file");
    });
}

#[test]
fn a_disk_is_replaced_by_an_older_one_or_an_empty_one() {
    simulate(8, Config::default(), |world| {
        let node = world.node("n");
        let write = |bytes: &'static [u8]| {
            node.start(1, move |env| {
                Box::pin(async move {
                    let file = env.disk.open(path(), OpenMode::CreateOrOpen).await.expect("a healthy disk");
                    file.write_at(0, &[Bytes::from_static(bytes)]).await.expect("a healthy disk");
                    file.sync().await.expect("a healthy disk");
                    env.disk.sync_dir(Path::new("/")).await.expect("a healthy disk");
                })
            });
            assert!(node.run_until_stopped(SECOND), "it ends");
        };
        write(b"old");
        let image = node.disk_image();
        write(b"younger");
        assert_eq!(content(&node), "younger");
        node.replace_disk(&image);
        assert_eq!(content(&node), "old");
        node.wipe_disk();
        assert!(node.files().is_empty());
    });
}
