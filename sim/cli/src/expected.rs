//! [`Expected`]: in how many seeds of each lane a mark or an error code of the broker came up when somebody counted, and what
//! is to be said of seeds in which it does not come up at all any more: something of the broker is not done any more, or
//! nobody asks for it. Sweeps and the blind sample drive it.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use barnabas_plan::Lane;

use crate::reached::Reached;

/// A silence as unlikely as this is none of chance: all lanes and names together are a few thousand chances.
const CHANCE_MAX: f64 = 1e-8;
/// What a file of counts begins with.
const HEAD: &str = "# Seeds in which a mark or an error code of the broker came up, by lane; `cargo sim fuzz --seeds 6000 \
                    --write-reached` counts anew.\n";
/// Stands for the name in the line that says how many seeds there were.
const SEEDS: &str = "seeds";

/// Seeds of each lane by what came up in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    seeds: BTreeMap<Lane, u64>,
    by_name: BTreeMap<String, BTreeMap<Lane, u64>>,
}

/// A mark or code that does not come up any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Silence {
    /// Where; in all lanes when there is none.
    pub(crate) lane: Option<Lane>,
    pub(crate) name: String,
    /// Seeds in none of which it did.
    seeds: u64,
    /// Seeds in which it did when they were counted, and how many there were.
    count: u64,
    of: u64,
}

impl fmt::Display for Silence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lane, name, seeds, count, of } = self;
        match lane {
            Some(lane) => write!(formatter, "lane {lane}: ")?,
            None => write!(formatter, "all lanes: ")?,
        }
        write!(formatter, "`{name}` came up in none of {seeds} seeds, and in {count} of {of} when counted")
    }
}

/// The counts that seeds are compared with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expected(Counts);

impl Counts {
    /// Counts a seed.
    pub(crate) fn add(&mut self, lane: Lane, reached: &Reached) {
        *self.seeds.entry(lane).or_default() += 1;
        for name in reached.names() {
            match self.by_name.get_mut(name) {
                Some(lanes) => *lanes.entry(lane).or_default() += 1,
                None => drop(self.by_name.insert(name.to_owned(), BTreeMap::from([(lane, 1)]))),
            }
        }
    }

    /// Adds what was counted elsewhere.
    pub(crate) fn unite(&mut self, other: &Self) {
        add(&mut self.seeds, &other.seeds);
        for (name, lanes) in &other.by_name {
            add(self.by_name.entry(name.clone()).or_default(), lanes);
        }
    }

    fn has(&self, name: &str, lane: Lane) -> bool {
        self.by_name.get(name).is_some_and(|lanes| lanes.contains_key(&lane))
    }

    /// As a file keeps them: a line for each name.
    fn to_text(&self) -> String {
        let mut text = HEAD.to_owned();
        let lines = [(SEEDS, &self.seeds)].into_iter();
        for (name, lanes) in lines.chain(self.by_name.iter().map(|(name, lanes)| (name.as_str(), lanes))) {
            let _ = write!(text, "{name}");
            for (lane, count) in lanes {
                let _ = write!(text, " {lane}={count}");
            }
            text.push('\n');
        }
        text
    }

    fn parse(text: &str) -> Result<Self> {
        let mut counts = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let mut words = line.split(' ');
            let name = words.next().unwrap_or_default();
            let lanes = words.map(|word| read_count(word).with_context(|| format!("`{word}` is no count of a lane")));
            let lanes: BTreeMap<Lane, u64> = lanes.collect::<Result<_>>()?;
            if name == SEEDS {
                counts.seeds = lanes;
            } else {
                counts.by_name.insert(name.to_owned(), lanes);
            }
        }
        let most =
            |lanes: &BTreeMap<Lane, u64>| lanes.iter().all(|(lane, count)| counts.seeds.get(lane) >= Some(count));
        let excess = counts.by_name.iter().find(|(_, lanes)| !most(lanes));
        ensure!(excess.is_none(), "more seeds than there were: {excess:?}");
        Ok(counts)
    }

    /// Writes them where sweeps look for them.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn write(&self) -> Result<()> {
        std::fs::write(file(), self.to_text()).with_context(|| file().display().to_string())
    }
}

fn add(sums: &mut BTreeMap<Lane, u64>, counts: &BTreeMap<Lane, u64>) {
    for (lane, count) in counts {
        *sums.entry(*lane).or_default() += count;
    }
}

fn read_count(word: &str) -> Option<(Lane, u64)> {
    let (lane, count) = word.split_once('=')?;
    Some((lane.parse().ok()?, count.parse().ok()?))
}

fn file() -> PathBuf {
    crate::root().join("ci/reached.txt")
}

impl Expected {
    /// What was counted last.
    ///
    /// # Errors
    /// The file is missing, or no file of counts.
    pub(crate) fn load() -> Result<Self> {
        let text = std::fs::read_to_string(file()).with_context(|| file().display().to_string())?;
        Counts::parse(&text).map(Self).with_context(|| file().display().to_string())
    }

    /// What should have come up in these seeds and did not, in one lane or in all of them.
    pub(crate) fn missing(&self, counts: &Counts) -> Vec<Silence> {
        let mut missing = Vec::new();
        for (name, lanes) in &self.0.by_name {
            let chances: Vec<_> = lanes.iter().map(|(lane, count)| self.chance(counts, name, *lane, *count)).collect();
            if lanes.len() > 1 && chances.iter().all(|chance| chance.is_silent) && is_no_chance(&chances) {
                missing.push(silence(name, None, &chances));
                continue;
            }
            let alone = lanes.keys().zip(&chances).filter(|(_, chance)| chance.is_silent);
            for (lane, chance) in alone {
                let chance = std::slice::from_ref(chance);
                if is_no_chance(chance) {
                    missing.push(silence(name, Some(*lane), chance));
                }
            }
        }
        missing
    }

    fn chance(&self, counts: &Counts, name: &str, lane: Lane, count: u64) -> Chance {
        let seeds = counts.seeds.get(&lane).copied().unwrap_or(0);
        Chance { is_silent: !counts.has(name, lane), count, of: self.0.seeds[&lane], seeds }
    }
}

/// What one lane might have shown of a name.
#[derive(Clone, Copy, Debug)]
struct Chance {
    is_silent: bool,
    /// Seeds in which it came up when they were counted, and how many there were.
    count: u64,
    of: u64,
    /// Seeds in which it might have.
    seeds: u64,
}

fn silence(name: &str, lane: Option<Lane>, chances: &[Chance]) -> Silence {
    let sum = |of: fn(&Chance) -> u64| chances.iter().map(of).sum();
    let (seeds, count, of) = (sum(|chance| chance.seeds), sum(|chance| chance.count), sum(|chance| chance.of));
    Silence { lane, name: name.to_owned(), seeds, count, of }
}

/// Whether silence in all of them is unlikely: what was counted is three standard deviations more than it should have been.
#[expect(clippy::cast_precision_loss, reason = "counts of seeds are small")]
fn is_no_chance(chances: &[Chance]) -> bool {
    let count = chances.iter().map(|chance| chance.count).sum::<u64>() as f64;
    let part = (1.0 - 3.0 / count.sqrt()).max(0.0);
    let quiet = |chance: &Chance| (1.0 - part * chance.count as f64 / chance.of as f64).powf(chance.seeds as f64);
    chances.iter().map(quiet).product::<f64>() < CHANCE_MAX
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use barnabas_base::mark;

    use super::*;
    use crate::codes::RETURNED;

    fn counted(seeds: u64, name: &str, times: u64) -> Counts {
        counted_in(&[Lane::Raw], seeds, name, times)
    }

    fn counted_in(lanes: &[Lane], seeds: u64, name: &str, times: u64) -> Counts {
        let mut counts = Counts::default();
        for (lane, seed) in lanes.iter().flat_map(|lane| (0..seeds).map(move |seed| (*lane, seed))) {
            let names: &[&str] = if seed < times { &[name] } else { &[] };
            counts.add(lane, &Reached::of_marks_named(names));
        }
        counts
    }

    #[test]
    fn what_is_counted_is_read_back() {
        let counts = counted(400, "log-cleaned", 100);
        assert_eq!(counts.to_text().lines().skip(1).collect::<Vec<_>>(), ["seeds raw=400", "log-cleaned raw=100"]);
        assert_eq!(Counts::parse(&counts.to_text()).expect("its own text"), counts);
        for broken in ["seeds raw", "seeds raw=x", "seeds nowhere=1", "seeds raw=1\nmark raw=2", "mark raw=1"] {
            assert!(Counts::parse(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn what_was_counted_is_there_to_come_up() {
        let marks = mark::ALL.iter().map(|mark| mark.name);
        let known: BTreeSet<&str> = marks.chain(RETURNED.iter().map(|(code, _)| code.name())).collect();
        let Expected(counts) = Expected::load().expect("somebody has counted");
        let gone: Vec<_> = counts.by_name.keys().filter(|name| !known.contains(name.as_str())).collect();
        assert!(gone.is_empty(), "count anew: {gone:?}");
    }

    #[test]
    fn a_silence_is_told_once_it_is_no_chance() {
        let expected = Expected(counted(400, "log-cleaned", 100));
        assert_eq!(expected.missing(&counted(60, "other", 60)), [], "too few to tell");
        assert_eq!(expected.missing(&counted(400, "log-cleaned", 1)), [], "it came up");
        let told: Vec<_> = expected.missing(&counted(200, "other", 1)).iter().map(Silence::to_string).collect();
        assert_eq!(told, ["lane raw: `log-cleaned` came up in none of 200 seeds, and in 100 of 400 when counted"]);
        let rare = Expected(counted(400, "log-cleaned", 9));
        assert_eq!(rare.missing(&counted(10_000, "other", 1)), [], "nine may have been luck");
    }

    #[test]
    fn silence_of_all_lanes_is_told_by_fewer_seeds_of_each() {
        let lanes = [Lane::Raw, Lane::Rot, Lane::Acks];
        let expected = Expected(counted_in(&lanes, 400, "log-cleaned", 100));
        let silent = counted_in(&lanes, 40, "other", 1);
        let told: Vec<_> = expected.missing(&silent).iter().map(Silence::to_string).collect();
        assert_eq!(told, ["all lanes: `log-cleaned` came up in none of 120 seeds, and in 300 of 1200 when counted"]);
        assert_eq!(expected.missing(&counted_in(&lanes[..1], 40, "other", 1)), [], "too few to tell");
        let mut spoken = silent;
        spoken.unite(&counted_in(&lanes[..1], 1, "log-cleaned", 1));
        assert_eq!(expected.missing(&spoken), [], "one lane has it, and the others are too few alone");
    }
}
