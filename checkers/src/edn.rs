//! Histories as Jepsen's Kafka workload writes them, one EDN map a line, so that others can run the original checker.
//!
//! A process of Jepsen does one thing after the other. A client here may have several sends under way, so that each life
//! of a client is as many processes as it ever has calls at once; one whose call ended as unknown is not used again, as
//! Jepsen's is not after `:info`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use barnabas_base::Uuid;
use barnabas_history::{Call, CallId, CallView, ClientLife, Evidence, LogName, Outcome, Reply, Seen, What};

use crate::facts::Facts;

/// The sends, polls, assignments and crashes of a run; everything else has no counterpart there.
#[must_use]
pub fn edn(evidence: &Evidence) -> String {
    let mut writer = Writer { text: String::new(), index: 0, free: BTreeMap::new(), next: 0, open: BTreeMap::new() };
    let facts = Facts::new(evidence);
    let calls: BTreeMap<CallId, CallView<'_>> = facts.calls.iter().map(|view| (view.id, *view)).collect();
    for step in &evidence.steps {
        match &step.what {
            What::Invoked { id, by, .. } => {
                let Some((f, value)) = asked(&facts, &calls[id]) else { continue };
                let process = writer.process(*by);
                writer.open.insert(*id, process);
                writer.line("invoke", f, &value, process, step.at.0);
            }
            What::Ended { id, outcome } => {
                let Some(process) = writer.open.remove(id) else { continue };
                let view = &calls[id];
                let Some((f, asked)) = asked(&facts, view) else { continue };
                let (kind, value) = ended(&facts, view, outcome, asked);
                writer.line(kind, f, &value, process, step.at.0);
                if kind != "info" {
                    writer.free.entry(view.by).or_default().push(process);
                }
            }
            What::Reborn { by } => {
                let process = writer.process(*by);
                writer.line("invoke", "crash", "nil", process, step.at.0);
                writer.line("info", "crash", "nil", process, step.at.0);
            }
            What::Member { .. } | What::Observed { .. } | What::Happened(_) => {}
        }
    }
    writer.text
}

struct Writer {
    text: String,
    index: u64,
    /// Processes of each life that do nothing.
    free: BTreeMap<ClientLife, Vec<u64>>,
    next: u64,
    /// Processes of calls under way.
    open: BTreeMap<CallId, u64>,
}

impl Writer {
    fn process(&mut self, by: ClientLife) -> u64 {
        if let Some(process) = self.free.get_mut(&by).and_then(Vec::pop) {
            return process;
        }
        self.next += 1;
        self.next - 1
    }

    fn line(&mut self, kind: &str, f: &str, value: &str, process: u64, time: u64) {
        let index = self.index;
        self.index += 1;
        let line =
            format!("{{:type :{kind}, :f :{f}, :value {value}, :process {process}, :time {time}, :index {index}}}");
        writeln!(self.text, "{line}").expect("a string takes everything");
    }
}

/// A log as a key of Jepsen's: an incarnation is a key of its own.
fn key(facts: &Facts<'_>, named: LogName) -> String {
    let log = facts.log(named).unwrap_or(named);
    if log.id.is_zero() {
        return format!("\"{}-{}\"", log.topic, log.partition);
    }
    format!("\"{}-{}-{}\"", log.topic, log.partition, log.id)
}

/// The operation and its value when it is invoked.
fn asked(facts: &Facts<'_>, view: &CallView<'_>) -> Option<(&'static str, String)> {
    match view.call {
        Call::Send { topic, partition, value, .. } => {
            let named = LogName { topic: *topic, id: Uuid::ZERO, partition: *partition };
            // The checker takes an operation's key from either end, so that both name the incarnation.
            let named = if let Some(Outcome::Ok(Reply::Sent { log, .. })) = view.outcome { *log } else { named };
            Some(("send", format!("[[:send {} {}]]", key(facts, named), value.0)))
        }
        Call::Poll { .. } => Some(("poll", "[[:poll]]".to_owned())),
        Call::Assign { topic, .. } => Some(("assign", format!("[\"{topic}\"]"))),
        Call::Join { topic, .. } => Some(("subscribe", format!("[\"{topic}\"]"))),
        Call::Leave { .. }
        | Call::Commit { .. }
        | Call::Committed { .. }
        | Call::Offsets { .. }
        | Call::Look { .. }
        | Call::Trim { .. }
        | Call::Create { .. }
        | Call::Drop { .. }
        | Call::Grow { .. }
        | Call::Configure { .. }
        | Call::Raw { .. }
        | Call::Wrong { .. } => None,
    }
}

fn ended(facts: &Facts<'_>, view: &CallView<'_>, outcome: &Outcome, asked: String) -> (&'static str, String) {
    match outcome {
        Outcome::Failed(_) => ("fail", asked),
        Outcome::Unknown(_) => ("info", asked),
        Outcome::Ok(reply) => ("ok", answered(facts, view.call, reply).unwrap_or(asked)),
    }
}

fn answered(facts: &Facts<'_>, call: &Call, reply: &Reply) -> Option<String> {
    match (call, reply) {
        (Call::Send { value, .. }, Reply::Sent { log, offset }) => {
            let offset = offset.map_or_else(|| "nil".to_owned(), |offset| offset.to_string());
            Some(format!("[[:send {} [{offset} {}]]]", key(facts, *log), value.0))
        }
        (Call::Poll { .. }, Reply::Polled { logs }) => {
            let logs: Vec<String> = logs
                .iter()
                .map(|(log, records)| {
                    let pair = |seen: &Seen| {
                        let value = seen.content.value().map_or_else(|| "nil".to_owned(), |value| value.0.to_string());
                        format!("[{} {value}]", seen.offset)
                    };
                    format!("{} [{}]", key(facts, *log), records.iter().map(pair).collect::<Vec<_>>().join(" "))
                })
                .collect();
            Some(format!("[[:poll {{{}}}]]", logs.join(", ")))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piece::durable;

    #[test]
    fn a_history_reads_as_jepsen_writes_it() {
        let piece = durable().on(LogName { id: Uuid::ZERO, ..crate::piece::log(0) }).assign(1, true);
        let text = edn(&piece.sent(0, 7, 3).failed(0, 8).polled(1, &[(3, 7)]).evidence);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "{:type :invoke, :f :assign, :value [\"t0\"], :process 0, :time 0, :index 0}",
                "{:type :ok, :f :assign, :value [\"t0\"], :process 0, :time 1000000, :index 1}",
                "{:type :invoke, :f :send, :value [[:send \"t0-0\" 7]], :process 1, :time 2000000, :index 2}",
                "{:type :ok, :f :send, :value [[:send \"t0-0\" [3 7]]], :process 1, :time 3000000, :index 3}",
                "{:type :invoke, :f :send, :value [[:send \"t0-0\" 8]], :process 1, :time 4000000, :index 4}",
                "{:type :fail, :f :send, :value [[:send \"t0-0\" 8]], :process 1, :time 5000000, :index 5}",
                "{:type :invoke, :f :poll, :value [[:poll]], :process 0, :time 6000000, :index 6}",
                "{:type :ok, :f :poll, :value [[:poll {\"t0-0\" [[3 7]]}]], :process 0, :time 7000000, :index 7}",
            ]
        );
    }

    #[test]
    fn calls_at_once_are_processes_and_unknown_ones_are_retired() {
        let text =
            edn(&durable().send(0, 1).send(0, 2).ends(0, durable().at_offset(0)).unknown(0, 3).send(0, 4).evidence);
        let processes: Vec<&str> = text
            .lines()
            .filter_map(|line| line.split_once(":process ")?.1.split_once(','))
            .map(|(process, _)| process)
            .collect();
        assert_eq!(processes, ["0", "1", "0", "0", "0", "2"]);
    }
}
