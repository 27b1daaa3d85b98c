//! Bounds that more than one room relies on, each with its reason. Bounds of one room stand in that room.

/// Longest topic name (Kafka's `Topic.MAX_NAME_LENGTH`): with `-partition` and `.delete` suffixes it still fits a file name.
pub const TOPIC_NAME_CHARS_MAX: usize = 249;

/// Most partitions one topic may have. Kafka has no fixed bound; every partition costs descriptors and memory here.
pub const PARTITIONS_PER_TOPIC_MAX: i32 = 100_000;

/// Most batches remembered per producer for duplicate detection (Kafka's `ProducerStateEntry.NUM_BATCHES_TO_RETAIN`).
pub const PRODUCER_BATCHES_MAX: usize = 5;

/// Default of `socket.request.max.bytes`.
pub const REQUEST_BYTES_MAX_DEFAULT: u32 = 100 * 1024 * 1024;

/// Requests of one connection that may be dispatched and unanswered; the reader waits beyond it.
pub const IN_FLIGHT_REQUESTS_PER_CONNECTION_MAX: usize = 64;
