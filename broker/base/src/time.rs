//! Two kinds of time: monotonic instants for timeouts and wall-clock milliseconds for record timestamps. Pure values;
//! only the seam's clock produces them.

use std::fmt;
use std::time::Duration;

use crate::id::integer_id;

integer_id! {
    /// Wall-clock time in milliseconds since the Unix epoch, as records carry it; −1 stands for "none".
    /// It may jump in either direction: nothing about safety may depend on it.
    TimestampMs(i64)
}

impl TimestampMs {
    /// No timestamp.
    pub const NONE: Self = Self(-1);

    /// This time moved by `delta_ms`, held within the range of the type.
    #[must_use]
    pub const fn saturating_add_ms(self, delta_ms: i64) -> Self {
        Self(self.0.saturating_add(delta_ms))
    }
}

/// A point on a node's monotonic clock, in nanoseconds since that node's start. It never steps back within one
/// incarnation and means nothing outside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Monotonic(pub u64);

impl Monotonic {
    /// The start of the node.
    pub const ZERO: Self = Self(0);
    /// Later than every real instant: "never".
    pub const NEVER: Self = Self(u64::MAX);

    /// This instant plus `duration`; saturates at [`Monotonic::NEVER`].
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }

    /// This instant plus `ms` milliseconds; negative values count as zero.
    #[must_use]
    pub fn after_ms(self, ms: i64) -> Self {
        self.after(Duration::from_millis(u64::try_from(ms).unwrap_or(0)))
    }

    /// Time from `earlier` to this instant; zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Monotonic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}s", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}
