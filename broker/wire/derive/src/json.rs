//! The derive that prints a message as JSON, in the layout of Kafka's own tools.
//!
//! Writes the order and the condition of the fields only; how a value looks stands in `barnabas_wire::json`. Driven by
//! the derive in `lib`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::DeriveInput;

use crate::attributes::MessageField;
use crate::codec::default_value;

/// The `ToJson` of one struct.
pub(crate) fn expand(input: &DeriveInput) -> syn::Result<TokenStream> {
    let name = &input.ident;
    let fields = MessageField::all(input)?;
    let writes = fields.iter().map(write);
    Ok(quote! {
        #[automatically_derived]
        impl ::barnabas_wire::ToJson for #name {
            fn write_json(&self, version: ::barnabas_wire::Version, writer: &mut ::barnabas_wire::json::JsonWriter) {
                writer.begin_object();
                #(#writes)*
                writer.end_object();
            }
        }
    })
}

/// The statement that writes a field where its version has it. A tagged field is left out when it has its default, as
/// it is on the wire.
fn write(field: &MessageField) -> TokenStream {
    let (name, key) = (&field.name, key(field));
    let write = quote! {
        writer.key(#key);
        ::barnabas_wire::ToJson::write_json(&self.#name, version, writer);
    };
    let present = field.versions.condition();
    let says_something = field.tag.as_ref().map(|(_, tagged)| {
        let default = default_value(field);
        match tagged.condition() {
            None => quote!(self.#name != #default),
            Some(tagged) => quote!((!(#tagged) || self.#name != #default)),
        }
    });
    let conditions: Vec<_> = [present, says_something].into_iter().flatten().collect();
    match conditions.is_empty() {
        true => write,
        false => quote!(if #(#conditions)&&* { #write }),
    }
}

/// Kafka's name of the field: the struct's in camel case unless it says otherwise.
fn key(field: &MessageField) -> String {
    if let Some(name) = &field.json {
        return name.value();
    }
    let mut key = String::new();
    for (index, word) in field.name.to_string().split('_').enumerate() {
        let mut chars = word.chars();
        match chars.next() {
            Some(first) if index > 0 => key.extend(first.to_uppercase()),
            Some(first) => key.push(first),
            None => {}
        }
        key.push_str(chars.as_str());
    }
    key
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    #[test]
    fn fields_have_kafkas_names_and_conditions() {
        let code = expand(&parse_quote! {
            struct Partition {
                partition_id: i32,
                #[field(json = "kRaftVersion")]
                kraft_version: i16,
                #[field(versions = "2+", tag = 0, tagged = "2+")]
                elr: Vec<i32>,
            }
        });
        let code = code.expect("it has nothing to refuse").to_string();
        assert!(code.contains("writer . key (\"partitionId\")"));
        assert!(code.contains("writer . key (\"kRaftVersion\")"));
        assert!(code.contains("if version . number () >= 2i16 && (! (version . number () >= 2i16) || self . elr != "));
    }
}
