//! Replays the kept corpus: files that a fuzzer found or a person thought of, each judged as the fuzz targets judge it.
//! `ci/fuzz` searches for new ones.

#[path = "../../wire/tests/corpus/replay.rs"]
mod replay;
#[path = "corpus/targets.rs"]
mod targets;

use replay::replay;

#[test]
fn segment_recovery() {
    assert!(replay("segment_recovery", targets::segment_recovery) >= 16, "the corpus is there");
}

#[test]
fn journal_recovery() {
    assert!(replay("journal_recovery", targets::journal_recovery) >= 16, "the corpus is there");
}
