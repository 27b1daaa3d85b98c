//! `barnabas start` as a process: what it does with signals and with streams that take nothing.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// A request for the versions of APIs: 10 bytes, `ApiVersions` version 0, correlation id 7, no client id.
const API_VERSIONS: &[u8] = b"\0\0\0\x0a\0\x12\0\0\0\0\0\x07\xff\xff";
/// Position of SIGTERM in a set of signals as the kernel prints it.
const SIGTERM_BIT: u64 = 1 << (15 - 1);

/// A directory that is removed with its owner.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("cargo's own scratch directory is writable");
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Left to cargo when it does not work.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A broker that ends with its owner.
struct Broker(Child);

impl Broker {
    fn start(data: &Path, port: u16, stdout: impl Into<Stdio>, stderr: impl Into<Stdio>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_barnabas"));
        command.arg("start").arg("--override").arg(format!("listeners=PLAINTEXT://127.0.0.1:{port}"));
        command.arg("--override").arg(format!("log.dirs={}", data.display()));
        Self(command.stdout(stdout).stderr(stderr).spawn().expect("the binary was built"))
    }

    fn kill(&self, signal: &str) {
        let status = Command::new("kill").arg(format!("-{signal}")).arg(self.0.id().to_string()).status();
        assert!(status.expect("every system has kill").success());
    }

    fn is_running(&mut self) -> bool {
        self.0.try_wait().expect("a child can be asked for").is_none()
    }

    fn ended(&mut self) -> ExitStatus {
        self.0.wait().expect("a child can be waited for")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Both fail only when the process is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

/// What the broker answers, once it does.
fn api_versions(port: u16) -> io::Result<[u8; 8]> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.write_all(API_VERSIONS)?;
    let mut answer = [0; 8];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

fn full() -> File {
    OpenOptions::new().write(true).open("/dev/full").expect("Linux")
}

#[test]
fn a_broker_that_nobody_can_hear_lives_and_stops() {
    let (scratch, port) = (Scratch::new("unheard"), free_port());
    let mut broker = Broker::start(&scratch.0, port, full(), full());
    let answer = loop {
        match api_versions(port) {
            Ok(answer) => break answer,
            Err(_) => assert!(broker.is_running(), "a broker that cannot write its log starts"),
        }
        std::thread::yield_now();
    };
    assert_eq!(answer[4..], [0, 0, 0, 7], "the correlation id of the request");
    broker.kill("TERM");
    assert_eq!(broker.ended().code(), Some(0), "stopped cleanly");
}

#[test]
fn a_signal_before_the_start_is_complete_ends_it() {
    let scratch = Scratch::new("starting");
    // Whoever opens it to read waits for somebody who writes: a start that takes for ever.
    let stuck = scratch.0.join("meta.properties");
    assert!(Command::new("mkfifo").arg(&stuck).status().expect("every system has mkfifo").success());
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let mut broker = Broker::start(&scratch.0, free_port(), Stdio::piped(), Stdio::null());
        while !catches_signals(broker.0.id()) {
            assert!(broker.is_running(), "the start waits");
            std::thread::yield_now();
        }
        broker.kill(signal);
        assert_eq!(broker.ended().code(), Some(code));
        let mut said = String::new();
        let mut stdout = broker.0.stdout.take().expect("it is piped");
        stdout.read_to_string(&mut said).expect("the log is text");
        assert!(said.contains(&format!("SIG{signal} while starting")), "{said}");
    }
}

/// Whether the process has taken signals over.
fn catches_signals(process: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    caught.is_some_and(|set| u64::from_str_radix(set.trim(), 16).is_ok_and(|set| set & SIGTERM_BIT != 0))
}
