//! Which partition of `__consumer_offsets` a group belongs to. Pure arithmetic, the same as Kafka's
//! (`GroupCoordinatorService.partitionFor`), because tools and a migrated log rely on it.

use barnabas_base::PartitionIndex;

/// The partition of `group_id` among `partitions` (`offsets.topic.num.partitions`).
#[must_use]
pub fn partition_for(group_id: &str, partitions: i32) -> PartitionIndex {
    assert!(partitions > 0, "__consumer_offsets has at least one partition");
    let hash = java_string_hash(group_id);
    // Kafka's `Utils.abs` maps the one value without a positive counterpart to zero.
    let positive = if hash == i32::MIN { 0 } else { hash.abs() };
    PartitionIndex(positive % partitions)
}

/// `java.lang.String.hashCode`: 31-fold sum over UTF-16 units, modulo 2³².
#[must_use]
pub fn java_string_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_is_javas() {
        // Values printed by a Java 17 `String.hashCode`.
        assert_eq!(java_string_hash(""), 0);
        assert_eq!(java_string_hash("a"), 97);
        assert_eq!(java_string_hash("console-consumer-1"), 35_782_224);
        assert_eq!(java_string_hash("polygenelubricants"), i32::MIN);
        assert_eq!(java_string_hash("\u{1F600}"), 1_772_899);
    }

    #[test]
    fn the_most_negative_hash_goes_to_partition_zero() {
        assert_eq!(partition_for("polygenelubricants", 50), PartitionIndex(0));
        assert_eq!(partition_for("a", 50), PartitionIndex(47));
    }
}
