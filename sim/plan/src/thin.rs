//! [`thin`]: delta debugging over a list that is part of a larger whole. Knows nothing of runs; whoever shrinks a failure
//! drives it and says which smaller whole still fails.

/// What is about to be taken out of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Items that go.
    pub items: usize,
    /// Items there are.
    pub of: usize,
}

/// Takes out of `list` of `whole` what a failure does not need, after Zeller and Hildebrandt (2002): all at once, then
/// halves, single ones last. `fails` is given a smaller whole and what is missing there; it gives back the whole to go on
/// with, or `None` when the failure needs what is missing.
///
/// What is left is minimal in that no single item can go, as far as `fails` answers the same for the same whole.
///
/// # Errors
/// What `fails` comes back with.
pub fn thin<W: Clone, T, E>(
    mut whole: W,
    list: impl Fn(&mut W) -> &mut Vec<T>,
    mut fails: impl FnMut(W, Piece) -> Result<Option<W>, E>,
) -> Result<W, E> {
    let mut size = list(&mut whole).len();
    while size > 0 {
        let mut at = 0;
        let mut removed = false;
        while at < list(&mut whole).len() {
            let of = list(&mut whole).len();
            let items = size.min(of - at);
            let mut smaller = whole.clone();
            list(&mut smaller).drain(at..at + items);
            match fails(smaller, Piece { items, of })? {
                Some(smaller) => {
                    whole = smaller;
                    removed = true;
                }
                None => at += items,
            }
        }
        if size == 1 && !removed {
            break;
        }
        size = if size == 1 { 1 } else { size.div_ceil(2).min(list(&mut whole).len().max(1)) };
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thinned(len: u32, needed: &[u32]) -> (Vec<u32>, usize) {
        let mut tries = 0;
        let fails = |smaller: Vec<u32>, piece: Piece| {
            tries += 1;
            assert_eq!(smaller.len(), piece.of - piece.items, "a piece is what is missing");
            Ok::<_, ()>(needed.iter().all(|item| smaller.contains(item)).then_some(smaller))
        };
        let left = thin((0..len).collect(), |whole| whole, fails);
        (left.expect("nothing goes wrong"), tries)
    }

    #[test]
    fn what_is_needed_is_left() {
        for needed in [&[][..], &[0], &[99], &[3, 4], &[0, 50, 99], &[7, 8, 9, 60, 61]] {
            let (left, tries) = thinned(100, needed);
            assert_eq!(left, needed);
            assert!(tries < 100, "{tries} tries for {needed:?}: it goes by halves");
        }
        assert_eq!(thinned(0, &[]), (vec![], 0));
        assert_eq!(thinned(1, &[0]), (vec![0], 1));
    }

    #[test]
    fn an_item_that_is_needed_beside_another_goes_with_it() {
        // 1 is needed as long as 5 is there, which is found first to be needed, or not.
        let fails = |smaller: Vec<u32>, _: Piece| {
            let red = smaller.contains(&9) && smaller.contains(&1) >= smaller.contains(&5);
            Ok::<_, ()>(red.then_some(smaller))
        };
        assert_eq!(thin((0..10).collect(), |whole: &mut Vec<u32>| whole, fails), Ok(vec![9]));
    }

    #[test]
    fn an_error_ends_it() {
        let fails = |_: Vec<u32>, _: Piece| Err("no disk left");
        assert_eq!(thin(vec![1, 2], |whole: &mut Vec<u32>| whole, fails), Err("no disk left"));
    }
}
