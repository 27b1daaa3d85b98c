//! Reads what `strace -D -f -yy -xx` wrote: one completed system call after the other, with the files and sockets its
//! descriptors stand for and the bytes of its strings. It knows no call by name; `proof` does.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

/// What a descriptor stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Descriptor {
    /// A file or folder, by the name it had at the time of the call.
    File(PathBuf),
    /// A TCP connection or listener.
    Tcp,
    /// Anything else.
    Other,
}

/// One completed system call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    /// Its name.
    pub(super) name: String,
    /// The descriptors among its arguments, in order.
    pub(super) descriptors: Vec<Descriptor>,
    /// The strings among its arguments, in order: paths, or the buffers of a write.
    pub(super) strings: Vec<Vec<u8>>,
    /// The arguments without descriptors and strings, where the flags are.
    pub(super) flags: String,
    /// What it returned; `None` when it did not return.
    pub(super) result: Option<i64>,
    /// The line of the trace where it began.
    pub(super) begin: usize,
    /// The line where it was completed: the same, unless another thread was heard in between.
    pub(super) end: usize,
}

impl Call {
    /// Whether it returned without an error.
    pub(super) fn succeeded(&self) -> bool {
        self.result.is_some_and(|result| result >= 0)
    }

    /// The strings as one run of bytes: a vectored write's buffers belong together.
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.strings.concat()
    }
}

/// A call that another thread interrupted in the trace.
struct Unfinished {
    text: String,
    begin: usize,
}

/// Reads a whole trace, in the order in which the calls were completed.
pub(super) fn parse(text: &str) -> Result<Vec<Call>> {
    let mut calls = Vec::new();
    let mut unfinished: BTreeMap<&str, Unfinished> = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let (thread, rest) = line.split_once(' ').with_context(|| format!("line {number} of the trace"))?;
        let rest = rest.trim_start();
        if rest.starts_with("+++") || rest.starts_with("---") {
            continue;
        }
        if let Some(text) = rest.strip_suffix("<unfinished ...>") {
            unfinished.insert(thread, Unfinished { text: text.to_owned(), begin: number });
            continue;
        }
        let whole = match rest.strip_prefix("<... ") {
            Some(resumed) => {
                let (_, tail) = resumed.split_once(" resumed>").context("a resumed call")?;
                // The trace may begin in the middle of a call.
                let Some(Unfinished { text, begin }) = unfinished.remove(thread) else {
                    continue;
                };
                parse_call(&format!("{text}{tail}"), begin, number)
            }
            None => parse_call(rest, number, number),
        };
        calls.push(whole.with_context(|| format!("line {number} of the trace: {rest}"))?);
    }
    Ok(calls)
}

fn parse_call(text: &str, begin: usize, end: usize) -> Result<Call> {
    let (name, rest) = text.split_once('(').context("no call")?;
    let (arguments, result) = rest.rsplit_once(" = ").context("no result")?;
    let result = result.split(|letter: char| !letter.is_ascii_digit() && letter != '-').next();
    let mut call = Call {
        name: name.to_owned(),
        descriptors: Vec::new(),
        strings: Vec::new(),
        flags: String::new(),
        result: result.and_then(|number| number.parse().ok()),
        begin,
        end,
    };
    let mut rest = arguments;
    while let Some(at) = rest.find(['"', '<']) {
        call.flags.push_str(&rest[..at]);
        if rest[at..].starts_with('"') {
            let (string, tail) = rest[at + 1..].split_once('"').context("an open string")?;
            call.strings.push(unescape(string)?);
            rest = tail;
        } else {
            let (descriptor, tail) = split_descriptor(&rest[at + 1..])?;
            call.descriptors.push(parse_descriptor(descriptor)?);
            rest = tail;
        }
    }
    call.flags.push_str(rest);
    Ok(call)
}

/// A socket's description holds an arrow, so it ends at its bracket.
fn split_descriptor(text: &str) -> Result<(&str, &str)> {
    let is_bracketed =
        text.find(":[").is_some_and(|at| text[..at].chars().all(|letter| letter.is_ascii_alphanumeric()));
    let split = if is_bracketed { text.split_once("]>") } else { text.split_once('>') };
    split.context("an open descriptor")
}

fn parse_descriptor(text: &str) -> Result<Descriptor> {
    if text.starts_with("TCP") {
        return Ok(Descriptor::Tcp);
    }
    if !text.starts_with("\\x2f") {
        return Ok(Descriptor::Other);
    }
    let path = String::from_utf8(unescape(text)?).context("a path that is not text")?;
    // A file that was unlinked while it is open.
    let path = path.strip_suffix(" (deleted)").unwrap_or(&path);
    Ok(Descriptor::File(PathBuf::from(path)))
}

fn unescape(text: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4);
    let mut rest = text;
    while let Some(tail) = rest.strip_prefix("\\x") {
        let (digits, tail) = tail.split_at_checked(2).context("half a byte")?;
        bytes.push(u8::from_str_radix(digits, 16)?);
        rest = tail;
    }
    if !rest.is_empty() {
        bail!("{rest:?} is not escaped");
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_two_threads_are_put_together() {
        let trace = "\
7 pwrite64(3<\\x2f\\x66>, \"\\x68\\x69\", 2, 0 <unfinished ...>
8 fdatasync(4<\\x2f\\x67>) = 0
7 <... pwrite64 resumed>) = 2
7 +++ exited with 0 +++
";
        let calls = parse(trace).expect("a trace");
        assert_eq!(calls.len(), 2);
        assert_eq!((calls[0].name.as_str(), calls[0].begin, calls[0].end), ("fdatasync", 1, 1));
        assert_eq!((calls[1].name.as_str(), calls[1].begin, calls[1].end), ("pwrite64", 0, 2));
        assert_eq!(calls[1].descriptors, [Descriptor::File(PathBuf::from("/f"))]);
        assert_eq!(calls[1].bytes(), b"hi");
    }

    #[test]
    fn a_socket_and_a_vectored_write_are_read() {
        let trace = "9 writev(5<TCP:[127.0.0.1:9092->127.0.0.1:5000]>, [{iov_base=\"\\x00\\x01\", iov_len=2}, {iov_base=\"\\x02\", iov_len=1}], 2) = 3\n";
        let calls = parse(trace).expect("a trace");
        assert_eq!(calls[0].descriptors, [Descriptor::Tcp]);
        assert_eq!(calls[0].bytes(), [0, 1, 2]);
        assert!(calls[0].succeeded());
    }

    #[test]
    fn an_error_and_flags_are_read() {
        let trace =
            "9 openat(AT_FDCWD<\\x2f>, \"\\x66\", O_RDWR|O_CREAT|O_CLOEXEC, 0777) = -1 EACCES (Permission denied)\n";
        let calls = parse(trace).expect("a trace");
        assert!(!calls[0].succeeded());
        assert!(calls[0].flags.contains("O_CREAT"));
    }
}
