//! The fold over one partition of `__consumer_offsets`: what its committed records amount to, and on top of it the
//! offsets that are emitted but not committed.
//!
//! Decides nothing. Loading, commits and failures drive it; requests read it.

use std::collections::BTreeMap;

use barnabas_base::{Account, Budget, Charge, TimestampMs, Uuid};
use barnabas_wire::internal::offsets_schema::GroupMetadataValue;

use crate::classic::ClassicGroup;
use crate::id::{AppendId, GroupId, TopicName};
use crate::record::Record;
use crate::weight;

/// One committed offset with what came along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next offset the group will read; any value a client sends is kept.
    pub offset: i64,
    /// Leader epoch of the last record read; −1 when unknown.
    pub leader_epoch: i32,
    /// Text of the client.
    pub metadata: Box<str>,
    /// When it was committed.
    pub committed_at: TimestampMs,
    /// When it expires by the wish of an old client (OffsetCommit 2 to 4); others follow `offsets.retention.minutes`.
    pub expire_at: Option<TimestampMs>,
    /// The topic's id, zero when the client knew only its name.
    pub topic_id: Uuid,
}

/// The committed offsets of one partition of one topic in both views.
#[derive(Debug, Default)]
struct Cell {
    committed: Option<CommittedOffset>,
    /// Values emitted and not settled, oldest first; `None` deletes. At most one for each batch in flight.
    pending: Vec<(AppendId, Option<CommittedOffset>)>,
}

impl Cell {
    fn latest(&self) -> Option<&CommittedOffset> {
        match self.pending.last() {
            Some((_, value)) => value.as_ref(),
            None => self.committed.as_ref(),
        }
    }

    fn is_vacant(&self) -> bool {
        self.committed.is_none() && self.pending.is_empty()
    }
}

type Topics = BTreeMap<TopicName, BTreeMap<i32, Cell>>;

/// The offsets of one group.
#[derive(Debug)]
pub(crate) struct GroupOffsets {
    topics: Topics,
    charge: Charge,
}

impl GroupOffsets {
    fn new(budget: &Budget) -> Self {
        Self { topics: Topics::new(), charge: budget.charge(Account::Coordinators, 0) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// The committed view of one partition.
    pub(crate) fn committed(&self, topic: &str, partition: i32) -> Option<&CommittedOffset> {
        self.topics.get(topic)?.get(&partition)?.committed.as_ref()
    }

    /// The pending view of one partition.
    pub(crate) fn latest(&self, topic: &str, partition: i32) -> Option<&CommittedOffset> {
        self.topics.get(topic)?.get(&partition)?.latest()
    }

    /// Whether a record of this partition is emitted and not settled.
    pub(crate) fn is_in_flight(&self, topic: &str, partition: i32) -> bool {
        let cell = self.topics.get(topic).and_then(|partitions| partitions.get(&partition));
        cell.is_some_and(|cell| !cell.pending.is_empty())
    }

    /// The committed view, in order of topic and partition.
    pub(crate) fn all_committed(&self) -> impl Iterator<Item = (&TopicName, i32, &CommittedOffset)> {
        self.cells().filter_map(|(topic, partition, cell)| Some((topic, partition, cell.committed.as_ref()?)))
    }

    /// The pending view, in order of topic and partition.
    pub(crate) fn all_latest(&self) -> impl Iterator<Item = (&TopicName, i32, &CommittedOffset)> {
        self.cells().filter_map(|(topic, partition, cell)| Some((topic, partition, cell.latest()?)))
    }

    /// Every partition of which a record is committed or in flight.
    pub(crate) fn all_known(&self) -> impl Iterator<Item = (&TopicName, i32)> {
        self.cells().map(|(topic, partition, _)| (topic, partition))
    }

    /// Whether no record is in flight.
    pub(crate) fn is_settled(&self) -> bool {
        self.cells().all(|(_, _, cell)| cell.pending.is_empty())
    }

    /// The pending view of one topic.
    pub(crate) fn latest_of(&self, topic: &str) -> impl Iterator<Item = (i32, &CommittedOffset)> {
        let partitions = self.topics.get(topic).into_iter().flatten();
        partitions.filter_map(|(partition, cell)| Some((*partition, cell.latest()?)))
    }

    fn cells(&self) -> impl Iterator<Item = (&TopicName, i32, &Cell)> {
        self.topics
            .iter()
            .flat_map(|(topic, partitions)| partitions.iter().map(move |(partition, cell)| (topic, *partition, cell)))
    }

    /// Notes that `append_id` will set or delete an offset.
    pub(crate) fn emit(
        &mut self,
        append_id: AppendId,
        topic: &TopicName,
        partition: i32,
        value: Option<CommittedOffset>,
    ) {
        self.charge.grow(weight::pending(value.as_ref()));
        let cell = cell_of(&mut self.topics, &mut self.charge, topic, partition);
        let in_order = cell.pending.last().is_none_or(|(last, _)| *last <= append_id);
        assert!(in_order, "batches are emitted in rising order");
        cell.pending.push((append_id, value));
    }

    /// Sets or deletes the committed offset.
    fn apply(&mut self, topic: &TopicName, partition: i32, value: Option<CommittedOffset>) {
        let is_deleted = value.is_none();
        if is_deleted && !self.topics.contains_key(topic.as_str()) {
            return;
        }
        let cell = cell_of(&mut self.topics, &mut self.charge, topic, partition);
        let (before, after) = (weight::metadata(cell.committed.as_ref()), weight::metadata(value.as_ref()));
        cell.committed = value;
        if before != after {
            self.charge.grow(after);
            self.charge.shrink(before);
        }
        // A log that loads is almost all of it offsets that are set: nothing is looked up again for those.
        if is_deleted {
            self.drop_vacant(topic, partition);
        }
    }

    /// Forgets what `append_id` was to do: it is committed now, or failed.
    fn forget(&mut self, append_id: AppendId, topic: &TopicName, partition: i32) {
        let cell = self.topics.get_mut(topic.as_str()).and_then(|partitions| partitions.get_mut(&partition));
        let cell = cell.expect("a cell stays while a record of it is in flight");
        let settled = cell.pending.extract_if(.., |(id, _)| *id == append_id);
        self.charge.shrink(settled.map(|(_, value)| weight::pending(value.as_ref())).sum());
        self.drop_vacant(topic, partition);
    }

    fn drop_vacant(&mut self, topic: &TopicName, partition: i32) {
        let Some(partitions) = self.topics.get_mut(topic.as_str()) else { return };
        if partitions.get(&partition).is_some_and(Cell::is_vacant) {
            partitions.remove(&partition);
            self.charge.shrink(weight::CELL_BYTES);
        }
        if partitions.is_empty() {
            self.topics.remove(topic.as_str());
            self.charge.shrink(weight::topic(topic));
        }
        let is_nothing_held = self.charge.bytes() == 0;
        assert!(self.topics.is_empty() == is_nothing_held, "what is charged for offsets is what there is of them");
    }
}

/// The cell of a partition, counted when it is made.
fn cell_of<'a>(topics: &'a mut Topics, charge: &mut Charge, topic: &TopicName, partition: i32) -> &'a mut Cell {
    let partitions = topics.entry(topic.clone()).or_insert_with(|| {
        charge.grow(weight::topic(topic));
        BTreeMap::new()
    });
    partitions.entry(partition).or_insert_with(|| {
        charge.grow(weight::CELL_BYTES);
        Cell::default()
    })
}

/// What the committed records say of a group's existence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CommittedGroup {
    /// It has committed offsets and never had members: a simple group, made by its first offset.
    Simple,
    /// Its last metadata record.
    Recorded(Box<GroupMetadataValue>),
}

/// Everything known of one group id.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The pending view with members, parked requests and timers; none when the group does not exist in it.
    pub(crate) live: Option<ClassicGroup>,
    /// The committed view.
    pub(crate) committed: Option<CommittedGroup>,
    pub(crate) offsets: GroupOffsets,
    /// Another protocol owns the id (KIP-848, KIP-932, KIP-1071).
    pub(crate) other_protocol: bool,
    /// For the id and what is committed of the group itself.
    charge: Charge,
}

impl Entry {
    fn new(id: &GroupId, budget: &Budget) -> Self {
        Self {
            live: None,
            committed: None,
            offsets: GroupOffsets::new(budget),
            other_protocol: false,
            charge: budget.charge(Account::Coordinators, weight::entry(id)),
        }
    }

    fn set_committed(&mut self, id: &GroupId, committed: Option<CommittedGroup>) {
        let recorded = match &committed {
            Some(CommittedGroup::Recorded(value)) => weight::record(value),
            Some(CommittedGroup::Simple) | None => 0,
        };
        self.committed = committed;
        self.charge.resize(weight::entry(id) + recorded);
    }

    fn is_vacant(&self) -> bool {
        self.live.is_none() && self.committed.is_none() && self.offsets.is_empty() && !self.other_protocol
    }
}

/// All groups of one coordinator.
#[derive(Debug)]
pub(crate) struct Groups {
    entries: BTreeMap<GroupId, Entry>,
    budget: Budget,
}

impl Groups {
    /// None; what they will hold is charged to `budget`.
    pub(crate) fn new(budget: Budget) -> Self {
        Self { entries: BTreeMap::new(), budget }
    }

    /// What groups are charged to.
    pub(crate) const fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Whether nothing may be added to what is held.
    pub(crate) fn is_full(&self) -> bool {
        self.budget.is_full(Account::Coordinators)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn get(&self, group: &str) -> Option<&Entry> {
        self.entries.get(group)
    }

    pub(crate) fn get_mut(&mut self, group: &str) -> Option<&mut Entry> {
        self.entries.get_mut(group)
    }

    pub(crate) fn live_mut(&mut self, group: &str) -> Option<&mut ClassicGroup> {
        self.entries.get_mut(group)?.live.as_mut()
    }

    pub(crate) fn entry(&mut self, group: &GroupId) -> &mut Entry {
        let budget = &self.budget;
        self.entries.entry(group.clone()).or_insert_with(|| Entry::new(group, budget))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&GroupId, &Entry)> {
        self.entries.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&GroupId, &mut Entry)> {
        self.entries.iter_mut()
    }

    /// The groups behind `after` in order of their ids, all of them when none.
    pub(crate) fn iter_after(&self, after: Option<&GroupId>) -> impl Iterator<Item = (&GroupId, &Entry)> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        self.entries.range::<GroupId, _>((from, Unbounded))
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }

    /// Applies one committed record. The same function loads a log and follows the high watermark, which is why both
    /// end in the same state.
    pub(crate) fn apply(&mut self, record: Record) {
        match record {
            Record::Offset { group, topic, partition, value } => {
                let entry = match (self.entries.get_mut(group.as_str()), &value) {
                    (Some(entry), _) => entry,
                    (None, Some(_)) => self.entry(&group),
                    (None, None) => return,
                };
                let is_deleted = value.is_none();
                if !is_deleted && entry.committed.is_none() && !entry.other_protocol {
                    entry.committed = Some(CommittedGroup::Simple);
                }
                entry.offsets.apply(&topic, partition, value);
                if is_deleted {
                    self.drop_vacant(&group);
                }
            }
            Record::Group { group, value: Some(value) } => {
                let entry = self.entry(&group);
                entry.set_committed(&group, Some(CommittedGroup::Recorded(value)));
                entry.other_protocol = false;
            }
            Record::Group { group, value: None } => {
                if let Some(entry) = self.entries.get_mut(group.as_str()) {
                    entry.set_committed(&group, None);
                }
                self.drop_vacant(&group);
            }
            Record::OtherProtocol { group, exists } => {
                self.entry(&group).other_protocol = exists;
                self.drop_vacant(&group);
            }
            Record::Ignored => {}
        }
    }

    /// Notes the offsets that `append_id` will change.
    pub(crate) fn emit(&mut self, append_id: AppendId, records: &[Record]) {
        for record in records {
            if let Record::Offset { group, topic, partition, value } = record {
                self.entry(group).offsets.emit(append_id, topic, *partition, value.clone());
            }
        }
    }

    /// Takes back what [`Groups::emit`] noted.
    pub(crate) fn forget(&mut self, append_id: AppendId, records: &[Record]) {
        for record in records {
            if let Record::Offset { group, topic, partition, .. } = record {
                let entry = self.entries.get_mut(group.as_str());
                let entry = entry.expect("a group stays while a record of it is in flight");
                if entry.offsets.is_in_flight(topic.as_str(), *partition) {
                    entry.offsets.forget(append_id, topic, *partition);
                }
            }
        }
    }

    /// Removes a group id of which nothing is left.
    pub(crate) fn drop_vacant(&mut self, group: &GroupId) {
        if self.entries.get(group.as_str()).is_some_and(Entry::is_vacant) {
            self.entries.remove(group.as_str());
        }
    }

    pub(crate) fn image(&self) -> Image {
        let mut image = Image::default();
        for (group, entry) in &self.entries {
            if let Some(committed) = &entry.committed {
                let value = match committed {
                    CommittedGroup::Simple => None,
                    CommittedGroup::Recorded(value) => Some((**value).clone()),
                };
                image.groups.insert(group.clone(), value);
            }
            for (topic, partition, value) in entry.offsets.all_committed() {
                image.offsets.insert((group.clone(), topic.clone(), partition), value.clone());
            }
        }
        image
    }
}

/// The committed view as a value: two coordinators that folded the same records have equal images.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// Groups that exist, with their last metadata record; none for simple groups.
    pub groups: BTreeMap<GroupId, Option<GroupMetadataValue>>,
    /// Committed offsets by group, topic and partition.
    pub offsets: BTreeMap<(GroupId, TopicName, i32), CommittedOffset>,
}
