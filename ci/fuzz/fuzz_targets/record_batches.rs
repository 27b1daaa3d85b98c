//! Searches for bytes that break `targets::record_batches` of the wire room; see there for what is checked.
#![no_main]

#[allow(dead_code, reason = "each target runs one of the checks")]
#[path = "../../../broker/wire/tests/corpus/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::record_batches(data));
