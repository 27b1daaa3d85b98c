//! The commands, one file each. Each has its options, runs, and ends with an exit code.

pub(crate) mod completions;
pub(crate) mod consume;
pub(crate) mod groups;
pub(crate) mod log;
mod offsets;
pub(crate) mod produce;
mod topic_partitions;
pub(crate) mod topics;
pub(crate) mod version;

use crate::output::{Cause, Failure};

/// `key=value` on the command line.
pub(crate) fn parse_property(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err("expected key=value".to_owned()),
    }
}

/// What a command on several things amounts to: done, refused when nothing was done, or partly done.
pub(crate) fn summarize(done: usize, refused: Vec<Cause>) -> Result<(), Failure> {
    if refused.is_empty() { Ok(()) } else { Err(Failure::several(done, refused)) }
}
