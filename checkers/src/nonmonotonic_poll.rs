//! Promise: within one answer to a fetch offsets rise.

use barnabas_history::{Event, History};

use crate::Verdict;

/// Judges every pair of neighbours in every poll.
#[must_use]
pub fn nonmonotonic_poll(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    for event in history.events() {
        let Event::Polled { process, partition, records } = event else { continue };
        for pair in records.windows(2) {
            let [(before, _), (after, _)] = pair else { unreachable!("windows of two") };
            verdict.judge(after <= before, || format!("{process} read {partition}:{after} after {partition}:{before}"));
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::tests_support::{history, polled};

    #[test]
    fn accepts_gaps_but_no_steps_back() {
        assert!(nonmonotonic_poll(&history(&[polled(&[(0, 1), (5, 2)]), polled(&[(0, 1)])])).holds());
        assert!(!nonmonotonic_poll(&history(&[polled(&[(5, 1), (0, 2)])])).holds());
        assert!(!nonmonotonic_poll(&history(&[polled(&[(5, 1), (5, 2)])])).holds());
    }
}
