//! [`Line`]: what came of one seed, as a line of JSON. Runs write it, whoever drives runs as processes reads it.

use std::collections::BTreeMap;

use crate::reached::Reached;
use anyhow::{Context, Result};
use barnabas_plan::Lane;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Stands for the checker when the process that ran a seed died or hung.
pub(crate) const ACCIDENT: &str = "crash";

/// How a run went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    Pass,
    Fail,
    /// It proves nothing.
    Void,
}

/// What came of one seed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    #[serde(serialize_with = "write_seed", deserialize_with = "read_seed")]
    pub(crate) seed: u64,
    #[serde(serialize_with = "write_lane", deserialize_with = "read_lane")]
    pub(crate) lane: Lane,
    pub(crate) verdict: Verdict,
    /// Who failed it: a checker's name.
    #[serde(default)]
    pub(crate) checker: String,
    /// What it said.
    #[serde(default)]
    pub(crate) what: String,
    /// What tells the failure from others.
    #[serde(default)]
    pub(crate) signature: String,
    /// The trace hash.
    pub(crate) hash: String,
    /// How often a planted bug was reached.
    #[serde(default)]
    pub(crate) planted_hits: u64,
    /// Sends, and those of them that were acknowledged.
    #[serde(default)]
    pub(crate) sent: u64,
    #[serde(default)]
    pub(crate) acknowledged: u64,
    /// Things that the hash is over.
    #[serde(default)]
    pub(crate) events: u64,
    #[serde(default)]
    pub(crate) simulated_ms: u64,
    /// Facts that each checker judged, also none, where the lane gives it any.
    #[serde(default)]
    pub(crate) judged: BTreeMap<String, u64>,
    /// What the run went through.
    #[serde(default)]
    pub(crate) counters: BTreeMap<String, u64>,
    /// Marks and error codes that came up.
    #[serde(default)]
    pub(crate) reached: Reached,
}

impl Line {
    /// Reads one line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        serde_json::from_str(text).with_context(|| format!("the runner said `{text}`"))
    }
}

impl Line {
    /// A seed whose process died or fell silent.
    pub(crate) fn accident(seed: u64, lane: Lane, what: String) -> Self {
        Self {
            seed,
            lane,
            verdict: Verdict::Fail,
            checker: ACCIDENT.to_owned(),
            what,
            signature: ACCIDENT.to_owned(),
            hash: String::new(),
            planted_hits: 0,
            sent: 0,
            acknowledged: 0,
            events: 0,
            simulated_ms: 0,
            judged: BTreeMap::new(),
            counters: BTreeMap::new(),
            reached: Reached::default(),
        }
    }
}

/// Numbers above 2^53 do not survive every reader: a seed is text.
fn write_seed<S: Serializer>(seed: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{seed:#x}"))
}

fn read_seed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = String::deserialize(deserializer)?;
    barnabas_plan::parse_seed(&text).ok_or_else(|| serde::de::Error::custom("a seed is a number as text"))
}

fn write_lane<S: Serializer>(lane: &Lane, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(lane.word())
}

fn read_lane<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Lane, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| serde::de::Error::custom("no lane of that name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_back() {
        let line = Line {
            seed: u64::MAX,
            lane: Lane::Raw,
            verdict: Verdict::Void,
            checker: "lost-write".to_owned(),
            what: "c0#1 is gone".to_owned(),
            signature: "lost-write".to_owned(),
            hash: "0xab".to_owned(),
            planted_hits: 1,
            sent: 2,
            acknowledged: 3,
            events: 4,
            simulated_ms: 5,
            judged: [("order".to_owned(), 6)].into(),
            counters: [("cleanings".to_owned(), 7)].into(),
            reached: serde_json::from_str(r#"{"marks":["log-cleaned"],"codes":["NOT_COORDINATOR"]}"#).expect("names"),
        };
        let text = serde_json::to_string(&line).expect("plain data");
        assert!(text.contains("\"0xffffffffffffffff\"") && text.contains("\"void\""), "{text}");
        assert_eq!(Line::parse(&text).expect("it was written so"), line);
        assert!(Line::parse("{}").is_err());
    }
}
