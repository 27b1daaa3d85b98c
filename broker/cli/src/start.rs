//! `barnabas start`: configuration in, a running broker, SIGTERM out.
//!
//! Reads the file, the environment and the overrides, starts the threads, and prints what a person needs to know. What a
//! broker does, the node decides.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::Context as _;
use barnabas_metadata::config::{BrokerConfig, ConfigProblem, ConfigSources, FlushPolicy};
use barnabas_node::{Node, NodeOptions, ShardCounters, Started};
use barnabas_runtime::sync::Notify;
use barnabas_runtime_tokio::{NodeConfig, Signal, Signals};
use clap::Args;

use crate::logging::{self, LogFormat};
use crate::output;

/// Exit code of a configuration that cannot be used.
const EXIT_CONFIG: u8 = 2;
/// Exit code of a broker that could not start or had to give up.
const EXIT_FAILED: u8 = 1;
/// Exit codes of a process that a signal ended, as shells number them: 128 and the number of the signal.
const EXIT_INTERRUPTED: i32 = 128 + 2;
const EXIT_TERMINATED: i32 = 128 + 15;

/// Options of `barnabas start`.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Start {
    /// A Kafka server.properties; without one a single node listens on localhost:9092 with its data in ./barnabas-data
    file: Option<PathBuf>,
    /// Set one configuration key; may be repeated, and wins over environment and file
    #[arg(long = "override", value_name = "KEY=VALUE", value_parser = parse_override)]
    overrides: Vec<(String, String)>,
    /// Accept keys that are not known, with a warning
    #[arg(long)]
    accept_unknown_keys: bool,
    /// Layout of the log on stdout
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// ERROR, WARN, INFO, DEBUG, TRACE, or a filter such as info,SocketServer=debug
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

/// Fewer open files than this are no use: a folder with its journals, the metadata log and `__consumer_offsets` take more
/// than a hundred, and a stop has to open some to be a clean one.
const DESCRIPTORS_MIN: u64 = 256;

/// With which some editors begin a UTF-8 file.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

const EXAMPLES: &str = "\
Examples:
  barnabas start
  barnabas start server.properties --override log.dirs=/data/kafka
  KAFKA_LISTENERS=PLAINTEXT://:9092 barnabas start

A key that is unknown, or that asks for something that does not work yet, is refused with its line. Environment variables
have the names of Apache Kafka's container image: KAFKA_ and the key in capitals, with _ for a dot. A new folder draws its
cluster id; CLUSTER_ID is not read.

SIGTERM and Ctrl-C stop cleanly. Before the start is complete they end it at once, which loses nothing; Ctrl-C once more
cuts a stop short, after which the next start reads more. Exit status: 0 stopped, 1 could not start or had to give up,
2 wrong configuration, 130 or 143 ended at once by Ctrl-C or SIGTERM.";

fn parse_override(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err("an override has the form key=value".to_owned()),
    }
}

/// Runs the broker until it is told to stop.
pub(crate) fn run(start: &Start) -> anyhow::Result<ExitCode> {
    let level = start.log_level.clone().or_else(|| std::env::var("KAFKA_LOG4J_ROOT_LOGLEVEL").ok());
    logging::init(start.log_format, level.as_deref().unwrap_or("info"))?;
    let mut config = match load_config(start)? {
        Ok(config) => config,
        Err(problems) => {
            report(&problems);
            return Ok(ExitCode::from(EXIT_CONFIG));
        }
    };
    make_absolute(&mut config)?;
    if let Some(limit) = barnabas_runtime_tokio::raise_descriptor_limit().filter(|limit| *limit < DESCRIPTORS_MIN) {
        anyhow::bail!("the limit on open files is {limit} (ulimit -Hn), and a broker needs {DESCRIPTORS_MIN}");
    }
    let shards = data_shards(&config);
    let options = Arc::new(NodeOptions { config, data_shards: shards, version: env!("CARGO_PKG_VERSION") });
    run_node(options, shards)
}

/// The text of a properties file: UTF-8, with or without a mark at its beginning, or what Java takes such files for, ISO-8859-1.
pub(crate) fn read_properties(path: &Path) -> io::Result<String> {
    let bytes = std::fs::read(path)?;
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&bytes);
    Ok(std::str::from_utf8(bytes).map_or_else(|_| bytes.iter().copied().map(char::from).collect(), str::to_owned))
}

fn load_config(start: &Start) -> anyhow::Result<Result<BrokerConfig, Vec<ConfigProblem>>> {
    let file = match &start.file {
        None => None,
        Some(path) => {
            let text = read_properties(path).with_context(|| format!("cannot read {}", path.display()))?;
            Some((path.display().to_string(), text))
        }
    };
    let sources = ConfigSources {
        file,
        environment: texts(std::env::vars_os()),
        overrides: start.overrides.clone(),
        accept_unknown: start.accept_unknown_keys,
    };
    Ok(BrokerConfig::from_sources(&sources).map(|(config, warnings)| {
        for warning in warnings {
            tracing::warn!(target: "KafkaConfig", "{warning}");
        }
        config
    }))
}

/// The variables that are text. Keys and their values are; what else a machine has in its environment is no concern of
/// this process.
fn texts(variables: impl Iterator<Item = (OsString, OsString)>) -> Vec<(String, String)> {
    variables.filter_map(|(name, value)| name.into_string().ok().zip(value.into_string().ok())).collect()
}

/// Log directories as Kafka knows and tells them, wherever the process was started.
fn make_absolute(config: &mut BrokerConfig) -> anyhow::Result<()> {
    for dir in config.log_dirs.iter_mut().chain([&mut config.metadata_log_dir]) {
        let path = std::path::absolute(&*dir).with_context(|| format!("cannot tell where {dir} is"))?;
        *dir = path.display().to_string();
    }
    Ok(())
}

/// Every problem on a line of its own, where a person starting a broker looks for it.
fn report(problems: &[ConfigProblem]) {
    let mut stderr = io::stderr().lock();
    for problem in problems {
        // Nobody is left to tell when stderr is gone.
        drop(writeln!(stderr, "barnabas: {problem}"));
    }
}

/// One for every two cores unless told: the other one is for the threads that wait for the device and for the kernel's
/// network, and each shard more divides what one sync could have covered.
fn data_shards(config: &BrokerConfig) -> u16 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let wanted = config.shards.map_or(cores.div_ceil(2), usize::from);
    u16::try_from(wanted.min(MAX_DATA_SHARDS)).expect("bounded by a small constant")
}

/// A fetch session id has 8 bits for its shard, and the controller's shard comes on top.
const MAX_DATA_SHARDS: usize = 255;

fn run_node(options: Arc<NodeOptions>, shards: u16) -> anyhow::Result<ExitCode> {
    let node = Node::new(Arc::clone(&options));
    let outcome = node.outcome();
    let mut layout = NodeConfig::new("barnabas", shards + 1);
    layout.observer = Arc::new(|_| Rc::new(ShardCounters::default()));
    let controller = shards;
    barnabas_runtime_tokio::run(&layout, move |env| {
        let node = node.clone();
        let options = Arc::clone(&options);
        Box::pin(async move {
            if env.shards.this().0 != controller {
                return node.run_data_shard(env).await;
            }
            let signals = Signals::listen().unwrap_or_else(|error| {
                // Nothing has begun, and the other shards wait for this one.
                output::complain(&format!("cannot take over signals: {error}"));
                std::process::exit(i32::from(EXIT_FAILED))
            });
            let stop = Rc::new(Notify::new());
            env.spawn_detached("signals", obey(signals, node.clone(), Rc::clone(&stop)));
            let stopping = stop.changed_since(0);
            node.run_controller_shard(env, |started| greet(&options, started), stopping).await;
        })
    })
    .context("cannot start the threads of the broker")?;
    match outcome.failure() {
        None => Ok(ExitCode::SUCCESS),
        Some(failure) => {
            output::complain(&failure);
            Ok(ExitCode::from(EXIT_FAILED))
        }
    }
}

/// How far the broker has come, as far as signals matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Starting,
    Serving,
    Stopping,
}

/// What a signal does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reaction {
    Nothing,
    Stop,
    /// The process ends here, with this exit code.
    End(i32),
}

/// A start is as safe to cut as a crash, and may take as long as the data is large. Scripts repeat SIGTERM, so that only
/// SIGINT, which a person sends, cuts a stop short.
const fn react(phase: Phase, signal: Signal) -> Reaction {
    match (phase, signal) {
        (_, Signal::Hangup) | (Phase::Stopping, Signal::Terminate) => Reaction::Nothing,
        (Phase::Starting, Signal::Terminate) => Reaction::End(EXIT_TERMINATED),
        (Phase::Starting | Phase::Stopping, Signal::Interrupt) => Reaction::End(EXIT_INTERRUPTED),
        (Phase::Serving, Signal::Terminate | Signal::Interrupt) => Reaction::Stop,
    }
}

/// Does what signals ask for until the process ends; `stop` is told when the broker is to stop.
async fn obey(mut signals: Signals, node: Node, stop: Rc<Notify>) {
    loop {
        let signal = signals.next().await;
        let phase = match (stop.version(), node.is_open()) {
            (0, false) => Phase::Starting,
            (0, true) => Phase::Serving,
            _ => Phase::Stopping,
        };
        match react(phase, signal) {
            Reaction::Nothing => tracing::info!(target: "BarnabasServer", "{signal}: nothing to do while {phase}"),
            Reaction::Stop => stop.notify(),
            Reaction::End(code) => {
                tracing::warn!(target: "BarnabasServer", "{signal} while {phase}: ends at once");
                std::process::exit(code);
            }
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Starting => "starting",
            Self::Serving => "serving",
            Self::Stopping => "stopping",
        })
    }
}

/// The five lines a person can use, and the one that Testcontainers waits for.
fn greet(options: &NodeOptions, started: &Started) {
    let listeners = started.listeners.join(", ");
    let directories = started.directories.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(", ");
    let durability = match options.flush_policy() {
        FlushPolicy::Ack => "every acknowledged record is synced first (flush.policy=ack)",
        FlushPolicy::Os => "acknowledged records may be lost with power (flush.policy=os)",
    };
    tracing::info!(target: "BarnabasServer", "Barnabas {}, speaks Apache Kafka 4.3", options.version);
    tracing::info!(target: "BarnabasServer", "Cluster {}, node {}", started.cluster_id, options.broker_id());
    tracing::info!(target: "BarnabasServer", "Listening on {listeners}");
    tracing::info!(target: "BarnabasServer", "Data in {directories}: {durability}");
    let first = started.listeners.first().map_or("localhost:9092", |listener| {
        let address = listener.split_once("://").map_or(listener.as_str(), |(_, address)| address);
        address.split_once(' ').map_or(address, |(address, _)| address)
    });
    tracing::info!(target: "BarnabasServer", "Try: echo hello | barnabas produce hello --bootstrap-server {first}");
    tracing::info!(
        target: "BrokerLifecycleManager",
        "[BrokerLifecycleManager id={}] The broker has been unfenced. Transitioning from RECOVERY to RUNNING.",
        options.broker_id()
    );
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

    #[test]
    fn variables_that_are_no_text_are_passed_over() {
        let variable =
            |name: &[u8], value: &[u8]| (OsString::from_vec(name.to_vec()), OsString::from_vec(value.to_vec()));
        let variables = [variable(b"A", b"\xff"), variable(b"\xff", b"1"), variable(b"KAFKA_NODE_ID", b"7")];
        assert_eq!(texts(variables.into_iter()), [("KAFKA_NODE_ID".to_owned(), "7".to_owned())]);
    }

    #[test]
    fn what_a_signal_does_depends_on_the_phase() {
        let reactions = |phase| [Signal::Terminate, Signal::Interrupt, Signal::Hangup].map(|kind| react(phase, kind));
        let [nothing, stop] = [Reaction::Nothing, Reaction::Stop];
        assert_eq!(reactions(Phase::Starting), [Reaction::End(143), Reaction::End(130), nothing]);
        assert_eq!(reactions(Phase::Serving), [stop, stop, nothing]);
        assert_eq!(reactions(Phase::Stopping), [nothing, Reaction::End(130), nothing]);
    }
}
