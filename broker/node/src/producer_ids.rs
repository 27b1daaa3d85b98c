//! A block of producer ids that the controller has given to one shard (KIP-730). Pure.

/// Ids not handed out yet.
#[derive(Debug, Default)]
pub(crate) struct ProducerIdBlock {
    next: i64,
    end: i64,
}

impl ProducerIdBlock {
    /// The ids from `first` on, `len` of them.
    pub(crate) fn new(first: i64, len: i32) -> Self {
        assert!(first >= 0, "producer ids are not negative");
        assert!(len > 0, "a block has ids");
        Self { next: first, end: first + i64::from(len) }
    }

    /// Whether all ids were handed out.
    pub(crate) const fn is_empty(&self) -> bool {
        self.next >= self.end
    }

    /// Hands out an id, for ever.
    pub(crate) fn next(&mut self) -> Option<i64> {
        if self.is_empty() {
            return None;
        }
        let id = self.next;
        self.next += 1;
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_hands_out_each_id_once() {
        let mut block = ProducerIdBlock::new(1_000, 2);
        assert_eq!([block.next(), block.next(), block.next()], [Some(1_000), Some(1_001), None]);
        assert!(ProducerIdBlock::default().is_empty());
    }
}
