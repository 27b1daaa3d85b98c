//! A broker under test as a process: start, stop, kill, restart on the data that is there. It knows how to start
//! Barnabas and Apache Kafka; everything above treats the two alike.

mod kafka;

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use rustix::process::Signal;

use crate::process;
use crate::raw::Connection;
use crate::workspace;

/// A JVM that replays a long log takes this long; Barnabas must not.
const READY_DEADLINE: Duration = Duration::from_secs(120);
const STOP_DEADLINE: Duration = Duration::from_secs(60);
/// Where the kernel's range of ports for connections begins on Linux.
const PORT_END: u16 = 32_768;
/// Fine enough to measure a start of a tenth of a second.
const READY_POLL_INTERVAL: Duration = Duration::from_millis(2);

/// Which broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// The binary of this workspace.
    Barnabas,
    /// The peer and oracle.
    Kafka,
}

impl Kind {
    /// The name for tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Barnabas => "Barnabas",
            Kind::Kafka => "Apache Kafka",
        }
    }
}

/// What to start.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    /// Which broker.
    pub(crate) kind: Kind,
    /// The binary of Barnabas.
    pub(crate) binary: Option<PathBuf>,
    /// Configuration beyond listeners and folders, in Kafka's keys.
    pub(crate) overrides: Vec<(String, String)>,
    /// A program that runs the broker, such as a tracer, with its arguments.
    pub(crate) launcher: Vec<OsString>,
}

impl Spec {
    /// A broker with what every suite sets: groups form without the three seconds that wait for more members.
    pub(crate) fn new(kind: Kind, binary: Option<&Path>) -> Result<Self> {
        let binary = match kind {
            Kind::Barnabas => Some(workspace::broker_binary(binary)?),
            Kind::Kafka => None,
        };
        let spec = Spec { kind, binary, overrides: Vec::new(), launcher: Vec::new() };
        Ok(spec.with("group.initial.rebalance.delay.ms", "0"))
    }

    /// The same with one more line of configuration.
    pub(crate) fn with(mut self, key: &str, value: &str) -> Self {
        self.overrides.push((key.to_owned(), value.to_owned()));
        self
    }
}

/// A running or stopped broker. It is killed when dropped.
pub(crate) struct Broker {
    spec: Spec,
    folder: PathBuf,
    port: u16,
    controller_port: u16,
    child: Option<Child>,
    ready_in: Duration,
}

impl Broker {
    /// Starts a broker on free ports with its data below `folder`, and waits until it answers.
    pub(crate) fn start(spec: Spec, folder: &Path) -> Result<Self> {
        Self::start_on(Ports::free()?, spec, folder)
    }

    /// The same on ports that were chosen before.
    pub(crate) fn start_on(ports: Ports, spec: Spec, folder: &Path) -> Result<Self> {
        let (port, controller_port) = (ports.client, ports.controller);
        let mut broker =
            Broker { spec, folder: folder.to_owned(), port, controller_port, child: None, ready_in: Duration::ZERO };
        std::fs::create_dir_all(broker.data())?;
        if broker.spec.kind == Kind::Kafka {
            kafka::format(&broker)?;
        }
        broker.restart()?;
        Ok(broker)
    }

    /// Starts a stopped broker again on its data and ports, and waits until it answers.
    pub(crate) fn restart(&mut self) -> Result<()> {
        let began = Instant::now();
        self.start_without_waiting()?;
        self.await_ready()?;
        self.ready_in = began.elapsed();
        Ok(())
    }

    /// Starts a stopped broker again, and leaves it to itself.
    pub(crate) fn start_without_waiting(&mut self) -> Result<()> {
        ensure!(self.child.is_none(), "the broker runs already");
        let command = match self.spec.kind {
            Kind::Barnabas => self.barnabas_command(),
            Kind::Kafka => kafka::command(self),
        };
        let mut command = launched_by(&self.spec.launcher, command);
        let log = self.append_log()?;
        command.current_dir(&self.folder).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("starting {}", self.spec.kind.name()))?;
        self.child = Some(child);
        Ok(())
    }

    /// Where clients connect.
    pub(crate) fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The port where clients connect.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The log directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// From the start of the process to its first answer.
    pub(crate) fn ready_in(&self) -> Duration {
        self.ready_in
    }

    /// The process id.
    pub(crate) fn pid(&self) -> Result<u32> {
        Ok(self.child.as_ref().context("the broker is down")?.id())
    }

    /// A connection of the checks' own.
    pub(crate) fn connect(&self) -> Result<Connection> {
        Connection::open(self.port)
    }

    /// Creates a topic and waits until each partition has a leader.
    pub(crate) fn create_topic(&self, name: &str, partitions: i32, configs: &[(&str, &str)]) -> Result<()> {
        let mut connection = self.connect()?;
        connection.create_topic(name, partitions, configs)?;
        let wanted = usize::try_from(partitions)?;
        let led = process::poll_until(READY_DEADLINE, Duration::from_millis(10), || {
            Ok((connection.partitions_with_leader(name)? == wanted).then_some(()))
        })?;
        led.with_context(|| format!("the partitions of {name} got no leaders"))
    }

    /// Stops it as an operator would; a broker that does not end cleanly is an error.
    pub(crate) fn stop(&mut self) -> Result<()> {
        let mut child = self.child.take().context("the broker is down already")?;
        process::signal_child(&child, Signal::TERM)?;
        match process::wait_until(&mut child, Instant::now() + STOP_DEADLINE)? {
            Some(status) if is_clean(self.spec.kind, status) => Ok(()),
            Some(status) => bail!("the broker stopped with {status}: {}", self.last_log_lines()),
            None => {
                child.kill()?;
                child.wait()?;
                bail!("the broker did not stop within {STOP_DEADLINE:?} of SIGTERM")
            }
        }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        process::signal_child(self.child.as_ref().context("the broker is down")?, signal)
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().context("the broker is down already")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// The end of what the broker logged, for messages.
    pub(crate) fn last_log_lines(&self) -> String {
        let text = std::fs::read(self.log_path()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }

    fn barnabas_command(&self) -> Command {
        let binary = self.spec.binary.as_ref().expect("a spec of Barnabas names its binary");
        let mut command = Command::new(binary);
        command.arg("start");
        let own = [
            ("listeners".to_owned(), format!("PLAINTEXT://127.0.0.1:{}", self.port)),
            ("log.dirs".to_owned(), self.data().display().to_string()),
        ];
        for (key, value) in own.iter().chain(&self.spec.overrides) {
            command.arg("--override").arg(format!("{key}={value}"));
        }
        command
    }

    fn await_ready(&mut self) -> Result<()> {
        let port = self.port;
        let child = self.child.as_mut().expect("restart has set the child");
        let ready = process::poll_until(READY_DEADLINE, READY_POLL_INTERVAL, || {
            if let Some(status) = child.try_wait()? {
                bail!("the broker ended with {status} before it was ready");
            }
            let answer = Connection::open(port).and_then(|mut connection| connection.api_versions());
            Ok(answer.ok().map(drop))
        });
        match ready {
            Ok(Some(())) => Ok(()),
            Ok(None) => bail!("no answer within {READY_DEADLINE:?}: {}", self.last_log_lines()),
            Err(error) => {
                let said = self.last_log_lines();
                self.child = None;
                Err(error.context(said))
            }
        }
    }

    fn log_path(&self) -> PathBuf {
        self.folder.join("broker.log")
    }

    fn append_log(&self) -> Result<File> {
        OpenOptions::new().create(true).append(true).open(self.log_path()).context("the broker's log")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Both fail only when the process is gone already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The command as the argument of the program that runs it.
fn launched_by(launcher: &[OsString], command: Command) -> Command {
    let Some((program, arguments)) = launcher.split_first() else {
        return command;
    };
    let mut launched = Command::new(program);
    launched.args(arguments).arg(command.get_program()).args(command.get_args());
    launched
}

/// A JVM that ends because of SIGTERM says so in its status although it stopped cleanly.
fn is_clean(kind: Kind, status: ExitStatus) -> bool {
    status.success() || (kind == Kind::Kafka && status.code() == Some(128 + 15))
}

/// Ports that nobody listens on. They lie below the range from which the kernel draws ports for connections: a client that
/// kept trying while the broker is down could otherwise be given the broker's own port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    /// For clients.
    client: u16,
    /// For the peer's controller.
    controller: u16,
    /// For whoever stands between the broker and its clients.
    pub(crate) between: u16,
}

impl Ports {
    /// Ports that are free.
    pub(crate) fn free() -> Result<Self> {
        let spread = u16::try_from(std::process::id() % 8_000)?;
        let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
        let mut ports = (20_000 + spread..PORT_END).filter(free);
        let mut next = || ports.next().context("a free port");
        Ok(Ports { client: next()?, controller: next()?, between: next()? })
    }

    /// Where the broker listens for clients.
    pub(crate) fn client(self) -> u16 {
        self.client
    }
}
