//! How fast a frame has to come. Pure; the frame's reader says when bytes came, and asks when the next deadline is over.

use std::fmt;
use std::time::Duration;

use barnabas_base::Monotonic;

/// A frame of which nothing more arrives for this long is given up: it may hold memory, and not as long as
/// `connections.max.idle.ms` may be.
const STALLED_FRAME_MAX: Duration = Duration::from_secs(30);
/// While others wait for memory, a frame has to bring something in each stretch of this length. Long enough for a
/// lost packet to be sent again several times, and far below what clients wait for an answer (`request.timeout.ms` 30 s).
const PACE_WINDOW: Duration = Duration::from_secs(5);
/// The least it has to bring: a link of 28 kbit/s carries it.
const PACE_BYTES_MIN: usize = 16 * 1024;
/// A large frame has to bring at least this part of itself: so it is through after this many stretches, 5 minutes or so,
/// however large it is.
const PACE_WINDOWS_MAX: usize = 64;

/// Why a frame was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GivenUp {
    /// Nothing came.
    Stalled { size: usize, arrived: usize },
    /// Too little came while others waited for memory.
    GaveWay { size: usize, arrived: usize, brought: usize },
}

impl fmt::Display for GivenUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stalled { size, arrived } => {
                let stalled = STALLED_FRAME_MAX.as_secs();
                write!(f, "{arrived} of the {size} bytes of its request have come, and nothing more for {stalled} s")
            }
            Self::GaveWay { size, arrived, brought } => {
                let window = PACE_WINDOW.as_secs();
                write!(
                    f,
                    "{arrived} of the {size} bytes of its request have come, {brought} of them in the last {window} s, \
                     while others waited for memory (see queued.max.request.bytes and barnabas.memory.bytes)"
                )
            }
        }
    }
}

/// Measures one frame.
#[derive(Debug)]
pub(super) struct Pace {
    size: usize,
    arrived: usize,
    arrived_last: Monotonic,
    window_began: Monotonic,
    /// What had arrived when the window began.
    window_arrived: usize,
}

impl Pace {
    /// Of a frame of `size` bytes of which `arrived` are there.
    pub(super) const fn begin(size: usize, arrived: usize, now: Monotonic) -> Self {
        Self { size, arrived, arrived_last: now, window_began: now, window_arrived: arrived }
    }

    /// Measures anew: the frame was not read for a while.
    pub(super) fn restart(&mut self, arrived: usize, now: Monotonic) {
        *self = Self::begin(self.size, arrived, now);
    }

    /// When to judge at the latest.
    pub(super) fn deadline(&self) -> Monotonic {
        self.arrived_last.after(STALLED_FRAME_MAX).min(self.window_began.after(PACE_WINDOW))
    }

    /// Counts what came, and says whether the frame is still worth waiting for. `others_wait_since` is when the first of
    /// those who still wait for memory, or were followed by others who do, began to.
    pub(super) fn judge(
        &mut self,
        came: usize,
        now: Monotonic,
        others_wait_since: Option<Monotonic>,
    ) -> Result<(), GivenUp> {
        let Self { size, .. } = *self;
        self.arrived += came;
        let arrived = self.arrived;
        if came > 0 {
            self.arrived_last = now;
        }
        if now >= self.arrived_last.after(STALLED_FRAME_MAX) {
            return Err(GivenUp::Stalled { size, arrived });
        }
        if arrived >= size || now < self.window_began.after(PACE_WINDOW) {
            return Ok(());
        }
        let brought = arrived - self.window_arrived;
        let waited_throughout = others_wait_since.is_some_and(|since| since <= self.window_began);
        if waited_throughout && brought < PACE_BYTES_MIN.max(size / PACE_WINDOWS_MAX) {
            return Err(GivenUp::GaveWay { size, arrived, brought });
        }
        (self.window_began, self.window_arrived) = (now, arrived);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 1_000_000;

    fn at(seconds: u64) -> Monotonic {
        Monotonic::ZERO.after(Duration::from_secs(seconds))
    }

    /// Brings `bytes` each second until the frame is given up or `seconds` are over.
    fn bring(size: usize, bytes: usize, seconds: u64, waited_since: Option<Monotonic>) -> Result<(), (u64, GivenUp)> {
        let mut pace = Pace::begin(size, 0, at(0));
        for second in 1..=seconds {
            let now = at(second);
            let waited_since = waited_since.filter(|since| *since <= now);
            pace.judge(bytes, now, waited_since).map_err(|why| (second, why))?;
        }
        Ok(())
    }

    #[test]
    fn a_slow_frame_is_left_alone_while_nobody_waits() {
        assert_eq!(bring(SIZE, 1, 1_000, None), Ok(()));
        // Others who wait anew again and again did not wait because of it alone.
        let mut pace = Pace::begin(SIZE, 0, at(0));
        for second in 1..1_000 {
            assert_eq!(pace.judge(1, at(second), Some(at(second - second % 4))), Ok(()));
        }
    }

    #[test]
    fn a_frame_that_drips_gives_way_after_a_whole_window() {
        let gave_way = GivenUp::GaveWay { size: SIZE, arrived: 10, brought: 5 };
        assert_eq!(bring(SIZE, 1, 100, Some(at(3))), Err((10, gave_way)));
        assert_eq!(bring(SIZE, PACE_BYTES_MIN / 5, 100, Some(at(0))).map_err(|(second, _)| second), Err(5));
        assert_eq!(bring(SIZE, PACE_BYTES_MIN / 5 + 1, 100, Some(at(0))), Ok(()));
    }

    #[test]
    fn a_large_frame_that_others_wait_for_is_through_in_minutes() {
        let size = 100 << 20;
        assert!(bring(size, PACE_BYTES_MIN, 100, Some(at(0))).is_err());
        assert_eq!(bring(size, size / 320 + 1, 320, Some(at(0))), Ok(()));
    }

    #[test]
    fn a_frame_is_given_up_when_nothing_comes() {
        let stalled = GivenUp::Stalled { size: SIZE, arrived: 0 };
        assert_eq!(bring(SIZE, 0, 100, None), Err((30, stalled)));
        let mut pace = Pace::begin(SIZE, 0, at(0));
        assert_eq!(pace.deadline(), at(5));
        for second in [5, 10, 15, 20, 25] {
            assert_eq!(pace.judge(0, pace.deadline(), None), Ok(()));
            assert_eq!(pace.deadline(), at(second + 5));
        }
        assert_eq!(pace.judge(1, at(29), None), Ok(()));
        assert_eq!(pace.judge(0, at(58), None), Ok(()));
        assert_eq!(pace.deadline(), at(59));
        assert_eq!(pace.judge(0, at(59), None), Err(GivenUp::Stalled { size: SIZE, arrived: 1 }));
    }

    #[test]
    fn the_log_tells_how_much_of_how_much_had_come() {
        let why = GivenUp::GaveWay { size: SIZE, arrived: 400_010, brought: 5 }.to_string();
        assert!(
            why.starts_with("400010 of the 1000000 bytes of its request have come, 5 of them in the last 5 s"),
            "{why}"
        );
        let why = GivenUp::Stalled { size: SIZE, arrived: 17 }.to_string();
        assert_eq!(why, "17 of the 1000000 bytes of its request have come, and nothing more for 30 s");
    }

    #[test]
    fn waiting_for_memory_counts_for_nothing() {
        let mut pace = Pace::begin(SIZE, 0, at(0));
        pace.restart(7, at(100));
        assert_eq!(pace.deadline(), at(105));
        assert_eq!(pace.judge(0, at(104), Some(at(0))), Ok(()));
        assert_eq!(pace.judge(0, at(105), Some(at(0))), Err(GivenUp::GaveWay { size: SIZE, arrived: 7, brought: 0 }));
    }
}
