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
    /// A client last said something before the first read, or may have been heard.
    pub(crate) quiet_from: Monotonic,
    /// The life that served the first read began to serve.
    pub(crate) served_from: Monotonic,
    /// The first read began.
    pub(crate) read: Monotonic,
}

impl Watch {
    pub(crate) fn of(facts: &Facts<'_>) -> Option<Self> {
        let (mut healed, mut quiet_from, mut served_from) = (None, None, None);
        for step in &facts.evidence.steps {
            match &step.what {
                What::Happened(Happening::Healed) => (healed, quiet_from) = (Some(step.at), Some(step.at)),
                What::Happened(Happening::Serving { .. }) => served_from = Some(step.at),
                What::Happened(Happening::FirstRead) => {
                    let (healed, quiet_from, served_from) = (healed?, quiet_from?, served_from?);
                    return Some(Self { healed, quiet_from, served_from, read: step.at });
                }
                What::Invoked { .. } | What::Ended { .. } | What::Member { .. } => quiet_from = Some(step.at),
                What::Happened(_) | What::Reborn { .. } | What::Observed { .. } => {}
            }
        }
        None
    }
}
