//! The derive that writes the codec of a Kafka message for all its versions.
//!
//! What it is not: it holds no schema and no limits. The struct is the schema, `barnabas-wire` has the
//! primitives and their bounds, and rustc drives it once per struct.

mod attributes;
mod codec;
mod json;
mod versions;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Writes `FieldCodec` and `Default` for a struct with named fields, and `Message` when the struct says which
/// versions it has.
///
/// On the struct: `#[message(versions = "4-18", flexible = "12+")]` makes it a top-level message;
/// `key = Fetch, response = FetchResponse` makes it a request as well; `advertised = "0-13"` tells clients of
/// more versions than are decoded. Without `#[message]` it is part of another message, whose version and
/// flexibility it inherits.
///
/// On a field, all optional: `#[field(versions = "3+", nullable = "7+", tag = 0, tagged = "12+",
/// default = -1, ignorable, json = "name")]`. A field without `versions` is there in every version. A field of type
/// `Option` needs `nullable`; in other versions its absence is an error. A value other than the default in a
/// version that lacks the field is refused when encoded, unless the field is `ignorable`.
#[proc_macro_derive(Message, attributes(message, field))]
pub fn derive_message(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    codec::expand(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}

/// Writes `ToJson` for a struct that also derives `Message`: Kafka's names and order of the fields, those of the version
/// only. `#[field(json = "kRaftVersion")]` names a field where camel case does not.
#[proc_macro_derive(ToJson, attributes(message, field))]
pub fn derive_to_json(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    json::expand(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}
