//! `barnabas consume` as a process, against a broker that is one too: what it commits when its output takes nothing, and
//! what it says when the broker goes.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A broker on a port and in a folder of its own, for as long as the test runs.
struct Broker {
    process: Child,
    folder: PathBuf,
    address: String,
}

impl Broker {
    /// A broker with one record in the topic `t`.
    fn start(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("barnabas-{name}-{}", std::process::id()));
        let mut start = Command::new(env!("CARGO_BIN_EXE_barnabas"));
        start.arg("start");
        for key in [
            "listeners=PLAINTEXT://localhost:0",
            "barnabas.shards=1",
            "group.initial.rebalance.delay.ms=0",
            "offsets.topic.num.partitions=1",
        ] {
            start.args(["--override", key]);
        }
        start.arg("--override").arg(format!("log.dirs={}", folder.display()));
        let mut process = start.stdout(Stdio::piped()).spawn().expect("the binary runs");
        let log = BufReader::new(process.stdout.take().expect("it was asked for"));
        let mut lines = log.lines().map(|line| line.expect("the log is text"));
        let listening =
            lines.find_map(|line| line.split_once("Listening on PLAINTEXT://").map(|(_, to)| to.to_owned()));
        let listening = listening.expect("it says where it listens");
        let address = listening.split(' ').next().expect("an address").to_owned();
        // What else it says is read, or it would wait for somebody to do so.
        std::thread::spawn(move || lines.for_each(drop));
        let broker = Self { process, folder, address };
        assert!(broker.command(&["topics", "create", "t"]).status().expect("it runs").success());
        let mut producer = broker.command(&["produce", "t"]).stdin(Stdio::piped()).spawn().expect("it runs");
        producer.stdin.take().expect("it was asked for").write_all(b"first\n").expect("it listens");
        assert!(producer.wait().expect("it ends").success());
        broker
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_barnabas"));
        command.args(words).args(["--bootstrap-server", &self.address]);
        command
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
        drop(fs::remove_dir_all(&self.folder));
    }
}

fn first_line(stream: impl Read) -> String {
    BufReader::new(stream).lines().next().expect("a line").expect("text")
}

const CONSUME: [&str; 7] = ["consume", "t", "--group", "g", "--from-beginning", "--max-messages", "1"];

#[test]
fn what_a_full_device_did_not_take_is_not_committed() {
    let broker = Broker::start("consume-full");
    let full = File::options().write(true).open("/dev/full").expect("every Linux has it");
    let consumed = broker.command(&CONSUME).stdout(full).status().expect("it runs");
    assert!(!consumed.success(), "it says that nothing was printed");

    let again = broker.command(&CONSUME).arg("--exit-at-end").output().expect("it runs");
    assert_eq!(String::from_utf8_lossy(&again.stdout), "first\n");
}

/// Without a word it would look like one that has nothing to read.
#[test]
fn a_broker_that_goes_is_told_of() {
    let mut broker = Broker::start("consume-gone");
    let mut consume = broker.command(&["consume", "t", "--from-beginning"]);
    let mut consumer = consume.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    assert_eq!(first_line(consumer.stdout.take().expect("it was asked for")), "first");
    broker.process.kill().expect("it runs");
    let said = first_line(consumer.stderr.take().expect("it was asked for"));
    assert!(said.contains(&broker.address) && said.ends_with("; trying again"), "{said}");
    consumer.kill().expect("it goes on trying");
    consumer.wait().expect("it ends");
}
