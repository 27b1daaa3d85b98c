//! Which batches of a stretch stand where they should. The checksum of a batch leaves its base offset and leader epoch
//! out; a checksum over these alone says that some of them are wrong, and neighbours say which. Pure; scrubbing drives it.

use barnabas_base::{LeaderEpoch, Offset};

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

/// A run of pieces that must not be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) from: Offset,
    pub(crate) to: Offset,
    pub(crate) from_position: u64,
    pub(crate) to_position: u64,
}

/// Whether each piece may be served. `before` is the offset at which the stretch must begin and `after` the one at which
/// it must end, where that is known. With `are_placed` every batch is known to stand where it claims.
///
/// A batch is confirmed by a chain without gaps from either end. Cleaning leaves gaps, and behind one nobody can tell a
/// batch from one with a false offset: neither is confirmed.
pub(crate) fn confirmed(
    pieces: &[Piece],
    before: Option<Offset>,
    after: Option<Offset>,
    are_placed: bool,
) -> Vec<bool> {
    let mut confirmed = vec![false; pieces.len()];
    let mut expected = before;
    for (piece, is_confirmed) in pieces.iter().zip(&mut confirmed) {
        expected = match piece.content {
            Content::Batch { from, to, has_right_epoch, .. } => {
                *is_confirmed |= are_placed || has_right_epoch && expected == Some(from);
                is_confirmed.then_some(to)
            }
            Content::Unsound => None,
            Content::Listed { to, .. } => Some(to),
        };
    }
    let mut expected = after;
    for (piece, is_confirmed) in pieces.iter().zip(&mut confirmed).rev() {
        expected = match piece.content {
            Content::Batch { from, to, has_right_epoch, .. } => {
                *is_confirmed |= has_right_epoch && expected == Some(to);
                is_confirmed.then_some(from)
            }
            Content::Unsound => None,
            Content::Listed { from, .. } => Some(from),
        };
    }
    confirmed
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
    runs.extend(open.map(|run| Wrong { to: end.max(run.from.plus(1)), ..run }));
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let pieces = pieces(contents);
        let confirmed = confirmed(&pieces, Some(Offset(0)), Some(Offset(30)), are_placed);
        let runs = wrong(&pieces, &confirmed, (Offset(0), Offset(30)));
        runs.iter().map(|run| (run.from.0, run.to.0, run.from_position, run.to_position)).collect()
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
    fn listed_damage_holds_a_chain_together() {
        let listed = Content::Listed { from: Offset(10), to: Offset(20) };
        assert_eq!(found(&[batch(0, 10), listed, batch(20, 30)], false), []);
        assert_eq!(found(&[batch(0, 10), listed, batch(24, 34)], false), [(20, 30, 20, 30)]);
    }
}
