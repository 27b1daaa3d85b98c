//! Prints a journal file: which logs it knows, which batches it has for them, how far each was durable. Kafka has no such
//! file, so the layout is ours. `dump` drives it.

use bytes::Bytes;

use super::DumpProblems;
use crate::journal::format::{FileHeaderError, Part, parse_file};

/// Prints every entry.
pub(super) fn dump_journal(bytes: &Bytes, out: &mut dyn FnMut(&str), problems: &mut DumpProblems) {
    let journal = match parse_file(bytes) {
        Ok(journal) => journal,
        Err(FileHeaderError::Empty) => return out("Journal without entries"),
        Err(FileHeaderError::Damaged) => return problems.push(|| "The journal's first block is damaged".to_owned()),
        Err(FileHeaderError::Version(version)) => {
            return problems.push(|| format!("Journal version {version} is of a later release"));
        }
    };
    let header = journal.header;
    out(&format!(
        "Journal generation: {} shard: {} directoryId: {}",
        header.generation, header.shard, header.directory_id
    ));
    for entry in &journal.entries {
        out(&format!("sequence: {} position: {} parts: {}", entry.sequence, entry.position, entry.parts.len()));
        for part in &entry.parts {
            out(&part_line(part));
        }
    }
    if journal.has_hole {
        problems.push(|| "An entry is missing between two that are there".to_owned());
    }
}

fn part_line(part: &Part) -> String {
    match part {
        Part::Log { number, partition, folder } => format!("| log: {number} partition: {partition} folder: {folder}"),
        Part::Data { number, segment, position, end_offset, bytes } => format!(
            "| log: {number} data segment: {segment} position: {position} size: {} endOffset: {end_offset}",
            bytes.len()
        ),
        Part::Point { number, point } => format!(
            "| log: {number} point durable: {} inFile: {} logStart: {} settled: {} settledSegment: {} settledPosition: {}",
            point.durable, point.in_file, point.log_start, point.settled, point.settled_segment, point.settled_position
        ),
        Part::Truncated { number, end_offset } => format!("| log: {number} truncated endOffset: {end_offset}"),
        Part::Removed { number } => format!("| log: {number} removed"),
    }
}

#[cfg(test)]
mod tests {
    use barnabas_base::{DirectoryId, Offset, PartitionIndex, TopicId, TopicPartition, Uuid};

    use super::*;
    use crate::journal::format::{EntryBuilder, FileHeader};

    fn dump(bytes: &Bytes) -> (Vec<String>, DumpProblems) {
        let mut lines = Vec::new();
        let mut problems = DumpProblems::default();
        dump_journal(bytes, &mut |line| lines.push(line.to_owned()), &mut problems);
        (lines, problems)
    }

    #[test]
    fn every_part_is_printed() {
        let header = FileHeader { generation: 3, shard: 1, directory_id: DirectoryId(Uuid::METADATA_TOPIC), salt: 9 };
        let partition = TopicPartition { topic_id: TopicId(Uuid::METADATA_TOPIC), partition: PartitionIndex(2) };
        let mut entry = EntryBuilder::new();
        entry.push(&Part::Log { number: 7, partition, folder: "orders-2".to_owned() });
        entry.push(&Part::Truncated { number: 7, end_offset: Offset(40) });
        entry.push(&Part::Removed { number: 7 });
        let mut bytes = header.to_block().to_vec();
        entry.finish(&header, 0, 0).iter().for_each(|piece| bytes.extend_from_slice(piece));
        let (lines, problems) = dump(&Bytes::from(bytes));
        assert_eq!(
            lines,
            [
                "Journal generation: 3 shard: 1 directoryId: AAAAAAAAAAAAAAAAAAAAAQ",
                "sequence: 0 position: 512 parts: 3",
                "| log: 7 partition: AAAAAAAAAAAAAAAAAAAAAQ-2 folder: orders-2",
                "| log: 7 truncated endOffset: 40",
                "| log: 7 removed",
            ]
        );
        assert!(problems.is_empty());
    }

    #[test]
    fn an_empty_file_is_no_problem_and_a_foreign_one_is() {
        assert_eq!(dump(&Bytes::new()), (vec!["Journal without entries".to_owned()], DumpProblems::default()));
        let (lines, problems) = dump(&Bytes::from(vec![0x5a; 600]));
        assert!(lines.is_empty());
        assert!(!problems.is_empty());
    }
}
