//! Same seed, same run: the hash over everything that happens is the same, whatever ran before and wherever; and what is
//! unrelated to a change stays as it was.
#![allow(clippy::print_stdout, reason = "one process tells its hashes to another")]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use barnabas_runtime::{Env, OpenMode, Segment, Stream};
use barnabas_runtime_madsim::{Config, TraceEvent, World, simulate};
use bytes::{Bytes, BytesMut};

const PORT: u16 = 9092;

/// Writes what it receives to a file, syncs, and echoes it.
async fn serve(env: Env) {
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT));
    let listener = env.net.listen(any).await.expect("a free port");
    let file = env.disk.open(Path::new("/log"), OpenMode::CreateOrOpen).await.expect("a healthy disk");
    let mut end = file.size().await.expect("open");
    loop {
        let accepted = listener.accept().await.expect("a healthy network");
        let Stream { mut read, mut write, .. } = env.net.adopt(accepted).expect("fresh");
        let mut buffer = BytesMut::new();
        while read.read(&mut buffer, 100).await.is_ok_and(|count| count > 0) {
            let bytes = buffer.split().freeze();
            file.write_at(end, std::slice::from_ref(&bytes)).await.expect("room for it");
            end += bytes.len() as u64;
            file.sync().await.expect("a healthy disk");
            if write.send(&[Segment::Bytes(bytes)]).await.is_err() {
                break;
            }
        }
    }
}

/// Sends numbered lines to `server` and waits for their echo.
async fn talk(env: Env, server: &'static str, lines: u64) {
    let addresses = env.net.resolve(server, PORT).await.expect("a known name");
    let mut stream = loop {
        match env.net.connect(addresses[0]).await {
            Ok(stream) => break stream,
            Err(_) => env.sleep(Duration::from_millis(50)).await,
        }
    };
    for line in 0..lines {
        let text = Bytes::from(format!("{line} {:x}\n", env.entropy.next_u64()));
        stream.write.send(&[Segment::Bytes(text.clone())]).await.expect("the server lives");
        let mut buffer = BytesMut::new();
        while buffer.len() < text.len() {
            stream.read.read(&mut buffer, 100).await.expect("the server lives");
        }
        assert_eq!(buffer, text);
    }
}

fn start(world: &World, clients: &[(&'static str, &'static str, u64)]) {
    for server in ["s0", "s1"] {
        world.node(server).start(1, |env| Box::pin(serve(env)));
    }
    for (name, server, lines) in clients {
        let (server, lines) = (*server, *lines);
        world.node(name).start(1, move |env| Box::pin(talk(env, server, lines)));
    }
}

fn run(seed: u64) -> (u64, u64) {
    simulate(seed, Config::default(), |world| {
        start(world, &[("c0", "s0", 20), ("c1", "s1", 20), ("c2", "s0", 5)]);
        world.run_for(Duration::from_millis(100));
        world.node("s0").power_loss();
        assert!(world.node("c1").run_until_stopped(Duration::from_secs(10)), "the other server is not concerned");
        (world.trace_hash(), world.trace_count())
    })
}

#[test]
fn a_seed_is_a_run() {
    for seed in 0..10 {
        let first = run(seed);
        assert!(first.1 > 500, "things happened: {first:?}");
        run(seed + 1_000);
        assert_eq!(run(seed), first, "seed {seed}");
        assert_ne!(run(seed + 1).0, first.0, "another seed is another run");
    }
}

#[test]
fn threads_do_not_leak_into_runs() {
    let expected: Vec<_> = (0..4).map(run).collect();
    let threads: Vec<_> = (0..4).map(|seed| std::thread::spawn(move || run(seed))).collect();
    let found: Vec<_> = threads.into_iter().map(|thread| thread.join().expect("no run panics")).collect();
    assert_eq!(found, expected);
}

/// Not a test: what another process prints for [`processes_agree`].
#[test]
#[ignore = "run by `processes_agree` in a process of its own"]
fn print_hashes() {
    println!("hashes {:?}", (0..4).map(run).collect::<Vec<_>>());
}

#[test]
fn processes_agree() {
    let expected = format!("hashes {:?}", (0..4).map(run).collect::<Vec<_>>());
    let program = std::env::current_exe().expect("a running test has a program");
    for (directory, variable) in [("/", "1"), ("/tmp", "a value of another length")] {
        let mut command = std::process::Command::new(&program);
        command.args(["--exact", "print_hashes", "--ignored", "--nocapture"]);
        let output = command.current_dir(directory).env("NOISE", variable).output().expect("the program runs again");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(&expected), "another process came to {text}");
    }
}

#[test]
fn unrelated_draws_stay_when_a_client_goes() {
    let events = |clients: &'static [(&'static str, &'static str, u64)]| {
        simulate(3, Config { keep_events: true, ..Config::default() }, move |world| {
            start(world, clients);
            world.run_for(Duration::from_secs(5));
            world.events()
        })
    };
    // Node 3 talks to node 1; node 2 to node 0. Node ids stay: the quiet client is there and says nothing.
    let with = events(&[("c0", "s0", 10), ("c1", "s1", 10)]);
    let without = events(&[("c0", "s0", 0), ("c1", "s1", 10)]);
    let of = |events: &[TraceEvent], node: u64| {
        let concerned = |event: &&TraceEvent| event.entity >> 48 == node && event.entity > 0xffff;
        events.iter().filter(concerned).copied().collect::<Vec<_>>()
    };
    for node in [1, 3] {
        let (with, without) = (of(&with, node), of(&without, node));
        assert!(with.len() > 50, "node {node} does something");
        assert_eq!(with, without, "node {node} has nothing to do with the client that fell silent");
    }
    assert_ne!(of(&with, 2), of(&without, 2));
}
