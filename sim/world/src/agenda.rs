//! [`Agenda`]: what a run still has to do, by time. The director takes what is due.

use std::collections::BTreeMap;

use barnabas_base::Monotonic;
use barnabas_plan::{ClientName, NodeName};

/// Something to do at a time. Faults go by their position in the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cue {
    /// A fault begins.
    Begin(usize),
    /// A fault ends.
    End(usize),
    /// A way of a flapping fault opens or closes.
    Flip(usize),
    /// A broker's process starts, if none runs.
    Launch(NodeName),
    /// A broker that was asked to stop is killed, if it has not; by a count of its lives.
    Kill(NodeName, u64),
    /// A client begins its next life.
    Rebirth(ClientName),
    /// The disk as it is durable is kept.
    TakeImage(NodeName),
    /// The quiet stretch begins.
    Quiet,
}

/// Cues by time; those of one instant in the order in which they were added.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    cues: BTreeMap<(Monotonic, u64), Cue>,
    added: u64,
}

impl Agenda {
    pub(crate) fn add(&mut self, at: Monotonic, cue: Cue) {
        self.cues.insert((at, self.added), cue);
        self.added += 1;
    }

    /// When the next cue is due.
    pub(crate) fn next_at(&self) -> Option<Monotonic> {
        self.cues.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes the first cue that is due by `now`.
    pub(crate) fn take_due(&mut self, now: Monotonic) -> Option<Cue> {
        let entry = self.cues.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(entry.remove())
    }

    /// Drops the cues that `keep` does not want.
    pub(crate) fn retain(&mut self, keep: impl Fn(&Cue) -> bool) {
        self.cues.retain(|_, cue| keep(cue));
    }
}
