//! The range assignor: who in a group consumes what. Pure; the leader of a group asks it.

use std::collections::{BTreeMap, BTreeSet};

/// Partitions by topic and index.
pub type Assignment = BTreeSet<(String, i32)>;

/// Gives each topic's partitions to its subscribers in contiguous ranges, members in order of `members`' keys; the
/// first ones get one more when it does not divide (Kafka's `RangeAssignor`, without racks). Kafka orders static
/// members before others; here the caller's keys decide.
#[must_use]
pub fn range_assign(
    members: &BTreeMap<String, BTreeSet<String>>,
    partitions: &BTreeMap<String, i32>,
) -> BTreeMap<String, Assignment> {
    let mut assigned: BTreeMap<String, Assignment> =
        members.keys().map(|member| (member.clone(), Assignment::new())).collect();
    for (topic, count) in partitions {
        let subscribers: Vec<&String> =
            members.iter().filter(|(_, topics)| topics.contains(topic)).map(|(member, _)| member).collect();
        let Ok(total) = i32::try_from(subscribers.len()) else { continue };
        if total == 0 {
            continue;
        }
        let (each, more) = (count / total, count % total);
        let mut next = 0;
        for (position, member) in (0..total).zip(subscribers) {
            let share = each + i32::from(position < more);
            let own = assigned.get_mut(member).expect("every member has an assignment");
            own.extend((next..next + share).map(|partition| (topic.clone(), partition)));
            next += share;
        }
        assert!(next == *count, "every partition is assigned once");
    }
    assigned
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(list: &[(&str, &[&str])]) -> BTreeMap<String, BTreeSet<String>> {
        let topics = |topics: &[&str]| topics.iter().map(|topic| (*topic).to_owned()).collect();
        list.iter().map(|(member, subscribed)| ((*member).to_owned(), topics(subscribed))).collect()
    }

    fn of(assigned: &BTreeMap<String, Assignment>, member: &str) -> Vec<String> {
        assigned[member].iter().map(|(topic, partition)| format!("{topic}{partition}")).collect()
    }

    #[test]
    fn ranges_are_contiguous_and_the_first_get_more() {
        let partitions = [("t".to_owned(), 5), ("u".to_owned(), 2)].into();
        let assigned = range_assign(&members(&[("a", &["t", "u"]), ("b", &["t"]), ("c", &["t", "u"])]), &partitions);
        assert_eq!(of(&assigned, "a"), ["t0", "t1", "u0"]);
        assert_eq!(of(&assigned, "b"), ["t2", "t3"]);
        assert_eq!(of(&assigned, "c"), ["t4", "u1"]);
    }

    #[test]
    fn more_members_than_partitions_and_topics_without_subscribers() {
        let partitions = [("t".to_owned(), 1), ("u".to_owned(), 3)].into();
        let assigned = range_assign(&members(&[("a", &["t"]), ("b", &["t"])]), &partitions);
        assert_eq!(of(&assigned, "a"), ["t0"]);
        assert!(of(&assigned, "b").is_empty());
    }
}
