//! Lanes: rows of the guarantee matrix. A lane says which workloads and fault families may be drawn together and what
//! holds afterwards; `nemesis` draws within it, checkers read what it promises.

use crate::Family;
use crate::alphabet::words;

words! {
    /// A row of the guarantee matrix for one broker.
    pub enum Lane {
        /// R9, R10 with fsync before ack: whatever dies, nothing acknowledged is lost.
        Durable = "durable",
        /// R9 under `flush.policy=os`: a killed process loses nothing, a power loss may.
        PageCache = "page-cache",
        /// R1, R2: acks 0 and 1 beside acks=all.
        Acks = "acks",
        /// R13: classic groups with churn and static members.
        Groups = "groups",
        /// R15: compacted topics.
        Compacted = "compacted",
        /// Topics created, deleted, created again, grown, configured.
        Admin = "admin",
        /// Retention, tiny segments, DeleteRecords, offset queries.
        Retention = "retention",
        /// A device that fails, fills up and stalls: unavailable instead of lossy.
        Device = "device",
        /// A device that lies: damage is detected, never served. What has no other copy may be out of service for good, as
        /// long as the broker says so: it refuses to start and names the file when its metadata is damaged, and a
        /// coordinator refuses its groups when its log is.
        Rot = "rot",
        /// A machine that comes back with an old or an empty disk.
        Replaced = "replaced",
        /// Clocks that jump and drift, and quiet days.
        Clock = "clock",
        /// Raw clients beside well-behaved ones.
        Raw = "raw",
        /// A device that lies about what can be made again from segments: indexes, producer snapshots, check files. It
        /// costs time and nothing else.
        Caches = "caches",
    }
}

words! {
    /// Workloads, as correctness numbers them.
    pub enum Workload {
        /// W1: the log, by assignment, idempotent and not.
        Log = "log",
        /// W3: groups.
        Group = "group",
        /// W5: compacted topics.
        Compacted = "compacted",
        /// W6: administration.
        Admin = "admin",
        /// W7: offset queries.
        Queries = "queries",
        /// W8: retention and DeleteRecords.
        Retention = "retention",
        /// W9: raw clients.
        Raw = "raw",
    }
}

/// What a lane promises; a checker asks before it judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promises {
    /// What was acknowledged with acks=all survives everything the lane draws.
    pub acked_survives: bool,
    /// The last read comes after a power loss; otherwise after a clean stop.
    pub final_power_loss: bool,
    /// The device lies: only detection is promised, and that nothing false is served.
    pub detection_only: bool,
    /// Every client and broker settles within the bound after the heal.
    pub settles: bool,
}

impl Lane {
    /// The words of the guarantee, for people.
    #[must_use]
    pub const fn guarantee(self) -> &'static str {
        match self {
            Self::Durable => {
                "nothing acknowledged with acks=all is lost, duplicated or reordered by crash or power loss"
            }
            Self::PageCache => "a killed process loses nothing; after a power loss what is there is a prefix in order",
            Self::Acks => "acks=1 follows the sync, acks=0 promises nothing; order holds for both",
            Self::Groups => "one owner per partition at a time, committed offsets never fall and survive everything",
            Self::Compacted => "the last value of every key survives cleaning, crashes and power loss",
            Self::Admin => "a topic is what was created; nothing of one incarnation shows up in another",
            Self::Retention => "what is deleted stays deleted, offsets answer as the log says",
            Self::Device => "a failing or full device costs availability, never an acknowledged record",
            Self::Rot => "damage is found and reported; nothing false is served",
            Self::Replaced => "a disk that was replaced costs what it held, and nothing false is served from it",
            Self::Clock => "clocks move retention, timeouts and expiry, never safety",
            Self::Raw => "bad manners hurt nobody else",
            Self::Caches => "what can be made again from records is, and nothing is missed meanwhile",
        }
    }

    /// What holds afterwards.
    #[must_use]
    pub const fn promises(self) -> Promises {
        let strict = Promises { acked_survives: true, final_power_loss: true, detection_only: false, settles: true };
        match self {
            Self::PageCache => Promises { acked_survives: false, final_power_loss: false, ..strict },
            Self::Caches => Promises { final_power_loss: false, ..strict },
            Self::Rot | Self::Replaced => {
                Promises { acked_survives: false, final_power_loss: false, detection_only: true, ..strict }
            }
            Self::Durable
            | Self::Acks
            | Self::Groups
            | Self::Compacted
            | Self::Admin
            | Self::Retention
            | Self::Device
            | Self::Clock
            | Self::Raw => strict,
        }
    }

    /// Fault families that may be drawn.
    #[must_use]
    pub const fn families(self) -> &'static [Family] {
        use Family::{
            Client, Clock, Connection, Delay, Disk, DiskError, Full, Kill, Misplaced, Partition, Pause, Power, Rot,
            Slow, Stop,
        };
        match self {
            Self::Durable | Self::Groups | Self::Compacted | Self::Admin | Self::Retention | Self::Acks => {
                &[Kill, Power, Pause, Stop, Partition, Delay, Connection, Slow, Client]
            }
            Self::PageCache => &[Kill, Power, Pause, Stop, Partition, Delay, Connection, Slow, Client],
            Self::Replaced => &[Kill, Stop, Disk, Connection, Client],
            Self::Device => &[Kill, Power, Stop, DiskError, Full, Slow, Connection, Client],
            Self::Rot | Self::Caches => &[Kill, Stop, Rot, Misplaced, Connection, Client],
            Self::Clock => &[Kill, Power, Pause, Stop, Clock, Slow, Connection, Client],
            Self::Raw => &[Kill, Power, Connection, Delay, Partition, Slow, Client],
        }
    }

    /// Workloads that may be drawn.
    #[must_use]
    pub const fn workloads(self) -> &'static [Workload] {
        match self {
            Self::Durable | Self::PageCache | Self::Acks | Self::Replaced | Self::Caches => {
                &[Workload::Log, Workload::Queries]
            }
            Self::Groups => &[Workload::Group, Workload::Log],
            Self::Compacted => &[Workload::Compacted],
            Self::Admin => &[Workload::Admin, Workload::Log],
            Self::Retention => &[Workload::Retention, Workload::Queries, Workload::Log],
            Self::Device => &[Workload::Log, Workload::Group, Workload::Compacted, Workload::Admin],
            Self::Rot => &[Workload::Log, Workload::Group, Workload::Compacted],
            Self::Clock => &[Workload::Log, Workload::Group, Workload::Retention, Workload::Compacted],
            Self::Raw => &[Workload::Raw, Workload::Log, Workload::Group],
        }
    }
}
