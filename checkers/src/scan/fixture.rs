//! Hand-written disks for the tests of scanning checkers: batches, folders, images.

use barnabas_base::{Offset, TopicId, Uuid};
use barnabas_history::DiskImage;

use super::crc::crc32c;

/// Key and value of a record.
pub(crate) type Pair = (Option<Vec<u8>>, Option<Vec<u8>>);

/// A batch in the making.
#[derive(Clone)]
pub(crate) struct Draft {
    pub base: i64,
    pub epoch: i32,
    pub timestamp: i64,
    /// Producer id, epoch and first sequence.
    pub producer: (i64, i16, i32),
    /// Keys and values.
    pub records: Vec<Pair>,
}

/// A batch of so many empty records.
pub(crate) fn draft(base: i64, count: usize) -> Draft {
    Draft {
        base,
        epoch: 0,
        timestamp: 10 + base,
        producer: (-1, -1, -1),
        records: vec![(None, Some(Vec::new())); count],
    }
}

impl Draft {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.bytes_of_kind(0)
    }

    /// As a batch of control records.
    pub(crate) fn control_bytes(&self) -> Vec<u8> {
        self.bytes_of_kind(0x20)
    }

    fn bytes_of_kind(&self, attributes: i16) -> Vec<u8> {
        let count = i32::try_from(self.records.len()).expect("a few");
        let mut covered = Vec::new();
        covered.extend(attributes.to_be_bytes());
        covered.extend((count - 1).to_be_bytes());
        covered.extend(self.timestamp.to_be_bytes());
        covered.extend(self.timestamp.to_be_bytes());
        covered.extend(self.producer.0.to_be_bytes());
        covered.extend(self.producer.1.to_be_bytes());
        covered.extend(self.producer.2.to_be_bytes());
        covered.extend(count.to_be_bytes());
        for (delta, (key, value)) in self.records.iter().enumerate() {
            covered.extend(record(delta, key.as_deref(), value.as_deref()));
        }
        let mut bytes = self.base.to_be_bytes().to_vec();
        bytes.extend(i32::try_from(9 + covered.len()).expect("small").to_be_bytes());
        bytes.extend(self.epoch.to_be_bytes());
        bytes.push(2);
        bytes.extend(crc32c(&covered).to_be_bytes());
        bytes.extend(covered);
        bytes
    }

    pub(crate) fn crc(&self) -> u32 {
        super::read_u32(&self.bytes(), 17).expect("a whole batch")
    }
}

fn record(delta: usize, key: Option<&[u8]>, value: Option<&[u8]>) -> Vec<u8> {
    let mut body = vec![0];
    body.extend(varint(0));
    body.extend(varint(i64::try_from(delta).expect("small")));
    for field in [key, value] {
        body.extend(varint(field.map_or(-1, |field| i64::try_from(field.len()).expect("small"))));
        body.extend(field.unwrap_or_default());
    }
    body.extend(varint(0));
    let mut record = varint(i64::try_from(body.len()).expect("small"));
    record.extend(body);
    record
}

fn varint(value: i64) -> Vec<u8> {
    let mut rest = (value << 1 ^ value >> 63).cast_unsigned();
    let mut bytes = Vec::new();
    while rest >= 0x80 {
        bytes.push(u8::try_from(rest & 0x7f).expect("7 bits") | 0x80);
        rest >>= 7;
    }
    bytes.push(u8::try_from(rest).expect("7 bits"));
    bytes
}

/// A producer snapshot: id, epoch, last sequence, last offset, offset delta.
pub(crate) fn snapshot(entries: &[(i64, i16, i32, i64, i32)]) -> Vec<u8> {
    let mut covered = i32::try_from(entries.len()).expect("a few").to_be_bytes().to_vec();
    for (id, epoch, sequence, offset, delta) in entries {
        covered.extend(id.to_be_bytes());
        covered.extend(epoch.to_be_bytes());
        covered.extend(sequence.to_be_bytes());
        covered.extend(offset.to_be_bytes());
        covered.extend(delta.to_be_bytes());
        covered.extend(0_i64.to_be_bytes());
        covered.extend(0_i32.to_be_bytes());
        covered.extend((-1_i64).to_be_bytes());
    }
    let mut bytes = 1_i16.to_be_bytes().to_vec();
    bytes.extend(crc32c(&covered).to_be_bytes());
    bytes.extend(covered);
    bytes
}

/// The checksums of a segment of one range: its bytes, the base offset and the epoch of each batch, and its offset index.
pub(crate) fn segment_check(base: i64, segment: &[u8], places: &[(i64, i32)], index: &[u8]) -> Vec<u8> {
    let number = |bytes: usize| u32::try_from(bytes).expect("small").to_be_bytes();
    let mut covered = base.to_be_bytes().to_vec();
    covered.extend((segment.len() as u64).to_be_bytes());
    covered.extend(number(1024 * 1024));
    covered.extend(b"barnabas\0\0\0\0\0\0\0\0");
    covered.extend(number(index.len()));
    covered.extend(crc32c(index).to_be_bytes());
    covered.extend(number(0));
    covered.extend(crc32c(&[]).to_be_bytes());
    covered.extend(crc32c(segment).to_be_bytes());
    let heads = places.iter().flat_map(|(offset, epoch)| [&offset.to_be_bytes()[..], &epoch.to_be_bytes()].concat());
    covered.extend(crc32c(&heads.collect::<Vec<u8>>()).to_be_bytes());
    let mut file = b"BARNCHCK".to_vec();
    file.extend(3_u32.to_be_bytes());
    file.extend(crc32c(&covered).to_be_bytes());
    file.extend(covered);
    file
}

/// A record that commits a position of `g0` on partition 0 of `t0`, or deletes it.
pub(crate) fn committed(offset: Option<i64>) -> Pair {
    let mut key = 1_i16.to_be_bytes().to_vec();
    for name in ["g0", "t0"] {
        key.extend(2_i16.to_be_bytes());
        key.extend(name.as_bytes());
    }
    key.extend(0_i32.to_be_bytes());
    let value = |offset: i64| [&3_i16.to_be_bytes()[..], &offset.to_be_bytes(), &[0; 14]].concat();
    (Some(key), offset.map(value))
}

/// An image of a broker that stopped cleanly after `after_step`, with the folder `folder`.
pub(crate) fn image(after_step: usize, folder: &str, files: &[(&str, Vec<u8>)]) -> DiskImage {
    let mut image = DiskImage { node: 0, after_step, stopped_cleanly: true, ..DiskImage::default() };
    let metadata = format!("version: 0\ntopic_id: {}\n", TopicId(Uuid([1; 16])));
    image.files.insert(format!("{folder}/partition.metadata"), metadata.into_bytes());
    for (name, bytes) in files {
        image.files.insert(format!("{folder}/{name}"), bytes.clone());
    }
    image
}

/// Name of a file at an offset.
pub(crate) fn file(offset: i64, extension: &str) -> String {
    format!("{:020}.{extension}", Offset(offset).0)
}
