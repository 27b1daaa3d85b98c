//! [`Watch`]: how long a broker was there, with nobody to hinder it, before everything was read. Promises of what expires
//! ask it.

use barnabas_base::Monotonic;
use barnabas_history::{Happening, What};

use crate::facts::Facts;

/// How long a broker may take for the work itself.
pub(crate) const GRACE_MS: u64 = 3_000;

/// When the faults ended, and since when the broker was there before the first read.
#[derive(Clone, Copy)]
pub(crate) struct Watch {
    /// The faults ended: what was on its way arrived.
    pub(crate) healed: Monotonic,
    /// The life that served the first read began to serve.
    pub(crate) served_from: Monotonic,
    /// The first read began.
    pub(crate) read: Monotonic,
}

impl Watch {
    pub(crate) fn of(facts: &Facts<'_>) -> Option<Self> {
        let (mut healed, mut served_from) = (None, None);
        for step in &facts.evidence.steps {
            match &step.what {
                What::Happened(Happening::Healed) => healed = Some(step.at),
                What::Happened(Happening::Serving { .. }) => served_from = Some(step.at),
                What::Happened(Happening::FirstRead) => {
                    return Some(Self { healed: healed?, served_from: served_from?, read: step.at });
                }
                _ => {}
            }
        }
        None
    }
}
