//! Internal records as JSON, in the layout that Kafka's dump tool prints them in (its generated `JsonConverter`s).
//!
//! Writes only, for people and their scripts; nothing reads it back. `log dump` drives it.

use std::fmt::Write;

use barnabas_base::Uuid;
use bytes::Bytes;

use crate::Version;

/// A value that can be printed as JSON. Structs have it by the derive of the same name.
pub trait ToJson {
    /// Writes the value; fields that `version` lacks are left out.
    fn write_json(&self, version: Version, writer: &mut JsonWriter);
}

/// JSON text in the making, without any white space.
#[derive(Debug, Default)]
pub struct JsonWriter {
    text: String,
    key: &'static str,
    decode_bytes: Option<DecodeBytes>,
}

/// Writes what the bytes under a key mean; false, with nothing written, when that is unknown.
pub type DecodeBytes = fn(&'static str, &Bytes, &mut JsonWriter) -> bool;

impl JsonWriter {
    /// No text yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The text.
    #[must_use]
    pub fn into_text(self) -> String {
        self.text
    }

    /// Begins an object.
    pub fn begin_object(&mut self) {
        self.begin('{');
    }

    /// Ends the object that was begun last.
    pub fn end_object(&mut self) {
        self.text.push('}');
    }

    /// Begins an array.
    pub fn begin_array(&mut self) {
        self.begin('[');
    }

    /// Ends the array that was begun last.
    pub fn end_array(&mut self) {
        self.text.push(']');
    }

    /// Writes the name of an object's next value.
    pub fn key(&mut self, name: &'static str) {
        self.string(name);
        self.text.push(':');
        self.key = name;
    }

    /// Lets `decode` have the first word on the bytes that `write` comes across; they are base64 otherwise.
    pub fn with_decoded_bytes(&mut self, decode: DecodeBytes, write: impl FnOnce(&mut Self)) {
        let before = self.decode_bytes.replace(decode);
        write(self);
        self.decode_bytes = before;
    }

    /// Writes a string.
    pub fn string(&mut self, value: &str) {
        self.separate();
        self.text.push('"');
        for char in value.chars() {
            match char {
                '"' => self.text.push_str("\\\""),
                '\\' => self.text.push_str("\\\\"),
                '\n' => self.text.push_str("\\n"),
                '\r' => self.text.push_str("\\r"),
                '\t' => self.text.push_str("\\t"),
                '\u{8}' => self.text.push_str("\\b"),
                '\u{c}' => self.text.push_str("\\f"),
                control if control < ' ' => {
                    write!(self.text, "\\u{:04X}", u32::from(control)).expect("a String takes all text");
                }
                plain => self.text.push(plain),
            }
        }
        self.text.push('"');
    }

    /// Writes what has no quotes: a number, `true`, `false` or `null`.
    pub fn literal(&mut self, value: impl std::fmt::Display) {
        self.separate();
        write!(self.text, "{value}").expect("a String takes all text");
    }

    fn begin(&mut self, bracket: char) {
        self.separate();
        self.text.push(bracket);
    }

    /// A value that follows another one is set apart from it.
    fn separate(&mut self) {
        if !matches!(self.text.chars().next_back(), None | Some('{' | '[' | ':')) {
            self.text.push(',');
        }
    }
}

macro_rules! literals {
    ($($ty:ty),*) => {$(
        impl ToJson for $ty {
            fn write_json(&self, _: Version, writer: &mut JsonWriter) {
                writer.literal(self);
            }
        }
    )*};
}

literals!(bool, i8, i16, u16, i32, u32, i64);

impl ToJson for f64 {
    /// As Java writes doubles: always a point, and an exponent outside of 10⁻³ to 10⁷.
    fn write_json(&self, _: Version, writer: &mut JsonWriter) {
        let size = self.abs();
        if size == 0.0 || (1e-3..1e7).contains(&size) || !self.is_finite() {
            return writer.literal(format_args!("{self:?}"));
        }
        let text = format!("{self:e}");
        let (digits, exponent) = text.split_once('e').expect("this format has an exponent");
        let point = if digits.contains('.') { "" } else { ".0" };
        writer.literal(format_args!("{digits}{point}E{exponent}"));
    }
}

impl ToJson for String {
    fn write_json(&self, _: Version, writer: &mut JsonWriter) {
        writer.string(self);
    }
}

impl ToJson for Uuid {
    fn write_json(&self, _: Version, writer: &mut JsonWriter) {
        writer.string(&self.to_string());
    }
}

impl ToJson for Bytes {
    fn write_json(&self, _: Version, writer: &mut JsonWriter) {
        let decode = writer.decode_bytes.take();
        let is_written = decode.is_some_and(|decode| decode(writer.key, self, writer));
        writer.decode_bytes = decode;
        if !is_written {
            writer.string(&base64(self));
        }
    }
}

impl<T: ToJson> ToJson for Vec<T> {
    fn write_json(&self, version: Version, writer: &mut JsonWriter) {
        writer.begin_array();
        for element in self {
            element.write_json(version, writer);
        }
        writer.end_array();
    }
}

impl<T: ToJson> ToJson for Option<T> {
    fn write_json(&self, version: Version, writer: &mut JsonWriter) {
        match self {
            Some(value) => value.write_json(version, writer),
            None => writer.literal("null"),
        }
    }
}

/// Standard base64 with padding (RFC 4648 §4).
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut group = [0; 4];
        group[1..=chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes(group);
        for index in 0..4 {
            let sextet = (bits >> (18 - 6 * index)) & 0x3f;
            let is_padding = index > chunk.len();
            text.push(if is_padding { '=' } else { char::from(ALPHABET[sextet as usize]) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Message;
    use crate::internal::metadata_schema::PartitionRecord;

    fn text(value: &impl ToJson) -> String {
        let mut writer = JsonWriter::new();
        value.write_json(Version::new(0, None), &mut writer);
        writer.into_text()
    }

    #[test]
    fn values_look_like_kafkas() {
        assert_eq!(text(&vec![1, 2]), "[1,2]");
        assert_eq!(text(&vec![vec![true], vec![]]), "[[true],[]]");
        assert_eq!(text(&None::<String>), "null");
        assert_eq!(text(&"a\"\\\u{1}\n:{".to_owned()), r#""a\"\\\u0001\n:{""#);
        for (bytes, expected) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            assert_eq!(text(&Bytes::from(bytes)), format!("\"{expected}\""));
        }
        for (double, expected) in [(0.0, "0.0"), (1.5, "1.5"), (1e7, "1.0E7"), (1.25e-4, "1.25E-4"), (9e6, "9000000.0")]
        {
            assert_eq!(text(&double), expected);
        }
    }

    #[test]
    fn strings_that_end_in_a_bracket_are_set_apart() {
        assert_eq!(text(&vec!["[".to_owned(), ":".to_owned(), "{".to_owned()]), r#"["[",":","{"]"#);
    }

    #[test]
    fn a_struct_has_the_fields_of_its_version() {
        let record = PartitionRecord { replicas: vec![1], isr: vec![1], leader: 1, ..PartitionRecord::default() };
        let print = |version| {
            let mut writer = JsonWriter::new();
            record.write_json(Version::new(version, PartitionRecord::FLEXIBLE_FROM), &mut writer);
            writer.into_text()
        };
        assert_eq!(
            print(0),
            r#"{"partitionId":-1,"topicId":"AAAAAAAAAAAAAAAAAAAAAA","replicas":[1],"isr":[1],"removingReplicas":[],"addingReplicas":[],"leader":1,"leaderEpoch":-1,"partitionEpoch":-1}"#
        );
        assert!(print(1).ends_with(r#","directories":[]}"#));
    }
}
