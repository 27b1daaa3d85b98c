//! Searches for bytes that break `targets::log` of the log state room; see there for what is checked.
#![no_main]

#[allow(dead_code, reason = "each target runs one of the checks")]
#[path = "../../../broker/logstate/tests/corpus/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::log(data));
