//! What goes wrong, and when: faults with their triggers. `nemesis` draws them, `sim/world` carries them out.

use crate::alphabet::{alphabet, words};
use crate::{Machine, NodeName};

words! {
    /// Classes of a broker's files, by what they are for.
    pub enum FileClass {
        /// Any.
        Any = "any",
        /// Segments.
        Segment = "segment",
        /// Segments of `__consumer_offsets`.
        OffsetsSegment = "offsets-segment",
        /// Segments of `__cluster_metadata`.
        MetadataSegment = "metadata-segment",
        /// Offset, time and transaction indexes.
        Index = "index",
        /// The journal.
        Journal = "journal",
        /// Producer snapshots.
        Snapshot = "snapshot",
        /// Metadata snapshots (`.checkpoint`).
        MetadataSnapshot = "metadata-snapshot",
        /// Checkpoint files of offsets and epochs.
        Checkpoint = "checkpoint",
        /// `quorum-state`.
        QuorumState = "quorum-state",
        /// `meta.properties` and `partition.metadata`.
        Meta = "meta",
        /// Side files with checksums.
        Check = "check",
        /// Directories.
        Directory = "directory",
    }
}

words! {
    /// Disk calls a trigger or a fault can name.
    pub enum Call {
        /// Creating or opening.
        Open = "open",
        /// Reading.
        Read = "read",
        /// Writing.
        Write = "write",
        /// Flushing a file, or the file system.
        Sync = "sync",
        /// Flushing a directory.
        SyncDir = "sync-dir",
        /// Renaming.
        Rename = "rename",
        /// Removing.
        Remove = "remove",
        /// Cutting or extending.
        Truncate = "truncate",
        /// Reserving.
        Allocate = "allocate",
    }
}

words! {
    /// Answers a trigger can name.
    pub enum Api {
        /// Produce.
        Produce = "produce",
        /// Fetch.
        Fetch = "fetch",
        /// OffsetCommit.
        OffsetCommit = "offset-commit",
        /// JoinGroup.
        JoinGroup = "join-group",
        /// SyncGroup.
        SyncGroup = "sync-group",
        /// CreateTopics.
        CreateTopics = "create-topics",
        /// DeleteRecords.
        DeleteRecords = "delete-records",
        /// InitProducerId.
        InitProducerId = "init-producer-id",
    }
}

words! {
    /// Facts of a broker a trigger can name.
    pub enum Fact {
        /// A batch was appended.
        Appended = "appended",
        /// A log's durable prefix grew.
        Synced = "synced",
        /// A high watermark moved.
        HighWatermark = "high-watermark",
        /// A Produce was acknowledged.
        Acked = "acked",
        /// Records were served.
        Served = "served",
        /// A log start offset moved.
        LogStart = "log-start",
        /// A committed offset became visible.
        OffsetCommitted = "offset-committed",
        /// A metadata batch was applied.
        MetadataApplied = "metadata-applied",
        /// A log came up.
        LogLoaded = "log-loaded",
        /// A rare branch ran.
        Mark = "mark",
    }
}

alphabet! {
    /// When a fault starts.
    pub enum Trigger {
        /// At a time of the safety phase.
        At = "at" {
            /// Milliseconds of it.
            ms: u64,
        },
        /// When a disk call is issued.
        Issued = "issued" {
            /// The node.
            node: NodeName,
            /// The call.
            call: Call,
            /// The file.
            file: FileClass,
            /// How many such calls since `since_ms`.
            count: u32,
            /// From when they are counted.
            since_ms: u64,
        },
        /// When a disk call has ended, before anything follows from it.
        Done = "done" {
            /// The node.
            node: NodeName,
            /// The call.
            call: Call,
            /// The file.
            file: FileClass,
            /// How many such calls since `since_ms`.
            count: u32,
            /// From when they are counted.
            since_ms: u64,
        },
        /// When an answer has been sent and not delivered.
        Answered = "answered" {
            /// The node.
            node: NodeName,
            /// The API.
            api: Api,
            /// How many such answers since `since_ms`.
            count: u32,
            /// From when they are counted.
            since_ms: u64,
        },
        /// When a broker observes a fact.
        Observed = "observed" {
            /// The node.
            node: NodeName,
            /// The fact.
            fact: Fact,
            /// How many such facts since `since_ms`.
            count: u32,
            /// From when they are counted.
            since_ms: u64,
        },
        /// When the node's process has started, while it recovers.
        Started = "started" {
            /// The node.
            node: NodeName,
            /// How many starts since `since_ms`.
            count: u32,
            /// From when they are counted.
            since_ms: u64,
        },
    }
}

impl Trigger {
    /// When it begins to count, in milliseconds of the safety phase.
    #[must_use]
    pub const fn since_ms(&self) -> u64 {
        match self {
            Self::At { ms } => *ms,
            Self::Issued { since_ms, .. }
            | Self::Done { since_ms, .. }
            | Self::Answered { since_ms, .. }
            | Self::Observed { since_ms, .. }
            | Self::Started { since_ms, .. } => *since_ms,
        }
    }
}

words! {
    /// What a power loss leaves of what was not synced.
    pub enum Fate {
        /// Drawn change by change.
        Drawn = "drawn",
        /// Nothing.
        Nothing = "nothing",
        /// A prefix of each write.
        Prefix = "prefix",
        /// Random sectors of each write.
        Sectors = "sectors",
        /// Lengths but not contents: zeroes.
        Zeroes = "zeroes",
        /// Contents but no new names.
        NoNames = "no-names",
    }
}

alphabet! {
    /// What goes wrong.
    pub enum Fault {
        /// F01: the process is killed, and starts again.
        Crash = "crash" {
            /// Whose.
            node: NodeName,
            /// Until it starts again.
            back_ms: u64,
        },
        /// F02, F20: the machine loses power.
        PowerLoss = "power-loss" {
            /// Whose.
            node: NodeName,
            /// What is left of what was not synced.
            fate: Fate,
            /// Until it starts again.
            back_ms: u64,
        },
        /// F03: a process is stopped and goes on.
        Pause = "pause" {
            /// Whose.
            machine: Machine,
            /// For how long.
            for_ms: u64,
        },
        /// F03: one shard of a broker does nothing.
        FreezeShard = "freeze-shard" {
            /// Whose.
            node: NodeName,
            /// Which, modulo the number there is.
            shard: u16,
            /// For how long.
            for_ms: u64,
        },
        /// F04: SIGTERM, and SIGKILL when it has not ended in time.
        Stop = "stop" {
            /// Whose.
            node: NodeName,
            /// Patience.
            kill_ms: u64,
            /// Until it starts again.
            back_ms: u64,
        },
        /// F05: the machine comes back with the disk as it was `age_ms` ago.
        OldDisk = "old-disk" {
            /// Whose.
            node: NodeName,
            /// Age of the image.
            age_ms: u64,
            /// Until it starts again.
            back_ms: u64,
        },
        /// F05: the machine comes back with an empty disk.
        WipedDisk = "wiped-disk" {
            /// Whose.
            node: NodeName,
            /// Until it starts again.
            back_ms: u64,
        },
        /// F06, F07: nothing gets from one machine to the other.
        Cut = "cut" {
            /// Who is not heard.
            from: Machine,
            /// By whom.
            to: Machine,
            /// Whether the way back is cut as well.
            both: bool,
            /// For how long.
            for_ms: u64,
        },
        /// F09: a way that opens and closes.
        Flap = "flap" {
            /// One end.
            from: Machine,
            /// The other.
            to: Machine,
            /// How long it stays as it is.
            period_ms: u64,
            /// For how long.
            for_ms: u64,
        },
        /// F10: what goes this way takes longer, and overtakes what goes by other connections.
        Delay = "delay" {
            /// From whom.
            from: Machine,
            /// To whom.
            to: Machine,
            /// Most that is added.
            extra_ms: u64,
            /// One flight in this many is lost and sent again; 0 for none.
            loss_one_in: u64,
            /// For how long.
            for_ms: u64,
        },
        /// F12: the connections between two machines are reset.
        Reset = "reset" {
            /// One end.
            from: Machine,
            /// The other.
            to: Machine,
        },
        /// F12: a connection is reset after so many more bytes in one direction.
        ResetAfter = "reset-after" {
            /// From whom.
            from: Machine,
            /// To whom.
            to: Machine,
            /// Bytes.
            bytes: u64,
        },
        /// F12: one end forgets the connections, and the other is not told.
        HalfOpen = "half-open" {
            /// Who forgets.
            from: Machine,
            /// Who is not told.
            to: Machine,
        },
        /// F12: a machine takes bytes slowly.
        SlowReader = "slow-reader" {
            /// Whose.
            machine: Machine,
            /// Bytes per second.
            rate: u64,
            /// For how long.
            for_ms: u64,
        },
        /// F13: bits flip at rest.
        Rot = "rot" {
            /// Whose disk.
            node: NodeName,
            /// In which files.
            file: FileClass,
            /// How many bits.
            bits: u32,
        },
        /// F13: bits flip at rest in what no checksum of a batch covers: its first 21 bytes.
        RotHeads = "rot-heads" {
            /// Whose disk.
            node: NodeName,
            /// How many bits.
            bits: u32,
        },
        /// F13: a bit flips at rest in a batch, and others in the head of the one behind it.
        RotBehind = "rot-behind" {
            /// Whose disk.
            node: NodeName,
            /// How many bits of the head.
            bits: u32,
        },
        /// F14: the next writes are acknowledged and never arrive.
        LostWrite = "lost-write" {
            /// Whose.
            node: NodeName,
            /// To which files.
            file: FileClass,
            /// How many.
            count: u32,
        },
        /// F14: the next write goes elsewhere in its file.
        Misdirected = "misdirected" {
            /// Whose.
            node: NodeName,
            /// To which files.
            file: FileClass,
            /// How far back it lands.
            back_bytes: u64,
        },
        /// F15, F16, F17: calls fail with EIO.
        DiskError = "disk-error" {
            /// Whose.
            node: NodeName,
            /// Which calls.
            call: Call,
            /// On which files.
            file: FileClass,
            /// How many in a row.
            count: u32,
        },
        /// F16: the next write is cut short.
        ShortWrite = "short-write" {
            /// Whose.
            node: NodeName,
            /// To which files.
            file: FileClass,
            /// Bytes that arrive.
            bytes: u64,
        },
        /// F18: the disk has only so much room.
        DiskFull = "disk-full" {
            /// Whose.
            node: NodeName,
            /// Bytes that still fit.
            room_bytes: u64,
            /// For how long.
            for_ms: u64,
        },
        /// F18: the process has no descriptor left.
        NoDescriptors = "no-descriptors" {
            /// Whose.
            node: NodeName,
            /// For how long.
            for_ms: u64,
        },
        /// F19: the disk is slow.
        SlowDisk = "slow-disk" {
            /// Whose.
            node: NodeName,
            /// How many times slower.
            factor: u32,
            /// For how long.
            for_ms: u64,
        },
        /// F19: calls of one kind stand still.
        Stall = "stall" {
            /// Whose.
            node: NodeName,
            /// Which calls.
            call: Call,
            /// On which files.
            file: FileClass,
            /// For how long each.
            each_ms: u64,
            /// For how long such calls do.
            for_ms: u64,
        },
        /// F19: the processor is slow.
        SlowNode = "slow-node" {
            /// Whose.
            machine: Machine,
            /// How many times slower.
            factor: u32,
            /// For how long.
            for_ms: u64,
        },
        /// F22, F23: the wall clock jumps.
        ClockJump = "clock-jump" {
            /// Whose.
            machine: Machine,
            /// By how much.
            by_ms: i64,
        },
        /// F24: the clock runs at another rate.
        ClockDrift = "clock-drift" {
            /// Whose.
            machine: Machine,
            /// Rate in thousandths: 500 to 2,000.
            rate_permille: u32,
            /// For how long.
            for_ms: u64,
        },
    }
}

words! {
    /// Families of faults, as the fault model numbers them; swarm testing switches them on and off as a whole.
    pub enum Family {
        /// F01.
        Kill = "kill",
        /// F02, F20.
        Power = "power",
        /// F03.
        Pause = "pause",
        /// F04.
        Stop = "stop",
        /// F05.
        Disk = "disk",
        /// F06 to F09.
        Partition = "partition",
        /// F10.
        Delay = "delay",
        /// F12.
        Connection = "connection",
        /// F13.
        Rot = "rot",
        /// F14.
        Misplaced = "misplaced",
        /// F15 to F17.
        DiskError = "disk-error",
        /// F18.
        Full = "full",
        /// F19.
        Slow = "slow",
        /// F22 to F25.
        Clock = "clock",
        /// F27, F28, F30: by what clients do.
        Client = "client",
    }
}

impl Fault {
    /// The family it belongs to.
    #[must_use]
    pub const fn family(&self) -> Family {
        match self {
            Self::Crash { .. } => Family::Kill,
            Self::PowerLoss { .. } => Family::Power,
            Self::Pause { .. } | Self::FreezeShard { .. } => Family::Pause,
            Self::Stop { .. } => Family::Stop,
            Self::OldDisk { .. } | Self::WipedDisk { .. } => Family::Disk,
            Self::Cut { .. } | Self::Flap { .. } => Family::Partition,
            Self::Delay { .. } => Family::Delay,
            Self::Reset { .. } | Self::ResetAfter { .. } | Self::HalfOpen { .. } | Self::SlowReader { .. } => {
                Family::Connection
            }
            Self::Rot { .. } | Self::RotHeads { .. } | Self::RotBehind { .. } => Family::Rot,
            Self::LostWrite { .. } | Self::Misdirected { .. } => Family::Misplaced,
            Self::DiskError { .. } | Self::ShortWrite { .. } => Family::DiskError,
            Self::DiskFull { .. } | Self::NoDescriptors { .. } => Family::Full,
            Self::SlowDisk { .. } | Self::Stall { .. } | Self::SlowNode { .. } => Family::Slow,
            Self::ClockJump { .. } | Self::ClockDrift { .. } => Family::Clock,
        }
    }
}

/// One line of a plan: what goes wrong, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedFault {
    /// Names it within its plan; stays when others are removed.
    pub id: u32,
    /// When.
    pub trigger: Trigger,
    /// What.
    pub fault: Fault,
}
