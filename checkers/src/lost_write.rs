//! Promise: a record acknowledged with acks=all is in the final read, at the offset that was acknowledged
//! (guarantee matrix, row R9 under `flush.policy=ack`).

use std::collections::BTreeSet;

use barnabas_history::{Event, History, Sent};

use crate::Verdict;

/// Judges every acknowledged send.
#[must_use]
pub fn lost_write(history: &History) -> Verdict {
    let mut found = BTreeSet::new();
    for event in history.final_read() {
        if let Event::Polled { partition, records, .. } = event {
            found.extend(records.iter().map(|(offset, value)| (*partition, *offset, *value)));
        }
    }
    let mut verdict = Verdict::default();
    for event in history.events() {
        if let Event::SendEnded { partition, value, outcome: Sent::Ok(offset), .. } = event {
            let lost = !found.contains(&(*partition, *offset, *value));
            verdict.judge(lost, || format!("{value} was acknowledged at {partition}:{offset} and is not there"));
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::tests_support::{acked, final_read, history, polled};

    #[test]
    fn accepts_what_is_there() {
        let verdict = lost_write(&history(&[acked(0, 1, 0), acked(0, 2, 1), final_read(), polled(&[(0, 1), (1, 2)])]));
        assert!(verdict.holds());
        assert_eq!(verdict.judged, 2);
    }

    #[test]
    fn a_read_before_the_end_does_not_count() {
        let verdict = lost_write(&history(&[acked(0, 1, 0), polled(&[(0, 1)]), final_read()]));
        assert!(!verdict.holds());
    }

    #[test]
    fn rejects_a_lost_and_a_moved_record() {
        let lost = lost_write(&history(&[acked(0, 1, 0), acked(0, 2, 1), final_read(), polled(&[(1, 2)])]));
        assert_eq!(lost.anomalies.len(), 1);
        let moved = lost_write(&history(&[acked(0, 1, 0), final_read(), polled(&[(1, 1)])]));
        assert_eq!(moved.anomalies.len(), 1);
    }
}
