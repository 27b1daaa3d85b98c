//! An ordered map whose copies share what they have in common: a change copies one leaf and the spine, not the map.
//!
//! Images of a cluster are published after every committed batch and must not cost what the cluster weighs. Not a
//! general B-tree: two levels, made for up to some hundred thousand entries. The image drives it.

use std::fmt;
use std::sync::Arc;

/// Most entries of a leaf; a fuller one is split in halves.
const LEAF_ENTRIES_MAX: usize = 64;

/// A leaf with fewer entries than this joins its neighbour when both fit in one.
const LEAF_ENTRIES_LOW: usize = LEAF_ENTRIES_MAX / 4;

type Leaf<K, V> = Arc<Vec<(K, V)>>;

/// An ordered map with cheap copies.
pub struct SharedMap<K, V> {
    /// Leaves in the order of their keys, none of them empty.
    leaves: Arc<Vec<Leaf<K, V>>>,
    len: usize,
}

impl<K, V> Clone for SharedMap<K, V> {
    fn clone(&self) -> Self {
        Self { leaves: Arc::clone(&self.leaves), len: self.len }
    }
}

impl<K, V> Default for SharedMap<K, V> {
    fn default() -> Self {
        Self { leaves: Arc::new(Vec::new()), len: 0 }
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for SharedMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.leaves.iter().flat_map(|leaf| leaf.iter());
        f.debug_map().entries(entries.map(|(key, value)| (key, value))).finish()
    }
}

impl<K: PartialEq, V: PartialEq> PartialEq for SharedMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        let entries = |map: &Self| map.leaves.iter().map(Arc::clone).collect::<Vec<_>>();
        let (left, right) = (entries(self), entries(other));
        self.len == other.len && left.iter().flat_map(|leaf| leaf.iter()).eq(right.iter().flat_map(|leaf| leaf.iter()))
    }
}

impl<K: Eq, V: Eq> Eq for SharedMap<K, V> {}

impl<K: Ord + Clone, V: Clone> SharedMap<K, V> {
    /// How many entries there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no entry.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value of `key`.
    #[must_use]
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: std::borrow::Borrow<Q>,
    {
        let leaf = self.leaves.get(self.leaf_of(key)?)?;
        let found = leaf.binary_search_by(|(known, _)| known.borrow().cmp(key)).ok()?;
        Some(&leaf[found].1)
    }

    /// The value of `key` to be changed in place; what other copies share is copied first.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: std::borrow::Borrow<Q>,
    {
        let position = self.leaf_of(key)?;
        let found = self.leaves[position].binary_search_by(|(known, _)| known.borrow().cmp(key)).ok()?;
        let leaf = Arc::make_mut(&mut Arc::make_mut(&mut self.leaves)[position]);
        Some(&mut leaf[found].1)
    }

    /// Whether there is a value for `key`.
    #[must_use]
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: std::borrow::Borrow<Q>,
    {
        self.get(key).is_some()
    }

    /// All entries in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.leaves.iter().flat_map(|leaf| leaf.iter().map(|(key, value)| (key, value)))
    }

    /// All keys in their order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    /// All values in the order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// All entries from `first` on, in the order of their keys.
    pub fn iter_from<Q: Ord + ?Sized>(&self, first: &Q) -> impl Iterator<Item = (&K, &V)>
    where
        K: std::borrow::Borrow<Q>,
    {
        let begin = self.leaf_of(first).unwrap_or(0);
        let offset = self.leaves.get(begin).map_or(0, |leaf| leaf.partition_point(|(key, _)| key.borrow() < first));
        let entries = self.leaves[begin..].iter().flat_map(|leaf| leaf.iter().map(|(key, value)| (key, value)));
        entries.skip(offset)
    }

    /// Sets the value of `key` and gives back the one it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let leaves = Arc::make_mut(&mut self.leaves);
        if leaves.is_empty() {
            leaves.push(Arc::new(vec![(key, value)]));
            self.len = 1;
            return None;
        }
        let position = leaf_position(leaves, &key);
        let leaf = Arc::make_mut(&mut leaves[position]);
        match leaf.binary_search_by(|(known, _)| known.cmp(&key)) {
            Ok(found) => return Some(std::mem::replace(&mut leaf[found].1, value)),
            Err(place) => leaf.insert(place, (key, value)),
        }
        if leaf.len() > LEAF_ENTRIES_MAX {
            let upper = leaf.split_off(leaf.len() / 2);
            leaves.insert(position + 1, Arc::new(upper));
        }
        self.len += 1;
        None
    }

    /// Removes `key` and gives back its value.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
    {
        let position = self.leaf_of(key)?;
        let found = self.leaves[position].binary_search_by(|(known, _)| known.borrow().cmp(key)).ok()?;
        let leaves = Arc::make_mut(&mut self.leaves);
        let (_, value) = Arc::make_mut(&mut leaves[position]).remove(found);
        self.len -= 1;
        if leaves[position].is_empty() {
            leaves.remove(position);
        } else if leaves[position].len() < LEAF_ENTRIES_LOW {
            join_neighbours(leaves, position);
        }
        Some(value)
    }

    /// The leaf that holds `key` if any does; `None` while there are no leaves.
    fn leaf_of<Q: Ord + ?Sized>(&self, key: &Q) -> Option<usize>
    where
        K: std::borrow::Borrow<Q>,
    {
        if self.leaves.is_empty() { None } else { Some(leaf_position(&self.leaves, key)) }
    }
}

impl<K: Ord + Clone, V: Clone> FromIterator<(K, V)> for SharedMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::default();
        for (key, value) in entries {
            map.insert(key, value);
        }
        map
    }
}

/// The last leaf that begins at or before `key`, or the first one.
fn leaf_position<K: std::borrow::Borrow<Q>, V, Q: Ord + ?Sized>(leaves: &[Leaf<K, V>], key: &Q) -> usize {
    let after = leaves.partition_point(|leaf| leaf.first().is_some_and(|(first, _)| first.borrow() <= key));
    after.saturating_sub(1)
}

fn join_neighbours<K: Clone, V: Clone>(leaves: &mut Vec<Leaf<K, V>>, position: usize) {
    let left = if position + 1 < leaves.len() { position } else { position.saturating_sub(1) };
    let right = left + 1;
    if right >= leaves.len() || leaves[left].len() + leaves[right].len() > LEAF_ENTRIES_MAX {
        return;
    }
    let upper = leaves.remove(right);
    Arc::make_mut(&mut leaves[left]).extend(upper.iter().cloned());
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Change {
        Insert(u16, u32),
        Remove(u16),
    }

    fn changes() -> impl Strategy<Value = Vec<Change>> {
        let change = prop_oneof![
            3 => (0..600_u16, any::<u32>()).prop_map(|(key, value)| Change::Insert(key, value)),
            2 => (0..600_u16).prop_map(Change::Remove),
        ];
        prop::collection::vec(change, 0..1_500)
    }

    fn check_leaves(map: &SharedMap<u16, u32>) {
        assert_eq!(map.leaves.iter().map(|leaf| leaf.len()).sum::<usize>(), map.len());
        for leaf in map.leaves.iter() {
            assert!((1..=LEAF_ENTRIES_MAX).contains(&leaf.len()), "a leaf has 1 to {LEAF_ENTRIES_MAX} entries");
        }
        assert!(map.keys().is_sorted(), "keys are in order");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn it_is_a_map(changes in changes(), probe in 0..600_u16) {
            let (mut map, mut model) = (SharedMap::default(), BTreeMap::new());
            for change in changes {
                match change {
                    Change::Insert(key, value) => prop_assert_eq!(map.insert(key, value), model.insert(key, value)),
                    Change::Remove(key) => prop_assert_eq!(map.remove(&key), model.remove(&key)),
                }
            }
            check_leaves(&map);
            prop_assert!(map.iter().eq(model.iter()));
            prop_assert!(map.iter_from(&probe).eq(model.range(probe..)));
            prop_assert_eq!(map.get(&probe), model.get(&probe));
            prop_assert_eq!(map.get_mut(&probe), model.get_mut(&probe));
            prop_assert_eq!(&map, &model.into_iter().collect());
        }

        #[test]
        fn copies_do_not_see_later_changes(first in changes(), later in changes()) {
            let mut map = SharedMap::default();
            let apply = |map: &mut SharedMap<u16, u32>, changes: Vec<Change>| {
                for change in changes {
                    match change {
                        Change::Insert(key, value) => drop(map.insert(key, value)),
                        Change::Remove(key) => drop(map.remove(&key)),
                    }
                }
            };
            apply(&mut map, first);
            let copy = map.clone();
            let before: Vec<_> = copy.iter().map(|(key, value)| (*key, *value)).collect();
            apply(&mut map, later);
            let after: Vec<_> = copy.iter().map(|(key, value)| (*key, *value)).collect();
            prop_assert_eq!(before, after);
        }
    }

    #[test]
    fn a_change_copies_one_leaf() {
        let map: SharedMap<u16, u32> = (0..1_000).map(|key| (key, 0)).collect();
        let mut changed = map.clone();
        changed.insert(500, 1);
        let shared = map.leaves.iter().zip(changed.leaves.iter()).filter(|(old, new)| Arc::ptr_eq(old, new)).count();
        assert_eq!(shared, map.leaves.len() - 1);
    }
}
