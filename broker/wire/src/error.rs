//! What can be wrong with bytes from outside, and with values that a version cannot carry.
//!
//! Both are faults of a peer or a caller, never a panic; the Kafka error codes that answer them are in
//! `error_code`.

use std::error::Error;
use std::fmt;

/// Why bytes are not the message they claim to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DecodeError {
    /// The bytes end before the field does.
    Truncated {
        /// Bytes that the field needs.
        needed: usize,
        /// Bytes that are left.
        left: usize,
    },
    /// Bytes are left after the message.
    TrailingBytes {
        /// How many.
        left: usize,
    },
    /// A length or count below zero where the field is not nullable, or below -1.
    NegativeLength {
        /// What the bytes say.
        length: i64,
    },
    /// Null where the version has no null.
    UnexpectedNull,
    /// A string above `limits::STRING_BYTES_MAX`.
    StringTooLong {
        /// What the bytes say.
        bytes: usize,
    },
    /// A string that is not UTF-8.
    InvalidUtf8,
    /// An array above `limits::ELEMENTS_MAX`, or with more elements than bytes are left.
    TooManyElements {
        /// What the bytes say.
        count: usize,
        /// Bytes that are left.
        left: usize,
    },
    /// The message would take more memory than its frame is allowed.
    BudgetExceeded {
        /// Bytes that the element or array needs.
        needed: usize,
        /// Bytes that the budget still has.
        left: usize,
    },
    /// An unsigned varint that does not end within five bytes or exceeds 32 bits.
    VarintTooLong,
    /// A section of more than `limits::TAGGED_FIELDS_MAX` tagged fields.
    TooManyTaggedFields {
        /// What the bytes say.
        count: u32,
    },
    /// Tags do not rise strictly.
    TagOrder {
        /// The tag that is not above its predecessor.
        tag: u32,
    },
    /// A tagged field whose value is shorter or longer than its stated size.
    TagSize {
        /// The tag.
        tag: u32,
        /// The stated size in bytes.
        stated: usize,
        /// The bytes that the value took.
        taken: usize,
    },
    /// No API has this key, or it is one that is not implemented.
    UnknownApiKey {
        /// What the bytes say.
        key: i16,
    },
    /// The message exists, but not in this version.
    UnsupportedVersion {
        /// The message's name.
        message: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// An internal record of a type that is not known; a reader skips it.
    UnknownRecordType {
        /// The type, which is an API key of its own number space.
        kind: i32,
    },
    /// A metadata record in a frame of an unknown version.
    UnknownRecordFrame {
        /// The frame version.
        version: u32,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Truncated { needed, left } => {
                write!(f, "the field needs {needed} bytes, {left} are left")
            }
            Self::TrailingBytes { left } => write!(f, "{left} bytes follow the message"),
            Self::NegativeLength { length } => write!(f, "negative length {length}"),
            Self::UnexpectedNull => write!(f, "null in a field that is not nullable"),
            Self::StringTooLong { bytes } => write!(f, "a string of {bytes} bytes"),
            Self::InvalidUtf8 => write!(f, "a string that is not UTF-8"),
            Self::TooManyElements { count, left } => {
                write!(f, "an array of {count} elements with {left} bytes left")
            }
            Self::BudgetExceeded { needed, left } => {
                write!(f, "{needed} bytes of memory needed, the frame's budget has {left}")
            }
            Self::VarintTooLong => write!(f, "a varint of more than 32 bits"),
            Self::TooManyTaggedFields { count } => write!(f, "{count} tagged fields"),
            Self::TagOrder { tag } => write!(f, "tag {tag} is not above its predecessor"),
            Self::TagSize { tag, stated, taken } => {
                write!(f, "tag {tag} states {stated} bytes and takes {taken}")
            }
            Self::UnknownApiKey { key } => write!(f, "unknown API key {key}"),
            Self::UnsupportedVersion { message, version } => {
                write!(f, "{message} has no version {version}")
            }
            Self::UnknownRecordType { kind } => write!(f, "unknown record type {kind}"),
            Self::UnknownRecordFrame { version } => {
                write!(f, "unknown record frame version {version}")
            }
        }
    }
}

impl Error for DecodeError {}

/// Why a value has no bytes in the version asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EncodeError {
    /// The message has no such version.
    UnsupportedVersion {
        /// The message's name.
        message: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// A field has a value that matters, and the version cannot carry it.
    FieldNotInVersion {
        /// The struct that has the field.
        message: &'static str,
        /// The field.
        field: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// Null in a version where the field is not nullable.
    UnexpectedNull {
        /// The field.
        field: &'static str,
    },
    /// A string above `limits::STRING_BYTES_MAX`.
    StringTooLong {
        /// Its length.
        bytes: usize,
    },
    /// A byte string, an array or a frame whose length does not fit its prefix.
    TooLong {
        /// Its length.
        length: usize,
    },
    /// A file range where only bytes can go.
    ExternalNotAllowed,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::UnsupportedVersion { message, version } => {
                write!(f, "{message} has no version {version}")
            }
            Self::FieldNotInVersion { message, field, version } => {
                write!(f, "version {version} of {message} cannot carry {field}")
            }
            Self::UnexpectedNull { field } => write!(f, "{field} is not nullable in this version"),
            Self::StringTooLong { bytes } => write!(f, "a string of {bytes} bytes"),
            Self::TooLong { length } => write!(f, "a length of {length} does not fit"),
            Self::ExternalNotAllowed => write!(f, "a file range where only bytes can go"),
        }
    }
}

impl Error for EncodeError {}
