//! The bounds of the client, each with its reason. Plain constants.

/// Longest response accepted, in bytes: a whole default Fetch of every partition, and room for one oversized batch.
pub const RESPONSE_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Calls of one connection that are sent and unanswered. Brokers answer in order, so that more of them help nobody.
pub const CALLS_PER_CONNECTION_MAX: usize = 32;

/// Calls of one client that are waiting or under way; more are refused at once.
pub const CALLS_MAX: usize = 10_000;

/// First pause before something is tried again, in milliseconds (`retry.backoff.ms`).
pub const RETRY_BACKOFF_MS: i64 = 100;

/// Longest such pause, in milliseconds (`retry.backoff.max.ms`).
pub const RETRY_BACKOFF_MAX_MS: i64 = 1_000;

/// Batches of one partition a producer has under way at once: so many the broker remembers of each producer.
pub const BATCHES_IN_FLIGHT_MAX: usize = 5;

/// Records a producer holds that are not delivered; its owner waits beyond it.
pub const QUEUED_RECORDS_MAX: usize = 100_000;

/// Records a consumer holds that its owner has not taken; it fetches no more beyond it.
pub const UNREAD_RECORDS_MAX: usize = 100_000;

/// Topics one group member may subscribe to.
pub const MEMBERSHIP_TOPICS_MAX: usize = 10_000;

/// The pause before attempt `attempt`, counted from 0: doubled each time, within the bounds above.
pub(crate) const fn backoff_ms(attempt: u32) -> i64 {
    let doubled = match attempt {
        0..=10 => RETRY_BACKOFF_MS << attempt,
        _ => RETRY_BACKOFF_MAX_MS,
    };
    if doubled < RETRY_BACKOFF_MAX_MS { doubled } else { RETRY_BACKOFF_MAX_MS }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_bounded() {
        assert_eq!([0, 1, 2, 3, 4, 40].map(backoff_ms), [100, 200, 400, 800, 1_000, 1_000]);
    }
}
