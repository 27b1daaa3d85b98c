//! The records of the matrix, and what a consumer saw of them. Plain data: every client translates it to its own form.

use serde_json::{Value, json};

use anyhow::{Context, Result};

/// A header: its key and its value, which may be null.
pub(crate) type Header = (String, Option<Vec<u8>>);

/// One record as a producer is given it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// The key.
    pub(crate) key: Option<Vec<u8>>,
    /// The value.
    pub(crate) value: Option<Vec<u8>>,
    /// The headers in their order; a key may repeat.
    pub(crate) headers: Vec<Header>,
}

impl Record {
    /// The record for messages: long fields are cut.
    pub(crate) fn brief(&self) -> String {
        let field = |bytes: &Option<Vec<u8>>| match bytes {
            Some(bytes) => {
                let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(BRIEF_LEN)]).into_owned();
                format!("{shown:?} of {} bytes", bytes.len())
            }
            None => "null".to_owned(),
        };
        let headers: Vec<String> = self.headers.iter().map(|(key, value)| format!("{key}: {}", field(value))).collect();
        format!("key {}, value {}, headers [{}]", field(&self.key), field(&self.value), headers.join(", "))
    }
}

/// One record as a consumer saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Its topic.
    pub(crate) topic: String,
    /// Its partition.
    pub(crate) partition: i32,
    /// Its offset.
    pub(crate) offset: i64,
    /// Its timestamp in milliseconds since 1970.
    pub(crate) timestamp_ms: i64,
    /// What it holds.
    pub(crate) record: Record,
}

/// What a client's way of taking records can express.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expressible {
    /// Bytes that are not text, line ends and control characters.
    pub(crate) binary: bool,
    /// An empty key or value beside a null one.
    pub(crate) empty: bool,
    /// A header without a value.
    pub(crate) null_header: bool,
    /// Headers that differ from record to record.
    pub(crate) own_headers: bool,
}

/// A value that does not fit into a small buffer, so that compression and segment reads have something to do.
const LONG_VALUE_LEN: usize = 40_000;
/// How much of a field a message quotes.
const BRIEF_LEN: usize = 24;
/// Records behind the special ones, so that one batch holds many.
const PLAIN_RECORDS: usize = 30;

/// The records a client sends to `topic`. Each names its topic in a header: the Java console consumer prints no
/// topic, and a record that arrives in the wrong one shows.
pub(crate) fn sample(topic: &str, can: Expressible) -> Vec<Record> {
    let origin: Header = ("case".to_owned(), Some(topic.as_bytes().to_vec()));
    let record = |key: Option<&[u8]>, value: Option<&[u8]>| Record {
        key: key.map(<[u8]>::to_vec),
        value: value.map(<[u8]>::to_vec),
        headers: vec![origin.clone()],
    };
    let mut records = vec![
        record(Some(b"key"), Some(b"value")),
        record(None, Some(b"no key")),
        record(Some(b"tombstone"), None),
        record(Some("schlüssel-鍵".as_bytes()), Some("größe 大きさ 🏰".as_bytes())),
        record(Some(b"long"), Some(&repetitive(LONG_VALUE_LEN))),
        record(Some(b"noise"), Some(&noise(LONG_VALUE_LEN / 4))),
    ];
    if can.empty {
        records.push(record(Some(b"empty value"), Some(b"")));
    }
    if can.binary {
        // The key holds no control character: the console consumer's output is split at one.
        let all_bytes: Vec<u8> = (0..=u8::MAX).collect();
        records.push(record(Some(&all_bytes[0x7f..0x90]), Some(&all_bytes)));
    }
    for number in 0..PLAIN_RECORDS {
        let key = format!("k{}", number % 7);
        records.push(record(Some(key.as_bytes()), Some(format!("plain {number}").as_bytes())));
    }
    if can.own_headers {
        let repeated = |value: &str| ("trace".to_owned(), Some(value.as_bytes().to_vec()));
        records[0].headers.extend([repeated("first"), repeated("second")]);
    }
    if can.null_header {
        for record in &mut records {
            record.headers.push(("void".to_owned(), None));
        }
    }
    records
}

fn repetitive(len: usize) -> Vec<u8> {
    b"so it goes on and on ".iter().copied().cycle().take(len).collect()
}

/// Text that compresses badly, the same in every run.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let letter = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        b'!' + (state % 64) as u8
    };
    // The comma and the colon separate headers on command lines; values may hold them, and do.
    (0..len).map(letter).collect()
}

/// A record as a line for the Python clients.
pub(crate) fn to_line(topic: &str, record: &Record) -> String {
    let hex = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|bytes| to_hex(bytes));
    let headers: Vec<Value> = record.headers.iter().map(|(key, value)| json!([key, hex(value)])).collect();
    json!({"topic": topic, "key": hex(&record.key), "value": hex(&record.value), "headers": headers}).to_string()
}

/// A record from a line of the Python clients.
pub(crate) fn from_line(line: &str) -> Result<Seen> {
    let fields: Value = serde_json::from_str(line).with_context(|| format!("not a record: {line}"))?;
    let mut headers = Vec::new();
    for pair in fields["headers"].as_array().context("headers")? {
        let key = pair[0].as_str().context("a header's key")?;
        headers.push((key.to_owned(), optional_hex(&pair[1])?));
    }
    Ok(Seen {
        topic: fields["topic"].as_str().context("topic")?.to_owned(),
        partition: i32::try_from(fields["partition"].as_i64().context("partition")?)?,
        offset: fields["offset"].as_i64().context("offset")?,
        timestamp_ms: fields["timestamp_ms"].as_i64().context("timestamp")?,
        record: Record { key: optional_hex(&fields["key"])?, value: optional_hex(&fields["value"])?, headers },
    })
}

fn optional_hex(value: &Value) -> Result<Option<Vec<u8>>> {
    value.as_str().map(from_hex).transpose()
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Result<Vec<u8>> {
    (0..text.len())
        .step_by(2)
        .map(|at| {
            let digits = text.get(at..at + 2).context("an odd number of digits")?;
            Ok(u8::from_str_radix(digits, 16)?)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERYTHING: Expressible = Expressible { binary: true, empty: true, null_header: true, own_headers: true };

    #[test]
    fn a_line_of_the_python_clients_comes_back() {
        for record in sample("t", EVERYTHING) {
            let mut line: Value = serde_json::from_str(&to_line("t", &record)).expect("a line is JSON");
            for (field, value) in [("partition", 0), ("offset", 7), ("timestamp_ms", 9)] {
                line[field] = value.into();
            }
            let seen = from_line(&line.to_string()).expect("a record");
            assert_eq!((seen.offset, seen.record), (7, record));
        }
    }

    #[test]
    fn a_sample_holds_what_its_client_can_express_and_nothing_else() {
        let text = Expressible { binary: false, empty: false, null_header: false, own_headers: false };
        let records = sample("t", text);
        let is_text = |bytes: &Option<Vec<u8>>| bytes.as_ref().is_none_or(|bytes| std::str::from_utf8(bytes).is_ok());
        assert!(records.iter().all(|record| is_text(&record.key) && is_text(&record.value)));
        assert!(records.iter().all(|record| record.headers == records[0].headers));
        assert!(records.iter().all(|record| record.value.as_ref().is_none_or(|value| !value.is_empty())));
        let more = sample("t", EVERYTHING);
        assert!(more.len() > records.len());
    }
}
