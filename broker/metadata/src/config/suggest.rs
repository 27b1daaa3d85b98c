//! "Did you mean": the known name nearest to a mistyped one. A pure function; loading and validation use it.

/// Names further away than this share of their length are no help to anybody.
const DISTANCE_SHARE: usize = 4;

/// The candidate with the smallest edit distance to `name`, if it is near enough to be meant.
pub(crate) fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = name.len() / DISTANCE_SHARE + 1;
    let scored = candidates.filter_map(|known| {
        let far = known.len().abs_diff(name.len()) > limit;
        let distance = if far { usize::MAX } else { edit_distance(name.as_bytes(), known.as_bytes()) };
        (distance <= limit).then_some((distance, known))
    });
    scored.min().map(|(_, known)| known)
}

/// Insertions, deletions and replacements that turn `left` into `right` (Wagner and Fischer).
fn edit_distance(left: &[u8], right: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let known = ["log.retention.ms", "log.roll.ms", "num.partitions"];
        assert_eq!(nearest("log.retention.mss", known.into_iter()), Some("log.retention.ms"));
        assert_eq!(nearest("num.partition", known.into_iter()), Some("num.partitions"));
        assert_eq!(nearest("something.else.entirely", known.into_iter()), None);
    }

    #[test]
    fn distances() {
        assert_eq!(edit_distance(b"kitten", b"sitting"), 3);
        assert_eq!(edit_distance(b"", b"abc"), 3);
        assert_eq!(edit_distance(b"abc", b"abc"), 0);
    }
}
