//! [`Plan`]: everything a run will do, decided before it begins. `nemesis` draws one from a seed, a person writes one as
//! text, the shrinker takes lines away; `sim/world` carries it out.

use std::collections::BTreeMap;

use crate::{ClientName, Lane, Operation, PlannedFault, TopicName};

/// Knobs that a plan may set, with their meaning. Everything else is at its default.
///
/// `world.*` are knobs of the simulated world, `broker.*` keys of the broker's configuration, `client.*` of the clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Knobs(BTreeMap<String, String>);

impl Knobs {
    /// Sets a knob.
    pub fn set(&mut self, name: &str, value: impl ToString) {
        self.0.insert(name.to_owned(), value.to_string());
    }

    /// Puts a knob back to its default.
    pub fn unset(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// The value of a knob, if it is set.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The number of a knob, or `default`. A word that is no number is a mistake of the plan's author.
    ///
    /// # Panics
    /// When the knob is set to something else than a number: [`Plan::parse`](crate::Plan::parse) has refused it before.
    #[must_use]
    pub fn number(&self, name: &str, default: u64) -> u64 {
        self.get(name).map_or(default, |value| value.parse().expect("numbers are checked when a plan is read"))
    }

    /// All knobs that are set, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The knobs whose name starts with `prefix`, without it.
    pub fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.iter().filter_map(move |(name, value)| name.strip_prefix(prefix).map(|rest| (rest, value)))
    }
}

/// A topic that exists before the safety phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedTopic {
    /// Its name.
    pub name: TopicName,
    /// Its partitions.
    pub partitions: u32,
    /// Its configuration.
    pub configs: BTreeMap<String, String>,
}

impl PlannedTopic {
    /// Whether its `cleanup.policy` has it compacted.
    #[must_use]
    pub fn is_compacted(&self) -> bool {
        self.configs.get("cleanup.policy").is_some_and(|policy| policy.contains("compact"))
    }
}

/// A client and how it behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedClient {
    /// Its name.
    pub name: ClientName,
    /// `acks` of what it produces: −1, 0 or 1.
    pub acks: i16,
    /// `enable.idempotence`.
    pub idempotent: bool,
    /// Batches of one partition under way at once: 1 to 5.
    pub in_flight: u32,
    /// Codec of what it produces, by Kafka's name.
    pub compression: String,
    /// `delivery.timeout.ms`.
    pub delivery_timeout_ms: u64,
    /// `session.timeout.ms` of its memberships.
    pub session_timeout_ms: u64,
    /// Most bytes of a partition in one fetch.
    pub fetch_bytes: u32,
}

/// A stretch without operations, so that expiries happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quiet {
    /// When it begins, in milliseconds of the safety phase.
    pub at_ms: u64,
    /// How long it lasts. Operations and faults planned for later start later by this much.
    pub for_ms: u64,
}

/// Everything a run will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Seed of the randomness within the run: latencies, tie breaks, fates.
    pub seed: u64,
    /// The row of the guarantee matrix.
    pub lane: Lane,
    /// Length of the safety phase in milliseconds, without quiet stretches.
    pub safety_ms: u64,
    /// What differs from the defaults.
    pub knobs: Knobs,
    /// Topics that exist from the start.
    pub topics: Vec<PlannedTopic>,
    /// The clients.
    pub clients: Vec<PlannedClient>,
    /// A quiet stretch, if there is one.
    pub quiet: Option<Quiet>,
    /// What clients do, by time.
    pub operations: Vec<Operation>,
    /// What goes wrong.
    pub faults: Vec<PlannedFault>,
    /// Planted bugs that are switched on; none outside the build that has them.
    pub planted: Vec<String>,
}

impl Plan {
    /// A plan in which nothing happens.
    #[must_use]
    pub fn empty(seed: u64, lane: Lane) -> Self {
        Self {
            seed,
            lane,
            safety_ms: 60_000,
            knobs: Knobs::default(),
            topics: Vec::new(),
            clients: Vec::new(),
            quiet: None,
            operations: Vec::new(),
            faults: Vec::new(),
            planted: Vec::new(),
        }
    }

    /// When something planned for `at_ms` of the safety phase happens, quiet stretch included.
    #[must_use]
    pub fn after_quiet_ms(&self, at_ms: u64) -> u64 {
        match self.quiet {
            Some(quiet) if at_ms >= quiet.at_ms => at_ms.saturating_add(quiet.for_ms),
            _ => at_ms,
        }
    }

    /// The client of that name.
    #[must_use]
    pub fn client(&self, name: ClientName) -> Option<&PlannedClient> {
        self.clients.iter().find(|client| client.name == name)
    }
}
