//! Topics with partitions as options name them: `topic`, `topic:0,3`, `topic:2-5`.

use std::collections::BTreeSet;
use std::str::FromStr;

use barnabas_base::PartitionIndex;

/// Most partitions one range may span.
const RANGE_MAX: i32 = barnabas_base::limits::PARTITIONS_PER_TOPIC_MAX;

/// A topic, with all of its partitions or some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicPartitions {
    pub(crate) topic: String,
    /// None for all.
    pub(crate) partitions: Option<BTreeSet<PartitionIndex>>,
}

impl FromStr for TopicPartitions {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (topic, partitions) = match text.split_once(':') {
            None => (text, None),
            Some((topic, list)) => (topic, Some(parse_partitions(list)?)),
        };
        if topic.is_empty() {
            return Err("a topic has a name".to_owned());
        }
        Ok(Self { topic: topic.to_owned(), partitions })
    }
}

fn parse_partitions(list: &str) -> Result<BTreeSet<PartitionIndex>, String> {
    let mut partitions = BTreeSet::new();
    for item in list.split(',') {
        let number = |text: &str| {
            let parsed = text.trim().parse::<i32>().ok().filter(|index| (0..=RANGE_MAX).contains(index));
            parsed.ok_or_else(|| format!("'{item}' is no partition"))
        };
        match item.split_once('-') {
            None => partitions.extend([PartitionIndex(number(item)?)]),
            Some((first, last)) => {
                let (first, last) = (number(first)?, number(last)?);
                if first > last {
                    return Err(format!("'{item}' has no partition: it ends before it begins"));
                }
                partitions.extend((first..=last).map(PartitionIndex));
            }
        }
    }
    Ok(partitions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lists_and_ranges() {
        let parse = |text: &str| text.parse::<TopicPartitions>();
        assert_eq!(parse("t"), Ok(TopicPartitions { topic: "t".to_owned(), partitions: None }));
        let some = parse("t:0,2-4").expect("a list").partitions.expect("some");
        assert_eq!(some, [0, 2, 3, 4].map(PartitionIndex).into());
        for text in ["", ":1", "t:", "t:x", "t:-1", "t:2-1", "t:99999999"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
