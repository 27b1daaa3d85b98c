//! Incremental fetch sessions (KIP-227): what a consumer asked for last time, so that it need not say it again.
//!
//! Pure state of one shard; the fetch handler drives it. A session id carries its shard: an id used on a connection of
//! another shard is unknown there, which clients answer with a new session.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::rc::Rc;

use barnabas_base::{LeaderEpoch, Mark, Monotonic, Offset, PartitionIndex, ShardId, TopicId, mark};
use barnabas_wire::ErrorCode;

/// How a request names a topic: by name up to Fetch 12, by id from 13 on (KIP-516). All partitions of a topic in a request
/// share its name, which may be longer than what is said of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TopicRef {
    Name(Rc<str>),
    Id(TopicId),
}

impl Ord for TopicRef {
    /// Names first. One that is shared is not looked at.
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Name(one), Self::Name(other)) if Rc::ptr_eq(one, other) => Ordering::Equal,
            (Self::Name(one), Self::Name(other)) => one.cmp(other),
            (Self::Id(one), Self::Id(other)) => one.cmp(other),
            (Self::Name(_), Self::Id(_)) => Ordering::Less,
            (Self::Id(_), Self::Name(_)) => Ordering::Greater,
        }
    }
}

impl PartialOrd for TopicRef {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Identity of a partition within a session.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FetchKey {
    pub(crate) topic: TopicRef,
    pub(crate) partition: PartitionIndex,
}

/// What is wanted of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FetchWant {
    pub(crate) key: FetchKey,
    pub(crate) fetch_offset: Offset,
    pub(crate) max_bytes: i32,
    pub(crate) current_leader_epoch: LeaderEpoch,
    pub(crate) last_fetched_epoch: LeaderEpoch,
}

/// What a fetch is to answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FetchContext {
    /// The session id to answer with; 0 is "no session".
    pub(crate) session_id: i32,
    /// Whether only changed partitions are answered.
    pub(crate) incremental: bool,
    /// Partitions in the order in which they are to be served.
    pub(crate) wants: Vec<FetchWant>,
}

/// What the last answer of a session said of a partition; unchanged partitions are left out of incremental answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    pub(crate) high_watermark: Offset,
    pub(crate) log_start_offset: Offset,
}

const NOTHING_ANSWERED: Answered = Answered { high_watermark: Offset(i64::MIN), log_start_offset: Offset(i64::MIN) };

/// Epoch of a request that opens a session.
const INITIAL_EPOCH: i32 = 0;
/// Epoch of a request without a session, or that closes one.
const FINAL_EPOCH: i32 = -1;
/// Bits of a session id that hold the shard.
const SHARD_BITS: u32 = 8;
/// A session unused for this long may be replaced (Kafka's `min.incremental.fetch.session.eviction.ms`).
const EVICTION_MS: i64 = 120_000;
/// Most partitions one session may hold. A request beyond it is answered without a session.
const PARTITIONS_PER_SESSION_MAX: usize = 100_000;

struct Session {
    next_epoch: i32,
    last_used: Monotonic,
    by_ids: bool,
    /// Order of service; partitions that were given data move to the end.
    order: BTreeMap<u64, (FetchWant, Answered)>,
    positions: BTreeMap<FetchKey, u64>,
    next_position: u64,
}

impl Session {
    fn upsert(&mut self, want: FetchWant) {
        if let Some(position) = self.positions.get(&want.key) {
            let entry = self.order.get_mut(position).expect("every position has its entry");
            entry.0 = want;
            return;
        }
        let position = self.next_position;
        self.next_position += 1;
        self.positions.insert(want.key.clone(), position);
        self.order.insert(position, (want, NOTHING_ANSWERED));
    }

    fn forget(&mut self, key: &FetchKey) {
        if let Some(position) = self.positions.remove(key) {
            self.order.remove(&position);
        }
    }

    fn move_to_end(&mut self, key: &FetchKey) {
        let Some(position) = self.positions.get_mut(key) else { return };
        if let Some(entry) = self.order.remove(position) {
            *position = self.next_position;
            self.order.insert(self.next_position, entry);
            self.next_position += 1;
        }
    }
}

/// What a request says of its session.
#[derive(Debug)]
pub(crate) struct SessionRequest {
    pub(crate) session_id: i32,
    pub(crate) epoch: i32,
    /// Whether the request's version names topics by id.
    pub(crate) by_ids: bool,
    pub(crate) wants: Vec<FetchWant>,
    pub(crate) forgotten: Vec<FetchKey>,
}

/// The sessions of one shard.
pub(crate) struct FetchSessions {
    shard: ShardId,
    capacity: usize,
    sessions: BTreeMap<i32, Session>,
    /// What came up since [`FetchSessions::take_mark`].
    mark: Option<Mark>,
}

impl FetchSessions {
    /// No sessions yet, room for `capacity`.
    pub(crate) fn new(shard: ShardId, capacity: usize) -> Self {
        assert!(u32::from(shard.0) < 1 << SHARD_BITS, "session ids have room for 256 shards");
        Self { shard, capacity, sessions: BTreeMap::new(), mark: None }
    }

    /// What came up since this was asked last, to be observed.
    pub(crate) const fn take_mark(&mut self) -> Option<Mark> {
        self.mark.take()
    }

    /// Decides what a fetch is to answer. `random` makes the id of a new session.
    pub(crate) fn begin(
        &mut self,
        now: Monotonic,
        request: SessionRequest,
        random: u64,
    ) -> Result<FetchContext, ErrorCode> {
        match (request.session_id, request.epoch) {
            (0, FINAL_EPOCH) => Ok(full(0, request.wants)),
            (old, FINAL_EPOCH) => {
                self.mark = self.sessions.remove(&old).map(|_| mark::FETCH_SESSION_CLOSED);
                Ok(full(0, request.wants))
            }
            (old, INITIAL_EPOCH) => {
                self.sessions.remove(&old);
                let session_id = self.open(now, &request, random);
                Ok(full(session_id, request.wants))
            }
            (_, _) => self.resume(now, request),
        }
    }

    fn open(&mut self, now: Monotonic, request: &SessionRequest, random: u64) -> i32 {
        let oversized = request.wants.len() > PARTITIONS_PER_SESSION_MAX;
        if request.wants.is_empty() || oversized || !self.make_room(now) {
            return 0;
        }
        let mut draw = random;
        let session_id = loop {
            let id = self.session_id(draw);
            if id != 0 && !self.sessions.contains_key(&id) {
                break id;
            }
            draw = draw.wrapping_add(1);
        };
        let mut session = Session {
            next_epoch: 1,
            last_used: now,
            by_ids: request.by_ids,
            order: BTreeMap::new(),
            positions: BTreeMap::new(),
            next_position: 0,
        };
        for want in &request.wants {
            session.upsert(want.clone());
        }
        self.sessions.insert(session_id, session);
        session_id
    }

    fn session_id(&self, draw: u64) -> i32 {
        let random = i32::try_from(draw % (1 << (31 - SHARD_BITS))).expect("23 bits fit an i32");
        (random << SHARD_BITS) | i32::from(self.shard.0)
    }

    /// Frees a slot by dropping the session that has been unused for longest, if that is long enough.
    fn make_room(&mut self, now: Monotonic) -> bool {
        if self.sessions.len() < self.capacity {
            return true;
        }
        let oldest = self.sessions.iter().min_by_key(|(_, session)| session.last_used);
        let Some((id, session)) = oldest else { return false };
        if session.last_used.after_ms(EVICTION_MS) > now {
            self.mark = Some(mark::FETCH_SESSIONS_FULL);
            return false;
        }
        let id = *id;
        self.sessions.remove(&id);
        self.mark = Some(mark::FETCH_SESSION_EVICTED);
        true
    }

    fn resume(&mut self, now: Monotonic, request: SessionRequest) -> Result<FetchContext, ErrorCode> {
        let session_id = request.session_id;
        let session = self.sessions.get_mut(&session_id).ok_or(ErrorCode::FetchSessionIdNotFound)?;
        if session.next_epoch != request.epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if session.by_ids != request.by_ids {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        for key in &request.forgotten {
            session.forget(key);
        }
        for want in request.wants {
            if session.positions.len() >= PARTITIONS_PER_SESSION_MAX {
                return Err(ErrorCode::InvalidRequest);
            }
            session.upsert(want);
        }
        session.last_used = now;
        session.next_epoch = next_epoch(session.next_epoch);
        let wants = session.order.values().map(|(want, _)| want.clone()).collect();
        Ok(FetchContext { session_id, incremental: true, wants })
    }

    /// Whether the answer for `key` is worth sending in an incremental answer, and remembers it when it is sent.
    ///
    /// `has_news` says that there is data, an error or a diverging epoch.
    pub(crate) fn record(&mut self, session_id: i32, key: &FetchKey, answered: Answered, has_news: bool) -> bool {
        let Some(session) = self.sessions.get_mut(&session_id) else { return true };
        let Some(position) = session.positions.get(key) else { return true };
        let entry = session.order.get_mut(position).expect("every position has its entry");
        let changed = entry.1 != answered;
        entry.1 = answered;
        if has_news {
            session.move_to_end(key);
        }
        has_news || changed
    }

    /// How many sessions are open.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.sessions.len()
    }
}

fn full(session_id: i32, wants: Vec<FetchWant>) -> FetchContext {
    FetchContext { session_id, incremental: false, wants }
}

/// Epochs run from 1 to 2³¹−1 and wrap to 1.
const fn next_epoch(epoch: i32) -> i32 {
    if epoch == i32::MAX { 1 } else { epoch + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(partition: i32) -> FetchKey {
        FetchKey { topic: TopicRef::Name("t".into()), partition: PartitionIndex(partition) }
    }

    fn want(partition: i32, offset: i64) -> FetchWant {
        FetchWant {
            key: key(partition),
            fetch_offset: Offset(offset),
            max_bytes: 1_000,
            current_leader_epoch: LeaderEpoch::UNKNOWN,
            last_fetched_epoch: LeaderEpoch::UNKNOWN,
        }
    }

    fn request(session_id: i32, epoch: i32, wants: Vec<FetchWant>) -> SessionRequest {
        SessionRequest { session_id, epoch, by_ids: false, wants, forgotten: Vec::new() }
    }

    fn sessions(capacity: usize) -> FetchSessions {
        FetchSessions::new(ShardId(3), capacity)
    }

    const T0: Monotonic = Monotonic(0);

    #[test]
    fn pitfall_19_a_session_remembers_and_answers_only_changes() {
        let mut sessions = sessions(10);
        let opened = sessions.begin(T0, request(0, 0, vec![want(0, 5), want(1, 7)]), 42).expect("opens");
        assert_eq!(opened.session_id & 0xff, 3, "the id carries its shard");
        assert!(!opened.incremental);
        let id = opened.session_id;
        let answered = Answered { high_watermark: Offset(9), log_start_offset: Offset(0) };
        assert!(sessions.record(id, &key(0), answered, true));

        let mut second = request(id, 1, vec![want(0, 6)]);
        second.forgotten = vec![key(1)];
        let resumed = sessions.begin(T0, second, 0).expect("resumes");
        assert!(resumed.incremental);
        assert_eq!(resumed.wants, vec![want(0, 6)]);
        assert!(!sessions.record(id, &key(0), answered, false), "nothing changed: left out");
        let moved = Answered { high_watermark: Offset(10), ..answered };
        assert!(sessions.record(id, &key(0), moved, false), "a new high watermark is news");
    }

    #[test]
    fn pitfall_19_wrong_ids_and_epochs_are_refused() {
        let mut sessions = sessions(10);
        assert_eq!(sessions.begin(T0, request(77, 1, vec![]), 0), Err(ErrorCode::FetchSessionIdNotFound));
        let id = sessions.begin(T0, request(0, 0, vec![want(0, 0)]), 1).expect("opens").session_id;
        assert_eq!(sessions.begin(T0, request(id, 2, vec![]), 0), Err(ErrorCode::InvalidFetchSessionEpoch));
        let mut by_ids = request(id, 1, vec![]);
        by_ids.by_ids = true;
        assert_eq!(sessions.begin(T0, by_ids, 0), Err(ErrorCode::FetchSessionTopicIdError));
        assert!(sessions.begin(T0, request(id, -1, vec![want(0, 0)]), 0).is_ok());
        assert_eq!(sessions.len(), 0, "the final epoch closes the session");
    }

    #[test]
    fn a_full_cache_answers_without_a_session_until_one_is_old() {
        let mut sessions = sessions(1);
        let first = sessions.begin(T0, request(0, 0, vec![want(0, 0)]), 1).expect("opens").session_id;
        assert_ne!(first, 0);
        let refused = sessions.begin(T0, request(0, 0, vec![want(0, 0)]), 2).expect("answers");
        assert_eq!(refused.session_id, 0);
        let later = T0.after_ms(EVICTION_MS);
        let third = sessions.begin(later, request(0, 0, vec![want(0, 0)]), 2).expect("opens").session_id;
        assert_ne!(third, 0);
        assert_eq!(sessions.len(), 1);
    }

    #[test]
    fn partitions_that_were_served_go_to_the_end() {
        let mut sessions = sessions(1);
        let id = sessions.begin(T0, request(0, 0, vec![want(0, 0), want(1, 0)]), 1).expect("opens").session_id;
        let answered = Answered { high_watermark: Offset(1), log_start_offset: Offset(0) };
        sessions.record(id, &key(0), answered, true);
        let next = sessions.begin(T0, request(id, 1, vec![]), 0).expect("resumes");
        assert_eq!(next.wants[0].key, key(1));
    }

    #[test]
    fn epochs_wrap_to_one() {
        assert_eq!(next_epoch(i32::MAX), 1);
        assert_eq!(next_epoch(1), 2);
    }
}
