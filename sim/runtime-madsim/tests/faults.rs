//! What the world can do to nodes: crashes, power loss, silence, disk faults; and that nothing of a dead node is left.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use barnabas_runtime::{Env, OpenMode, Segment, Stream};
use barnabas_runtime_madsim::{Config, DiskCallKind, DiskVerdict, World, simulate};
use bytes::{Bytes, BytesMut};

const PORT: u16 = 9092;
const SECOND: Duration = Duration::from_secs(1);

/// What the parts of a scenario tell one another.
type Shared<T> = Rc<RefCell<T>>;

fn path() -> &'static Path {
    Path::new("/file")
}

async fn append(env: &Env, bytes: &'static [u8]) -> Rc<dyn barnabas_runtime::File> {
    let file = env.disk.open(path(), OpenMode::CreateOrOpen).await.expect("a healthy disk");
    let end = file.size().await.expect("open");
    file.write_at(end, &[Bytes::from_static(bytes)]).await.expect("room for it");
    file
}

/// Starts `node` once more, to read the file.
fn read_back(world: &World, name: &str) -> Option<Bytes> {
    let found: Shared<Option<Bytes>> = Rc::default();
    let place = Rc::clone(&found);
    let node = world.node(name);
    node.start(1, move |env| {
        let found = Rc::clone(&place);
        Box::pin(async move {
            if let Ok(file) = env.disk.open(path(), OpenMode::Read).await {
                *found.borrow_mut() = Some(file.read_at(0, 1_000_000).await.expect("a healthy disk"));
            }
        })
    });
    assert!(node.run_until_stopped(SECOND), "reading ends");
    found.borrow_mut().take()
}

#[test]
fn power_loss_keeps_what_was_synced_and_any_part_of_the_rest() {
    let mut outcomes = BTreeSet::new();
    for seed in 0..200 {
        let kept = simulate(seed, Config::default(), |world| {
            let node = world.node("n");
            node.start(1, |env| {
                Box::pin(async move {
                    let file = append(&env, b"synced").await;
                    file.sync().await.expect("a healthy disk");
                    env.disk.sync_dir(Path::new("/")).await.expect("a healthy disk");
                    append(&env, &[b'x'; 2_000]).await;
                    std::future::pending::<()>().await;
                })
            });
            world.run_for(SECOND);
            node.power_loss();
            read_back(world, "n").expect("the name was synced")
        });
        assert!(kept.starts_with(b"synced"), "seed {seed} lost synced bytes");
        let rest = &kept[6..];
        outcomes.insert(match rest {
            [] => "lost",
            _ if rest.len() < 2_000 => "prefix",
            _ if rest.iter().all(|byte| *byte == b'x') => "whole",
            _ if rest.iter().all(|byte| *byte == 0) => "zeroes",
            _ => "sectors",
        });
    }
    assert_eq!(outcomes, BTreeSet::from(["lost", "prefix", "sectors", "whole", "zeroes"]));
}

#[test]
fn a_write_behind_a_sync_is_not_covered_by_it() {
    let mut lost = 0;
    for seed in 0..50 {
        let kept = simulate(seed, Config { dirty_write_one_in: 0, ..Config::default() }, |world| {
            let node = world.node("n");
            let synced = Rc::new(Cell::new(false));
            let done = Rc::clone(&synced);
            node.start(1, move |env| {
                let done = Rc::clone(&done);
                Box::pin(async move {
                    let file = append(&env, b"before").await;
                    env.disk.sync_dir(Path::new("/")).await.expect("a healthy disk");
                    let mut sync = file.sync();
                    // One poll starts it.
                    std::future::poll_fn(|context| {
                        assert!(sync.as_mut().poll(context).is_pending(), "a sync takes time");
                        std::task::Poll::Ready(())
                    })
                    .await;
                    append(&env, b" after").await;
                    sync.await.expect("a healthy disk");
                    done.set(true);
                    std::future::pending::<()>().await;
                })
            });
            assert!(world.run_until(SECOND, || synced.get()), "the sync ends");
            node.power_loss();
            read_back(world, "n").expect("the name was synced")
        });
        assert!(kept.starts_with(b"before"), "seed {seed} lost synced bytes");
        lost += u32::from(kept != "before after");
    }
    assert!(lost > 10, "a disk that covers later writes is too kind: {lost} of 50 were lost");
}

#[test]
fn a_crash_keeps_the_page_cache_and_may_cut_what_is_in_flight() {
    let mut renamed = BTreeSet::new();
    for seed in 0..50 {
        let kept = simulate(seed, Config::default(), |world| {
            let node = world.node("n");
            let started = Rc::new(Cell::new(false));
            let begun = Rc::clone(&started);
            node.start(1, move |env| {
                let begun = Rc::clone(&begun);
                Box::pin(async move {
                    append(&env, b"cached").await;
                    begun.set(true);
                    env.disk.rename(path(), Path::new("/renamed")).await.expect("a free name");
                })
            });
            assert!(world.run_until(SECOND, || started.get()), "it gets there");
            node.crash();
            read_back(world, "n")
        });
        assert!(kept.as_ref().is_none_or(|kept| kept == "cached"), "seed {seed}: a crash loses no written byte");
        renamed.insert(kept.is_none());
    }
    assert_eq!(renamed.len(), 2, "an operation in flight happens or not");
}

#[test]
fn disk_calls_fail_and_wait_as_they_are_told() {
    simulate(1, Config::default(), |world| {
        let node = world.node("n");
        node.on_disk_call(|call| match (call.kind, call.ordinal) {
            (DiskCallKind::Sync, 1) => DiskVerdict::INPUT_OUTPUT_ERROR,
            (DiskCallKind::Write, 2) => DiskVerdict::NO_SPACE,
            (DiskCallKind::SyncDir, 1) => DiskVerdict::Delay(Duration::from_secs(5)),
            _ => DiskVerdict::Pass,
        });
        node.start(1, |env| {
            Box::pin(async move {
                let file = append(&env, b"first").await;
                let failed = file.sync().await.expect_err("the first sync fails");
                assert_eq!(failed.raw_os_error(), Some(5));
                let full = file.write_at(0, &[Bytes::from_static(b"x")]).await.expect_err("the second write fails");
                assert_eq!(full.kind(), ErrorKind::StorageFull);
                file.sync().await.expect("the second sync succeeds, and covers nothing");
                let before = env.now();
                env.disk.sync_dir(Path::new("/")).await.expect("a slow disk");
                assert!(env.now().since(before) >= Duration::from_secs(5), "the call was held");
            })
        });
        assert!(node.run_until_stopped(10 * SECOND), "it ends");
        node.power_loss();
        assert_eq!(read_back(world, "n").expect("the name was synced"), "", "the failed flush dropped the pages");
    });
}

/// Accepts connections and reads them to their end; what each ended with.
fn start_listening(world: &World, name: &str) -> Shared<Vec<Result<usize, ErrorKind>>> {
    let ends: Shared<Vec<Result<usize, ErrorKind>>> = Rc::default();
    let place = Rc::clone(&ends);
    world.node(name).start(1, move |env| {
        let ends = Rc::clone(&place);
        Box::pin(async move {
            let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT));
            let listener = env.net.listen(any).await.expect("a free port");
            loop {
                let accepted = listener.accept().await.expect("a healthy network");
                let mut stream = env.net.adopt(accepted).expect("fresh");
                let ends = Rc::clone(&ends);
                env.spawn("connection", async move {
                    let mut buffer = BytesMut::new();
                    let end = loop {
                        match stream.read.read(&mut buffer, 1_000).await {
                            Ok(0) => break Ok(buffer.len()),
                            Ok(_) => {}
                            Err(error) => break Err(error.kind()),
                        }
                    };
                    ends.borrow_mut().push(end);
                })
                .detach();
            }
        })
    });
    world.run_for(Duration::from_millis(10));
    ends
}

/// What a client went through.
#[derive(Debug, Default)]
struct Told {
    connected: Option<Result<(), ErrorKind>>,
    sent: Vec<Result<(), ErrorKind>>,
    read: Option<Result<usize, ErrorKind>>,
}

impl Told {
    /// Whether the connection ended with `kind`: a fault is told once, to whoever asks first.
    fn ended_with(&self, kind: ErrorKind) -> bool {
        self.read == Some(Err(kind)) || self.sent.contains(&Err(kind))
    }
}

/// Connects, sends a byte a second and reads.
fn start_sending(world: &World, name: &str, server: &'static str) -> Shared<Told> {
    let told: Shared<Told> = Rc::default();
    let place = Rc::clone(&told);
    world.node(name).start(1, move |env| {
        let told = Rc::clone(&place);
        Box::pin(async move {
            let address = env.net.resolve(server, PORT).await.expect("a known name")[0];
            let connected = env.net.connect(address).await;
            told.borrow_mut().connected = Some(connected.as_ref().map(|_| ()).map_err(std::io::Error::kind));
            let Ok(Stream { mut read, mut write, .. }) = connected else { return };
            let reading = Rc::clone(&told);
            let reader = env.spawn("reader", async move {
                let end = read.read(&mut BytesMut::new(), 10).await.map_err(|error| error.kind());
                reading.borrow_mut().read = Some(end);
            });
            loop {
                let sent = write.send(&[Segment::Bytes(Bytes::from_static(b"x"))]).await.map_err(|error| error.kind());
                told.borrow_mut().sent.push(sent);
                if sent.is_err() {
                    break;
                }
                env.sleep(SECOND).await;
            }
            drop(reader);
        })
    });
    told
}

#[test]
fn a_crashed_process_is_heard_of_and_a_dark_machine_is_not() {
    simulate(2, Config::default(), |world| {
        start_listening(world, "server");
        let told = start_sending(world, "client", "server");
        world.run_for(3 * SECOND);
        assert_eq!(told.borrow().connected, Some(Ok(())));
        world.node("server").crash();
        assert!(world.node("client").run_until_stopped(10 * SECOND), "the client hears of it");
        let last = *told.borrow().sent.last().expect("it sent");
        assert!(matches!(last, Err(ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)), "{last:?}");

        start_listening(world, "server");
        let told = start_sending(world, "client", "server");
        world.run_for(3 * SECOND);
        world.node("server").power_loss();
        world.run_for(100 * SECOND);
        assert!(told.borrow().sent.iter().all(Result::is_ok), "silence looks like a slow peer");
        assert_eq!(told.borrow().read, None, "a half-open connection reads nothing");
        // The machine comes back and knows nothing of the connection.
        start_listening(world, "server");
        assert!(world.node("client").run_until_stopped(200 * SECOND), "the next packet is answered by a reset");
        assert!(told.borrow().ended_with(ErrorKind::ConnectionReset), "{told:?}");
    });
}

#[test]
fn a_machine_that_stays_dark_is_given_up() {
    simulate(3, Config::default(), |world| {
        start_listening(world, "server");
        let told = start_sending(world, "client", "server");
        world.run_for(3 * SECOND);
        world.node("server").power_loss();
        assert!(world.node("client").run_until_stopped(2_000 * SECOND), "TCP gives up in the end");
        assert!(told.borrow().ended_with(ErrorKind::TimedOut), "{told:?}");
        let told = start_sending(world, "client", "server");
        assert!(world.node("client").run_until_stopped(300 * SECOND), "so does connecting");
        assert_eq!(told.borrow().connected, Some(Err(ErrorKind::TimedOut)));
        // The machine is up, its process is not.
        world.node("server").start(1, |_| Box::pin(async {}));
        let told = start_sending(world, "client", "server");
        assert!(world.node("client").run_until_stopped(SECOND), "a machine without listener answers at once");
        assert_eq!(told.borrow().connected, Some(Err(ErrorKind::ConnectionRefused)));
    });
}

#[test]
fn a_closed_way_delays_and_loses_nothing() {
    for seed in 0..10 {
        simulate(seed, Config::default(), move |world| {
            let ends = start_listening(world, "server");
            let told = start_sending(world, "client", "server");
            world.run_for(3 * SECOND);
            let (client, server) = (world.node("client"), world.node("server"));
            client.set_way_open(&server, false);
            world.run_for(20 * SECOND);
            assert!(ends.borrow().is_empty(), "the server hears nothing");
            client.set_way_open(&server, true);
            world.run_for(60 * SECOND);
            let sent = told.borrow().sent.len();
            assert!(told.borrow().sent.iter().all(Result::is_ok));
            // Killed by itself, the client says FIN behind all it has sent.
            client.crash();
            world.run_for(SECOND);
            assert_eq!(*ends.borrow(), [Ok(sent)], "seed {seed}");
        });
    }
}

#[test]
fn nothing_of_a_dead_process_goes_on() {
    struct Guard(Env, Rc<Cell<u32>>);
    impl Drop for Guard {
        fn drop(&mut self) {
            let Self(env, drops) = self;
            drops.set(drops.get() + 1);
            // A destructor may try; a dead process reaches nothing.
            let late = Rc::clone(drops);
            env.spawn("ghost", async move { late.set(1_000) }).detach();
        }
    }
    simulate(4, Config::default(), |world| {
        let (ticks, drops) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let node = world.node("n");
        let (counting, dropping) = (Rc::clone(&ticks), Rc::clone(&drops));
        node.start(2, move |env| {
            let (ticks, guard) = (Rc::clone(&counting), Guard(env.clone(), Rc::clone(&dropping)));
            Box::pin(async move {
                loop {
                    env.sleep(Duration::from_millis(100)).await;
                    ticks.set(ticks.get() + 1);
                    assert_eq!(guard.1.get() % 2, 0, "shards die together");
                }
            })
        });
        world.run_for(SECOND);
        let before = ticks.get();
        assert!(before >= 16, "two shards tick ten times each second: {before}");
        node.crash();
        world.run_for(10 * SECOND);
        assert_eq!(ticks.get(), before, "a dead process does nothing");
        assert_eq!(drops.get(), 2, "what it held is dropped, and its destructors reach nothing");
        node.restart();
        world.run_for(SECOND);
        assert!(ticks.get() > before, "it comes back");
    });
}

#[test]
fn a_panic_takes_its_node_down_and_is_told() {
    simulate(5, Config::default(), |world| {
        let node = world.node("n");
        node.start(2, |env| {
            Box::pin(async move {
                env.sleep(SECOND).await;
                if env.shards.this().0 == 1 {
                    panic!("the invariant that broke");
                }
                std::future::pending::<()>().await;
            })
        });
        assert!(node.run_until_stopped(2 * SECOND), "a panic of one shard ends the process");
        let panics = world.take_panics();
        assert_eq!(panics.len(), 1);
        assert_eq!(panics[0].message(), "the invariant that broke");
    });
    let unseen = std::panic::catch_unwind(|| {
        simulate(6, Config::default(), |world| {
            world.node("n").start(1, |_| Box::pin(async { panic!("nobody looked") }));
            world.run_for(SECOND);
        });
    });
    assert!(unseen.is_err(), "a panic that the scenario does not take fails the run");
}

#[test]
#[should_panic(expected = "10001 polls by 0.")]
fn too_many_polls_are_a_livelock() {
    simulate(7, Config { polls_max: 10_000, ..Config::default() }, spin);
}

#[test]
#[should_panic(expected = "most in main of n (")]
fn too_many_events_are_a_livelock_that_names_who_keeps_it_going() {
    simulate(7, Config { events_max: 10_000, ..Config::default() }, spin);
}

fn spin(world: &World) {
    world.node("n").start(1, |env| {
        Box::pin(async move {
            loop {
                env.tasks.yield_now().await;
            }
        })
    });
    world.run_for(SECOND);
}

#[test]
fn observations_are_told_with_their_place() {
    simulate(8, Config::default(), |world| {
        let seen: Shared<Vec<(u16, u16)>> = Rc::default();
        let place = Rc::clone(&seen);
        world.on_observation(move |observed| place.borrow_mut().push((observed.node.0, observed.shard.0)));
        world
            .node("n")
            .start(2, |env| Box::pin(async move { env.observe(&barnabas_base::Observation::Mark { name: "seen" }) }));
        world.run_for(SECOND);
        assert_eq!(seen.borrow().len(), 2);
        assert!(seen.borrow().contains(&(0, 1)));
    });
}

/// Holds the seam, and itself when it is told to.
struct Holder {
    env: Env,
    own: RefCell<Option<Rc<Self>>>,
}

/// A run whose node ends with a holder of its seam behind it.
fn leave_holder(is_cycle: bool) {
    let config = Config { leaves_nothing: true, ..Config::default() };
    simulate(1, config, move |world| {
        let node = world.node("n");
        node.start(1, move |env| {
            Box::pin(async move {
                let holder = Rc::new(Holder { env, own: RefCell::default() });
                if is_cycle {
                    holder.own.borrow_mut().replace(Rc::clone(&holder));
                }
                holder.env.sleep(SECOND / 2).await;
            })
        });
        assert!(node.run_until_stopped(SECOND), "it ends");
    });
}

#[test]
#[should_panic(expected = "outlive their world")]
fn a_cycle_that_keeps_a_world_is_found() {
    leave_holder(true);
}

#[test]
fn a_world_that_nothing_keeps_is_gone() {
    leave_holder(false);
}
