//! The fingerprint of a run: a running hash over everything that happened. Two runs are the same when their hashes are;
//! where two differ, the kept events show where they parted.

use barnabas_base::keyed_hash;

/// One thing that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceEvent {
    /// World time in nanoseconds.
    pub at_ns: u64,
    /// What kind of thing.
    pub label: &'static str,
    /// Whom it concerned.
    pub entity: u64,
    /// A number of its own: a size, a draw, a hash of the bytes.
    pub detail: u64,
}

/// The running hash, and the events when they are to be kept.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
    count: u64,
    kept: Option<Vec<TraceEvent>>,
}

impl Trace {
    pub(crate) fn new(seed: u64, keep: bool) -> Self {
        Self { hash: keyed_hash(seed, b"trace"), count: 0, kept: keep.then(Vec::new) }
    }

    pub(crate) fn record(&mut self, event: TraceEvent) {
        let TraceEvent { at_ns, label, entity, detail } = event;
        let mut words = [0_u8; 32];
        words[..8].copy_from_slice(&at_ns.to_le_bytes());
        words[8..16].copy_from_slice(&keyed_hash(0, label.as_bytes()).to_le_bytes());
        words[16..24].copy_from_slice(&entity.to_le_bytes());
        words[24..].copy_from_slice(&detail.to_le_bytes());
        self.hash = keyed_hash(self.hash, &words);
        self.count += 1;
        if let Some(kept) = &mut self.kept {
            kept.push(event);
        }
    }

    pub(crate) const fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) const fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn kept(&self) -> Vec<TraceEvent> {
        self.kept.clone().unwrap_or_default()
    }
}
