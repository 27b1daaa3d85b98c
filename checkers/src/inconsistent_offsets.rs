//! Promise: an offset holds one value, whoever reads it and whenever.

use std::collections::BTreeMap;

use barnabas_history::{Event, History, Sent};

use crate::Verdict;

/// Judges every value whose offset became known, by an acknowledgement or by a read.
#[must_use]
pub fn inconsistent_offsets(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    let mut values = BTreeMap::new();
    let mut see = |partition, offset, value| {
        let first = *values.entry((partition, offset)).or_insert(value);
        verdict.judge(first != value, || format!("{partition}:{offset} held {first} and then {value}"));
    };
    for event in history.events() {
        match event {
            Event::SendEnded { partition, value, outcome: Sent::Ok(offset), .. } => see(*partition, *offset, *value),
            Event::Polled { partition, records, .. } => {
                records.iter().for_each(|(offset, value)| see(*partition, *offset, *value));
            }
            Event::SendEnded { .. } | Event::SendInvoked { .. } | Event::FinalRead => {}
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::tests_support::{acked, history, polled};

    #[test]
    fn accepts_agreement() {
        let verdict = inconsistent_offsets(&history(&[acked(0, 1, 0), polled(&[(0, 1)]), polled(&[(0, 1)])]));
        assert!(verdict.holds());
        assert_eq!(verdict.judged, 3);
    }

    #[test]
    fn rejects_another_value_at_an_offset() {
        assert!(!inconsistent_offsets(&history(&[acked(0, 1, 0), polled(&[(0, 2)])])).holds());
        assert!(!inconsistent_offsets(&history(&[polled(&[(0, 1)]), polled(&[(0, 2)])])).holds());
    }
}
