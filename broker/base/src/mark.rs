//! [`Mark`]s: branches that run seldom and have to be shown to run at all. One table names them all, so that a sweep can
//! tell which were never reached; the code that reaches one observes it. Pure data; whoever observes drives it.

use crate::Observation;

/// A branch that runs seldom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Its name: words with hyphens.
    pub name: &'static str,
    /// What happened when it is reached, and so what a run that reached it has tried out.
    pub words: &'static str,
    /// Why sweeps need not reach it, where they cannot be expected to.
    pub rare: Option<&'static str>,
}

impl Mark {
    /// What is observed when the branch runs.
    #[must_use]
    pub const fn seen(&self) -> Observation {
        Observation::Mark { name: self.name }
    }
}

/// Observes that a branch runs: the observer, and the name of a constant of [`mark`](crate::mark).
#[macro_export]
macro_rules! reachable {
    ($observer:expr, $mark:ident) => {
        $observer.observe(&$crate::mark::$mark.seen())
    };
}

/// Observes that a branch runs in which a condition holds; costs the condition where it does not.
#[macro_export]
macro_rules! sometimes {
    ($observer:expr, $mark:ident, $condition:expr) => {
        if $condition {
            $crate::reachable!($observer, $mark);
        }
    };
}

macro_rules! marks {
    ($($mark:ident = $name:literal, $words:literal $(, rare $rare:literal)?;)*) => {
        $(
            #[doc = $words]
            pub const $mark: Mark = Mark { name: $name, words: $words, rare: marks!(@rare $($rare)?) };
        )*

        /// Every mark there is.
        pub const ALL: &[&Mark] = &[$(&$mark),*];
    };
    (@rare) => { None };
    (@rare $rare:literal) => { Some($rare) };
}

marks! {
    // A start: what a crash left of a log.
    TORN_TAIL_CUT = "torn-tail-cut", "A start cut what was no whole batch off the end of a log.";
    SURPLUS_CUT = "surplus-cut", "A start cut bytes off a sealed segment that came back behind its last offset.",
        rare "another program has to write behind a sealed segment, or a file to come back longer; tests of recovery do both";
    SEGMENT_END_LOST = "segment-end-lost", "The end of a segment was gone whole, with nothing acknowledged behind it.";
    SEGMENTS_BEHIND_CUT_REMOVED = "segments-behind-cut-removed", "A start removed segments that lay behind a torn batch.";
    DAMAGE_FOUND_BY_START = "damage-found-by-start", "A start came upon a bad batch below the durable point and listed it.";
    MISSING_END_LISTED = "missing-end-listed", "A start found offsets below the durable point missing at the end of a segment and listed them.";
    LISTED_DAMAGE_PASSED = "listed-damage-passed", "A start stepped over damage that an earlier life had listed.";
    MISPLACED_BATCH_FOUND = "misplaced-batch-found", "A start found a batch whose false offset jumps over the durable point.";
    FALSE_EPOCH_BEFORE_SEGMENT = "false-epoch-before-segment", "A start found that the last batch of a segment has a false leader epoch.";
    SHORTER_THAN_DURABLE = "shorter-than-durable", "A log ended below what was acknowledged; the offsets are listed and not given twice.",
        rare "the file that is written to has to get shorter; a test of recovery cuts one";
    LOG_START_BEYOND_END = "log-start-beyond-end", "A log began past its end, and everything in it went.",
        rare "checkpoint and log have to be of different times; tests of recovery and an old file of checkpoints do it";
    WENT_ON_BEHIND_GARBAGE = "went-on-behind-garbage", "A log that ends in what is no batch went on in a segment of its own.";
    SEGMENT_MADE_WHERE_NONE = "segment-made-where-none", "A folder had no segment, and a start made one.";
    PRODUCER_SNAPSHOT_USED = "producer-snapshot-used", "A start resumed from a producer snapshot.";
    PRODUCER_SNAPSHOT_PASSED_OVER = "producer-snapshot-passed-over", "A start passed over a producer snapshot that does not read.";
    SNAPSHOT_PAST_END_REMOVED = "snapshot-past-end-removed", "A start removed a producer snapshot of records that are gone.";
    INDEXES_KEPT = "indexes-kept", "A start went on from indexes that it found, and walked only through what they do not cover.";
    INDEXES_UNCONFIRMED = "indexes-unconfirmed", "Indexes on disk were not what their check file says was written.";
    CACHES_READ_AGAIN = "caches-read-again", "Indexes or checksums were read again, because they were written meanwhile.";
    INDEXES_REBUILT = "indexes-rebuilt", "A start made indexes anew, because those it found do not fit the segment.";
    CHECKSUMS_RESUMED = "checksums-resumed", "The checksums of an active segment went on where its check file ends.";
    TAIL_WRITTEN_AGAIN = "tail-written-again", "A start wrote what is in the page cache once more, so that a sync covers it.";
    END_SAID_AGAIN = "end-said-again", "A start said again where the active segment ends, so that a sync covers an earlier cut.";
    CHECKPOINT_DISBELIEVED = "checkpoint-disbelieved", "A recovery point spoke of an earlier topic of the same name and was left aside.";
    EPOCHS_FOUND_AGAIN = "epochs-found-again", "The checkpoint of leader epochs could not be read, and a start found them in the batches.";
    TOPIC_ID_WRITTEN_AGAIN = "topic-id-written-again", "A folder without a readable topic id got one.";
    FOLDER_OF_OTHER_TOPIC = "folder-of-other-topic", "A folder belonged to another topic of the same name.";
    FINISHED_SWAP = "finished-swap", "A start put a cleaned segment in its place that a crash had kept from it.";
    VOID_SWAP = "void-swap", "A start threw away a cleaned segment whose renaming had only begun.";
    CLEANED_LEFTOVER_REMOVED = "cleaned-leftover-removed", "A start removed an unfinished cleaned segment.";
    DELETED_LEFTOVER_REMOVED = "deleted-leftover-removed", "A start removed files of a segment that had been deleted.";
    STOPPED_BEFORE_OPEN = "stopped-before-open", "A stop came before a log could be opened, and was no clean one.";
    LOG_FOUND_NO_ROOM = "log-found-no-room", "A log found no room or descriptor to be created and left nothing behind.";
    // A start: journals.
    JOURNAL_RESTORED = "journal-restored", "A replay put bytes back that a segment lacked.";
    JOURNAL_PIECE_THERE = "journal-piece-there", "A replay found its bytes in the segment already.";
    JOURNAL_FOREIGN_BATCH = "journal-foreign-batch", "A replay left a log alone in which another program has written.",
        rare "no plan runs another broker on the same folder; unit tests of the replay do";
    JOURNAL_GAP = "journal-gap", "A replay left out bytes, because what lies before them is gone.",
        rare "what was flushed before the journal began has to be gone; tests of recovery cut a file there";
    JOURNAL_HOLE = "journal-hole", "A journal lacked an entry in the middle.";
    JOURNAL_UNREADABLE = "journal-unreadable", "A journal did not read, or was another directory's.";
    JOURNAL_EMPTY = "journal-empty", "A journal was created and never begun when a crash came.";
    JOURNAL_OF_GONE_TOPIC = "journal-of-gone-topic", "A replay left out a log whose folder is gone or another topic's.";
    JOURNAL_OF_GONE_SEGMENT = "journal-of-gone-segment", "A replay left out batches of a segment that is gone.";
    JOURNAL_STAGED_LEFT = "journal-staged-left", "A start found points that a crash had kept from their name.";
    JOURNALS_WERE_OVER = "journals-were-over", "A start removed journals that a clean stop had no time to remove.";
    POINTS_KEPT = "points-kept", "A start kept what journals said for the next one, and removed them.";
    RESERVE_GIVEN_BACK = "reserve-given-back", "A start or stop on a nearly full device gave the reserve back.";
    DELETED_FOLDER_REMOVED = "deleted-folder-removed", "A start removed the folder of a topic that had been deleted.";
    // Group commit.
    JOURNAL_SWITCHED = "journal-switched", "The journal went on in its other file.";
    JOURNAL_HAS_NO_ROOM = "journal-has-no-room", "An entry found no room in the journal, whose other file was still needed.";
    JOURNAL_CANNOT_GROW = "journal-cannot-grow", "The device had no room for an entry of the journal.";
    JOURNAL_ROOM_AWAITED = "journal-room-awaited", "A commit waited for a checkpoint to free a journal file.";
    JOURNAL_SWITCH_FAILED = "journal-switch-failed", "The journal could not go on in its other file, for lack of room or of descriptors.";
    COMMIT_GIVEN_BACK = "commit-given-back", "A commit that lacked room or descriptors before its sync was tried again.";
    CLEANED_GIVEN_UP = "cleaned-given-up", "A cleaning took away what it had written and could not put in place.";
    SWAP_AWAITED_ROOM = "swap-awaited-room", "A cleaned segment waited for room or descriptors half way into its place.";
    NOTES_REFUSED = "notes-refused", "What only the journal can say was refused for lack of room.";
    COMMIT_OF_BOTH_KINDS = "commit-of-both-kinds", "One commit took some logs through the journal and synced the files of others.";
    FILESYSTEM_SYNCED = "filesystem-synced", "More files than are synced one by one were synced by one call for the file system.";
    SYNC_FAILED = "sync-failed", "A sync failed, which takes the directory out of use.";
    WENT_OFFLINE_IN_COMMIT = "went-offline-in-commit", "A directory failed elsewhere while a commit was under way, and nobody was answered.";
    // Appends.
    WRITE_TAKEN_BACK = "write-taken-back", "A full device refused a write; everything staged was taken back and refused.";
    WRITE_FAILED = "write-failed", "A write failed, which takes the directory out of use.";
    PARTIAL_WRITE_CUT = "partial-write-cut", "A write that found no room had begun, and its bytes were cut off.";
    STAGED_BEHIND_REFUSED = "staged-behind-refused", "Batches that were judged on top of a failed write were refused with it.";
    DUPLICATE_AWAITED = "duplicate-awaited", "A batch was sent again while its first copy still waited to be written.";
    DUPLICATE_OF_WRITTEN = "duplicate-of-written", "A batch was sent again after its first copy had been written.";
    APPEND_QUEUE_FULL = "append-queue-full", "A log refused an append, because too many wait.",
        rare "4,096 appends of one log wait only for a caller that has no bound of its own";
    PRODUCERS_FORGOTTEN_FOR_ROOM = "producers-forgotten-for-room", "Silent producers were forgotten early, to make room.",
        rare "a shard has a mebibyte for producers at least, and a run has few; tests of the log give it 5,000 bytes";
    PRODUCER_REFUSED_FOR_ROOM = "producer-refused-for-room", "A producer was refused for want of room.",
        rare "a shard has a mebibyte for producers at least, and a run has few; tests of the log give it 5,000 bytes";
    PRODUCERS_EXPIRED = "producers-expired", "Producers were forgotten after their silence.";
    ROLLED_BY_SIZE = "rolled-by-size", "A segment was left because the next batch would make it too large.";
    ROLLED_BY_TIME = "rolled-by-time", "A segment was left because it had become too old.";
    ROLLED_BY_INDEX = "rolled-by-index", "A segment was left because one of its indexes was full.";
    ROLLED_BY_OFFSETS = "rolled-by-offsets", "A segment was left because an offset is too far from its base.",
        rare "2^31 offsets of one segment take years; tests of the segment make them";
    ROLL_WAITS_FOR_ROOM = "roll-waits-for-room", "A log went on in a full segment, because the device had no room for another.";
    HEADROOM_NOT_FOUND = "headroom-not-found", "A segment was begun and given up, because the device had no room for what goes into it.";
    SEGMENT_JITTERED = "segment-jittered", "A segment was begun that is left earlier than `segment.ms` says, so that logs do not roll together.";
    FILE_CLOSED = "file-closed", "A shard had too many segment files open and closed the one unused for longest.";
    INDEXES_DROPPED = "indexes-dropped", "A shard had too many bytes of indexes in memory and gave up the oldest.";
    BATCH_OVER_CHUNK = "batch-over-chunk", "A walk came upon a batch that is larger than what it reads at once.";
    SOUND_FOUND_BY_SWEEP = "sound-found-by-sweep", "What follows damage was found in the midst of the bytes behind it.";
    CHECKS_OF_LOST_REMOVED = "checks-of-lost-removed", "A start found a check file that spoke of more than its segment holds.";
    CACHES_OF_GONE_SEGMENT = "caches-of-gone-segment", "Retention took a segment away while its indexes or its snapshot were written.";
    CACHES_WAIT_FOR_ROOM = "caches-wait-for-room", "Indexes of a sealed segment were left for later, because the device had no room.";
    CHECKPOINT_WAITS_FOR_ROOM = "checkpoint-waits-for-room", "A checkpoint file stayed as it was, because the device had no room.";
    LOG_SETTLED = "log-settled", "A log wrote down what a start would otherwise have to find out.";
    SETTLED_TOO_LATE = "settled-too-late", "A log was cut or changed while it wrote that down, and the point did not count.";
    // Reading.
    DAMAGE_FOUND_BY_READ = "damage-found-by-read", "A reader came upon damage, which was listed.";
    SEGMENT_ENDED_EARLIER = "segment-ended-earlier", "A sealed segment was found to end before bytes that came back behind it.";
    DAMAGE_FOUND_BY_COMPARING = "damage-found-by-comparing", "Bytes that differ from their checksum were damage.";
    REWRITTEN_BYTES_ACCEPTED = "rewritten-bytes-accepted", "Bytes that differ from their checksum were sound batches in their places.";
    LOG_COMPARED_AGAIN = "log-compared-again", "A scrub went through a log again that was cut or changed meanwhile.";
    READ_SERVED_BEFORE_DAMAGE = "read-served-before-damage", "A read ended before damage that lies in its range.";
    READ_REPEATED = "read-repeated", "A read began again, because the log was cut or a segment replaced meanwhile, or damage was found.";
    SEARCH_REPEATED = "search-repeated", "A search by timestamp began again, because segments were cut, replaced or removed meanwhile.";
    READ_SHORTER_THAN_SEGMENT = "read-shorter-than-segment", "A file was shorter than its segment.",
        rare "only another program cuts a file behind the back of its log";
    LOG_CUT = "log-cut", "A log was cut at run time.",
        rare "one broker leads all its logs, and only followers cut";
    CUT_FOUND_READERS = "cut-found-readers", "A cut waited for answers that send from the file.",
        rare "one broker leads all its logs, and only followers cut";
    // Cleaning and retention.
    LOG_CLEANED = "log-cleaned", "A log was cleaned to the end.";
    CLEANER_MAP_FULL = "cleaner-map-full", "A cleaning ended early, because its map was full.";
    CLEANING_INTERRUPTED = "cleaning-interrupted", "A cleaning gave way to a cut or a close.";
    CLEANING_FOUND_DAMAGE = "cleaning-found-damage", "A cleaning left a log alone, because a segment of it is damaged.";
    SEGMENTS_MERGED = "segments-merged", "A cleaning made one segment of several.";
    TOMBSTONE_DATED = "tombstone-dated", "A cleaning began the time after which a tombstone goes.";
    TOMBSTONE_DROPPED = "tombstone-dropped", "A cleaning dropped a tombstone whose time was over.";
    EMPTY_BATCH_KEPT = "empty-batch-kept", "A cleaning took every record of a batch and kept its header.";
    RETAINED_BY_TIME = "retained-by-time", "Segments were deleted because they were too old.";
    RETAINED_BY_SIZE = "retained-by-size", "Segments were deleted because the log was too large.";
    ALL_EXPIRED = "all-expired", "Everything in a log was too old, the active segment included.";
    DELETED_BELOW_START = "deleted-below-start", "Segments were deleted that lie below the start of their log.";
    DELETION_WAITS_FOR_CLEANER = "deletion-waits-for-cleaner", "Segments below the start of a log were left, because a cleaning was under way.";
    DELETED_WITHOUT_ROOM = "deleted-without-room", "Files were removed at once, because the device had no room for a longer name.",
        rare "the folders of a run have room for any name; a test of the log takes it away";
    LOG_DELETED = "log-deleted", "A log was taken out of use, to be removed later.";
    APPENDS_DELETED_WITH_LOG = "appends-deleted-with-log", "A log was deleted under appends that waited.";
    // Connections and requests.
    CONNECTION_AFTER_SERVICE = "connection-after-service", "A connection was handed to a shard that had stopped serving.";
    CONNECTION_OVER_LIMIT = "connection-over-limit", "A connection was closed, because too many are open.";
    ACCEPTING_PACED = "accepting-paced", "Accepting rested, because too many connections came in one second.";
    IDLE_CONNECTION_CLOSED = "idle-connection-closed", "A connection was closed, because nothing had come for long.";
    FRAME_STALLED = "frame-stalled", "A request was given up, because the rest of it did not come.";
    FRAME_ENDED_EARLY = "frame-ended-early", "A connection ended within a request.";
    FRAME_OF_WRONG_SIZE = "frame-of-wrong-size", "A request was refused for the size it claims.";
    REQUEST_UNREADABLE = "request-unreadable", "A connection was closed, because its bytes are no request.";
    REQUEST_NOT_SERVED = "request-not-served", "A connection was closed, because it asked for an API or version that is not served.";
    FRAME_GAVE_WAY = "frame-gave-way", "A request was given up, because too little of it came while others waited for memory.",
        rare "a link has to fail within a large request while others wait for memory all the while; tests of limits drip";
    REQUEST_AWAITS_MEMORY = "request-awaits-memory", "A request waited until there was memory for it.";
    REQUEST_MEMORY_OVERDRAWN = "request-memory-overdrawn", "A request that found its memory full passed the limit, as one may at a time.";
    SLOW_READER_AWAITED = "slow-reader-awaited", "A connection waited for its own answers to leave, because answers hold too much memory.";
    BLOCKED_CONNECTION_CLOSED = "blocked-connection-closed", "A peer took nothing of its answers for too long and was closed.";
    ANSWER_KNOWN_BEHIND_ANOTHER = "answer-known-behind-another", "A request gave back its memory while an answer before it did not leave.";
    ANSWERS_PARTED = "answers-parted", "Answers left without the one behind them, which was not ready.";
    ANSWER_NOT_SENT = "answer-not-sent", "An answer could not be sent.";
    FAILURE_WITHOUT_ANSWER = "failure-without-answer", "A send that asks for no answer failed, and its connection was closed.";
    LONG_POLL_WOKEN = "long-poll-woken", "A fetch waited, and was woken by what was written.";
    LONG_POLL_TIMED_OUT = "long-poll-timed-out", "A fetch waited until its time was over.";
    LONG_POLL_MISSED_NOTHING = "long-poll-missed-nothing", "A log grew between the look of a fetch and its registration.";
    FIRST_PARTITION_READ_AGAIN = "first-partition-read-again", "A fetch read its first partition with data again, because its share of the bytes was too small.";
    FETCH_SESSION_EVICTED = "fetch-session-evicted", "A fetch session took the place of one that was unused for long.";
    FETCH_SESSIONS_FULL = "fetch-sessions-full", "A fetch got no session, because all are in use.";
    FETCH_SESSION_CLOSED = "fetch-session-closed", "A client closed its fetch session.";
    // Metadata.
    METADATA_SNAPSHOT_WRITTEN = "metadata-snapshot-written", "A snapshot of the metadata log was written.";
    METADATA_SNAPSHOT_READ = "metadata-snapshot-read", "A start began with a snapshot of the metadata log.";
    METADATA_SNAPSHOT_PASSED_OVER = "metadata-snapshot-passed-over", "A start passed over a snapshot of the metadata log that does not read.";
    METADATA_SNAPSHOT_FAILED = "metadata-snapshot-failed", "A snapshot of the metadata log could not be written.";
    METADATA_STAGED_REMOVED = "metadata-staged-removed", "A start removed a file of the metadata log that a crash had kept from its name.";
    PENDING_DROPPED = "pending-dropped", "A decision of the controller was not written, and the view that rests on it was dropped.";
    STOP_AWAITED_DECISIONS = "stop-awaited-decisions", "A clean stop waited until every shard had acted on what was decided.";
    DECISION_REFUSED_WITH_LOST = "decision-refused-with-lost", "A decision was refused, because it rests on one that was not written.";
    TOPIC_FOLDER_SET_ASIDE = "topic-folder-set-aside", "A start found the folder of a deleted topic under a name that is used again.";
    EMPTIED_BY_OTHERS = "emptied-by-others", "A start found a segment of a compacted log empty beside checksums of what it held, and took it for cleaned by Apache Kafka.",
        rare "Apache Kafka has to clean a folder between two runs; a test of recovery does as it does";
    SEGMENT_GONE = "segment-gone", "A start found a segment gone or empty, and listed what it held as damage.",
        rare "somebody has to remove or empty a file; tests of the start do";
    STRAY_FOLDER_KEPT = "stray-folder-kept", "A start found the folder of a topic that the metadata does not know, and kept it under another name.",
        rare "somebody has to move folders, or a bit of partition.metadata to rot; tests of the start do both";
    LOG_HOMELESS = "log-homeless", "A log of the image could not be opened for lack of room or descriptors.";
    LOG_FOUND_ROOM = "log-found-room", "A log that had lacked room or descriptors was opened later.";
    DIRECTORY_AWAY = "directory-away", "A start kept partitions offline whose log directory it did not find.",
        rare "A plan's machine has one log directory; sim/world/tests/folders.rs takes one of three away.";
    DIRECTORY_FAILED_AT_START = "directory-failed-at-start", "A start went on without a log directory that it could not open.",
        rare "A plan's machine has one log directory; sim/world/tests/folders.rs has three.";
    DIRECTORY_FAILURE_SPREAD = "directory-failure-spread", "A directory that failed on one shard was taken out of use on all.";
    // Group coordinators.
    GROUP_LOAD_FAILED = "group-load-failed", "The log of a group coordinator does not read, and nothing of it is served.";
    GROUP_LOAD_GAVE_WAY = "group-load-gave-way", "A group coordinator that loads gave way between two chunks of its log.";
    GROUP_RECORD_PASSED_OVER = "group-record-passed-over", "A group coordinator that loads passed over a record that it does not know.",
        rare "only a later release writes such records; tests of the group fold read them";
    GROUP_COORDINATOR_STOPPED = "group-coordinator-stopped", "A group coordinator stopped, and sent away who still waited.";
    GROUP_REQUEST_WHILE_LOADING = "group-request-while-loading", "A group was asked for while its coordinator loaded.";
    GROUP_APPENDS_FULL = "group-appends-full", "A group coordinator refused a write, because too many are under way.",
        rare "clients of a run are few and wait for each commit; tests of the core fill the queue";
    GROUP_MEMORY_FULL = "group-memory-full", "A group was refused more memory.",
        rare "a shard has a mebibyte for groups at least, and a run has few; scripts of the coordinator give it less";
    GROUP_FULL = "group-full", "A member was refused, because the group is full.";
    GROUP_OVER_CAPACITY = "group-over-capacity", "A group was loaded with more members than it may have.";
    GROUP_JOIN_TIMED_OUT = "group-join-timed-out", "A rebalance ended without members that did not join in time.";
    GROUP_SYNC_TIMED_OUT = "group-sync-timed-out", "Members that did not ask for their assignment in time lost their place.";
    GROUP_NOBODY_REJOINED = "group-nobody-rejoined", "Only static members were left, and none of them had joined again.";
    GROUP_LEADER_REPLACED = "group-leader-replaced", "The leader did not join again, and another member took its place.";
    GROUP_MEMBER_EXPIRED = "group-member-expired", "The session of a member ran out.";
    GROUP_PENDING_MEMBER_EXPIRED = "group-pending-member-expired", "A member id was handed out and not used in time.";
    GROUP_TWIN_FENCED = "group-twin-fenced", "A member with another's instance id was fenced.";
    GROUP_TWIN_IN_REBALANCE = "group-twin-in-rebalance", "A static member took the place of one that waited in the same rebalance.";
    GROUP_STATIC_REPLACED_IN_REBALANCE = "group-static-replaced-in-rebalance", "A static member came back during a rebalance.";
    GROUP_STATIC_REPLACED = "group-static-replaced", "A static member came back, and the group went on without a rebalance.";
    GROUP_STATIC_REPLACEMENT_FAILED = "group-static-replacement-failed", "A static member came back, and that could not be written.";
    GROUP_LEADER_REPEATS = "group-leader-repeats", "A leader sent an assignment again while the first was not settled.";
    GROUP_ASSIGNMENT_FAILED = "group-assignment-failed", "An assignment could not be written, and everybody joined again.";
    GROUP_ASSIGNMENT_OVERTAKEN = "group-assignment-overtaken", "An assignment was written after the group had moved on.";
    GROUP_CREATION_FAILED = "group-creation-failed", "A group could not be written when it was created.";
    GROUP_DELETION_UNDONE = "group-deletion-undone", "A group whose deletion could not be written is there again.",
        rare "a group has to be forgotten just when nothing can be written; property tests of the group fail its appends";
    GROUP_EXPIRED = "group-expired", "A group went with the last of its offsets.";
    GROUP_OFFSETS_EXPIRED = "group-offsets-expired", "Offsets of a group were removed after their time.";
    GROUP_OFFSETS_OF_DELETED_TOPIC = "group-offsets-of-deleted-topic", "Offsets of a group went with their topic.";
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::cell::RefCell;

    #[derive(Default)]
    struct Seen(RefCell<Vec<Observation>>);

    impl Seen {
        fn observe(&self, observation: &Observation) {
            self.0.borrow_mut().push(observation.clone());
        }
    }

    #[test]
    fn a_branch_is_observed_when_it_runs() {
        let seen = Seen::default();
        sometimes!(seen, LOG_CUT, false);
        assert!(seen.0.borrow().is_empty());
        sometimes!(seen, LOG_CUT, true);
        reachable!(seen, LOG_CLEANED);
        let names = [Observation::Mark { name: "log-cut" }, Observation::Mark { name: "log-cleaned" }];
        assert_eq!(*seen.0.borrow(), names);
    }

    #[test]
    fn names_are_of_one_kind_and_tell_marks_apart() {
        let mut names: Vec<&str> = ALL.iter().map(|mark| mark.name).collect();
        let is_letter = |letter: char| letter.is_ascii_lowercase() || letter == '-';
        assert!(names.iter().all(|name| name.chars().all(is_letter) && !name.starts_with('-') && !name.ends_with('-')));
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
