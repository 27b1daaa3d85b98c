//! Promise: an idempotent producer's value stands at one offset. Workloads that retry without idempotence do not run it.

use std::collections::BTreeMap;

use barnabas_history::{Event, History};

use crate::Verdict;

/// Judges every value that was read.
#[must_use]
pub fn duplicate(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    let mut offsets = BTreeMap::new();
    for event in history.events() {
        let Event::Polled { partition, records, .. } = event else { continue };
        for (offset, value) in records {
            let first = *offsets.entry((*partition, *value)).or_insert(*offset);
            let twice = first != *offset;
            verdict.judge(twice, || format!("{value} stands at {partition}:{first} and at {partition}:{offset}"));
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::tests_support::{history, polled};

    #[test]
    fn accepts_reading_a_value_twice_at_its_offset() {
        let verdict = duplicate(&history(&[polled(&[(0, 1), (1, 2)]), polled(&[(0, 1)])]));
        assert!(verdict.holds());
        assert_eq!(verdict.judged, 3);
    }

    #[test]
    fn rejects_a_value_at_two_offsets() {
        assert!(!duplicate(&history(&[polled(&[(0, 1), (1, 1)])])).holds());
        assert!(!duplicate(&history(&[polled(&[(0, 1)]), polled(&[(5, 1)])])).holds());
    }
}
