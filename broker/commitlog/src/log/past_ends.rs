//! Where a log ended some time ago: what lies below was appended before. The timestamps of its batches cannot tell, they
//! are what clients say. In memory alone: after a start nothing is known to be old.

use std::collections::VecDeque;

use barnabas_base::{Monotonic, Offset};

use crate::limits::{PAST_END_PAUSE_MS, PAST_ENDS_MAX};

/// When a log ended where, oldest first.
#[derive(Debug, Default)]
pub(crate) struct PastEnds {
    notes: VecDeque<(Monotonic, Offset)>,
}

impl PastEnds {
    /// The log ends at `end_offset`; not kept when the last note is younger than [`PAST_END_PAUSE_MS`].
    pub(crate) fn note(&mut self, now: Monotonic, end_offset: Offset) {
        if self.notes.back().is_some_and(|(noted, _)| now < noted.after_ms(PAST_END_PAUSE_MS)) {
            return;
        }
        if self.notes.len() == PAST_ENDS_MAX {
            self.notes.pop_front();
        }
        self.notes.push_back((now, end_offset));
    }

    /// Where the log ended the last time that is known to be `age_ms` ago or longer.
    pub(crate) fn end_before(&self, now: Monotonic, age_ms: i64) -> Option<Offset> {
        let old = self.notes.iter().rev().find(|(noted, _)| now >= noted.after_ms(age_ms));
        old.map(|(_, end_offset)| *end_offset)
    }

    /// The log was cut at `offset`: what is appended there is new.
    pub(crate) fn cut(&mut self, offset: Offset) {
        for (_, end_offset) in &mut self.notes {
            *end_offset = (*end_offset).min(offset);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::PRODUCER_SILENT_MS_MIN;

    fn at(ms: i64) -> Monotonic {
        Monotonic::ZERO.after_ms(ms)
    }

    #[test]
    fn nothing_is_old_before_it_was_noted_for_long_enough() {
        let mut ends = PastEnds::default();
        assert_eq!(ends.end_before(at(PRODUCER_SILENT_MS_MIN), PRODUCER_SILENT_MS_MIN), None);
        ends.note(at(7), Offset(100));
        assert_eq!(ends.end_before(at(6 + PRODUCER_SILENT_MS_MIN), PRODUCER_SILENT_MS_MIN), None);
        assert_eq!(ends.end_before(at(7 + PRODUCER_SILENT_MS_MIN), PRODUCER_SILENT_MS_MIN), Some(Offset(100)));
    }

    /// However often notes are taken, one of them is old enough, and it is no older than it must be.
    #[test]
    fn few_notes_reach_back_far_enough() {
        for step_ms in [1_000, PAST_END_PAUSE_MS - 1, PAST_END_PAUSE_MS, PRODUCER_SILENT_MS_MIN, 1_000_000_000] {
            let mut ends = PastEnds::default();
            for now in (0..10 * PRODUCER_SILENT_MS_MIN.max(step_ms)).step_by(usize::try_from(step_ms).expect("fits")) {
                ends.note(at(now), Offset(now));
                assert!(ends.notes.len() <= PAST_ENDS_MAX);
                let found = ends.end_before(at(now), PRODUCER_SILENT_MS_MIN);
                let late_ms = found.map(|end| now - PRODUCER_SILENT_MS_MIN - end.0);
                assert!(late_ms.is_none_or(|late| (0..PAST_END_PAUSE_MS + step_ms).contains(&late)), "{late_ms:?}");
                assert!(found.is_some() || now < PRODUCER_SILENT_MS_MIN);
            }
        }
    }

    #[test]
    fn what_follows_a_cut_is_new() {
        let mut ends = PastEnds::default();
        ends.note(at(0), Offset(100));
        ends.cut(Offset(40));
        ends.cut(Offset(60));
        assert_eq!(ends.end_before(at(PRODUCER_SILENT_MS_MIN), PRODUCER_SILENT_MS_MIN), Some(Offset(40)));
    }
}
