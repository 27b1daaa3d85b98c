//! `cargo ci workloads`: the simulator's clients and checkers against real processes, seed after seed. This owns the broker
//! and does to it what the clients' program asks for: SIGKILL, SIGSTOP, clean restarts, connections reset. Against Apache
//! Kafka a broken promise is a fault of the checkers, until Kafka's documents explain it.

mod proxy;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use rustix::process::Signal;

use crate::broker::{Broker, Kind, Ports, Spec};
use crate::process::{self, Pipe, Running};
use crate::workspace;
use proxy::Proxy;

/// A run is silent no longer than this: clients settle within two minutes, and a read that is stuck ends after one.
const SILENCE: Duration = Duration::from_secs(400);
const BUILD_DEADLINE: Duration = Duration::from_secs(900);
const CONFIG_DEADLINE: Duration = Duration::from_secs(30);
/// What the keys begin with of which Apache Kafka knows nothing, or cannot take values as small as a short run needs.
const OWN_KEYS: [&str; 5] =
    ["barnabas.", "flush.", "log.scrub.", "internal.barnabas.", "internal.metadata.log.segment.bytes"];

/// Promises that Apache Kafka does not make, and where it says so.
const EXCUSED: [(&str, &str); 4] = [
    (
        "dead-topic",
        "its brokers may learn seconds after the answer that a topic is gone, as the documentation of Admin.deleteTopics \
         has it",
    ),
    (
        "end-offset",
        "log starts are written once a minute (log.flush.start.offset.checkpoint.interval.ms): killed, they fall",
    ),
    ("trimmed", "the same: what was deleted before a kill may be served again"),
    (
        "offset-query",
        "a timestamp that a deleted record reaches first, whose segment is not gone yet, is answered with -1: \
         UnifiedLog.fetchOffsetByTimestamp looks into one segment only",
    ),
];

/// What to run against what.
#[derive(Args)]
pub(crate) struct Options {
    /// The broker under test.
    #[arg(long, value_enum, default_value = "barnabas")]
    against: Kind,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// How many seeds at most.
    #[arg(long, default_value_t = 7)]
    seeds: u64,
    /// No seed begins later than after so many seconds.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// The lane of all seeds; otherwise one after the other.
    #[arg(long)]
    lane: Option<String>,
    /// How long clients work in one run while things go wrong.
    #[arg(long, default_value_t = 20_000)]
    safety_ms: u64,
}

/// Runs seed after seed; the first broken promise is told at the end, with where the run's files are.
pub(crate) fn run(options: &Options, binary: Option<&Path>) -> Result<()> {
    let program = build()?;
    if options.against == Kind::Kafka {
        EXCUSED.iter().for_each(|(promise, why)| println!("excused in Apache Kafka: {promise}: {why}"));
    }
    let began = Instant::now();
    let mut broken = Vec::new();
    let mut runs = 0;
    for seed in options.from..options.from.saturating_add(options.seeds) {
        if began.elapsed() > Duration::from_secs(options.seconds) {
            break;
        }
        let folder = workspace::scratch("workloads")?;
        let is_kept = play(options, binary, &program, seed, &folder)?;
        runs += 1;
        if is_kept {
            std::fs::remove_dir_all(&folder)?;
        } else {
            broken.push(format!("seed {seed}: {}", folder.display()));
        }
    }
    println!("{runs} runs against {}, {} of them with a broken promise", options.against.name(), broken.len());
    ensure!(runs > 0, "no seed was run");
    ensure!(broken.is_empty(), "broken promises: {}", broken.join(", "));
    Ok(())
}

/// The clients' program.
fn build() -> Result<PathBuf> {
    let mut command = Command::new("cargo");
    command.args(["build", "--quiet", "--locked", "--profile", "sim", "--package", "barnabas-processes"]);
    command.current_dir(workspace::root());
    process::run(&mut command, &[], BUILD_DEADLINE)?.success().context("building the clients")?;
    Ok(workspace::target().join("sim/barnabas-processes"))
}

/// Whether every promise of one seed was kept.
fn play(options: &Options, binary: Option<&Path>, program: &Path, seed: u64, folder: &Path) -> Result<bool> {
    let which = |command: &str| {
        let mut child = Command::new(program);
        child.arg(command).args(["--seed", &seed.to_string(), "--safety-ms", &options.safety_ms.to_string()]);
        child.args(options.lane.iter().flat_map(|lane| ["--lane", lane]));
        child
    };
    let wanted = process::run(&mut which("config"), &[], CONFIG_DEADLINE)?.success()?.text();
    let mut spec = Spec::new(options.against, binary)?.with("auto.create.topics.enable", "false");
    for (key, value) in wanted.lines().filter_map(|line| line.split_once('=')) {
        let is_known = options.against == Kind::Barnabas || OWN_KEYS.iter().all(|own| !key.starts_with(own));
        if is_known {
            spec = spec.with(key, value);
        }
    }
    let ports = Ports::free()?;
    let proxy = Proxy::start(ports.between, ports.client())?;
    let spec = spec.with("advertised.listeners", &format!("PLAINTEXT://127.0.0.1:{}", proxy.port()));
    let mut broker = Broker::start_on(ports, spec, folder)?;
    let mut command = which("run");
    command.arg("--bootstrap").arg(format!("127.0.0.1:{}", proxy.port()));
    command.arg("--history").arg(folder.join("history.edn"));
    if options.against == Kind::Kafka {
        command.args(EXCUSED.iter().flat_map(|(promise, _)| ["--excuse", promise]));
    }
    let mut clients = Running::start(&mut command)?;
    let outcome = serve(&mut clients, &mut broker, &proxy);
    if outcome.is_err() {
        eprintln!("{}", broker.last_log_lines());
    }
    outcome
}

/// Does what the clients' program asks for, until it has ended.
fn serve(clients: &mut Running, broker: &mut Broker, proxy: &Proxy) -> Result<bool> {
    while let Some((pipe, line)) = clients.line(SILENCE) {
        let Some(asked) = line.strip_prefix("do ").filter(|_| pipe == Pipe::Output) else {
            println!("{line}");
            continue;
        };
        match asked.split_once(' ').unwrap_or((asked, "")) {
            ("kill", _) => {
                broker.kill()?;
                clients.say("dead")?;
                broker.restart()?;
                clients.say("serving")?;
            }
            ("restart", _) => {
                broker.stop()?;
                clients.say("dead")?;
                broker.restart()?;
                clients.say("serving")?;
            }
            ("pause", for_ms) => {
                broker.signal(Signal::STOP)?;
                std::thread::sleep(Duration::from_millis(for_ms.parse()?));
                broker.signal(Signal::CONT)?;
                clients.say("done")?;
            }
            ("reset", _) => {
                proxy.reset_all();
                clients.say("done")?;
            }
            (other, _) => bail!("the clients ask for `{other}`"),
        }
    }
    let status = clients.wait(Duration::from_secs(10))?.context("the clients fell silent")?;
    match status.code() {
        Some(0) => Ok(true),
        Some(1) => Ok(false),
        _ => bail!("the clients ended with {status}"),
    }
}
