//! Replays a trace of system calls as a disk that forgets: a write is durable once a sync of its file that began after
//! it is completed, a name once its folder was synced after it was made. Each answer to a client claims that what it
//! acknowledges was durable before it left. Pure; driven by the check that traces.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::trace::{Call, Descriptor};

/// Before the number in every marker.
const MARKER_PREFIX: &[u8] = b"mark-";
/// Length of a whole marker.
const MARKER_LEN: usize = MARKER_PREFIX.len() + 8;

/// A name that occurs in the bytes of one acknowledged thing only.
pub(super) fn marker(number: u32) -> String {
    format!("mark-{number:08}")
}

/// One answer, and what it promises.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    /// The request, for messages.
    pub(super) what: String,
    /// By which its answer is found in the trace.
    pub(super) correlation_id: i32,
    /// What was written for it holds this marker.
    pub(super) marker: String,
}

/// What a trace shows.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Claims that hold.
    pub(super) held: usize,
    /// Everything that does not, in words.
    pub(super) violations: Vec<String>,
}

/// Judges the claims over a trace of a broker whose log directory is `data`.
pub(super) fn judge(calls: &[Call], data: &Path, claims: &[Claim]) -> Findings {
    let mut moments: Vec<(usize, Moment, &Call)> = Vec::new();
    for call in calls {
        moments.push((call.begin, Moment::Begin, call));
        moments.push((call.end, Moment::End, call));
    }
    // Sorting is stable, so a call on one line begins before it ends.
    moments.sort_by_key(|(line, _, _)| *line);
    let mut disk = Disk::new(data);
    let mut open: BTreeMap<i32, &Claim> = claims.iter().map(|claim| (claim.correlation_id, claim)).collect();
    let mut findings = Findings::default();
    for (line, moment, call) in moments {
        match moment {
            Moment::Begin => {
                for correlation_id in answers(call) {
                    let Some(claim) = open.remove(&correlation_id) else { continue };
                    match disk.holds(&claim.marker) {
                        Ok(()) => findings.held += 1,
                        Err(reason) => findings
                            .violations
                            .push(format!("{}: answered at line {line} of the trace, {reason}", claim.what)),
                    }
                }
                disk.begin(call);
            }
            Moment::End => disk.end(call),
        }
    }
    let unanswered = open.into_values().map(|claim| format!("{}: its answer is not in the trace", claim.what));
    findings.violations.extend(unanswered);
    findings.violations.extend(disk.violations);
    let forgotten = disk.renamed.iter().map(|path| format!("{}: the rename was never made durable", path.display()));
    findings.violations.extend(forgotten);
    findings
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Moment {
    Begin,
    End,
}

/// The correlation ids of the responses that a call begins to send.
fn answers(call: &Call) -> Vec<i32> {
    let is_sending = matches!(call.name.as_str(), "write" | "writev" | "sendto" | "sendmsg");
    if !is_sending || call.descriptors.first() != Some(&Descriptor::Tcp) {
        return Vec::new();
    }
    let bytes = call.bytes();
    let mut rest = bytes.as_slice();
    let mut found = Vec::new();
    while let Some((head, _)) = rest.split_first_chunk::<8>() {
        let [a, b, c, d, id @ ..] = *head;
        found.push(i32::from_be_bytes(id));
        let frame = usize::try_from(i32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        rest = rest.get(frame.saturating_add(4)..).unwrap_or_default();
    }
    found
}

/// A write, and whether it would survive the loss of power.
struct Write {
    path: PathBuf,
    line: usize,
    durable: bool,
}

/// What a sync in progress will have made durable when it is completed.
struct Sync {
    writes: Vec<usize>,
    names: Vec<PathBuf>,
}

struct Disk {
    data: PathBuf,
    writes: Vec<Write>,
    by_marker: BTreeMap<Vec<u8>, Vec<usize>>,
    /// Writes that no completed sync covers, by file.
    pending_writes: BTreeMap<PathBuf, Vec<usize>>,
    /// Names that no completed sync of their folder covers.
    pending_names: BTreeSet<PathBuf>,
    /// Of these, the ones that a rename made.
    renamed: BTreeSet<PathBuf>,
    /// Files whose every write is durable when it returns.
    synchronous: BTreeSet<PathBuf>,
    /// Syncs in progress, by the line where they began.
    syncs: BTreeMap<usize, Sync>,
    violations: Vec<String>,
}

impl Disk {
    fn new(data: &Path) -> Self {
        Disk {
            data: data.to_owned(),
            writes: Vec::new(),
            by_marker: BTreeMap::new(),
            pending_writes: BTreeMap::new(),
            pending_names: BTreeSet::new(),
            renamed: BTreeSet::new(),
            synchronous: BTreeSet::new(),
            syncs: BTreeMap::new(),
            violations: Vec::new(),
        }
    }

    /// Whether something with this marker is durable, with every name on the way to it.
    fn holds(&self, marker: &str) -> Result<(), String> {
        let Some(writes) = self.by_marker.get(marker.as_bytes()) else {
            return Err("but nothing was written".to_owned());
        };
        let reasons: Vec<String> = writes.iter().filter_map(|write| self.holds_not(&self.writes[*write])).collect();
        // The journal or the log: one durable place is enough.
        if reasons.len() < writes.len() { Ok(()) } else { Err(reasons.join("; ")) }
    }

    fn holds_not(&self, write: &Write) -> Option<String> {
        let place = format!("{}, written at line {}", write.path.display(), write.line);
        if !write.durable {
            return Some(format!("{place}, was not synced since"));
        }
        let mut names = write.path.ancestors().take_while(|path| *path != self.data);
        let pending = names.find(|path| self.pending_names.contains(*path))?;
        let folder = pending.parent().unwrap_or(pending);
        Some(format!("{place}: {} was not synced since {} was made", folder.display(), pending.display()))
    }

    fn begin(&mut self, call: &Call) {
        let sync = match (call.name.as_str(), call.descriptors.first()) {
            ("fsync" | "fdatasync", Some(Descriptor::File(path))) => Sync {
                writes: self.pending_writes.get(path).cloned().unwrap_or_default(),
                names: self.pending_names.iter().filter(|name| name.parent() == Some(path)).cloned().collect(),
            },
            ("syncfs", Some(_)) => Sync {
                writes: self.pending_writes.values().flatten().copied().collect(),
                names: self.pending_names.iter().cloned().collect(),
            },
            _ => return,
        };
        self.syncs.insert(call.begin, sync);
    }

    fn end(&mut self, call: &Call) {
        if !call.succeeded() {
            self.syncs.remove(&call.begin);
            return;
        }
        match call.name.as_str() {
            "fsync" | "fdatasync" | "syncfs" => self.complete_sync(call.begin),
            "write" | "writev" | "pwrite64" | "pwritev" | "pwritev2" => self.write(call),
            "open" | "openat" | "creat" => self.open(call),
            "mkdir" | "mkdirat" => self.make(self.path(call, 0, 0)),
            "rename" => self.rename(self.path(call, 0, 0), self.path(call, 0, 1)),
            "renameat" | "renameat2" => self.rename(self.path(call, 0, 0), self.path(call, 1, 1)),
            _ => {}
        }
    }

    fn complete_sync(&mut self, begin: usize) {
        let Some(sync) = self.syncs.remove(&begin) else { return };
        for write in &sync.writes {
            self.writes[*write].durable = true;
        }
        for pending in self.pending_writes.values_mut() {
            pending.retain(|write| !sync.writes.contains(write));
        }
        for name in &sync.names {
            self.pending_names.remove(name);
            self.renamed.remove(name);
        }
    }

    fn write(&mut self, call: &Call) {
        let Some(Descriptor::File(path)) = call.descriptors.first() else { return };
        if !path.starts_with(&self.data) {
            return;
        }
        let number = self.writes.len();
        let durable = self.synchronous.contains(path) || call.flags.contains("RWF_DSYNC");
        self.writes.push(Write { path: path.clone(), line: call.begin, durable });
        if !durable {
            self.pending_writes.entry(path.clone()).or_default().push(number);
        }
        let bytes = call.bytes();
        for (at, _) in bytes.windows(MARKER_PREFIX.len()).enumerate().filter(|(_, window)| *window == MARKER_PREFIX) {
            if let Some(marker) = bytes.get(at..at + MARKER_LEN) {
                self.by_marker.entry(marker.to_vec()).or_default().push(number);
            }
        }
    }

    fn open(&mut self, call: &Call) {
        let Some(path) = self.path(call, 0, 0) else { return };
        if call.flags.contains("O_DSYNC") || call.flags.contains("O_SYNC") {
            self.synchronous.insert(path.clone());
        }
        // The log directory was empty, so the first open that may create a file did.
        let is_new = !self.writes.iter().any(|write| write.path == path);
        if is_new && (call.flags.contains("O_CREAT") || call.name == "creat") {
            self.make(Some(path));
        }
    }

    fn make(&mut self, path: Option<PathBuf>) {
        if let Some(path) = path.filter(|path| path.starts_with(&self.data)) {
            self.pending_names.insert(path);
        }
    }

    fn rename(&mut self, from: Option<PathBuf>, to: Option<PathBuf>) {
        let (Some(from), Some(to)) = (from, to) else { return };
        if !to.starts_with(&self.data) {
            return;
        }
        // What is about to be deleted may come back after a crash: it is deleted again.
        let name = to.to_string_lossy();
        let is_leaving = name.ends_with(".deleted") || name.ends_with("-delete");
        let unsynced = self.pending_writes.get(&from).is_some_and(|pending| !pending.is_empty());
        if unsynced && !is_leaving {
            self.violations.push(format!("{}: renamed into place before it was synced", to.display()));
        }
        let moved = |path: &PathBuf| match path.strip_prefix(&from) {
            Ok(rest) if rest.as_os_str().is_empty() => to.clone(),
            Ok(rest) => to.join(rest),
            Err(_) => path.clone(),
        };
        self.pending_writes =
            std::mem::take(&mut self.pending_writes).into_iter().map(|(path, writes)| (moved(&path), writes)).collect();
        self.pending_names = self.pending_names.iter().map(moved).collect();
        self.renamed = self.renamed.iter().map(moved).collect();
        for write in &mut self.writes {
            write.path = moved(&write.path);
        }
        self.pending_names.insert(to.clone());
        if !is_leaving {
            self.renamed.insert(to.clone());
        }
    }

    /// A path argument, made whole by the descriptor it is relative to.
    fn path(&self, call: &Call, descriptor: usize, string: usize) -> Option<PathBuf> {
        let path = String::from_utf8(call.strings.get(string)?.clone()).ok()?;
        let path = PathBuf::from(path);
        if path.is_absolute() {
            return Some(path);
        }
        match call.descriptors.get(descriptor) {
            Some(Descriptor::File(folder)) => Some(folder.join(path)),
            // Without a descriptor it is relative to the working folder, which holds the log directory.
            Some(Descriptor::Tcp | Descriptor::Other) | None => Some(self.data.parent()?.join(path)),
        }
    }
}

#[cfg(test)]
#[path = "proof_tests.rs"]
mod tests;
