//! The table: for every figure the median of each contestant with its spread, and the ratio of Barnabas to Kafka taken
//! pair by pair. As Markdown for people, as JSON for machines.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::contestant::Contestant;
use super::disk::Disk;
use super::rows::{Row, Sample};

/// All samples so far.
pub(super) struct Report {
    disk: Disk,
    pairs: u32,
    seconds: u64,
    samples: BTreeMap<(Row, Contestant), Vec<Sample>>,
}

/// The middle and the ends of some figures.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spread {
    median: f64,
    low: f64,
    high: f64,
}

impl Spread {
    fn of(mut figures: Vec<f64>) -> Option<Self> {
        figures.sort_by(f64::total_cmp);
        let (low, high) = (*figures.first()?, *figures.last()?);
        let middle = figures.len() / 2;
        let median =
            if figures.len() % 2 == 1 { figures[middle] } else { f64::midpoint(figures[middle - 1], figures[middle]) };
        Some(Spread { median, low, high })
    }

    fn shown(self) -> String {
        format!("{} ({} – {})", short(self.median), short(self.low), short(self.high))
    }
}

/// Three significant digits, as a reader wants them.
fn short(figure: f64) -> String {
    match figure.abs() {
        magnitude if magnitude >= 100.0 => format!("{figure:.0}"),
        magnitude if magnitude >= 10.0 => format!("{figure:.1}"),
        magnitude if magnitude >= 0.1 => format!("{figure:.2}"),
        _ => format!("{figure:.4}"),
    }
}

/// One sample on a line.
pub(super) fn line(sample: &Sample) -> String {
    let figures: Vec<String> = sample.iter().map(|(name, figure)| format!("{name} {}", short(*figure))).collect();
    figures.join(", ")
}

impl Report {
    /// A report without samples.
    pub(super) fn new(disk: Disk, pairs: u32, seconds: u64) -> Self {
        Report { disk, pairs, seconds, samples: BTreeMap::new() }
    }

    /// Adds one run's figures.
    pub(super) fn add(&mut self, row: Row, contestant: Contestant, sample: Sample) {
        self.samples.entry((row, contestant)).or_default().push(sample);
    }

    /// Writes both forms.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join("bench.md"), self.markdown()).context("writing the table")?;
        std::fs::write(folder.join("bench.json"), format!("{:#}\n", self.json())).context("writing the figures")
    }

    /// The table.
    pub(super) fn markdown(&self) -> String {
        let mut text = format!("{}; {} runs of {} s each, in turn.\n", self.disk, self.pairs, self.seconds);
        text.push_str("Medians with lowest and highest; ratios are taken pair by pair.\n\n");
        text.push_str("| row | figure |");
        for contestant in Contestant::ALL {
            let _ = write!(text, " {} |", contestant.name());
        }
        text.push_str(" barnabas-ack / kafka | barnabas-os / kafka | barnabas-ack / kafka-flush |\n|---|---|");
        text.push_str(&"---|".repeat(Contestant::ALL.len() + 3));
        text.push('\n');
        for (row, figure) in self.figures() {
            let _ = write!(text, "| {} | {figure} |", row.name());
            for contestant in Contestant::ALL {
                let spread = Spread::of(self.series(row, contestant, figure));
                let _ = write!(text, " {} |", spread.map_or_else(|| "–".to_owned(), Spread::shown));
            }
            for (ours, theirs) in RATIOS {
                let spread = Spread::of(self.ratios(row, figure, ours, theirs));
                let _ =
                    write!(text, " {} |", spread.map_or_else(|| "–".to_owned(), |ratio| format!("{}×", ratio.shown())));
            }
            text.push('\n');
        }
        text
    }

    fn json(&self) -> Value {
        let rows: Vec<Value> = self
            .figures()
            .into_iter()
            .map(|(row, figure)| {
                let mut contestants = serde_json::Map::new();
                for contestant in Contestant::ALL {
                    let series = self.series(row, contestant, figure);
                    if !series.is_empty() {
                        contestants.insert(contestant.name().to_owned(), json!(series));
                    }
                }
                let mut ratios = serde_json::Map::new();
                for (ours, theirs) in RATIOS {
                    let series = self.ratios(row, figure, ours, theirs);
                    if !series.is_empty() {
                        ratios.insert(format!("{} / {}", ours.name(), theirs.name()), json!(series));
                    }
                }
                json!({"row": row.name(), "figure": figure, "samples": contestants, "ratios": ratios})
            })
            .collect();
        json!({
            "cores": self.disk.cores,
            "file_system": self.disk.file_system,
            "fdatasync_p50_ms": self.disk.sync_p50.as_secs_f64() * 1e3,
            "fdatasync_p99_ms": self.disk.sync_p99.as_secs_f64() * 1e3,
            "pairs": self.pairs,
            "seconds": self.seconds,
            "rows": rows,
        })
    }

    /// Every figure that was measured, in the order of the rows.
    fn figures(&self) -> Vec<(Row, &'static str)> {
        let mut found: Vec<(Row, &'static str)> = Vec::new();
        for ((row, _), samples) in &self.samples {
            for figure in samples.iter().flat_map(Sample::keys) {
                if !found.contains(&(*row, *figure)) {
                    found.push((*row, *figure));
                }
            }
        }
        found
    }

    fn series(&self, row: Row, contestant: Contestant, figure: &str) -> Vec<f64> {
        let samples = self.samples.get(&(row, contestant)).map_or(&[][..], Vec::as_slice);
        samples.iter().filter_map(|sample| sample.get(figure).copied()).collect()
    }

    fn ratios(&self, row: Row, figure: &str, ours: Contestant, theirs: Contestant) -> Vec<f64> {
        let theirs = self.series(row, theirs, figure);
        let pairs = self.series(row, ours, figure).into_iter().zip(theirs);
        pairs.filter(|(_, theirs)| *theirs > 0.0).map(|(ours, theirs)| ours / theirs).collect()
    }
}

/// Who is compared with whom: what is shipped, the same promise without a sync, the same promise with one.
const RATIOS: [(Contestant, Contestant); 3] = [
    (Contestant::BarnabasAck, Contestant::Kafka),
    (Contestant::BarnabasOs, Contestant::Kafka),
    (Contestant::BarnabasAck, Contestant::KafkaFlush),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_has_its_middle_and_its_ends() {
        let spread = Spread::of(vec![3.0, 1.0, 2.0]).expect("three figures");
        assert_eq!(spread, Spread { median: 2.0, low: 1.0, high: 3.0 });
        let even = Spread::of(vec![1.0, 2.0]).expect("two figures");
        assert_eq!(even.median, 1.5);
        assert_eq!(Spread::of(Vec::new()), None);
    }
}
