//! The text form of a plan: one line a thing, `#` begins a comment. Written by the sweep and the shrinker, read by `cargo
//! sim replay`, and by people.

use std::collections::BTreeMap;
use std::fmt;

use crate::alphabet::Fields;
use crate::{Operation, Plan, PlannedClient, PlannedFault, PlannedTopic, Quiet};

/// First line of every plan.
const HEADER: &str = "barnabas plan 1";
/// Longest text that is read.
const TEXT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Why a text is no plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Line, from 1; 0 when it is not known.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

impl Malformed {
    pub(crate) const fn new(reason: String) -> Self {
        Self { line: 0, reason }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Malformed {}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        writeln!(f, "run seed={:#x} lane={} safety_ms={}", self.seed, self.lane, self.safety_ms)?;
        for name in &self.planted {
            writeln!(f, "planted {name}")?;
        }
        for (name, value) in self.knobs.iter() {
            writeln!(f, "knob {name} {value}")?;
        }
        for topic in &self.topics {
            write!(f, "topic {} {}", topic.name, topic.partitions)?;
            for (key, value) in &topic.configs {
                write!(f, " {key}={value}")?;
            }
            writeln!(f)?;
        }
        for client in &self.clients {
            write_client(f, client)?;
        }
        if let Some(quiet) = self.quiet {
            writeln!(f, "quiet at_ms={} for_ms={}", quiet.at_ms, quiet.for_ms)?;
        }
        for fault in &self.faults {
            writeln!(f, "fault {} {} : {}", fault.id, fault.trigger, fault.fault)?;
        }
        for operation in &self.operations {
            writeln!(f, "op {} {} {} {}", operation.id, operation.client, operation.at_ms, operation.action)?;
        }
        Ok(())
    }
}

fn write_client(f: &mut fmt::Formatter<'_>, client: &PlannedClient) -> fmt::Result {
    write!(f, "client {} acks={} idempotent={}", client.name, client.acks, client.idempotent)?;
    write!(f, " in_flight={} compression={}", client.in_flight, client.compression)?;
    write!(f, " delivery_timeout_ms={}", client.delivery_timeout_ms)?;
    writeln!(f, " session_timeout_ms={} fetch_bytes={}", client.session_timeout_ms, client.fetch_bytes)
}

impl Plan {
    /// Reads a plan.
    ///
    /// # Errors
    /// The first line that cannot be read, and why.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(Malformed::new(format!("a plan is at most {TEXT_BYTES_MAX} bytes long")));
        }
        let lines =
            text.lines().enumerate().map(|(index, line)| (index + 1, line.split('#').next().unwrap_or("").trim()));
        let mut lines = lines.filter(|(_, line)| !line.is_empty());
        match lines.next() {
            Some((_, HEADER)) => {}
            Some((line, _)) => return Err(Malformed { line, reason: format!("a plan begins with `{HEADER}`") }),
            None => return Err(Malformed::new("the text is empty".to_owned())),
        }
        let at = |line: usize| move |malformed: Malformed| Malformed { line, ..malformed };
        let (line, run) = lines.next().ok_or_else(|| Malformed::new("the line `run ...` is missing".to_owned()))?;
        let mut plan = read_run(run).map_err(at(line))?;
        for (line, text) in lines {
            plan.read_line(text).map_err(at(line))?;
        }
        plan.check()?;
        Ok(plan)
    }

    fn read_line(&mut self, text: &str) -> Result<(), Malformed> {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        match word {
            "planted" => self.planted.push(rest.trim().to_owned()),
            "knob" => {
                let (name, value) =
                    rest.split_once(' ').ok_or_else(|| Malformed::new("a knob has a name and a value".to_owned()))?;
                self.knobs.set(name, value.trim());
            }
            "topic" => self.topics.push(read_topic(rest)?),
            "client" => self.clients.push(read_client(rest)?),
            "quiet" => {
                let mut fields = Fields::new(rest)?;
                self.quiet = Some(Quiet { at_ms: fields.take("at_ms")?, for_ms: fields.take("for_ms")? });
                fields.end()?;
            }
            "fault" => self.faults.push(read_fault(rest)?),
            "op" => self.operations.push(read_operation(rest)?),
            _ => return Err(Malformed::new(format!("a plan has no line `{word}`"))),
        }
        Ok(())
    }

    /// What no single line can show.
    fn check(&self) -> Result<(), Malformed> {
        for (name, value) in self.knobs.iter() {
            if !name.starts_with("broker.") && value.parse::<u64>().is_err() {
                return Err(Malformed::new(format!("knob {name} is a number, not `{value}`")));
            }
        }
        for operation in &self.operations {
            if self.client(operation.client).is_none() {
                return Err(Malformed::new(format!("op {} is of a client that is not planned", operation.id)));
            }
        }
        Ok(())
    }
}

/// Splits off the first word and reads it.
fn first<'a, T: std::str::FromStr>(text: &'a str, what: &str) -> Result<(T, &'a str), Malformed> {
    let text = text.trim_start();
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let value = word.parse().map_err(|_| Malformed::new(format!("`{word}` is no {what}")))?;
    Ok((value, rest))
}

fn read_run(text: &str) -> Result<Plan, Malformed> {
    let rest = text.strip_prefix("run ").ok_or_else(|| Malformed::new("the second line is `run ...`".to_owned()))?;
    let mut fields = Fields::new(rest)?;
    let seed: String = fields.take("seed")?;
    let seed = parse_seed(&seed).ok_or_else(|| Malformed::new(format!("`{seed}` is no seed")))?;
    let mut plan = Plan::empty(seed, fields.take("lane")?);
    plan.safety_ms = fields.take("safety_ms")?;
    fields.end()?;
    Ok(plan)
}

/// Reads a seed as people write it: decimal, or hexadecimal with `0x`.
#[must_use]
pub fn parse_seed(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

fn read_topic(text: &str) -> Result<PlannedTopic, Malformed> {
    let (name, rest) = first(text, "topic")?;
    let (partitions, rest) = first(rest, "number of partitions")?;
    let mut configs = BTreeMap::new();
    for word in rest.split_whitespace() {
        let (key, value) = word.split_once('=').ok_or_else(|| Malformed::new(format!("`{word}` is not key=value")))?;
        configs.insert(key.to_owned(), value.to_owned());
    }
    Ok(PlannedTopic { name, partitions, configs })
}

fn read_client(text: &str) -> Result<PlannedClient, Malformed> {
    let (name, rest) = first(text, "client")?;
    let mut fields = Fields::new(rest)?;
    let client = PlannedClient {
        name,
        acks: fields.take("acks")?,
        idempotent: fields.take("idempotent")?,
        in_flight: fields.take("in_flight")?,
        compression: fields.take("compression")?,
        delivery_timeout_ms: fields.take("delivery_timeout_ms")?,
        session_timeout_ms: fields.take("session_timeout_ms")?,
        fetch_bytes: fields.take("fetch_bytes")?,
    };
    fields.end()?;
    Ok(client)
}

fn read_fault(text: &str) -> Result<PlannedFault, Malformed> {
    let (id, rest) = first(text, "number")?;
    let (trigger, fault) =
        rest.split_once(" : ").ok_or_else(|| Malformed::new("a fault is `fault NUMBER TRIGGER : WHAT`".to_owned()))?;
    Ok(PlannedFault { id, trigger: trigger.trim().parse()?, fault: fault.trim().parse()? })
}

fn read_operation(text: &str) -> Result<Operation, Malformed> {
    let (id, rest) = first(text, "number")?;
    let (client, rest) = first(rest, "client")?;
    let (at_ms, rest) = first(rest, "time in milliseconds")?;
    Ok(Operation { id, client, at_ms, action: rest.trim().parse()? })
}
