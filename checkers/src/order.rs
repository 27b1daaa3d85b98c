//! Promise: what a client sends after an acknowledgement lands behind it, in each partition.

use std::collections::BTreeMap;

use barnabas_history::{Event, History, Sent};

use crate::Verdict;

/// Judges every acknowledged send against the largest offset that was acknowledged before it began, by any client:
/// a record that is acknowledged before another is sent has the lower offset (real-time order).
#[must_use]
pub fn order(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    let mut highest = BTreeMap::new();
    let mut floors = BTreeMap::new();
    for event in history.events() {
        match event {
            Event::SendInvoked { process, partition, value } => {
                let floor = highest.get(partition).copied();
                floors.insert((*process, *partition, *value), floor);
            }
            Event::SendEnded { process, partition, value, outcome: Sent::Ok(offset) } => {
                let floor = floors.get(&(*process, *partition, *value)).copied().flatten();
                if let Some(floor) = floor {
                    verdict.judge(*offset <= floor, || {
                        format!("{value} was sent after {partition}:{floor} was acknowledged and landed at {offset}")
                    });
                }
                let top = highest.entry(*partition).or_insert(*offset);
                *top = (*top).max(*offset);
            }
            Event::SendEnded { .. } | Event::Polled { .. } | Event::FinalRead => {}
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::tests_support::{acked, history, invoked};

    #[test]
    fn accepts_rising_offsets_and_overlap() {
        let rising = [invoked(0, 1), acked(0, 1, 0), invoked(0, 2), acked(0, 2, 3)];
        assert_eq!(order(&history(&rising)).judged, 1);
        assert!(order(&history(&rising)).holds());
        let overlapping = [invoked(0, 1), invoked(1, 2), acked(1, 2, 1), acked(0, 1, 0)];
        assert!(order(&history(&overlapping)).holds(), "concurrent sends may land in either order");
    }

    #[test]
    fn rejects_a_later_send_at_an_earlier_offset() {
        let falling = [invoked(0, 1), acked(0, 1, 5), invoked(1, 2), acked(1, 2, 4)];
        assert!(!order(&history(&falling)).holds());
    }
}
