//! Runs of the runner's binary in processes of their own, and what they say of each seed: one line of JSON a seed. Sweeps
//! and the hunt for planted bugs drive it; it knows nothing of bugs but their names.
//!
//! ```text
//! <binary> fuzz [--lane L] --from SEED --seeds N [--planted A,B] [--black-box-only] [--stop-at-first] --quiet-json
//! <binary> replay FILE --quiet-json
//! <binary> shrink SEED --lane L --planted A,B --out FILE --quiet-json
//! ```
//! `fuzz` and `replay` print a [`Line`] a seed, `shrink` one [`Shrunk`]. The exit code says nothing here.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use barnabas_plan::Lane;
use serde_json::Value;
use signal_hook::consts::{SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGTERM};

use crate::line::Line;

/// Has glibc hand out other addresses. What the kernel randomises moves whole regions; which of two pieces within one is
/// the lower stays, until they are handed out in another order.
const OTHER_ADDRESSES: (&str, &str) =
    ("GLIBC_TUNABLES", "glibc.malloc.arena_max=1:glibc.malloc.tcache_count=0:glibc.malloc.mxfast=0");

/// A runner that says nothing for this long hangs. Ten million polls, by which a livelock shows, can take five minutes.
const SILENCE_MAX: Duration = Duration::from_secs(600);

/// A range of seeds to run.
#[derive(Clone, Debug)]
pub(crate) struct Range<'a> {
    /// The lane; each seed's own otherwise.
    pub(crate) lane: Option<Lane>,
    pub(crate) from: u64,
    pub(crate) seeds: u64,
    pub(crate) planted: &'a [String],
    /// White-box checks and panics of the broker do not count.
    pub(crate) is_black_box: bool,
    pub(crate) stops_at_first: bool,
}

impl Range<'_> {
    /// The lane in which a seed of the range runs.
    pub(crate) fn lane_of(&self, seed: u64) -> Lane {
        self.lane.unwrap_or_else(|| barnabas_nemesis::lane_of(seed))
    }
}

/// What a shrunk plan is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shrunk {
    pub(crate) faults: u64,
    pub(crate) operations: u64,
    /// Wall time it took.
    pub(crate) took_ms: u64,
}

/// How a process that ran seeds ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It said all there was to say, or nobody listened any more.
    Well,
    /// It died or hung of what it ran: that says something of the seed it was at.
    Accident(String),
    /// Somebody killed it, or the machine gave it no time: that says nothing of any seed.
    Interrupted(String),
}

impl Ended {
    /// Whoever needs all that the runner had to say has no use for one that ended early.
    ///
    /// # Errors
    /// It did.
    pub(crate) fn well(self) -> Result<()> {
        match self {
            Self::Well => Ok(()),
            Self::Accident(what) | Self::Interrupted(what) => bail!(what),
        }
    }
}

/// Whoever can run seeds.
pub(crate) trait Arena: Sync {
    /// Runs the seeds of a range in order and hands each line to `each`, until it breaks.
    fn fuzz(&self, range: &Range<'_>, each: &mut dyn FnMut(Line) -> ControlFlow<()>) -> Result<Ended>;
    /// Runs a plan.
    fn replay(&self, plan: &Path) -> Result<Line>;
    /// Shrinks a failing seed into `out`.
    fn shrink(&self, seed: u64, lane: Lane, planted: &[String], out: &Path) -> Result<Shrunk>;
}

/// A built runner.
#[derive(Debug)]
pub(crate) struct Binary {
    path: PathBuf,
    /// What comes before the verb.
    prefix: Vec<PathBuf>,
    silence_max: Duration,
    /// Where it runs; where this process does otherwise.
    folder: Option<PathBuf>,
}

impl Binary {
    /// The runner at `path`.
    pub(crate) const fn new(path: PathBuf) -> Self {
        Self { path, prefix: Vec::new(), silence_max: SILENCE_MAX, folder: None }
    }

    /// The same runner in another folder and another environment, neither of which a run may notice.
    pub(crate) fn elsewhere(&self, folder: &Path) -> Self {
        Self { path: self.path.clone(), prefix: self.prefix.clone(), folder: Some(folder.into()), ..*self }
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.path);
        command.args(&self.prefix).arg(verb);
        if let Some(folder) = &self.folder {
            command.current_dir(folder).env("BARNABAS_SIM_ELSEWHERE", folder).env(OTHER_ADDRESSES.0, OTHER_ADDRESSES.1);
        }
        command
    }

    /// Runs `command` and hands out its lines; killed when `each` breaks.
    fn lines(&self, mut command: Command, each: &mut dyn FnMut(&str) -> Result<ControlFlow<()>>) -> Result<Ended> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Ctrl-C is for whoever drives it: a runner that died of it would look like a seed that failed.
        command.process_group(0);
        let child = command.spawn().with_context(|| self.path.display().to_string())?;
        let mut running = Running::new(child);
        let mut before = running.standing();
        loop {
            match running.lines.recv_timeout(self.silence_max) {
                Ok(line) if line.trim().is_empty() => {}
                Ok(line) => {
                    if each(&line)?.is_break() {
                        return Ok(Ended::Well);
                    }
                    before = running.standing();
                }
                Err(RecvTimeoutError::Disconnected) => return running.ended(),
                Err(RecvTimeoutError::Timeout) => {
                    let what = format!("the runner says nothing for {:?}: {command:?}", self.silence_max);
                    let is_own = hangs(before, running.standing(), self.silence_max);
                    return Ok(if is_own { Ended::Accident(what) } else { Ended::Interrupted(what) });
                }
            }
        }
    }
}

/// A child that is killed when nobody listens any more.
struct Running {
    child: Child,
    lines: Receiver<String>,
    said: Option<thread::JoinHandle<VecDeque<String>>>,
}

/// Last lines of standard error that are kept.
const SAID_LINES_MAX: usize = 8;

impl Running {
    fn new(mut child: Child) -> Self {
        let stdout = child.stdout.take().expect("standard output is piped");
        let stderr = child.stderr.take().expect("standard error is piped");
        let lines = read_lines(stdout);
        let said = thread::spawn(move || {
            let mut last = VecDeque::new();
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if last.len() == SAID_LINES_MAX {
                    last.pop_front();
                }
                last.push_back(line);
            }
            last
        });
        Self { child, lines, said: Some(said) }
    }

    /// The runner closed its output: it ends by itself, with a code for "a seed failed" or for none.
    fn ended(&mut self) -> Result<Ended> {
        let status = self.child.wait().context("waiting for the runner")?;
        let said = self.said.take().map(|reader| reader.join().unwrap_or_default()).unwrap_or_default();
        // 0 and 1 are answers; anything else, and a signal that a process brings on itself, is an accident.
        if matches!(status.code(), Some(0 | 1)) {
            return Ok(Ended::Well);
        }
        let what = format!("the runner died, {status}: {}", Vec::from(said).join(" | "));
        let is_from_outside = status.signal().is_some_and(|signal| FROM_OUTSIDE.contains(&signal));
        Ok(if is_from_outside { Ended::Interrupted(what) } else { Ended::Accident(what) })
    }

    fn standing(&self) -> Option<Standing> {
        Standing::read(&std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).ok()?)
    }
}

/// Signals that no runner sends itself: whoever wants room on the machine does, and whoever is tired of waiting.
const FROM_OUTSIDE: [i32; 5] = [SIGHUP, SIGINT, SIGQUIT, SIGKILL, SIGTERM];

/// What the system says of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Standing {
    /// Whether it waits for something, and not for the processor, a disk or whoever stopped it.
    sleeps: bool,
    /// Time of the processor that it has had.
    used: Duration,
}

impl Standing {
    /// What Linux counts the time of processes in, wherever it says it to them.
    const TICK: Duration = Duration::from_millis(10);

    /// Reads the `stat` of a process (proc(5)). Behind the name, in brackets, stand the state, ten numbers, and the ticks
    /// spent outside and inside the system.
    fn read(stat: &str) -> Option<Self> {
        let mut fields = stat.rsplit_once(") ")?.1.split(' ');
        let sleeps = fields.next()? == "S";
        let mut ticks = fields.skip(10).map_while(|field| field.parse::<u32>().ok());
        let used = Self::TICK * (ticks.next()? + ticks.next()?);
        Some(Self { sleeps, used })
    }
}

/// Whether a runner that was silent from `before` on hangs by its own doing: it had its share of the processor, or it
/// sleeps, since nothing that a run waits for is outside its process. Where the system says nothing, it is taken to.
fn hangs(before: Option<Standing>, after: Option<Standing>, silence: Duration) -> bool {
    let (Some(before), Some(after)) = (before, after) else { return true };
    after.sleeps || after.used.saturating_sub(before.used) * 2 >= silence
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn read_lines(stdout: ChildStdout) -> Receiver<String> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout.take(u64::MAX)).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

impl Arena for Binary {
    fn fuzz(&self, range: &Range<'_>, each: &mut dyn FnMut(Line) -> ControlFlow<()>) -> Result<Ended> {
        let mut command = self.command("fuzz");
        command.arg("--quiet-json");
        if let Some(lane) = range.lane {
            command.args(["--lane", lane.word()]);
        }
        command.args(["--from", &range.from.to_string(), "--seeds", &range.seeds.to_string()]);
        if !range.planted.is_empty() {
            command.args(["--planted", &range.planted.join(",")]);
        }
        if range.is_black_box {
            command.arg("--black-box-only");
        }
        if range.stops_at_first {
            command.arg("--stop-at-first");
        }
        self.lines(command, &mut |line| Ok(each(Line::parse(line)?)))
    }

    fn replay(&self, plan: &Path) -> Result<Line> {
        let mut command = self.command("replay");
        command.arg(plan).arg("--quiet-json");
        let mut last = None;
        self.lines(command, &mut |line| {
            last = Some(Line::parse(line)?);
            Ok(ControlFlow::Continue(()))
        })?
        .well()?;
        last.with_context(|| format!("the runner said nothing of {}", plan.display()))
    }

    fn shrink(&self, seed: u64, lane: Lane, planted: &[String], out: &Path) -> Result<Shrunk> {
        let mut command = self.command("shrink");
        command.args([&format!("{seed:#x}"), "--lane", lane.word(), "--quiet-json"]);
        command.args(["--planted", &planted.join(",")]).arg("--out").arg(out);
        let mut last = None;
        self.lines(command, &mut |line| {
            let json: Value = serde_json::from_str(line).with_context(|| format!("the runner said `{line}`"))?;
            let number = |key: &str| json[key].as_u64().with_context(|| format!("`{key}` is missing: `{line}`"));
            last = Some(Shrunk {
                faults: number("faults")?,
                operations: number("operations")?,
                took_ms: number("took_ms")?,
            });
            Ok(ControlFlow::Continue(()))
        })?
        .well()?;
        last.with_context(|| format!("the runner said nothing of shrinking {seed:#x}"))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::line::Verdict;

    const PASS: &str = r#"{"seed":"0x7","lane":"durable","verdict":"pass","hash":"0xab","planted_hits":3}"#;
    const FAIL: &str =
        r#"{"seed":"0x8","lane":"raw","verdict":"fail","checker":"lost-write","what":"v1 is gone","hash":"0xcd"}"#;

    /// A runner that is a shell script.
    struct Script(PathBuf);

    impl Script {
        fn new(name: &str, body: &str) -> Self {
            let path = std::env::temp_dir().join(format!("barnabas-arena-{name}-{}", std::process::id()));
            fs::write(&path, body).expect("the script is written");
            Self(path)
        }

        fn binary(&self) -> Binary {
            Binary { prefix: vec![self.0.clone()], ..Binary::new("/bin/sh".into()) }
        }
    }

    impl Drop for Script {
        fn drop(&mut self) {
            drop(fs::remove_file(&self.0));
        }
    }

    fn range(planted: &[String]) -> Range<'_> {
        Range { lane: Some(Lane::Durable), from: 7, seeds: 2, planted, is_black_box: true, stops_at_first: true }
    }

    fn collect(binary: &Binary, planted: &[String]) -> Result<(Vec<Line>, Ended)> {
        let mut lines = Vec::new();
        let ended = binary.fuzz(&range(planted), &mut |line| {
            lines.push(line);
            ControlFlow::Continue(())
        })?;
        Ok((lines, ended))
    }

    fn ended(script: &Script) -> Ended {
        collect(&script.binary(), &[]).expect("it runs").1
    }

    #[test]
    fn lines_of_the_runner_are_read() {
        let script = Script::new("reads", &format!("echo '{PASS}'\necho '{FAIL}'\nexit 1"));
        let (lines, ended) = collect(&script.binary(), &[]).expect("it runs");
        assert_eq!(ended, Ended::Well);
        assert_eq!((lines[0].seed, lines[0].verdict, lines[0].planted_hits), (7, Verdict::Pass, 3));
        assert_eq!((lines[1].seed, lines[1].checker.as_str()), (8, "lost-write"));
    }

    #[test]
    fn the_runner_is_told_what_to_run() {
        let expected =
            "fuzz --quiet-json --lane durable --from 7 --seeds 2 --planted M25,M81 --black-box-only --stop-at-first";
        let script = Script::new("told", &format!("test \"$*\" = '{expected}' || exit 9\necho '{PASS}'"));
        let planted = ["M25".to_owned(), "M81".to_owned()];
        assert_eq!(collect(&script.binary(), &planted).expect("it is told so").0.len(), 1);
        assert!(matches!(ended(&script), Ended::Accident(_)));
    }

    #[test]
    fn a_runner_that_dies_has_an_accident_and_one_that_babbles_is_an_error() {
        for body in ["echo 'out of memory' >&2\nexit 101", "echo 'out of memory' >&2\nkill -ABRT $$"] {
            let Ended::Accident(what) = ended(&Script::new("dies", body)) else { panic!("{body}") };
            assert!(what.contains("out of memory"), "{what}");
        }
        let babbles = Script::new("babbles", "echo hello");
        assert!(collect(&babbles.binary(), &[]).is_err());
    }

    #[test]
    fn a_runner_that_is_killed_is_interrupted() {
        for signal in ["KILL", "TERM"] {
            let script = Script::new(signal, &format!("echo '{PASS}'\nkill -{signal} $$"));
            let (lines, ended) = collect(&script.binary(), &[]).expect("it runs");
            assert!(matches!(ended, Ended::Interrupted(_)), "{ended:?}");
            assert_eq!(lines.len(), 1, "what it said before counts");
        }
    }

    #[test]
    fn a_runner_that_is_silent_is_given_up_and_killed() {
        let script = Script::new("hangs", "exec sleep 1000");
        let binary = Binary { silence_max: Duration::from_millis(1), ..script.binary() };
        let (_, ended) = collect(&binary, &[]).expect("it runs");
        // Which of the two depends on how far it came in a millisecond.
        let (Ended::Accident(what) | Ended::Interrupted(what)) = ended else { panic!("it was not silent") };
        assert!(what.starts_with("the runner says nothing"), "{what}");
    }

    #[test]
    fn silence_is_a_hang_when_the_processor_was_there() {
        let standing = |state: char, ticks: u32| {
            Standing::read(&format!("71 (a) name) {state} 1 2 3 4 5 6 7 8 9 10 {ticks} 1 0 0 20 0 1")).expect("a stat")
        };
        let silence = Duration::from_secs(10);
        let since = |after| hangs(Some(standing('R', 500)), Some(after), silence);
        assert_eq!(standing('S', 41), Standing { sleeps: true, used: Duration::from_millis(420) });
        assert!(since(standing('R', 1_000)), "five seconds of ten went by in it");
        assert!(!since(standing('R', 999)), "the machine had other things to do");
        assert!(!since(standing('T', 500)), "somebody stopped it");
        assert!(since(standing('S', 500)), "it waits for what never comes");
        assert!(hangs(None, Some(standing('R', 500)), silence), "nobody knows better");
        assert_eq!(Standing::read("71 (name) R 1"), None);
    }

    #[test]
    fn plans_are_replayed_and_seeds_shrunk() {
        let body = format!(
            "case $1 in\nreplay) echo '{FAIL}'; exit 1;;\nshrink) echo '{{\"faults\":2,\"operations\":5,\"took_ms\":90}}';;\nesac"
        );
        let script = Script::new("plans", &body);
        let line = script.binary().replay(Path::new("a.plan")).expect("it runs");
        assert_eq!(line.verdict, Verdict::Fail);
        let shrunk = script.binary().shrink(8, Lane::Raw, &["M25".to_owned()], Path::new("b.plan"));
        assert_eq!(shrunk.expect("it runs"), Shrunk { faults: 2, operations: 5, took_ms: 90 });
    }
}
