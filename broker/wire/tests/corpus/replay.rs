//! Replays one folder of a kept corpus: bytes that a fuzzer found or a person thought of, each a file. The corpus tests of
//! this crate and of those above it include it; the folder is that of the including crate.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "the corpus is files on the real disk, and the harness captures what a test prints"
)]

use std::path::Path;

/// Judges every file of one folder as the fuzz targets do; gives how many there were.
pub(crate) fn replay(folder: &str, target: fn(&[u8])) -> usize {
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
