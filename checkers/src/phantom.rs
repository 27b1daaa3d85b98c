//! Promise: what is read was sent, to that partition, and was not refused for certain.

use std::collections::BTreeMap;

use barnabas_history::{Event, History, Sent};

use crate::Verdict;

/// Judges every record that was read.
#[must_use]
pub fn phantom(history: &History) -> Verdict {
    let mut sent = BTreeMap::new();
    for event in history.events() {
        match event {
            Event::SendInvoked { partition, value, .. } => {
                sent.insert((*partition, *value), true);
            }
            Event::SendEnded { partition, value, outcome: Sent::Failed, .. } => {
                sent.insert((*partition, *value), false);
            }
            Event::SendEnded { .. } | Event::Polled { .. } | Event::FinalRead => {}
        }
    }
    let mut verdict = Verdict::default();
    for event in history.events() {
        let Event::Polled { partition, records, .. } = event else { continue };
        for (offset, value) in records {
            let possible = sent.get(&(*partition, *value)).copied();
            verdict.judge(possible != Some(true), || match possible {
                None => format!("{value} at {partition}:{offset} was never sent there"),
                Some(_) => format!("{value} at {partition}:{offset} was refused"),
            });
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::tests_support::{acked, ended, history, invoked, polled};

    #[test]
    fn accepts_what_was_sent_even_if_unanswered() {
        let events =
            [invoked(0, 1), ended(0, 1, Sent::Unknown), invoked(0, 2), acked(0, 2, 1), polled(&[(0, 1), (1, 2)])];
        let verdict = phantom(&history(&events));
        assert!(verdict.holds());
        assert_eq!(verdict.judged, 2);
    }

    #[test]
    fn rejects_the_unsent_and_the_refused() {
        assert!(!phantom(&history(&[polled(&[(0, 7)])])).holds());
        assert!(!phantom(&history(&[invoked(0, 1), ended(0, 1, Sent::Failed), polled(&[(0, 1)])])).holds());
    }
}
