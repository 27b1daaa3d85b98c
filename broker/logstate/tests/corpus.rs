//! Replays the kept corpus: bytes that a fuzzer found or a person thought of, each a file, each judged as the fuzz
//! targets judge it. `ci/fuzz` searches for new ones.

#[path = "../../wire/tests/corpus/replay.rs"]
mod replay;
#[path = "corpus/targets.rs"]
mod targets;

use replay::replay;

#[test]
fn produce() {
    assert!(replay("produce", targets::produce) >= 30, "the corpus is there");
}

#[test]
fn log() {
    assert!(replay("log", targets::log) >= 30, "the corpus is there");
}

#[test]
fn snapshots() {
    assert!(replay("snapshots", targets::snapshots) >= 30, "the corpus is there");
}
