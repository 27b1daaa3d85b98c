//! Named bounds of this room, each with its reason. Plain constants; nothing else.

/// Bytes from which a plaintext range of a fetch answer is sent from the file instead of from memory: below it one
/// copy costs less than the second system call.
pub const FILE_RANGE_BYTES_MIN: u64 = 16 * 1024;

/// Bytes of header walk that one positional read fetches; a batch header and its neighbours fit.
pub const WALK_CHUNK_BYTES: usize = 16 * 1024;

/// Bytes that recovery, scrubbing and cleaning read at once.
pub const SCAN_CHUNK_BYTES: usize = 1024 * 1024;

/// Bytes that one range of a check file covers. A first read after open verifies whole ranges, so a small consumer
/// request costs at most one of them.
pub const CHECK_RANGE_BYTES: u64 = 1024 * 1024;

/// Batches in question at a time while what follows damage is looked for: a few MiB of memory at most. Where more overlap,
/// which only somebody who forges headers achieves, the file is read once more for each as many.
pub const SWEEP_HEADS_MAX: usize = 64 * 1024;

/// Bytes of one batch that a log accepts from its own disk. Kafka's `message.max.bytes` may be anything up to 2³¹−1;
/// a length beyond that is damage.
pub const BATCH_BYTES_MAX: u32 = i32::MAX as u32;

/// Size up to which a batch is copied into the tail cache instead of sharing the request's frame.
pub const TAIL_COPY_BYTES_MAX: u64 = 8 * 1024;

/// Batches near the end of a log whose positions are remembered.
pub const TAIL_BATCHES_MAX: usize = 4096;

/// Batches that one vectored write carries (`IOV_MAX` is 1,024 on Linux).
pub const WRITE_PARTS_MAX: usize = 512;

/// Bytes that one vectored write carries, so that a slow device does not hold a log for long.
pub const WRITE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Appends that may wait in one log's queue. Connections bound their requests; this catches a caller that does not.
pub const APPEND_QUEUE_MAX: usize = 4096;

/// Bytes of one log's unsynced batches that are kept in memory for the journal. A log beyond it syncs its own file.
pub const JOURNAL_LOG_BYTES_MAX: u64 = 64 * 1024;

/// Bytes of one commit up to which the journal takes it. Measured (README, "Commit"): beyond it writing the bytes twice
/// costs more than syncing a few files.
pub const JOURNAL_COMMIT_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Size at which a journal file is left for the other one.
pub const JOURNAL_FILE_BYTES: u64 = 32 * 1024 * 1024;

/// Room that a journal file takes when it is created, so that deletions can be recorded on a full device.
pub const JOURNAL_RESERVE_BYTES: u64 = 1024 * 1024;

/// Bytes of a journal file that are written ahead at once, in the background.
pub const JOURNAL_WARM_BYTES: u64 = 1024 * 1024;

/// Pause between two such writes, in milliseconds.
pub const JOURNAL_WARM_PAUSE_MS: i64 = 5;

/// Entries that a queue of cached batches or unsettled logs may hold whether they are needed or not.
pub const RING_ENTRIES_MIN: usize = 4 * TAIL_BATCHES_MAX;

/// Pause before what lacked room or descriptors is tried again, in milliseconds.
pub const AGAIN_MS: i64 = 100;

/// Journal files that must fit the device beside everything else, or none is written ahead.
pub const JOURNAL_WARM_ROOM_FILES: u64 = 64;

/// Room that a log directory keeps for a start on a device without any: the points of 50,000 partitions and the small
/// files that are replaced then.
pub const RESERVE_BYTES: u64 = 8 * 1024 * 1024;

/// Smallest piece of the reserve that is asked for.
pub const RESERVE_STEP_BYTES_MIN: u64 = 64 * 1024;

/// Alignment of journal entries: a commit never rewrites a sector that holds an acknowledged one.
pub const JOURNAL_ALIGN_BYTES: u64 = 512;

/// Logs of one commit that the journal lists in one entry.
pub const JOURNAL_PARTS_MAX: usize = 65_536;

/// Files that are synced one by one in parallel; more go by one `syncfs`. Measured: parallel `fdatasync` of 64 files
/// and `syncfs` cost the same here.
pub const SYNC_FILES_MAX: usize = 64;

/// Bytes of a shard past its settled points, after which the log that is longest unsettled is settled: bounds what a
/// start after a crash has to walk through, at most three times as much, since a point is published with the one after it.
/// A quarter of this while there are few logs, which takes a fifth of a second from the page cache. With 2,000 logs under
/// load each is settled every 256 KiB; a quarter of the bound, and settling takes half of the broker's processor time.
pub const UNSETTLED_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Each log adds this fraction of [`UNSETTLED_BYTES_MAX`] to what may be past settled points: 256 KiB.
pub const UNSETTLED_LOGS_MANY: u64 = 2_048;

/// How long nothing of a producer must have been appended before it may be forgotten to make room for another one, in milliseconds.
/// Far longer than producers go on trying to send a batch (`delivery.timeout.ms` is two minutes), so that none of
/// theirs is written twice.
pub const PRODUCER_SILENT_MS_MIN: i64 = 15 * 60 * 1000;

/// Least time between two notes of where a log ends, in milliseconds: a silence is known to be that long, or the pause
/// between two of its retention checks, when it is longer than needed.
pub const PAST_END_PAUSE_MS: i64 = PRODUCER_SILENT_MS_MIN / 5;

/// Such notes of one log: as many as reach back by [`PRODUCER_SILENT_MS_MIN`].
pub const PAST_ENDS_MAX: usize = 6;

/// Pause between two looks for such producers in one log, in milliseconds.
pub const PRODUCER_SWEEP_PAUSE_MS: i64 = 1_000;

/// Open segment files of one shard unless the node says otherwise.
pub const HANDLES_DEFAULT: usize = 4096;

/// Bytes of the indexes of sealed segments that a shard keeps loaded.
pub const INDEX_CACHE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Positions that a log remembers where readers stopped: a sequential reader needs no index.
pub const READ_HINTS_MAX: usize = 8;

/// Damaged ranges that one log lists, where its segments are not more. More are merged with their neighbour.
pub const DAMAGED_RANGES_MAX: usize = 1024;

/// Bytes of a small file (checkpoint, marker, metadata) that is read whole.
pub const SMALL_FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How long a truncation waits for responses that still send from the file, in milliseconds.
pub const TRUNCATE_LEASE_WAIT_MS: i64 = 10_000;

/// Pause between two looks at such responses, in milliseconds.
pub const TRUNCATE_LEASE_POLL_MS: i64 = 5;

/// Memory of the cleaner's map unless the node says otherwise (`log.cleaner.dedupe.buffer.size`).
pub const CLEANER_MAP_BYTES_DEFAULT: usize = 128 * 1024 * 1024;

/// Cleaned bytes that are collected before they are written.
pub const CLEAN_WRITE_BYTES: usize = 4 * 1024 * 1024;

/// Batches that one segment can hold: its bytes over those of the smallest batch.
pub const SWEEP_ENTRIES_MAX: u64 = i32::MAX as u64 / 61 + 1;
