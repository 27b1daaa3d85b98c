//! Kafka bytes to types and back: requests, responses, internal records, record batches, error codes.
//!
//! Pure: no sockets, no clock, no state between calls. A broker's connection task and our own client drive it.
//! Each message is a struct, and the struct is the schema: `barnabas-wire-derive` writes its codec for every
//! version that Apache Kafka 4.3 speaks.

extern crate self as barnabas_wire;

mod api_key;
mod body;
pub mod codec;
mod decoder;
mod encoder;
mod error;
mod error_code;
pub mod framing;
#[cfg(any(test, feature = "generate"))]
pub mod generate;
mod header;
pub mod internal;
pub mod json;
pub mod limits;
pub mod message;
pub mod record;
mod records;
mod schema;

pub use api_key::ApiKey;
pub use barnabas_wire_derive::{Message, ToJson};
pub use body::{RequestBody, ResponseBody};
pub use decoder::Decoder;
pub use encoder::{Encoder, Segment};
pub use error::{DecodeError, EncodeError};
pub use error_code::ErrorCode;
pub use header::{RequestHeader, ResponseHeader, header_versions};
pub use json::ToJson;
pub use records::Records;
pub use schema::{Message, Request, Version};
