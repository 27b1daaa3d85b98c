//! Which offset holds the last value of each key: the memory of one cleaning. Keys are kept as 16-byte hashes, so that
//! long keys cost no more than short ones. Not exact by construction but by odds; the cleaner drives it.
//!
//! Two keys with one hash would lose a value. The hash is SipHash under 128 random bits drawn for each cleaning: nobody
//! who chooses keys can aim at a collision, and by chance one among a billion keys has odds of 10⁻²¹.

use barnabas_base::{Offset, keyed_hash};

/// Bytes of one slot: hash and offset, as in Kafka's `SkimpyOffsetMap`.
pub const SLOT_BYTES: usize = 24;

/// Slots that a map begins with; it doubles from there, since most cleanings need a fraction of the bound.
const SLOTS_MIN: usize = 16;

/// Share of the slots, in tenths, that may be taken at the bound (Kafka's `log.cleaner.io.buffer.load.factor`).
const FULL_TENTHS: usize = 9;

/// Share of the slots, in tenths, at which a map below the bound grows.
const GROW_TENTHS: usize = 7;

#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: [u64; 2],
    offset: i64,
}

const _: () = assert!(size_of::<Slot>() == SLOT_BYTES, "a slot is as large as the bound is computed with");

impl Slot {
    const EMPTY: Self = Self { hash: [0; 2], offset: -1 };

    const fn is_empty(self) -> bool {
        self.offset < 0
    }
}

/// A hash table of bounded memory with linear probing and without removal.
#[derive(Debug)]
pub struct OffsetMap {
    keys: [u64; 2],
    slots: Vec<Slot>,
    slots_max: usize,
    len: usize,
    end: Offset,
}

impl OffsetMap {
    /// An empty map for the records from `start` on that never takes more than `bytes_max` bytes. `keys` are random.
    #[must_use]
    pub fn new(keys: [u64; 2], bytes_max: usize, start: Offset) -> Self {
        let slots_max = (bytes_max / SLOT_BYTES).max(SLOTS_MIN);
        Self { keys, slots: vec![Slot::EMPTY; SLOTS_MIN], slots_max, len: 0, end: start }
    }

    /// Keys in the map.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether no key is in the map.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether no further key may be put in: the cleaning stops here and the next one goes on.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.len * 10 >= self.slots_max * FULL_TENTHS
    }

    /// End of what is in the map: nothing is known of records at or past this offset.
    #[must_use]
    pub const fn end(&self) -> Offset {
        self.end
    }

    /// Everything below `end` has been put in; there may be gaps and records without keys before it.
    pub fn advance_to(&mut self, end: Offset) {
        self.end = self.end.max(end);
    }

    /// Notes that `key` was last seen at `offset`. Offsets must rise.
    pub fn put(&mut self, key: &[u8], offset: Offset) {
        assert!(!self.is_full(), "a full map takes no key: the caller asks first");
        assert!(offset >= self.end, "records are put in by rising offset");
        if self.len * 10 >= self.slots.len() * GROW_TENTHS && self.slots.len() < self.slots_max {
            self.grow();
        }
        let hash = self.hash(key);
        let at = find(&self.slots, hash);
        let slot = &mut self.slots[at];
        if slot.is_empty() {
            self.len += 1;
        }
        *slot = Slot { hash, offset: offset.0 };
        self.end = offset.plus(1);
    }

    /// Where `key` was last seen, if it was.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<Offset> {
        let slot = self.slots[find(&self.slots, self.hash(key))];
        (!slot.is_empty()).then_some(Offset(slot.offset))
    }

    fn hash(&self, key: &[u8]) -> [u64; 2] {
        self.keys.map(|half| keyed_hash(half, key))
    }

    fn grow(&mut self) {
        let wanted = (self.slots.len() * 2).min(self.slots_max);
        let before = std::mem::replace(&mut self.slots, vec![Slot::EMPTY; wanted]);
        for slot in before.into_iter().filter(|slot| !slot.is_empty()) {
            let at = find(&self.slots, slot.hash);
            self.slots[at] = slot;
        }
    }
}

/// The slot that holds `hash`, or the empty one where it belongs.
fn find(slots: &[Slot], hash: [u64; 2]) -> usize {
    // Multiply instead of divide: the high half of the product is uniform over any number of slots.
    let wide = u128::from(hash[0]) * (slots.len() as u128);
    let mut at = usize::try_from(wide >> 64).expect("the product's high half is below the number of slots");
    loop {
        let slot = slots[at];
        if slot.is_empty() || slot.hash == hash {
            return at;
        }
        at = if at + 1 == slots.len() { 0 } else { at + 1 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn the_last_offset_of_each_key_is_found() {
        let mut map = OffsetMap::new([1, 2], 1 << 20, Offset(10));
        let mut model = BTreeMap::new();
        for offset in 10..20_010_i64 {
            let key = (offset * 7919 % 5000).to_be_bytes();
            map.put(&key, Offset(offset));
            model.insert(key, Offset(offset));
        }
        assert_eq!(map.len(), 5000);
        assert_eq!(map.end(), Offset(20_010));
        for (key, offset) in model {
            assert_eq!(map.get(&key), Some(offset));
        }
        assert_eq!(map.get(b"never put"), None);
    }

    #[test]
    fn memory_is_bounded_and_fullness_told_before_it() {
        let bytes_max = 4096 * SLOT_BYTES;
        let mut map = OffsetMap::new([3, 4], bytes_max, Offset(0));
        let mut offset = 0;
        while !map.is_full() {
            map.put(&i64::to_be_bytes(offset), Offset(offset));
            offset += 1;
        }
        assert_eq!(map.len(), 4096 * FULL_TENTHS / 10 + 1);
        assert!(map.slots.capacity() * SLOT_BYTES <= bytes_max);
        for offset in 0..offset {
            assert_eq!(map.get(&i64::to_be_bytes(offset)), Some(Offset(offset)));
        }
    }

    #[test]
    fn other_random_bits_place_keys_elsewhere() {
        let place = |keys| {
            let map = OffsetMap::new(keys, 1 << 20, Offset(0));
            find(&map.slots, map.hash(b"key"))
        };
        assert_ne!(place([1, 2]), place([5, 2]));
    }
}
