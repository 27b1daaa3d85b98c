//! Which batches of a stretch stand where they should. The checksum of a batch leaves its base offset and leader epoch
//! out; a checksum over these alone says that some of them are wrong, and neighbours say which. Pure; scrubbing drives it.

use barnabas_base::{LeaderEpoch, Offset};

use crate::check::FlippedBit;

/// What stands at one place of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) from_position: u64,
    pub(crate) to_position: u64,
    pub(crate) content: Content,
}

/// The content of a [`Piece`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// A batch that passes its checksum, with the offsets it claims.
    Batch { from: Offset, to: Offset, epoch: LeaderEpoch, has_right_epoch: bool },
    /// Bytes that are no sound batch.
    Unsound,
    /// Damage that is listed.
    Listed { from: Offset, to: Offset },
}

impl Content {
    /// The offset behind it, as far as it says.
    pub(crate) const fn end_offset(&self) -> Option<Offset> {
        match self {
            Self::Batch { to, .. } | Self::Listed { to, .. } => Some(*to),
            Self::Unsound => None,
        }
    }
}

/// How far a walk through pieces has come for certain. A batch whose head has rotted may claim any offset: what it claims
/// counts once another one vouches for it, by going on where it ends or by following it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    /// Offset up to which it has come.
    pub(crate) sure: Offset,
    /// Where the last batch ends that nobody has vouched for.
    claimed: Option<Offset>,
}

impl Progress {
    /// A walk that begins at `start`.
    pub(crate) const fn from(start: Offset) -> Self {
        Self { sure: start, claimed: None }
    }

    pub(crate) fn pass(&mut self, content: &Content) {
        match *content {
            Content::Unsound => self.claimed = None,
            Content::Listed { to, .. } => *self = Self::from(to),
            Content::Batch { from, to, .. } if from == self.sure || self.claimed == Some(from) => {
                *self = Self::from(to)
            }
            Content::Batch { from, to, .. } => {
                let vouched = self.claimed.filter(|claimed| (self.sure..=from).contains(claimed));
                *self = Self { sure: vouched.unwrap_or(self.sure), claimed: Some(to) };
            }
        }
    }
}

/// A run of pieces that must not be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) from: Offset,
    pub(crate) to: Offset,
    pub(crate) from_position: u64,
    pub(crate) to_position: u64,
}

/// What is known of the places that batches claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placed {
    /// All stand where they were written.
    All,
    /// All but the piece of this number: one bit of its head is false.
    AllBut(usize),
    /// Some head is false. `has_gaps` says that offsets may be missing between batches.
    Unknown { has_gaps: bool },
}

impl Placed {
    /// What the checksum over the places of the pieces `heads` says, read once and once from what was summed up when they
    /// were written.
    pub(crate) fn of(pieces: &[Piece], heads: &[usize], (read, summed): (u32, u32), has_gaps: bool) -> Self {
        if read == summed {
            return Self::All;
        }
        let flipped = FlippedBit::find(heads.len(), read, summed);
        match flipped.map(|bit| (heads[bit.head], bit.offset_mask)) {
            // Several false bits look like another one once in a long while: offsets have to rise, too.
            Some((index, mask)) if are_ordered(pieces, index, mask) => Self::AllBut(index),
            _ => Self::Unknown { has_gaps },
        }
    }
}

/// Whether batches stand in the order of their offsets once `mask` is flipped back in the piece at `index`.
fn are_ordered(pieces: &[Piece], index: usize, mask: i64) -> bool {
    let claims = pieces.iter().enumerate().filter_map(|(at, piece)| match piece.content {
        Content::Batch { from, to, .. } if at == index => {
            let base = Offset(from.0 ^ mask);
            Some((base, Offset(base.0.saturating_add(to.0 - from.0))))
        }
        Content::Batch { from, to, .. } | Content::Listed { from, to } => Some((from, to)),
        Content::Unsound => None,
    });
    claims.is_sorted_by(|(_, before), (from, _)| before <= from)
}

/// Whether each piece may be served. `before` is the offset at which the stretch must begin and `after` the one at which
/// it must end, where that is known.
///
/// Where more is not known a batch is confirmed by a chain without gaps from either end. Cleaning leaves gaps, and behind
/// one nobody can tell a batch from one with a false offset: neither is confirmed. Nor is the last of a chain that ends at
/// a gap: what stood within the gap may claim the offset that continues the chain. Where there should be no gaps that is
/// suspected only when nothing else is false.
pub(crate) fn confirmed(
    pieces: &[Piece],
    (before, after): (Option<Offset>, Option<Offset>),
    placed: Placed,
) -> Vec<bool> {
    let is_batch = |piece: &Piece| matches!(piece.content, Content::Batch { .. });
    let has_gaps = match placed {
        Placed::All => return pieces.iter().map(is_batch).collect(),
        Placed::AllBut(index) => {
            return pieces.iter().enumerate().map(|(at, piece)| at != index && is_batch(piece)).collect();
        }
        Placed::Unknown { has_gaps } => has_gaps,
    };
    let ascending = chained(pieces.iter(), before, |from, to| (from, to));
    let mut descending = chained(pieces.iter().rev(), after, |from, to| (to, from));
    descending.reverse();
    let is_false = |index: usize| match pieces[index].content {
        Content::Batch { .. } => !ascending[index] && !descending[index],
        Content::Unsound => true,
        Content::Listed { .. } => false,
    };
    let ends_are_sound = !has_gaps && (0..pieces.len()).any(is_false);
    let holds = |chain: &[bool], other: &[bool], index: usize, next: Option<usize>| {
        chain[index] && (ends_are_sound || other[index] || follows(pieces, chain, index, next))
    };
    let is_confirmed = |index: usize| {
        holds(&ascending, &descending, index, Some(index + 1))
            || holds(&descending, &ascending, index, index.checked_sub(1))
    };
    (0..pieces.len()).map(is_confirmed).collect()
}

/// Whether the piece at `next` goes on with the chain that holds the one at `index`.
fn follows(pieces: &[Piece], chain: &[bool], index: usize, next: Option<usize>) -> bool {
    let touch = |one: &Content, other: &Content| match (one, other) {
        (Content::Batch { from, to, .. }, Content::Listed { from: listed, to: listed_end }) => {
            to == listed || from == listed_end
        }
        _ => false,
    };
    let Some(next) = next.filter(|next| *next < pieces.len()) else { return false };
    chain[next] || touch(&pieces[index].content, &pieces[next].content)
}

/// Which pieces are batches in a chain without gaps that begins at `expected`, in the order of `pieces`. `ends` names the
/// near and the far end of two offsets. Listed damage holds a chain together and is not part of it.
fn chained<'a>(
    pieces: impl Iterator<Item = &'a Piece>,
    mut expected: Option<Offset>,
    ends: impl Fn(Offset, Offset) -> (Offset, Offset),
) -> Vec<bool> {
    let step = |piece: &Piece| {
        let (is_chained, next) = match piece.content {
            Content::Batch { from, to, has_right_epoch, .. } => {
                let (near, far) = ends(from, to);
                let is_chained = has_right_epoch && expected == Some(near);
                (is_chained, is_chained.then_some(far))
            }
            Content::Unsound => (false, None),
            Content::Listed { from, to } => (false, Some(ends(from, to).1)),
        };
        expected = next;
        is_chained
    };
    pieces.map(step).collect()
}

/// The runs of pieces that are neither confirmed nor listed. `start` is where the first of them begins at the earliest,
/// `end` where the last one ends when nothing behind it is confirmed.
pub(crate) fn wrong(pieces: &[Piece], confirmed: &[bool], (start, end): (Offset, Offset)) -> Vec<Wrong> {
    let mut runs: Vec<Wrong> = Vec::new();
    let mut open: Option<Wrong> = None;
    let mut last_end = start;
    for (piece, is_confirmed) in pieces.iter().zip(confirmed) {
        let sound = match piece.content {
            Content::Listed { from, to } => Some((from, to)),
            Content::Batch { from, to, .. } if *is_confirmed => Some((from, to)),
            Content::Batch { .. } | Content::Unsound => None,
        };
        match (sound, &mut open) {
            (Some((from, to)), run) => {
                runs.extend(run.take().map(|run| Wrong { to: from.max(run.from.plus(1)), ..run }));
                last_end = last_end.max(to);
            }
            (None, Some(run)) => run.to_position = piece.to_position,
            (None, run @ None) => {
                let (from_position, to_position) = (piece.from_position, piece.to_position);
                *run = Some(Wrong { from: last_end, to: last_end, from_position, to_position });
            }
        }
    }
    runs.extend(open.map(|run| Wrong { to: end.max(run.from), ..run }));
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Sums;

    /// Pieces of ten bytes each.
    fn pieces(contents: &[Content]) -> Vec<Piece> {
        let piece = |(index, content): (usize, &Content)| {
            let from_position = index as u64 * 10;
            Piece { from_position, to_position: from_position + 10, content: *content }
        };
        contents.iter().enumerate().map(piece).collect()
    }

    fn batch(from: i64, to: i64) -> Content {
        Content::Batch { from: Offset(from), to: Offset(to), epoch: LeaderEpoch(0), has_right_epoch: true }
    }

    /// Offsets and positions of what must not be served in a stretch that begins with 0 and ends before 30.
    fn found(contents: &[Content], are_placed: bool) -> Vec<(i64, i64, u64, u64)> {
        found_with(contents, if are_placed { Placed::All } else { Placed::Unknown { has_gaps: false } })
    }

    fn found_with(contents: &[Content], placed: Placed) -> Vec<(i64, i64, u64, u64)> {
        let pieces = pieces(contents);
        let confirmed = confirmed(&pieces, (Some(Offset(0)), Some(Offset(30))), placed);
        let runs = wrong(&pieces, &confirmed, (Offset(0), Offset(30)));
        runs.iter().map(|run| (run.from.0, run.to.0, run.from_position, run.to_position)).collect()
    }

    /// How far a walk from 0 has come after each piece.
    fn progress(contents: &[Content]) -> Vec<i64> {
        let mut progress = Progress::from(Offset(0));
        let pass = |content: &Content| {
            progress.pass(content);
            progress.sure.0
        };
        contents.iter().map(pass).collect()
    }

    #[test]
    fn a_false_offset_leads_nobody_on() {
        let (high, low) = (batch(1 << 40, (1 << 40) + 10), batch(3, 13));
        assert_eq!(progress(&[batch(0, 10), batch(10, 20), batch(20, 30)]), [10, 20, 30]);
        assert_eq!(progress(&[batch(0, 10), high, Content::Unsound, batch(30, 40)]), [10, 10, 10, 10]);
        assert_eq!(progress(&[batch(0, 10), high, batch(20, 30), batch(30, 40)]), [10, 10, 10, 40]);
        assert_eq!(progress(&[batch(0, 10), low, batch(20, 30), batch(35, 40)]), [10, 10, 13, 30]);
        assert_eq!(progress(&[high, batch(1 << 41, 1 << 42), batch(20, 30), batch(30, 40)])[3], 40, "twice");
    }

    #[test]
    fn cleaned_batches_follow_one_another_and_listed_damage_is_sure() {
        assert_eq!(progress(&[batch(5, 6), batch(9, 10), batch(14, 15)]), [0, 6, 10]);
        assert_eq!(progress(&[Content::Listed { from: Offset(0), to: Offset(7) }, batch(7, 8)]), [7, 8]);
    }

    #[test]
    fn a_whole_chain_is_confirmed() {
        assert_eq!(found(&[batch(0, 10), batch(10, 20), batch(20, 30)], false), []);
    }

    #[test]
    fn a_false_offset_is_found_wherever_it_points() {
        for false_base in [2, 11, 14, 1 << 40] {
            let flipped = batch(false_base, false_base + 10);
            assert_eq!(found(&[batch(0, 10), flipped, batch(20, 30)], false), [(10, 20, 10, 20)], "{false_base}");
            assert_eq!(found(&[batch(0, 10), batch(10, 20), flipped], false), [(20, 30, 20, 30)], "{false_base}");
        }
    }

    #[test]
    fn the_batch_behind_an_unsound_one_is_confirmed_from_the_other_end() {
        assert_eq!(found(&[Content::Unsound, batch(10, 20), batch(20, 30)], false), [(0, 10, 0, 10)]);
        // And one with a false offset is not, whatever stands before it.
        assert_eq!(found(&[Content::Unsound, batch(12, 22), batch(20, 30)], false), [(0, 20, 0, 20)]);
    }

    #[test]
    fn a_false_epoch_is_found() {
        let flipped =
            Content::Batch { from: Offset(10), to: Offset(20), epoch: LeaderEpoch(4), has_right_epoch: false };
        assert_eq!(found(&[batch(0, 10), flipped, batch(20, 30)], false), [(10, 20, 10, 20)]);
    }

    #[test]
    fn behind_gaps_only_placed_batches_are_sound() {
        let cleaned = [batch(3, 4), batch(8, 12), Content::Unsound, batch(25, 26)];
        assert_eq!(found(&cleaned, true), [(12, 25, 20, 30)]);
        assert_eq!(found(&cleaned, false), [(0, 30, 0, 40)]);
    }

    #[test]
    fn a_false_offset_that_continues_a_chain_before_a_gap_is_found() {
        // What stands at 10 stood at 18, or what ends before 20 stood lower.
        let (up, down) = ([batch(0, 10), batch(10, 11), batch(20, 30)], [batch(0, 5), batch(19, 20), batch(20, 30)]);
        for has_gaps in [false, true] {
            assert_eq!(found_with(&up, Placed::Unknown { has_gaps }), [(10, 30, 10, 30)]);
            assert_eq!(found_with(&down, Placed::Unknown { has_gaps }), [(0, 20, 0, 20)]);
        }
        // Where there are no gaps the offset is the only one that it can have.
        let behind_another = [batch(0, 10), batch(10, 11), Content::Unsound, batch(25, 30)];
        assert_eq!(found_with(&behind_another, Placed::Unknown { has_gaps: false }), [(11, 25, 20, 30)]);
        assert_eq!(found_with(&behind_another, Placed::Unknown { has_gaps: true }), [(10, 30, 10, 40)]);
    }

    fn places(contents: &[Content]) -> u32 {
        let mut sums = Sums::default();
        for content in contents {
            match content {
                Content::Batch { from, epoch, .. } => sums.place(*from, *epoch),
                Content::Unsound => sums.place_unsound(&[0; 21]),
                Content::Listed { .. } => {}
            }
        }
        sums.places
    }

    #[test]
    fn one_flipped_bit_costs_one_batch_of_a_cleaned_stretch() {
        let written = [batch(3, 4), batch(8, 12), Content::Unsound, batch(18, 19), batch(20, 21), batch(28, 29)];
        let heads: Vec<usize> = (0..written.len()).collect();
        let placed = |read: &[Content]| Placed::of(&pieces(read), &heads, (places(read), places(&written)), true);
        assert_eq!(placed(&written), Placed::All);
        for flipped in [batch(16, 17), batch(22, 23), batch(18 | 1 << 40, 19 | 1 << 40)] {
            let read = [written[0], written[1], written[2], flipped, written[4], written[5]];
            assert_eq!(placed(&read), Placed::AllBut(3));
            assert_eq!(found_with(&read, Placed::AllBut(3)), [(12, 20, 20, 40)]);
        }
        let twice = [written[0], written[1], written[2], batch(16, 17), batch(21, 22), written[5]];
        assert_eq!(placed(&twice), Placed::Unknown { has_gaps: true });
    }

    #[test]
    fn what_does_not_rise_once_a_bit_is_flipped_back_has_more_that_is_false() {
        let read = pieces(&[batch(3, 4), batch(9, 10), batch(8, 9), batch(12, 13)]);
        assert!(are_ordered(&read, 1, 9 ^ 5) && !are_ordered(&read, 3, 12 ^ 14) && !are_ordered(&read, 1, 9 ^ 8));
    }

    #[test]
    fn listed_damage_holds_a_chain_together() {
        let listed = Content::Listed { from: Offset(10), to: Offset(20) };
        assert_eq!(found(&[batch(0, 10), listed, batch(20, 30)], false), []);
        assert_eq!(found(&[batch(0, 10), listed, batch(24, 34)], false), [(20, 30, 20, 30)]);
    }
}
