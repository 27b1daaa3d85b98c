//! Promises of the run itself: nobody panics, and everything settles after the heal.

use barnabas_history::{Happening, What};

use crate::{Facts, Verdict};

/// No task of a broker or a client panics.
#[must_use]
pub fn panic(facts: &Facts<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    for (step, happened) in facts.evidence.steps.iter().enumerate() {
        match &happened.what {
            What::Happened(Happening::Panicked { machine, task, message }) => {
                verdict.judge(true, step, None, || format!("{machine} in {task}: {message}"));
            }
            What::Happened(Happening::Started { .. }) => verdict.judge(false, step, None, String::new),
            _ => {}
        }
    }
    verdict
}

/// After the heal, brokers serve and every client comes to its end, within the bound.
#[must_use]
pub fn settles(facts: &Facts<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    for (step, happened) in facts.evidence.steps.iter().enumerate() {
        match &happened.what {
            // A broker whose files are damaged beyond what it can mend refuses to start: that is detection.
            What::Happened(Happening::Unsettled { .. }) if facts.promises.detection_only => {}
            What::Happened(Happening::Unsettled { what }) => {
                verdict.judge(true, step, None, || format!("still pending: {what}"));
            }
            What::Happened(Happening::Healed | Happening::FinalRead) => verdict.judge(false, step, None, String::new),
            _ => {}
        }
    }
    verdict
}
