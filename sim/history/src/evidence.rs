//! [`Evidence`]: everything a run leaves for the checkers, in the order in which it happened. Workloads write the calls,
//! the world writes the rest; nobody else writes.

use std::collections::{BTreeMap, BTreeSet};

use barnabas_base::{LeaderEpoch, Monotonic, Observation, Offset, ShardId, TimestampMs, Uuid};
use barnabas_plan::{ClientName, Fault, GroupName, Machine, NodeName, OffsetSpec, Plan, TopicName, WrongRequest};

use crate::Value;

/// One life of a client: a process that does one thing after the other, or several sends at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientLife {
    /// The client.
    pub client: ClientName,
    /// Counts its lives; a crash begins another.
    pub life: u32,
}

/// Names a call within a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u32);

/// A partition of a topic's incarnation: a topic that is created again is another log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogName {
    /// The topic.
    pub topic: TopicName,
    /// Its incarnation; zero where the client does not know it.
    pub id: Uuid,
    /// The partition.
    pub partition: u32,
}

/// What a client asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// To append one record; retries belong to the same call.
    Send {
        /// Where to. The incarnation is in the answer.
        topic: TopicName,
        /// Where to.
        partition: u32,
        /// What: unique within the run, also for a tombstone.
        value: Value,
        /// Its key, in keyed topics.
        key: Option<u32>,
        /// Whether it is a tombstone.
        tombstone: bool,
        /// `acks`.
        acks: i16,
        /// Whether the producer is idempotent.
        idempotent: bool,
        /// The record's timestamp.
        timestamp: TimestampMs,
    },
    /// For records of what is assigned. The member's group, when it reads as a member.
    Poll {
        /// The group.
        group: Option<GroupName>,
    },
    /// To read `topic`, all partitions, from the start or where it was.
    Assign {
        /// The topic.
        topic: TopicName,
        /// From the start.
        from_start: bool,
    },
    /// To join a group.
    Join {
        /// The group.
        group: GroupName,
        /// The topic.
        topic: TopicName,
        /// Number of the instance id; 0 for none.
        instance: u32,
    },
    /// To leave the group.
    Leave {
        /// The group.
        group: GroupName,
    },
    /// To commit positions.
    Commit {
        /// The group.
        group: GroupName,
        /// The member's generation.
        generation: i32,
        /// The member.
        member: String,
        /// The positions: next offsets to read.
        offsets: Vec<(LogName, Offset)>,
    },
    /// For the committed positions.
    Committed {
        /// The group.
        group: GroupName,
        /// The topic.
        topic: TopicName,
    },
    /// For an offset.
    Offsets {
        /// The topic.
        topic: TopicName,
        /// The partition.
        partition: u32,
        /// Which.
        spec: OffsetSpec,
        /// The timestamp, for [`OffsetSpec::Timestamp`].
        timestamp: TimestampMs,
    },
    /// For the first record at or behind an offset, by a fetch of its own.
    Look {
        /// The topic.
        topic: TopicName,
        /// The partition.
        partition: u32,
        /// The offset.
        from: Offset,
    },
    /// To delete what is before an offset.
    Trim {
        /// The topic.
        topic: TopicName,
        /// The partition.
        partition: u32,
        /// The offset.
        before: Offset,
    },
    /// To create a topic.
    Create {
        /// The topic.
        topic: TopicName,
        /// Its partitions.
        partitions: u32,
    },
    /// To delete a topic.
    Drop {
        /// The topic.
        topic: TopicName,
    },
    /// To add partitions.
    Grow {
        /// The topic.
        topic: TopicName,
        /// Partitions afterwards.
        partitions: u32,
    },
    /// To set a configuration key of a topic.
    Configure {
        /// The topic.
        topic: TopicName,
        /// The key.
        key: String,
        /// The value.
        value: String,
    },
    /// A raw trick, by its word.
    Raw {
        /// Which.
        trick: String,
    },
    /// For what nobody can do. Failed with the code that it was refused with.
    Wrong {
        /// Which.
        request: WrongRequest,
    },
}

/// What was read of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// A whole payload that was meant for this log.
    Value(Value),
    /// A whole tombstone.
    Tombstone(Value),
    /// A whole payload that was meant for another log.
    Stray(Value),
    /// Bytes that nobody wrote.
    Mutated,
}

impl Content {
    /// The value, where there is one.
    #[must_use]
    pub const fn value(self) -> Option<Value> {
        match self {
            Self::Value(value) | Self::Tombstone(value) | Self::Stray(value) => Some(value),
            Self::Mutated => None,
        }
    }
}

/// One record that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp.
    pub timestamp: TimestampMs,
    /// Its key.
    pub key: Option<u32>,
    /// What it holds.
    pub content: Content,
}

/// What a client was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A send: where it stands. The offset is unknown with acks 0.
    Sent {
        /// The log.
        log: LogName,
        /// The offset.
        offset: Option<Offset>,
    },
    /// A poll: records of each log in the order of the answers, and positions afterwards.
    Polled {
        /// By log.
        logs: Vec<(LogName, Vec<Seen>)>,
    },
    /// Committed positions; logs without one are left out.
    Committed {
        /// By log.
        offsets: Vec<(LogName, Offset)>,
    },
    /// An offset and, where Kafka gives it, timestamp and leader epoch.
    Offset {
        /// The log.
        log: LogName,
        /// The offset; −1 for none.
        offset: Offset,
        /// The timestamp; −1 for none.
        timestamp: TimestampMs,
        /// The leader epoch; −1 for none.
        epoch: LeaderEpoch,
    },
    /// A trim: the log start offset afterwards.
    Trimmed {
        /// The log.
        log: LogName,
        /// The offset.
        low_watermark: Offset,
    },
    /// A topic was created under this id.
    Created {
        /// The id.
        id: Uuid,
    },
    /// Done, with nothing to say.
    Done,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As asked.
    Ok(Reply),
    /// Definitely not done: every attempt was answered, by an error that says so. The error's name.
    Failed(String),
    /// Nobody knows: an attempt was not answered, or its error leaves it open. The reason.
    Unknown(String),
}

/// What happens to a member without its asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Membership {
    /// It owns these partitions from here on, in this generation.
    Assigned {
        /// The group.
        group: GroupName,
        /// The generation.
        generation: i32,
        /// The member id.
        member: String,
        /// The partitions.
        logs: Vec<LogName>,
        /// Where each begins: the committed position, if there was one.
        positions: Vec<(LogName, Offset)>,
    },
    /// It owns nothing from here on: a rebalance, a fencing, a lost session.
    Revoked {
        /// The group.
        group: GroupName,
        /// Why.
        reason: String,
    },
}

/// Producer snapshots of a log at rest that belong to no segment: that of its settled point, and one that a crash left.
pub const SPARE_SNAPSHOTS_MAX: u64 = 2;

/// What the world did to a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// A broker's process began.
    Started {
        /// The node.
        node: NodeName,
        /// Counts its lives.
        life: u64,
    },
    /// A broker serves.
    Serving {
        /// The node.
        node: NodeName,
    },
    /// A broker's process ended: by itself when `clean`, else killed.
    Ended {
        /// The node.
        node: NodeName,
        /// Whether it stopped as asked.
        clean: bool,
    },
    /// A machine lost power; so many unsynced bytes were lost or torn.
    PowerLost {
        /// The node.
        node: NodeName,
        /// Unsynced bytes that did not survive.
        lost_bytes: u64,
    },
    /// A broker's process panicked.
    Panicked {
        /// The machine.
        machine: Machine,
        /// Name of the task.
        task: String,
        /// The message.
        message: String,
    },
    /// A planned fault began.
    Fault {
        /// Its number in the plan.
        id: u32,
        /// What it is.
        fault: Fault,
    },
    /// A planned fault ended.
    FaultEnded {
        /// Its number in the plan.
        id: u32,
    },
    /// The quiet stretch began.
    Quiet,
    /// Every fault has ended and no more comes.
    Healed,
    /// The first final read begins: from the living broker.
    FirstRead,
    /// The second final read begins: after the last stop and start.
    FinalRead,
    /// What a broker holds of its disk once its clients have gone.
    Holds {
        /// The node.
        node: NodeName,
        /// Descriptors of files that have a name.
        named: u64,
        /// Descriptors of files that have none any more.
        nameless: u64,
        /// Files that have a name.
        files: u64,
        /// Most producer snapshots of a log beside one for each of its segments; more than [`SPARE_SNAPSHOTS_MAX`] only where
        /// the broker did not come to rest.
        spare_snapshots: u64,
        /// Folders of logs that are deleted and still there.
        deleted_folders: u64,
    },
    /// A broker sent a client what is no answer to what it had asked; the client closed the connection.
    Misanswered {
        /// The client.
        by: ClientLife,
        /// What is wrong with it.
        what: String,
    },
    /// Something did not settle within the bound.
    Unsettled {
        /// What is still pending.
        what: String,
    },
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A client began a call.
    Invoked {
        /// The call.
        id: CallId,
        /// Whose.
        by: ClientLife,
        /// What.
        call: Call,
    },
    /// A call ended.
    Ended {
        /// The call.
        id: CallId,
        /// How.
        outcome: Outcome,
    },
    /// A membership changed.
    Member {
        /// Whose.
        by: ClientLife,
        /// How.
        change: Membership,
    },
    /// A client began another life.
    Reborn {
        /// The new life.
        by: ClientLife,
    },
    /// A broker observed something.
    Observed {
        /// The node.
        node: NodeName,
        /// Counts its lives.
        life: u64,
        /// The shard.
        shard: ShardId,
        /// What.
        observation: Observation,
    },
    /// The world did something.
    Happened(Happening),
}

/// One thing that happened, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// World time.
    pub at: Monotonic,
    /// What.
    pub what: What,
}

/// The files of a node's data folder at one moment, by path below the log directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskImage {
    /// The node.
    pub node: u16,
    /// When it was taken: position in the steps.
    pub after_step: usize,
    /// Whether the broker had stopped cleanly before, or runs on (false).
    pub stopped_cleanly: bool,
    /// Contents by path.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// Everything a run leaves for the checkers.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// What was to happen.
    pub plan: Plan,
    /// What happened, in order.
    pub steps: Vec<Step>,
    /// Disks, in the order in which the images were taken.
    pub disks: Vec<DiskImage>,
    /// Files in which the device changed or left out something without saying so: the paths under which it did.
    pub damaged: BTreeSet<String>,
}

/// A call with its end, if it ended.
#[derive(Clone, Copy, Debug)]
pub struct CallView<'a> {
    /// The call.
    pub id: CallId,
    /// Position of its beginning in the steps.
    pub invoked: usize,
    /// Position of its end in the steps.
    pub ended: Option<usize>,
    /// Whose.
    pub by: ClientLife,
    /// What.
    pub call: &'a Call,
    /// How it ended; a call without an end is unknown.
    pub outcome: Option<&'a Outcome>,
}

impl Evidence {
    /// Evidence of nothing.
    #[must_use]
    pub const fn new(plan: Plan) -> Self {
        Self { plan, steps: Vec::new(), disks: Vec::new(), damaged: BTreeSet::new() }
    }

    /// Adds a step.
    pub fn push(&mut self, at: Monotonic, what: What) {
        self.steps.push(Step { at, what });
    }

    /// Every call with its end, in the order of their beginnings.
    #[must_use]
    pub fn calls(&self) -> Vec<CallView<'_>> {
        let mut calls = Vec::new();
        let mut places = BTreeMap::new();
        for (position, step) in self.steps.iter().enumerate() {
            match &step.what {
                What::Invoked { id, by, call } => {
                    places.insert(*id, calls.len());
                    calls.push(CallView { id: *id, invoked: position, ended: None, by: *by, call, outcome: None });
                }
                What::Ended { id, outcome } => {
                    let place = places.get(id).copied().expect("a call begins before it ends");
                    let view: &mut CallView<'_> = &mut calls[place];
                    view.ended = Some(position);
                    view.outcome = Some(outcome);
                }
                What::Member { .. } | What::Reborn { .. } | What::Observed { .. } | What::Happened(_) => {}
            }
        }
        calls
    }

    /// Position of the first step of the last read, if there was one.
    #[must_use]
    pub fn final_read(&self) -> Option<usize> {
        self.steps.iter().position(|step| step.what == What::Happened(Happening::FinalRead))
    }

    /// How many sends were acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        let sent = |step: &&Step| matches!(&step.what, What::Ended { outcome: Outcome::Ok(Reply::Sent { .. }), .. });
        self.steps.iter().filter(sent).count()
    }
}
