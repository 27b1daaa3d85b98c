//! Replays the kept corpus: files that a fuzzer found or a person thought of, each judged as the fuzz targets judge it.
//! `ci/fuzz` searches for new ones.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "the corpus is files on the real disk, and the harness captures what a test prints"
)]

#[path = "corpus/targets.rs"]
mod targets;

use std::path::Path;

/// Judges every file of one folder; gives how many there were.
fn replay(folder: &str, target: fn(&[u8])) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(folder);
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the corpus is part of the repository")
        .map(|entry| entry.expect("a readable folder").path())
        .collect();
    files.sort();
    for file in &files {
        // The harness shows this only when the file makes the target fail.
        println!("{}", file.display());
        target(&std::fs::read(file).expect("a readable file"));
    }
    files.len()
}

#[test]
fn segment_recovery() {
    assert!(replay("segment_recovery", targets::segment_recovery) >= 16, "the corpus is there");
}

#[test]
fn journal_recovery() {
    assert!(replay("journal_recovery", targets::journal_recovery) >= 16, "the corpus is there");
}
