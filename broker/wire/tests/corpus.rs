//! Replays the kept corpus: bytes that a fuzzer found or a person thought of, each a file, each judged as the fuzz
//! targets judge it. `ci/fuzz` searches for new ones.

#[path = "corpus/replay.rs"]
mod replay;
#[path = "corpus/targets.rs"]
mod targets;

use replay::replay;

#[test]
fn requests() {
    assert!(replay("requests", targets::requests) >= 30, "the corpus is there");
}

#[test]
fn responses() {
    assert!(replay("responses", targets::responses) >= 30, "the corpus is there");
}

#[test]
fn record_batches() {
    assert!(replay("record_batches", targets::record_batches) >= 30, "the corpus is there");
}
