//! A node begins with all of its shards or not at all. Alone in its process: the limit on descriptors is the process's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use barnabas_runtime_tokio::{NodeConfig, run};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More event loops than the limit has room for.
const SHARDS: u16 = 32;
/// Enough for the first event loops: what they need of the process is there by then.
const SPARE_DESCRIPTORS: u64 = 24;

#[test]
fn a_shard_without_an_event_loop_ends_the_node() {
    let open = std::fs::read_dir("/proc/self/fd").expect("Linux").count() as u64;
    let limit = getrlimit(Resource::Nofile);
    let lowered = Rlimit { current: Some(open + SPARE_DESCRIPTORS), ..limit };
    setrlimit(Resource::Nofile, lowered).expect("a soft limit may be lowered");
    let has_begun = Arc::new(AtomicBool::new(false));
    let begun = Arc::clone(&has_begun);
    let outcome = run(&NodeConfig::new("narrow", SHARDS), move |_| {
        begun.store(true, Ordering::Relaxed);
        Box::pin(std::future::pending())
    });
    assert!(outcome.is_err(), "there are not enough descriptors");
    assert!(!has_begun.load(Ordering::Relaxed), "no shard begins without the others");
}
