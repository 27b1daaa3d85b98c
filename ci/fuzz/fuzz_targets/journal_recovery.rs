//! Searches for files that break `targets::journal_recovery` of the log room; see there for what is checked.
#![no_main]

#[allow(dead_code, reason = "each target runs one of the checks")]
#[path = "../../../broker/commitlog/tests/corpus/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::journal_recovery(data));
