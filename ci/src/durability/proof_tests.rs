//! Traces that the proof must accept and traces that it must not: one sync, one order or one folder at a time.

use std::path::Path;

use super::super::trace;
use super::{Claim, Findings, judge};

/// A trace as strace writes it, from lines with plain strings.
fn findings(lines: &[&str]) -> Findings {
    let escaped: Vec<String> = lines.iter().map(|line| format!("1 {}", escape(line))).collect();
    let calls = trace::parse(&escaped.join("\n")).expect("a trace");
    let claim = Claim { what: "Produce 5".to_owned(), correlation_id: 5, marker: "mark-00000005".to_owned() };
    judge(&calls, Path::new("/d"), &[claim])
}

/// Strings and paths in hexadecimal, as the option -xx asks for.
fn escape(line: &str) -> String {
    let mut escaped = String::new();
    let mut closing = None;
    for letter in line.chars() {
        match (closing, letter) {
            (None, '"') => (closing, ()) = (Some('"'), escaped.push('"')),
            (None, '<') => (closing, ()) = (Some('>'), escaped.push('<')),
            (Some(end), letter) if letter == end => (closing, ()) = (None, escaped.push(letter)),
            (Some(_), letter) => escaped.push_str(&format!("\\x{:02x}", u32::from(letter))),
            (None, letter) => escaped.push(letter),
        }
    }
    // Descriptors of sockets are not escaped.
    escaped.replace("<\\x54\\x43\\x50>", "<TCP:[a->b]>")
}

const MAKE: &str = r#"openat(AT_FDCWD</>, "/d/log", O_RDWR|O_CREAT, 0644) = 3</d/log>"#;
const WRITE: &str = r#"pwrite64(3</d/log>, "..mark-00000005..", 17, 0) = 17"#;
const SYNC: &str = "fdatasync(3</d/log>) = 0";
const SYNC_FOLDER: &str = "fsync(4</d>) = 0";
const ANSWER: &str = "sendto(9<TCP>, \"\u{0}\u{0}\u{0}\u{6}\u{0}\u{0}\u{0}\u{5}\u{0}\u{0}\", 10, 0, NULL, 0) = 10";

#[test]
fn a_written_synced_and_named_record_is_durable() {
    let found = findings(&[MAKE, WRITE, SYNC, SYNC_FOLDER, ANSWER]);
    assert_eq!((found.held, found.violations), (1, Vec::new()));
}

#[test]
fn a_sync_of_the_whole_file_system_is_enough() {
    let found = findings(&[MAKE, WRITE, "syncfs(4</d>) = 0", ANSWER]);
    assert_eq!((found.held, found.violations), (1, Vec::new()));
}

#[test]
fn an_answer_without_or_before_the_sync_is_seen() {
    assert_eq!(findings(&[MAKE, SYNC_FOLDER, WRITE, ANSWER]).violations.len(), 1);
    assert_eq!(findings(&[MAKE, SYNC_FOLDER, WRITE, ANSWER, SYNC]).violations.len(), 1);
    assert_eq!(findings(&[MAKE, SYNC_FOLDER, SYNC, WRITE, ANSWER]).violations.len(), 1);
}

#[test]
fn a_sync_of_another_file_or_one_that_failed_is_not_enough() {
    let other = "fdatasync(4</d/index>) = 0";
    assert_eq!(findings(&[MAKE, SYNC_FOLDER, WRITE, other, ANSWER]).violations.len(), 1);
    let failed = "fdatasync(3</d/log>) = -1 EIO (Input/output error)";
    assert_eq!(findings(&[MAKE, SYNC_FOLDER, WRITE, failed, ANSWER]).violations.len(), 1);
}

#[test]
fn a_file_whose_name_is_not_durable_is_seen() {
    assert_eq!(findings(&[MAKE, WRITE, SYNC, ANSWER]).violations.len(), 1);
    assert_eq!(findings(&[SYNC_FOLDER, MAKE, WRITE, SYNC, ANSWER]).violations.len(), 1);
    let below =
        [r#"mkdir("/d/t-0", 0755) = 0"#, r#"openat(AT_FDCWD</>, "/d/t-0/log", O_RDWR|O_CREAT, 0644) = 3</d/t-0/log>"#];
    let write = r#"pwrite64(3</d/t-0/log>, "mark-00000005", 13, 0) = 13"#;
    let sync = "fdatasync(3</d/t-0/log>) = 0";
    let inner = "fsync(4</d/t-0>) = 0";
    assert_eq!(findings(&[below[0], below[1], write, sync, inner, ANSWER]).violations.len(), 1);
    assert_eq!(findings(&[below[0], below[1], write, sync, inner, SYNC_FOLDER, ANSWER]).held, 1);
}

#[test]
fn a_record_that_was_never_written_is_seen() {
    assert_eq!(findings(&[MAKE, SYNC, SYNC_FOLDER, ANSWER]).violations.len(), 1);
    assert_eq!(findings(&[MAKE, WRITE, SYNC, SYNC_FOLDER]).violations.len(), 1);
}

#[test]
fn a_rename_needs_its_file_and_its_folder_synced() {
    let temporary = [
        r#"openat(AT_FDCWD</>, "/d/c.tmp", O_WRONLY|O_CREAT, 0644) = 5</d/c.tmp>"#,
        r#"write(5</d/c.tmp>, "0", 1) = 1"#,
    ];
    let rename = r#"rename("/d/c.tmp", "/d/c") = 0"#;
    let good = [MAKE, SYNC_FOLDER, WRITE, SYNC, ANSWER, temporary[0], temporary[1]];
    let sync = "fsync(5</d/c.tmp>) = 0";
    assert!(findings(&[&good[..], &[sync, rename, SYNC_FOLDER]].concat()).violations.is_empty());
    assert_eq!(findings(&[&good[..], &[sync, rename]].concat()).violations.len(), 1);
    assert_eq!(findings(&[&good[..], &[rename, SYNC_FOLDER]].concat()).violations.len(), 1);
}
