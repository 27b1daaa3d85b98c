//! Prints producer snapshots. Not metadata snapshots, which are segments by another name; `dump` drives it.

use barnabas_base::Offset;
use barnabas_logstate::ProducerState;

use super::{DumpProblems, offset_of};

/// Prints one line a producer.
pub(super) fn dump_snapshot(bytes: &[u8], name: &str, out: &mut dyn FnMut(&str), problems: &mut DumpProblems) {
    let end_offset = Offset(offset_of(name).unwrap_or(i64::MAX));
    let state = match ProducerState::from_snapshot(bytes, end_offset) {
        Ok(state) => state,
        Err(error) => return problems.push(|| error.to_string()),
    };
    for (producer_id, entry) in state.iter() {
        let txn = match entry.current_txn_first_offset() {
            Some(offset) => format!("OptionalLong[{offset}]"),
            None => "OptionalLong.empty".to_owned(),
        };
        let mut line = format!(
            "producerId: {producer_id} producerEpoch: {} coordinatorEpoch: {} currentTxnFirstOffset: {txn} lastTimestamp: {}",
            entry.epoch(),
            entry.coordinator_epoch(),
            entry.last_timestamp(),
        );
        if let Some(batch) = entry.last_batch() {
            line.push_str(&format!(
                " firstSequence: {} lastSequence: {} lastOffset: {} offsetDelta: {} timestamp: {}",
                batch.first_sequence(),
                batch.last_sequence,
                batch.last_offset,
                batch.offset_delta,
                batch.timestamp,
            ));
        }
        out(&line);
    }
}
