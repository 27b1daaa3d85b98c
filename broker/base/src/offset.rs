//! Log offsets and leader epochs: the two coordinates of every record. Plain data.

use std::fmt;

use crate::id::integer_id;

integer_id! {
    /// Position of a record in one partition's log. Exclusive ends (log end offset, high watermark) use it too;
    /// −1 stands for "unknown".
    Offset(i64)
}
integer_id! {
    /// Epoch of a partition's leader (KIP-101). Never goes back for a topic id; −1 stands for "unknown".
    LeaderEpoch(i32)
}

impl Offset {
    /// The first offset of a fresh log.
    pub const ZERO: Self = Self(0);
    /// No offset known.
    pub const UNKNOWN: Self = Self(-1);

    /// The offset `count` records later.
    #[must_use]
    pub const fn plus(self, count: i64) -> Self {
        assert!(count >= 0, "offsets only advance by counts");
        match self.0.checked_add(count) {
            Some(sum) => Self(sum),
            None => panic!("an offset stays below 2^63"),
        }
    }

    /// How many offsets lie from `earlier` up to this one; negative when `earlier` is later.
    #[must_use]
    pub const fn minus(self, earlier: Self) -> i64 {
        self.0 - earlier.0
    }
}

impl LeaderEpoch {
    /// No epoch known.
    pub const UNKNOWN: Self = Self(-1);
}

impl fmt::LowerHex for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
