//! Measures what one commit costs, to decide how `commitlog` makes many logs durable at once. Not part of the broker
//! and not a test: a developer runs it on the file system in question and writes the table into this crate's README.
//!
//! ```text
//! cargo run --release -p barnabas-commitlog --example commit_bench -- /path/on/that/disk [table|sweep]
//! ```
//!
//! A round appends the same number of bytes to each of N files (page cache only) and then commits them. A cell is the
//! median and the 99th percentile of the time from the first write to durable, which is what a client with `acks=all`
//! waits when its record is in that commit, and the CPU time of a round without that of the kernel's own threads; all
//! in milliseconds.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "a benchmark of the disk itself: no seam, no simulator, its output is a table"
)]

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

const THREADS: usize = 32;
const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// A figure is the quietest of several slices: what else runs on the machine is no part of it.
const SLICES: usize = 4;
/// Time given to one slice, and how many rounds it has at least and at most.
const SLICE_TIME: Duration = Duration::from_millis(500);
const ROUNDS_MIN: usize = 1;
const ROUNDS_MAX: usize = 2000;
/// No further slice is begun after this long.
const FIGURE_TIME_MAX: Duration = Duration::from_secs(3);
/// Files are cut back to nothing beyond this size, between two rounds.
const FILE_BYTES_MAX: u64 = 64 * MIB as u64;
/// Size of one of the two journal files, and the padding of its entries.
const JOURNAL_BYTES: u64 = 32 * MIB as u64;
const JOURNAL_ALIGN: usize = 512;
const IOV_MAX: usize = 1024;
const ADDED: Duration = Duration::from_millis(1);

#[derive(Clone, Copy, PartialEq)]
enum Method {
    OneByOne,
    Parallel,
    Syncfs,
    JournalGrowing,
    Journal,
}

const METHODS: [(Method, &str); 5] = [
    (Method::OneByOne, "one by one"),
    (Method::Parallel, "32 threads"),
    (Method::Syncfs, "syncfs"),
    (Method::JournalGrowing, "journal, growing file"),
    (Method::Journal, "journal, files reused, checkpoints"),
];

fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    let root = PathBuf::from(args.next().unwrap_or_else(|| "/tmp/bench".to_owned())).join("commit_bench");
    let mode = args.next().unwrap_or_else(|| "table".to_owned());
    let _ = fs::remove_dir_all(&root);
    fs::create_dir_all(&root)?;
    let pool = Pool::start();
    if mode == "sweep" {
        sweep(&root, &pool)?;
    } else {
        table(&root, &pool)?;
    }
    fs::remove_dir_all(&root)
}

/// The table of the README.
fn table(root: &Path, pool: &Pool) -> io::Result<()> {
    println!("| dirty files × bytes each | added | {} |", METHODS.map(|(_, name)| name).join(" | "));
    println!("|---|---|{}", "---|".repeat(METHODS.len()));
    for bytes in [KIB, MIB] {
        for files in [1, 50, 2000] {
            let bench = Bench::create(root, files, bytes)?;
            for added in [Duration::ZERO, ADDED] {
                let cells: io::Result<Vec<_>> =
                    METHODS.iter().map(|(method, _)| bench.figure(*method, added, pool)).collect();
                let added_ms = added.as_millis();
                println!("| {files} × {} KiB | {added_ms} ms | {} |", bytes / KIB, cells?.join(" | "));
            }
        }
    }
    Ok(())
}

/// Where the methods cross: more files at 1 KiB, more bytes at 50 files.
fn sweep(root: &Path, pool: &Pool) -> io::Result<()> {
    let points = [(1, 1), (2, 1), (4, 1), (8, 1), (16, 1), (32, 1), (64, 1), (128, 1), (512, 1)];
    let sizes = [(50, 4), (50, 16), (50, 64), (4, 16), (4, 64), (4, 256), (1, 16), (1, 64), (1, 256), (1, 512)];
    println!("| dirty files × KiB each | 32 threads | syncfs | journal |");
    println!("|---|---|---|---|");
    for (files, kib) in points.into_iter().chain(sizes) {
        let bench = Bench::create(root, files, kib * KIB)?;
        let cells: io::Result<Vec<_>> = [Method::Parallel, Method::Syncfs, Method::Journal]
            .into_iter()
            .map(|method| bench.figure(method, Duration::ZERO, pool))
            .collect();
        println!("| {files} × {kib} | {} |", cells?.join(" | "));
    }
    Ok(())
}

struct Bench {
    root: PathBuf,
    files: Vec<Arc<File>>,
    chunk: Vec<u8>,
}

impl Bench {
    fn create(root: &Path, files: usize, bytes: usize) -> io::Result<Self> {
        let root = root.join(format!("{files}x{bytes}"));
        fs::create_dir_all(&root)?;
        let files: io::Result<Vec<_>> =
            (0..files).map(|index| open(&root.join(format!("{index:05}.log"))).map(Arc::new)).collect();
        let chunk = (0..bytes).map(|index| (index * 31 % 251).to_le_bytes()[0]).collect();
        Ok(Self { root, files: files?, chunk })
    }

    /// "p50 / p99 (CPU)" of the slice with the lowest median, in milliseconds.
    fn figure(&self, method: Method, added: Duration, pool: &Pool) -> io::Result<String> {
        let begin = Instant::now();
        let mut best = self.slice(method, added, pool)?;
        for _ in 1..SLICES {
            if begin.elapsed() > FIGURE_TIME_MAX {
                break;
            }
            let next = self.slice(method, added, pool)?;
            if next[0] < best[0] {
                best = next;
            }
        }
        let [median, high, cpu] = best.map(|time| time.as_secs_f64() * 1e3);
        Ok(format!("{median:.2} / {high:.2} ({cpu:.2})"))
    }

    /// Rounds for [`SLICE_TIME`]: median, 99th percentile and CPU time.
    fn slice(&self, method: Method, added: Duration, pool: &Pool) -> io::Result<[Duration; 3]> {
        let mut journal = Journal::create(&self.root, method)?;
        for file in &self.files {
            file.set_len(0)?;
        }
        rustix::fs::syncfs(File::open(&self.root)?.as_fd())?;
        let mut position = 0;
        let mut times = Vec::new();
        let begin = Instant::now();
        let begin_cpu = cpu_time()?;
        while times.len() < ROUNDS_MIN || begin.elapsed() < SLICE_TIME && times.len() < ROUNDS_MAX {
            if position > FILE_BYTES_MAX {
                self.files.iter().try_for_each(|file| file.set_len(0))?;
                rustix::fs::syncfs(File::open(&self.root)?.as_fd())?;
                position = 0;
            }
            let start = Instant::now();
            for file in &self.files {
                file.write_all_at(&self.chunk, position)?;
            }
            position += self.chunk.len() as u64;
            match method {
                Method::OneByOne => self.files.iter().try_for_each(|file| flush(file, added))?,
                Method::Parallel => pool.flush(&self.files, added),
                Method::Syncfs => {
                    rustix::fs::syncfs(self.files[0].as_fd())?;
                    std::thread::sleep(added);
                }
                Method::JournalGrowing | Method::Journal => journal.commit(self, added)?,
            }
            times.push(start.elapsed());
        }
        journal.finish();
        let cpu = (cpu_time()? - begin_cpu) / u32::try_from(times.len()).expect("rounds are bounded");
        times.sort_unstable();
        Ok([times[times.len() / 2], times[(times.len() * 99 / 100).min(times.len() - 1)], cpu])
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)
}

fn flush(file: &File, added: Duration) -> io::Result<()> {
    file.sync_data()?;
    if !added.is_zero() {
        std::thread::sleep(added);
    }
    Ok(())
}

/// CPU time of all threads that are alive, from the scheduler's own nanosecond counters.
fn cpu_time() -> io::Result<Duration> {
    let mut nanos = 0;
    for thread in fs::read_dir("/proc/self/task")? {
        let counters = fs::read_to_string(thread?.path().join("schedstat"))?;
        nanos += counters.split(' ').next().and_then(|first| first.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(nanos))
}

/// Threads that share the files of one commit.
struct Pool {
    threads: Vec<mpsc::Sender<Work>>,
}

struct Work {
    files: Arc<Vec<Arc<File>>>,
    next: Arc<AtomicUsize>,
    added: Duration,
    done: mpsc::Sender<()>,
}

impl Pool {
    fn start() -> Self {
        let threads = (0..THREADS).map(|_| {
            let (sender, receiver) = mpsc::channel::<Work>();
            std::thread::spawn(move || {
                for work in receiver {
                    while let Some(file) = work.files.get(work.next.fetch_add(1, Ordering::Relaxed)) {
                        flush(file, work.added).expect("the disk of a benchmark works");
                    }
                    work.done.send(()).expect("the commit waits for its threads");
                }
            });
            sender
        });
        Self { threads: threads.collect() }
    }

    fn flush(&self, files: &[Arc<File>], added: Duration) {
        let files = Arc::new(files.to_vec());
        let next = Arc::new(AtomicUsize::new(0));
        let (done, wait) = mpsc::channel();
        let used = self.threads.len().min(files.len());
        for thread in &self.threads[..used] {
            let work = Work { files: Arc::clone(&files), next: Arc::clone(&next), added, done: done.clone() };
            thread.send(work).expect("the pool outlives the commit");
        }
        for _ in 0..used {
            wait.recv().expect("a pool thread answers");
        }
    }
}

/// Two files in turn. The one that was left is written over again once a `syncfs` in the background has made the
/// segment files durable that it stood for.
struct Journal {
    files: [File; 2],
    active: usize,
    position: u64,
    is_reused: bool,
    checkpoint: Option<std::thread::JoinHandle<()>>,
}

impl Journal {
    fn create(root: &Path, method: Method) -> io::Result<Self> {
        let files = [open(&root.join("journal.a"))?, open(&root.join("journal.b"))?];
        let is_reused = method == Method::Journal;
        if is_reused {
            // The state after the first round through both files: blocks allocated and written.
            let zeroes = vec![0; MIB];
            for file in &files {
                for position in (0..JOURNAL_BYTES).step_by(MIB) {
                    file.write_all_at(&zeroes, position)?;
                }
                file.sync_all()?;
            }
        }
        Ok(Self { files, active: 0, position: 0, is_reused, checkpoint: None })
    }

    fn commit(&mut self, bench: &Bench, added: Duration) -> io::Result<()> {
        let bytes = (bench.files.len() * bench.chunk.len()).next_multiple_of(JOURNAL_ALIGN) as u64;
        if self.is_reused && self.position + bytes > JOURNAL_BYTES && self.position > 0 {
            self.finish();
            let dir = File::open(&bench.root)?;
            self.checkpoint = Some(std::thread::spawn(move || {
                rustix::fs::syncfs(dir.as_fd()).expect("the disk of a benchmark works");
            }));
            self.active = 1 - self.active;
            self.position = 0;
        }
        let file = &self.files[self.active];
        let parts: Vec<&[u8]> = bench.files.iter().map(|_| &bench.chunk[..]).collect();
        for some in parts.chunks(IOV_MAX) {
            let slices: Vec<IoSlice<'_>> = some.iter().map(|part| IoSlice::new(part)).collect();
            let wanted: usize = some.iter().map(|part| part.len()).sum();
            let mut written = rustix::io::pwritev(file, &slices, self.position)?;
            // The kernel cuts a call at 2 GiB; the parts are all alike, so what is missing may come from anywhere.
            while written < wanted {
                let rest = (wanted - written).min(bench.chunk.len());
                file.write_all_at(&bench.chunk[..rest], self.position + written as u64)?;
                written += rest;
            }
            self.position += wanted as u64;
        }
        self.position = self.position.next_multiple_of(JOURNAL_ALIGN as u64);
        flush(file, added)
    }

    fn finish(&mut self) {
        if let Some(checkpoint) = self.checkpoint.take() {
            checkpoint.join().expect("a checkpoint ends");
        }
    }
}
