//! The clocks of the machine. One [`TokioClock`] per node, so that instants compare across its shards.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use barnabas_base::{Monotonic, TimestampMs};
use barnabas_runtime::{Clock, Local};

/// Sleeps longer than this never end: tokio's timer wheel ends after about two years.
const SLEEP_DAYS_MAX: u64 = 365;

/// Monotonic time since the node started, and the wall clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokioClock {
    start: Instant,
}

impl TokioClock {
    /// A clock that reads 0 now.
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Monotonic {
        Monotonic::ZERO.after(self.start.elapsed())
    }

    fn wall(&self) -> TimestampMs {
        // A clock set before 1970 reads as 1970: no record carries a negative timestamp by accident.
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        TimestampMs(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }

    fn sleep_until(&self, deadline: Monotonic) -> Local<'static, ()> {
        let now = self.now();
        let left = deadline.since(now);
        if left.is_zero() {
            return Box::pin(std::future::ready(()));
        }
        if left > Duration::from_secs(SLEEP_DAYS_MAX * 86_400) {
            return Box::pin(std::future::pending());
        }
        let instant = self.start + Duration::from_nanos(deadline.0);
        Box::pin(tokio::time::sleep_until(instant.into()))
    }
}
