//! From a properties file, environment variables and overrides to one checked set of values, each with its origin.
//!
//! It names every problem at once, with its line, instead of stopping at the first. What the values mean together is
//! decided in `broker`. The command line drives it and passes all texts in as data.

use std::collections::BTreeMap;
use std::fmt;

use super::broker_keys::{broker_key, broker_keys, listener_override, removed_key};
use super::environment::key_of_variable;
use super::key::{ConfigKey, Support};
use super::properties::parse_properties;
use super::suggest::nearest;

/// What a broker is started with; later parts win over earlier ones.
#[derive(Clone, Debug, Default)]
pub struct ConfigSources {
    /// Name and text of the properties file.
    pub file: Option<(String, String)>,
    /// Environment variables, all of them; those that set no key are passed over.
    pub environment: Vec<(String, String)>,
    /// `key=value` from the command line.
    pub overrides: Vec<(String, String)>,
    /// Whether unknown keys are accepted with a warning instead of refused.
    pub accept_unknown: bool,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// What a start without a file uses.
    BuiltIn,
    /// A line of the properties file.
    File {
        /// Name of the file.
        name: String,
        /// The line, from 1.
        line: u32,
    },
    /// An environment variable.
    Environment {
        /// Its name.
        variable: String,
    },
    /// The command line.
    Override,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("built-in"),
            Self::File { name, line } => write!(f, "{name}:{line}"),
            Self::Environment { variable } => f.write_str(variable),
            Self::Override => f.write_str("--override"),
        }
    }
}

/// Something a person has to put right, or should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProblem {
    /// Where it stands, if it stands anywhere.
    pub origin: Option<Origin>,
    /// The key concerned, if it is one.
    pub key: Option<String>,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for ConfigProblem {}

/// A value with its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticValue {
    /// The text as it was given.
    pub text: String,
    /// Where it was given.
    pub origin: Origin,
}

/// The values a broker was started with (`STATIC_BROKER_CONFIG`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StaticConfig {
    values: BTreeMap<String, StaticValue>,
}

impl StaticConfig {
    /// The value of `key`, if it was given.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&StaticValue> {
        self.values.get(key)
    }

    /// All given values in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &StaticValue)> {
        self.values.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// A problem with `key`, placed where the key was given.
    pub(crate) fn problem(&self, key: &str, message: impl Into<String>) -> ConfigProblem {
        ConfigProblem {
            origin: self.get(key).map(|value| value.origin.clone()),
            key: Some(key.to_owned()),
            message: message.into(),
        }
    }
}

/// What a start without a file uses in place of Kafka's defaults: reachable from this machine only, data where the
/// process was started.
const BUILT_IN: &[(&str, &str)] = &[("listeners", "PLAINTEXT://localhost:9092"), ("log.dirs", "./barnabas-data")];

/// Reads the sources. Values are of their key's type and bounds, and no key is set that does not work.
///
/// # Errors
/// Every problem found, in the order of the sources.
pub(crate) fn load(sources: &ConfigSources) -> Result<(StaticConfig, Vec<ConfigProblem>), Vec<ConfigProblem>> {
    let mut loader = Loader { accept_unknown: sources.accept_unknown, ..Loader::default() };
    match &sources.file {
        None => loader.built_in(),
        Some((name, text)) => loader.file(name, text),
    }
    for (variable, value) in &sources.environment {
        if let Some(key) = key_of_variable(variable, value) {
            loader.add(key, value.clone(), Origin::Environment { variable: variable.clone() });
        }
    }
    for (key, value) in &sources.overrides {
        loader.add(key.clone(), value.clone(), Origin::Override);
    }
    loader.finish()
}

#[derive(Default)]
struct Loader {
    values: BTreeMap<String, StaticValue>,
    problems: Vec<ConfigProblem>,
    accept_unknown: bool,
}

impl Loader {
    fn built_in(&mut self) {
        for (key, value) in BUILT_IN {
            self.add((*key).to_owned(), (*value).to_owned(), Origin::BuiltIn);
        }
    }

    fn file(&mut self, name: &str, text: &str) {
        match parse_properties(text) {
            Ok(properties) => {
                for property in properties {
                    let origin = Origin::File { name: name.to_owned(), line: property.line };
                    self.add(property.key, property.value, origin);
                }
            }
            Err(malformed) => {
                let origin = Origin::File { name: name.to_owned(), line: malformed.line };
                let message = "\\u needs four hexadecimal digits that make a character".to_owned();
                self.problems.push(ConfigProblem { origin: Some(origin), key: None, message });
            }
        }
    }

    fn add(&mut self, key: String, text: String, origin: Origin) {
        self.values.insert(key, StaticValue { text, origin });
    }

    /// `node.id` and its older name stand for each other (`KafkaConfig.populateSynonyms`).
    fn name_the_node_twice(&mut self) {
        for (given, other) in [("node.id", "broker.id"), ("broker.id", "node.id")] {
            if let Some(value) = self.values.get(given).cloned() {
                self.values.entry(other.to_owned()).or_insert(value);
            }
        }
    }

    fn finish(mut self) -> Result<(StaticConfig, Vec<ConfigProblem>), Vec<ConfigProblem>> {
        self.name_the_node_twice();
        let (mut refusals, mut warnings) = (self.problems, Vec::new());
        for (name, value) in &self.values {
            let place = |message: String| ConfigProblem {
                origin: Some(value.origin.clone()),
                key: Some(name.clone()),
                message,
            };
            match judge(name, &value.text) {
                Verdict::Works => {}
                Verdict::Warn(message) => warnings.push(place(message)),
                Verdict::Unknown(message) if self.accept_unknown => warnings.push(place(message)),
                Verdict::Unknown(message) | Verdict::Refuse(message) => refusals.push(place(message)),
            }
        }
        if refusals.is_empty() { Ok((StaticConfig { values: self.values }, warnings)) } else { Err(refusals) }
    }
}

/// What is to be said about one key and its value.
enum Verdict {
    Works,
    Warn(String),
    Unknown(String),
    Refuse(String),
}

fn judge(name: &str, text: &str) -> Verdict {
    if let Some(key) = broker_key(name) {
        return judge_known(key, text);
    }
    if let Some(base) = listener_override(name) {
        return Verdict::Refuse(format!("settings of single listeners do not work yet, {} is for all", base.name));
    }
    if let Some(instead) = removed_key(name) {
        return Verdict::Refuse(format!("Kafka 4 has this key not any more: {instead}"));
    }
    match nearest(name, broker_keys().map(|key| key.name)) {
        Some(meant) => Verdict::Unknown(format!("unknown key, did you mean {meant}?")),
        None => Verdict::Unknown("unknown key".to_owned()),
    }
}

fn judge_known(key: &ConfigKey, text: &str) -> Verdict {
    if let Err(invalid) = key.parse(text) {
        return Verdict::Refuse(invalid.0);
    }
    if let Some(reason) = key.refusal(text) {
        return Verdict::Refuse(format!("not accepted: {reason}"));
    }
    match key.support {
        Support::Works | Support::Refused(_) => Verdict::Works,
        Support::Ignored(_) if key.is_default(text) => Verdict::Works,
        Support::Ignored(reason) => Verdict::Warn(format!("has no effect: {reason}")),
    }
}
