//! Child processes with deadlines: run one to its end, or keep one running and read its lines. Every child is killed
//! when its owner goes, so that a failed run leaves nothing behind.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How often a child is asked whether it ended.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// What a child that ran to its end left.
#[derive(Debug)]
pub(crate) struct Finished {
    /// How it ended; `None` when the deadline passed and it was killed.
    pub(crate) status: Option<ExitStatus>,
    /// Its standard output.
    pub(crate) stdout: Vec<u8>,
    /// Its standard error.
    pub(crate) stderr: Vec<u8>,
}

impl Finished {
    /// Standard output as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text.
    pub(crate) fn complaints(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// This, or an error that quotes the last lines of standard error and output.
    pub(crate) fn success(self) -> Result<Self> {
        match self.status {
            Some(status) if status.success() => Ok(self),
            Some(status) => bail!("{status}: {}", self.last_words()),
            None => bail!("killed at its deadline: {}", self.last_words()),
        }
    }

    /// The end of what the child said, for messages.
    pub(crate) fn last_words(&self) -> String {
        let mut said = self.complaints();
        said.push_str(&self.text());
        let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(6)..].join(" | ")
    }
}

/// Runs `command` to its end with `input` on its standard input, and kills it at the deadline.
pub(crate) fn run(command: &mut Command, input: &[u8], deadline: Duration) -> Result<Finished> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {name}"))?;
    let mut stdin = child.stdin.take().expect("standard input is piped");
    let stdout = child.stdout.take().expect("standard output is piped");
    let stderr = child.stderr.take().expect("standard error is piped");
    thread::scope(|scope| {
        scope.spawn(move || {
            // A child may end before it has read everything: that shows in its status.
            let _ = stdin.write_all(input);
        });
        let stdout = scope.spawn(move || read_all(stdout));
        let stderr = scope.spawn(move || read_all(stderr));
        let status = wait_until(&mut child, Instant::now() + deadline)?;
        if status.is_none() {
            child.kill().context("killing a child at its deadline")?;
            child.wait()?;
        }
        Ok(Finished {
            status,
            stdout: stdout.join().expect("the reader does not panic"),
            stderr: stderr.join().expect("the reader does not panic"),
        })
    })
}

/// Waits for the end of `child`, at most until `deadline`.
pub(crate) fn wait_until(child: &mut Child, deadline: Instant) -> Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        thread::sleep(POLL_INTERVAL);
    }
}

/// Asks `probe` again and again until it answers, at most until the deadline.
pub(crate) fn poll_until<T>(
    deadline: Duration,
    interval: Duration,
    mut probe: impl FnMut() -> Result<Option<T>>,
) -> Result<Option<T>> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(answer) = probe()? {
            return Ok(Some(answer));
        }
        if Instant::now() >= end {
            return Ok(None);
        }
        thread::sleep(interval);
    }
}

fn read_all(mut pipe: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A broken pipe ends the reading like an end of file; the status tells the rest.
    let _ = pipe.read_to_end(&mut bytes);
    bytes
}

/// Which pipe a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pipe {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

/// A child that keeps running, whose lines are read as they come.
pub(crate) struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<(Pipe, String)>,
}

impl Running {
    /// Starts `command` with its three pipes held here.
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        let (sender, lines) = channel();
        let stdin = child.stdin.take();
        forward(child.stdout.take(), Pipe::Output, sender.clone());
        forward(child.stderr.take(), Pipe::Error, sender);
        Ok(Running { child, stdin, lines })
    }

    /// The next line, `None` when none came in time or the child closed its pipes.
    pub(crate) fn line(&self, patience: Duration) -> Option<(Pipe, String)> {
        self.lines.recv_timeout(patience).ok()
    }

    /// Says a line to the child.
    pub(crate) fn say(&mut self, line: &str) -> Result<()> {
        let stdin = self.stdin.as_mut().context("the child's input is closed")?;
        writeln!(stdin, "{line}").and_then(|()| stdin.flush()).context("speaking to the child")
    }

    /// Closes the child's standard input: how the Python clients are told to leave.
    pub(crate) fn close_input(&mut self) {
        self.stdin = None;
    }

    /// Sends a signal to the child.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) -> Result<()> {
        signal_child(&self.child, signal)
    }

    /// Whether the child still runs.
    pub(crate) fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Waits for the end, at most for `patience`.
    pub(crate) fn wait(&mut self, patience: Duration) -> Result<Option<ExitStatus>> {
        wait_until(&mut self.child, Instant::now() + patience)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only when the child is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to a child that has not been waited for.
pub(crate) fn signal_child(child: &Child, signal: rustix::process::Signal) -> Result<()> {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, signal).context("signalling a child")
}

fn forward(pipe: Option<impl Read + Send + 'static>, kind: Pipe, sender: Sender<(Pipe, String)>) {
    let pipe = pipe.expect("the pipe was asked for");
    thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            match reader.read_until(b'\n', &mut bytes) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            let line = String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned();
            if sender.send((kind, line)).is_err() {
                return;
            }
        }
    });
}
