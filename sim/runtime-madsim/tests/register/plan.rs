//! What is done to a register and asked of it, as data: operations of clients and faults, drawn from a seed before the run.
//! `scenario` carries it out.

use barnabas_base::Keyed;
use barnabas_runtime_madsim::{DiskCallKind, PowerFate};

use crate::register::{Bug, ELECTED, NODES, VOTED};

/// How long faults begin, in milliseconds.
pub(crate) const SAFETY_MS: u64 = 6_000;
/// Clients that ask the nodes.
pub(crate) const CLIENTS: u64 = 3;
/// Machines: first the nodes, then the clients.
pub(crate) const MACHINES: u64 = NODES + CLIENTS;

/// Between two operations of one client, on average.
const THINK_MS: u64 = 90;
/// Of eight operations of each client, those that write: who reads stays with a leader that does not know that it is none.
const WRITES_OF_8: [u64; 3] = [1, 7, 4];
const FAULTS_MAX: u64 = 10;
const KINDS_AT_ONCE: u64 = 5;
/// Kinds that are drawn twice as often: those of processes, and nodes that do not hear one another.
const KINDS_TWICE: [u64; 7] = [0, 1, 2, 3, 6, 7, 24];
/// Calls to a disk after which a fault may begin.
const CALLS_MAX: u64 = 60;

/// A run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// What is not planned is drawn from it.
    pub(crate) seed: u64,
    pub(crate) bug: Option<Bug>,
    pub(crate) knobs: Knobs,
    pub(crate) operations: Vec<Operation>,
    pub(crate) faults: Vec<Fault>,
}

/// What the world is like without any fault.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Knobs {
    pub(crate) loss_one_in: u64,
    pub(crate) window_bytes_max: u64,
    /// Longest way between two machines, and longest flush.
    pub(crate) link_us_max: u64,
    pub(crate) sync_us_max: u64,
}

/// What a client asks, after what it asked before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operation {
    pub(crate) client: u64,
    pub(crate) at_ms: u64,
    /// The value to write, of which there is one each; otherwise it reads.
    pub(crate) write: Option<u64>,
}

/// When a fault begins.
#[derive(Clone, Copy, Debug)]
pub(crate) enum When {
    At {
        ms: u64,
    },
    /// When a call to a node's disk has taken effect, the how many of its kind, before the node knows.
    Done {
        node: u64,
        call: DiskCallKind,
        ordinal: u64,
    },
    /// This long after any node has observed something for the how many-th time, and so many times from there on.
    Observed {
        mark: &'static str,
        ordinal: u64,
        times: u64,
        after_ms: u64,
    },
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) when: When,
    pub(crate) what: What,
    /// It befalls the node that the event happens to, whichever it names: that is often the worst moment for it.
    pub(crate) is_there: bool,
}

/// A set of machines, as bits.
pub(crate) type Set = u64;

/// What happens. Nodes and machines by number; what lasts ends after `for_ms`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    Crash {
        node: u64,
        down_ms: u64,
    },
    PowerLoss {
        nodes: Set,
        fate: PowerFate,
        down_ms: u64,
    },
    Restart {
        node: u64,
        down_ms: u64,
    },
    Pause {
        node: u64,
        for_ms: u64,
    },
    SlowNode {
        node: u64,
        factor: u64,
        for_ms: u64,
    },
    /// What `from` sends does not arrive.
    Cut {
        from: u64,
        to: u64,
        for_ms: u64,
    },
    /// Nothing passes between the two sides.
    Partition {
        side: Set,
        for_ms: u64,
    },
    /// A node and the others do not hear one another; clients reach all.
    Isolate {
        node: u64,
        for_ms: u64,
    },
    /// Two nodes do not hear one another; the third hears both.
    Partial {
        one: u64,
        other: u64,
        for_ms: u64,
    },
    Flap {
        one: u64,
        other: u64,
        every_ms: u64,
        for_ms: u64,
    },
    SlowWay {
        from: u64,
        to: u64,
        extra_ms: u64,
        loss_one_in: u64,
        for_ms: u64,
    },
    Reset {
        one: u64,
        other: u64,
    },
    /// One end of every connection is broken; the other is not told.
    HalfOpen {
        at: u64,
        with: u64,
    },
    ResetAfter {
        from: u64,
        to: u64,
        bytes: u64,
    },
    SlowReader {
        machine: u64,
        bytes_per_s: u64,
        for_ms: u64,
    },
    DiskError {
        node: u64,
        call: DiskCallKind,
    },
    ShortWrite {
        node: u64,
        bytes: u64,
    },
    Stall {
        node: u64,
        call: DiskCallKind,
        by_ms: u64,
    },
    SlowDisk {
        node: u64,
        factor: u64,
        for_ms: u64,
    },
    FullDisk {
        node: u64,
        for_ms: u64,
    },
    /// These three on one node of a run at most: a majority has to be able to trust its disks.
    LostWrite {
        node: u64,
    },
    Misdirected {
        node: u64,
    },
    Rot {
        node: u64,
        byte: u64,
        bit: u8,
    },
    ClockJump {
        node: u64,
        by_ms: i64,
    },
    ClockDrift {
        node: u64,
        rate_permille: u32,
        for_ms: u64,
    },
}

impl What {
    /// Its name, which is also that of its counter.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Crash { .. } => "crash",
            Self::PowerLoss { .. } => "power loss",
            Self::Restart { .. } => "restart",
            Self::Pause { .. } => "pause",
            Self::SlowNode { .. } => "slow node",
            Self::Cut { .. } => "cut",
            Self::Partition { .. } => "partition",
            Self::Isolate { .. } => "isolate",
            Self::Partial { .. } => "partial partition",
            Self::Flap { .. } => "flap",
            Self::SlowWay { .. } => "slow way",
            Self::Reset { .. } => "reset",
            Self::HalfOpen { .. } => "half-open",
            Self::ResetAfter { .. } => "reset after",
            Self::SlowReader { .. } => "slow reader",
            Self::DiskError { .. } => "disk error",
            Self::ShortWrite { .. } => "short write",
            Self::Stall { .. } => "stall",
            Self::SlowDisk { .. } => "slow disk",
            Self::FullDisk { .. } => "full disk",
            Self::LostWrite { .. } => "lost write",
            Self::Misdirected { .. } => "misdirected",
            Self::Rot { .. } => "rot",
            Self::ClockJump { .. } => "clock jump",
            Self::ClockDrift { .. } => "clock drift",
        }
    }

    /// Whether a node's disk may find itself damaged by it.
    pub(crate) const fn damages(self, disk_of: u64) -> bool {
        match self {
            Self::LostWrite { node } | Self::Misdirected { node } | Self::Rot { node, .. } => node == disk_of,
            _ => false,
        }
    }

    /// How long it lasts; `None` for what happens at once.
    pub(crate) const fn for_ms(self) -> Option<u64> {
        match self {
            Self::Pause { for_ms, .. }
            | Self::SlowNode { for_ms, .. }
            | Self::Cut { for_ms, .. }
            | Self::Partition { for_ms, .. }
            | Self::Isolate { for_ms, .. }
            | Self::Partial { for_ms, .. }
            | Self::Flap { for_ms, .. }
            | Self::SlowWay { for_ms, .. }
            | Self::SlowReader { for_ms, .. }
            | Self::SlowDisk { for_ms, .. }
            | Self::FullDisk { for_ms, .. }
            | Self::ClockDrift { for_ms, .. } => Some(for_ms),
            Self::Crash { .. }
            | Self::PowerLoss { .. }
            | Self::Restart { .. }
            | Self::Reset { .. }
            | Self::HalfOpen { .. }
            | Self::ResetAfter { .. }
            | Self::DiskError { .. }
            | Self::ShortWrite { .. }
            | Self::Stall { .. }
            | Self::LostWrite { .. }
            | Self::Misdirected { .. }
            | Self::Rot { .. }
            | Self::ClockJump { .. } => None,
        }
    }

    /// The same for another node, where it is about one node that may be any.
    pub(crate) fn there(mut self, here: u64) -> Self {
        match &mut self {
            Self::Crash { node, .. }
            | Self::Restart { node, .. }
            | Self::Pause { node, .. }
            | Self::SlowNode { node, .. }
            | Self::Isolate { node, .. }
            | Self::DiskError { node, .. }
            | Self::ShortWrite { node, .. }
            | Self::Stall { node, .. }
            | Self::SlowDisk { node, .. }
            | Self::FullDisk { node, .. }
            | Self::ClockDrift { node, .. } => *node = here,
            Self::PowerLoss { nodes, .. } if nodes.count_ones() == 1 => *nodes = 1 << here,
            _ => {}
        }
        self
    }

    /// The ways that it closes, from and to.
    pub(crate) fn closed_ways(self) -> Vec<(u64, u64)> {
        let between = |is_across: &dyn Fn(u64, u64) -> bool| {
            let all = (0..MACHINES).flat_map(|from| (0..MACHINES).map(move |to| (from, to)));
            all.filter(|(from, to)| is_across(*from, *to)).collect()
        };
        let has = |side: Set, machine: u64| side >> machine & 1 == 1;
        match self {
            Self::Cut { from, to, .. } => vec![(from, to)],
            Self::Partial { one, other, .. } | Self::Flap { one, other, .. } => vec![(one, other), (other, one)],
            Self::Partition { side, .. } => between(&|from, to| has(side, from) != has(side, to)),
            Self::Isolate { node, .. } => {
                between(&|from, to| from < NODES && to < NODES && (from == node) != (to == node))
            }
            _ => Vec::new(),
        }
    }
}

/// Kinds of faults that can be drawn.
pub(crate) const KINDS: u64 = 25;

/// The draws of one fault or of what all have in common.
#[derive(Clone, Copy)]
struct Dice {
    seed: u64,
    ordinal: u64,
}

impl Dice {
    fn below(self, purpose: &str, bound: u64) -> u64 {
        Keyed::new(self.seed, purpose).with(self.ordinal).below(bound)
    }

    fn between(self, purpose: &str, min: u64, max: u64) -> u64 {
        min + self.below(purpose, max - min + 1)
    }

    fn one_of<T: Copy>(self, purpose: &str, items: &[T]) -> T {
        items[usize::try_from(self.below(purpose, items.len() as u64)).expect("an index")]
    }
}

/// The plan of a seed.
pub(crate) fn drawn(seed: u64, bug: Option<Bug>) -> Plan {
    let all = Dice { seed, ordinal: 0 };
    // Few kinds at a time, so that they meet often: all of them in every run would be the same run again and again.
    let kind = |ordinal| {
        let kind = Dice { seed, ordinal }.below("kinds", KINDS + KINDS_TWICE.len() as u64);
        kind.checked_sub(KINDS).map_or(kind, |twice| KINDS_TWICE[usize::try_from(twice).expect("an index")])
    };
    let kinds: Vec<u64> = (0..KINDS_AT_ONCE).map(kind).collect();
    let fault = |ordinal| {
        let dice = Dice { seed, ordinal };
        let what = drawn_what(dice, dice.one_of("kind", &kinds), all.below("liar", NODES));
        Fault { when: drawn_when(dice), what, is_there: dice.below("there", 3) > 0 }
    };
    let count = all.between("faults", 1, FAULTS_MAX);
    let mut operations = Vec::new();
    for client in 0..CLIENTS {
        let mut at_ms = 0;
        while at_ms < SAFETY_MS {
            let value = operations.len() as u64 + 1;
            let dice = Dice { seed, ordinal: value };
            at_ms += dice.between("think", 1, 2 * THINK_MS);
            let write =
                (dice.below("is write", 8) < WRITES_OF_8[usize::try_from(client).expect("few")]).then_some(value);
            operations.push(Operation { client, at_ms, write });
        }
    }
    let knobs = Knobs {
        loss_one_in: all.one_of("knob: loss", &[0, 0, 100]),
        window_bytes_max: all.one_of("knob: window", &[65_536, 262_144, 4_194_304]),
        link_us_max: all.one_of("knob: link", &[400, 10_000, 40_000]),
        sync_us_max: all.one_of("knob: sync", &[300, 3_000, 15_000]),
    };
    Plan { seed, bug, knobs, operations, faults: (0..count).map(fault).chain(champions(all)).collect() }
}

/// Faults that chance seldom brings together, each in every second plan: voters that go down after they have voted, two nodes
/// that do not hear one another, a power cut for all at once, and leaders that are alone with their clients.
fn champions(dice: Dice) -> Vec<Fault> {
    let is_in = |champion: &str| dice.below(champion, 2) == 0;
    let some_time = |champion: &str| When::At { ms: dice.below(champion, SAFETY_MS - 1_000) };
    let mut faults = Vec::new();
    if is_in("restless voters") {
        let (ordinal, after_ms) = (dice.between("vote", 1, 4), dice.one_of("after vote", &[1, 5, 20]));
        let when = When::Observed { mark: VOTED, ordinal, times: 8, after_ms };
        let what = What::Crash { node: 0, down_ms: dice.one_of("rest", &[2, 50, 200]) };
        faults.push(Fault { when, what, is_there: true });
    }
    if is_in("quarrel") {
        let one = dice.below("quarreller", NODES);
        let what = What::Partial { one, other: (one + 1) % NODES, for_ms: dice.between("quarrel for", 1_000, 3_000) };
        faults.push(Fault { when: some_time("quarrel at"), what, is_there: false });
    }
    if is_in("blackout") {
        let fate = dice.one_of("blackout leaves", &[PowerFate::Nothing, PowerFate::NoNames, PowerFate::Drawn]);
        let what = What::PowerLoss { nodes: 7, fate, down_ms: dice.between("blackout for", 1, 500) };
        faults.push(Fault { when: some_time("blackout at"), what, is_there: false });
    }
    if is_in("lonely leaders") {
        let when = When::Observed { mark: ELECTED, ordinal: dice.between("leader", 1, 3), times: 3, after_ms: 300 };
        let what = What::Isolate { node: 0, for_ms: dice.between("lonely for", 500, 1_500) };
        faults.push(Fault { when, what, is_there: true });
    }
    faults
}

fn drawn_when(dice: Dice) -> When {
    match dice.below("when", 8) {
        0..3 => When::At { ms: dice.below("at", SAFETY_MS) },
        3..5 => {
            let calls = [DiskCallKind::Write, DiskCallKind::Sync, DiskCallKind::Rename, DiskCallKind::SyncDir];
            // Early calls are those of elections.
            let most = dice.one_of("calls", &[4, CALLS_MAX]);
            let node = dice.below("when: node", NODES);
            When::Done { node, call: dice.one_of("when: call", &calls), ordinal: dice.between("call", 1, most) }
        }
        _ => {
            let (mark, after_ms) = (dice.one_of("mark", &[VOTED, ELECTED]), dice.one_of("after", &[0, 1, 5, 20, 300]));
            let (ordinal, times) = (dice.between("mark: ordinal", 1, 6), dice.one_of("times", &[1, 1, 8]));
            When::Observed { mark, ordinal, times, after_ms }
        }
    }
}

fn drawn_what(dice: Dice, kind: u64, liar: u64) -> What {
    let node = dice.below("node", NODES);
    let machine = dice.below("machine", MACHINES);
    // Another machine, or another node.
    let machines = dice.one_of("others", &[NODES, MACHINES]);
    let other_of = |one: u64| (one + dice.between("other", 1, machines - 1)) % machines;
    let for_ms = dice.one_of("for", &[100, 400, 1_000, 2_000]) + dice.below("for more", 100);
    let down_ms = dice.one_of("down", &[2, 10, 50, 300, 1_500]) + dice.below("down more", 10);
    let calls = [
        DiskCallKind::Open,
        DiskCallKind::Read,
        DiskCallKind::Write,
        DiskCallKind::Sync,
        DiskCallKind::Rename,
        DiskCallKind::SyncDir,
    ];
    let call = dice.one_of("call kind", &calls);
    let fates = [PowerFate::Drawn, PowerFate::Nothing, PowerFate::NoNames, PowerFate::Prefix, PowerFate::Sectors];
    match kind {
        0 => What::Crash { node, down_ms },
        1 => What::PowerLoss {
            nodes: dice.one_of("nodes", &[1 << node, 1 << node, 3, 5, 6, 7, 7, 7]),
            fate: dice.one_of("fate", &fates),
            down_ms,
        },
        2 => What::Restart { node, down_ms },
        3 => What::Pause { node, for_ms },
        4 => What::SlowNode { node, factor: dice.between("factor", 10, 2_000), for_ms },
        5 => What::Cut { from: machine, to: other_of(machine), for_ms },
        6 => What::Partition { side: dice.between("side", 1, (1 << MACHINES) - 2), for_ms },
        7 => What::Isolate { node, for_ms },
        8 => What::Flap { one: node, other: other_of(node), every_ms: dice.between("every", 20, 400), for_ms },
        9 => {
            let (extra_ms, loss_one_in) = (dice.between("extra", 1, 400), dice.one_of("loss", &[0, 2, 20]));
            What::SlowWay { from: machine, to: other_of(machine), extra_ms, loss_one_in, for_ms }
        }
        10 => What::Reset { one: node, other: other_of(node) },
        11 => What::HalfOpen { at: machine, with: other_of(machine) },
        12 => What::ResetAfter { from: machine, to: other_of(machine), bytes: dice.below("bytes", 500) },
        13 => What::SlowReader { machine, bytes_per_s: dice.between("rate", 20, 2_000), for_ms },
        14 => What::DiskError { node, call },
        15 => What::ShortWrite { node, bytes: dice.below("short", 48) },
        16 => What::Stall { node, call, by_ms: for_ms },
        17 => What::SlowDisk { node, factor: dice.between("disk factor", 10, 200), for_ms },
        18 => What::FullDisk { node, for_ms },
        19 => What::LostWrite { node: liar },
        20 => What::Misdirected { node: liar },
        21 => What::Rot { node: liar, byte: dice.below("byte", 48), bit: (dice.below("bit", 8)) as u8 },
        22 => What::ClockJump { node, by_ms: dice.one_of("jump", &[-86_400_000, -5_000, 5_000, 86_400_000]) },
        23 => What::ClockDrift { node, rate_permille: dice.one_of("drift", &[250, 900, 1_100, 4_000]), for_ms },
        24 => What::Partial { one: node, other: (node + dice.between("peer", 1, NODES - 1)) % NODES, for_ms },
        _ => unreachable!("kinds are drawn from a list of {KINDS}"),
    }
}
