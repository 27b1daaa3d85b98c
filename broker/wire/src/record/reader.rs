//! Reading the records of one batch without copying: every field is a slice of the payload. Strict: a length that
//! does not add up, a null header key or a left-over byte is an error. Whoever consumes, compacts or checks drives it.

use barnabas_base::{Offset, TimestampMs};
use bytes::Bytes;

use super::cursor::Cursor;
use super::{BatchHeader, RecordError, TimestampType};

/// The decompressed records of one batch, together with the header that dates and numbers them.
#[derive(Clone, Debug)]
pub struct Payload {
    header: BatchHeader,
    bytes: Bytes,
}

impl Payload {
    pub(super) const fn new(header: BatchHeader, bytes: Bytes) -> Self {
        Self { header, bytes }
    }

    /// The records, in order.
    #[must_use]
    pub fn records(&self) -> Records<'_> {
        Records::new(&self.header, &self.bytes)
    }

    /// The bytes of all records.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// An owned handle on a field of one of the records, without a copy.
    #[must_use]
    pub fn share(&self, field: &[u8]) -> Bytes {
        self.bytes.slice_ref(field)
    }
}

/// One record, borrowed from its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Attribute bits; none has a meaning yet.
    pub attributes: i8,
    /// When the record was made, or appended when the batch says so.
    pub timestamp: TimestampMs,
    /// Where it stands in the log.
    pub offset: Offset,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; none is a tombstone in a compacted topic.
    pub value: Option<&'a [u8]>,
    /// The headers, in order; keys may repeat.
    pub headers: Headers<'a>,
}

/// One header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The key, UTF-8 by convention and not checked.
    pub key: &'a [u8],
    /// The value.
    pub value: Option<&'a [u8]>,
}

/// Iterates over the records of one batch; ends after the first error.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    cursor: Cursor<'a>,
    left: i32,
    base_offset: i64,
    base_timestamp: i64,
    log_append_time: Option<TimestampMs>,
    failed: bool,
}

impl<'a> Records<'a> {
    /// Reads `payload`, the decompressed body of the batch that `header` heads.
    #[must_use]
    pub const fn new(header: &BatchHeader, payload: &'a [u8]) -> Self {
        let log_append_time = match header.attributes.timestamp_type() {
            TimestampType::CreateTime => None,
            TimestampType::LogAppendTime => Some(header.max_timestamp),
        };
        Self {
            cursor: Cursor::new(payload),
            left: header.record_count,
            base_offset: header.base_offset.0,
            base_timestamp: header.base_timestamp.0,
            log_append_time,
            failed: false,
        }
    }

    #[inline]
    fn read(&mut self) -> Result<Record<'a>, RecordError> {
        if self.cursor.remaining() == 0 {
            return Err(RecordError::MissingRecords);
        }
        let len = self.cursor.varint()?;
        let len = usize::try_from(len).map_err(|_| RecordError::RecordLength)?;
        let mut fields = Cursor::new(self.cursor.take(len)?);
        let attributes = fields.byte()?.cast_signed();
        let timestamp_delta = fields.varlong()?;
        let offset_delta = fields.varint()?;
        let key = fields.nullable_bytes()?;
        let value = fields.nullable_bytes()?;
        let headers = Headers::read(&mut fields)?;
        if fields.remaining() != 0 {
            return Err(RecordError::RecordTrailing);
        }
        // Deltas wrap as they do in every JVM reader; a leader refuses odd ones before they are stored.
        let created = TimestampMs(self.base_timestamp.wrapping_add(timestamp_delta));
        Ok(Record {
            attributes,
            timestamp: self.log_append_time.unwrap_or(created),
            offset: Offset(self.base_offset.wrapping_add(i64::from(offset_delta))),
            key,
            value,
            headers,
        })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, RecordError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let item = if self.left > 0 {
            self.left -= 1;
            self.read()
        } else if self.cursor.remaining() > 0 {
            Err(RecordError::BatchTrailing)
        } else {
            return None;
        };
        self.failed = item.is_err();
        Some(item)
    }
}

/// The headers of a record. Their structure was checked when the record was read, so iterating cannot fail.
#[derive(Clone, Copy, Debug, Default)]
pub struct Headers<'a> {
    bytes: &'a [u8],
    count: i32,
}

impl<'a> Headers<'a> {
    #[inline]
    fn read(fields: &mut Cursor<'a>) -> Result<Self, RecordError> {
        let count = fields.varint()?;
        if count == 0 {
            return Ok(Self::default());
        }
        Self::read_some(fields, count)
    }

    fn read_some(fields: &mut Cursor<'a>, count: i32) -> Result<Self, RecordError> {
        let room = fields.remaining();
        if usize::try_from(count).map_or(true, |count| count > room) {
            return Err(RecordError::RecordLength);
        }
        let start = *fields;
        for _ in 0..count {
            read_header(fields)?;
        }
        let len = room - fields.remaining();
        let mut span = start;
        Ok(Self { bytes: span.take(len)?, count })
    }

    /// How many headers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::try_from(self.count).expect("a header count was checked to be positive")
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The headers, in order.
    pub fn iter(&self) -> impl Iterator<Item = Header<'a>> + Clone + use<'a> {
        let mut cursor = Cursor::new(self.bytes);
        (0..self.count).map(move |_| read_header(&mut cursor).expect("headers were checked with their record"))
    }
}

impl PartialEq for Headers<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.count == other.count && self.iter().eq(other.iter())
    }
}

impl Eq for Headers<'_> {}

fn read_header<'a>(cursor: &mut Cursor<'a>) -> Result<Header<'a>, RecordError> {
    let key = cursor.nullable_bytes()?.ok_or(RecordError::NullHeaderKey)?;
    let value = cursor.nullable_bytes()?;
    Ok(Header { key, value })
}
