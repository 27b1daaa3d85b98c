//! The code that a derive emits: `FieldCodec`, `Default`, `Message`, `Request` and the test generator.
//!
//! Emits calls into `barnabas_wire::codec` only; every bound and every byte layout lives there. Driven by the
//! derive in `lib`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{DeriveInput, Ident};

use crate::attributes::{MessageAttributes, MessageField};

/// Everything that one struct needs.
pub(crate) fn expand(input: &DeriveInput) -> syn::Result<TokenStream> {
    let message = MessageAttributes::parse(input)?;
    let fields = MessageField::all(input)?;
    let default = default_impl(input, &fields);
    let codec = codec_impl(input, &fields);
    let top = message_impl(input, &message);
    let generate = generate_impl(input, &fields);
    Ok(quote! { #default #codec #top #generate })
}

fn default_impl(input: &DeriveInput, fields: &[MessageField]) -> TokenStream {
    let name = &input.ident;
    let values = fields.iter().map(|field| {
        let (name, value) = (&field.name, default_value(field));
        quote!(#name: #value)
    });
    quote! {
        impl ::core::default::Default for #name {
            fn default() -> Self {
                Self { #(#values,)* }
            }
        }
    }
}

pub(crate) fn default_value(field: &MessageField) -> TokenStream {
    match &field.default {
        Some(value) => quote!(#value),
        None => {
            let ty = &field.ty;
            quote!(<#ty as ::core::default::Default>::default())
        }
    }
}

fn codec_impl(input: &DeriveInput, fields: &[MessageField]) -> TokenStream {
    let name = &input.ident;
    let encode_plain = fields.iter().map(|field| encode_plain(input, field));
    let encode_tagged = encode_tagged(fields);
    let decode = decode_body(fields);
    let error_codes = fields.iter().filter_map(error_codes);
    quote! {
        #[automatically_derived]
        impl ::barnabas_wire::codec::FieldCodec for #name {
            fn error_codes(&self, each: &mut dyn FnMut(i16)) {
                let _ = &each;
                #(#error_codes)*
            }

            fn encode_field(
                &self,
                encoder: &mut ::barnabas_wire::Encoder,
                version: ::barnabas_wire::Version,
            ) -> ::core::result::Result<(), ::barnabas_wire::EncodeError> {
                #(#encode_plain)*
                if version.is_flexible() {
                    #encode_tagged
                }
                Ok(())
            }

            fn decode_field(
                decoder: &mut ::barnabas_wire::Decoder,
                version: ::barnabas_wire::Version,
            ) -> ::core::result::Result<Self, ::barnabas_wire::DecodeError> {
                #decode
            }
        }

        #[automatically_derived]
        impl ::barnabas_wire::codec::NullableStruct for #name {}
    }
}

/// The statement that shows the error codes of a field; none for one that is too plain to have any.
fn error_codes(field: &MessageField) -> Option<TokenStream> {
    let name = &field.name;
    if name == "error_code" {
        return Some(quote!(if self.#name != 0 { each(self.#name); }));
    }
    if field.is_option() {
        return Some(quote! {
            if let Some(value) = &self.#name {
                ::barnabas_wire::codec::FieldCodec::error_codes(value, each);
            }
        });
    }
    Some(quote!(::barnabas_wire::codec::FieldCodec::error_codes(&self.#name, each);))
}

/// The statement that writes a field in its place, or refuses a value that the version cannot carry.
fn encode_plain(input: &DeriveInput, field: &MessageField) -> TokenStream {
    let name = &field.name;
    let encode = if let Some((_, tagged)) = &field.tag {
        let encode = encode_value(field);
        match tagged.condition() {
            _ if *tagged == field.versions => quote!(),
            None => quote!(),
            Some(tagged) => quote!(if !(#tagged) { #encode }),
        }
    } else {
        encode_value(field)
    };
    let Some(present) = field.versions.condition() else {
        return encode;
    };
    if field.ignorable {
        return match encode.is_empty() {
            true => encode,
            false => quote!(if #present { #encode }),
        };
    }
    let default = default_value(field);
    let (message, text) = (input.ident.to_string(), name.to_string());
    let refuse = quote! {
        if self.#name != #default {
            return Err(::barnabas_wire::EncodeError::FieldNotInVersion {
                message: #message,
                field: #text,
                version: version.number(),
            });
        }
    };
    match encode.is_empty() {
        true => quote!(if !(#present) { #refuse }),
        false => quote!(if #present { #encode } else { #refuse }),
    }
}

fn encode_value(field: &MessageField) -> TokenStream {
    let name = &field.name;
    let Some(nullable) = &field.nullable else {
        return quote! {
            ::barnabas_wire::codec::FieldCodec::encode_field(&self.#name, encoder, version)?;
        };
    };
    let with_null = quote! {
        ::barnabas_wire::codec::NullableCodec::encode_nullable(&self.#name, encoder, version)?;
    };
    let Some(nullable) = nullable.condition() else {
        return with_null;
    };
    let text = name.to_string();
    quote! {
        if #nullable {
            #with_null
        } else {
            ::barnabas_wire::codec::encode_present(&self.#name, #text, encoder, version)?;
        }
    }
}

/// The tagged section: how many fields differ from their default, then each of them in tag order.
fn encode_tagged(fields: &[MessageField]) -> TokenStream {
    let mut tagged: Vec<_> =
        fields.iter().filter_map(|field| field.tag.as_ref().map(|(tag, versions)| (*tag, versions, field))).collect();
    tagged.sort_by_key(|(tag, ..)| *tag);
    if tagged.is_empty() {
        return quote!(encoder.put_tag_count(0););
    }
    let written: Vec<_> = tagged
        .iter()
        .map(|(_, versions, field)| {
            let (name, default) = (&field.name, default_value(field));
            match versions.condition() {
                None => quote!(self.#name != #default),
                Some(present) => quote!((#present) && self.#name != #default),
            }
        })
        .collect();
    let encode = tagged.iter().zip(&written).map(|((tag, _, field), written)| {
        let name = &field.name;
        let value = match field.is_nullable_struct() {
            true => quote! {
                ::barnabas_wire::codec::encode_tagged_struct(&self.#name, encoder, version)?;
            },
            false => encode_value(field),
        };
        quote! {
            if #written {
                let mark = encoder.begin_tag(#tag);
                #value
                encoder.end_tag(mark)?;
            }
        }
    });
    quote! {
        let count = 0u32 #(+ u32::from(#written))*;
        encoder.put_tag_count(count);
        #(#encode)*
    }
}

fn decode_body(fields: &[MessageField]) -> TokenStream {
    let names = fields.iter().map(|field| &field.name);
    let locals = fields.iter().map(local);
    let plain = fields.iter().map(decode_plain);
    let tagged = fields.iter().filter_map(|field| {
        let (tag, versions) = field.tag.as_ref()?;
        let name = local(field);
        let value = match field.is_nullable_struct() {
            true => quote!(::barnabas_wire::codec::decode_tagged_struct(decoder, version)?),
            false => decode_value(field),
        };
        let guard = versions.condition().map(|present| quote!(if #present));
        Some(quote! {
            #tag #guard => {
                #name = #value;
                Ok(true)
            }
        })
    });
    let tagged: Vec<_> = tagged.collect();
    let section = if tagged.is_empty() {
        quote!(decoder.skip_tagged_fields()?;)
    } else {
        quote! {
            decoder.tagged_fields(|decoder, tag| match tag {
                #(#tagged)*
                _ => Ok(false),
            })?;
        }
    };
    quote! {
        #(#plain)*
        if version.is_flexible() {
            #section
        }
        Ok(Self { #(#names: #locals,)* })
    }
}

/// The variable of a field while it is decoded; plain names would hide `version`, which is a field too.
fn local(field: &MessageField) -> Ident {
    format_ident!("field_{}", field.name)
}

fn decode_plain(field: &MessageField) -> TokenStream {
    let (name, ty, default) = (local(field), &field.ty, default_value(field));
    let value = decode_value(field);
    if let Some((_, tagged)) = &field.tag {
        let only_tagged = *tagged == field.versions || tagged.condition().is_none();
        if only_tagged {
            return quote!(let mut #name: #ty = #default;);
        }
        let tagged = tagged.condition().map(|tagged| quote!(!(#tagged)));
        let present = field.versions.condition().map(|present| quote!((#present)));
        let both = [tagged, present].into_iter().flatten();
        return quote!(let mut #name: #ty = if #(#both)&&* { #value } else { #default };);
    }
    match field.versions.condition() {
        None => quote!(let #name: #ty = #value;),
        Some(present) => quote!(let #name: #ty = if #present { #value } else { #default };),
    }
}

fn decode_value(field: &MessageField) -> TokenStream {
    let plain = quote!(::barnabas_wire::codec::FieldCodec::decode_field(decoder, version)?);
    let Some(nullable) = &field.nullable else {
        return plain;
    };
    let with_null = quote!(::barnabas_wire::codec::NullableCodec::decode_nullable(decoder, version)?);
    match nullable.condition() {
        None => with_null,
        Some(nullable) => quote!(if #nullable { #with_null } else { Some(#plain) }),
    }
}

fn message_impl(input: &DeriveInput, message: &MessageAttributes) -> TokenStream {
    let Some(versions) = message.versions else {
        return TokenStream::new();
    };
    let (name, text) = (&input.ident, input.ident.to_string());
    let (first, last) = (versions.first, versions.last);
    let flexible = match message.flexible {
        Some(range) => {
            let first = range.first;
            quote!(Some(#first))
        }
        None => quote!(None),
    };
    let request = match (&message.key, &message.response) {
        (Some(key), Some(response)) => {
            let advertised = message.advertised.unwrap_or(versions);
            let (low, high) = (advertised.first, advertised.last);
            quote! {
                #[automatically_derived]
                impl ::barnabas_wire::Request for #name {
                    const KEY: ::barnabas_wire::ApiKey = ::barnabas_wire::ApiKey::#key;
                    const ADVERTISED: ::core::ops::RangeInclusive<i16> = #low..=#high;
                    type Response = #response;
                }
            }
        }
        _ => TokenStream::new(),
    };
    quote! {
        #[automatically_derived]
        impl ::barnabas_wire::Message for #name {
            const NAME: &'static str = #text;
            const VERSIONS: ::core::ops::RangeInclusive<i16> = #first..=#last;
            const FLEXIBLE_FROM: Option<i16> = #flexible;
        }
        #request
    }
}

/// Random values for the tests that compare with other implementations; fields that the version lacks keep
/// their default, so that a value survives the round trip.
fn generate_impl(input: &DeriveInput, fields: &[MessageField]) -> TokenStream {
    let name = &input.ident;
    let values = fields.iter().map(|field| {
        let (name, default) = (&field.name, default_value(field));
        let value = quote!(::barnabas_wire::generate::Generate::generate(generator, version));
        let value = match field.nullable.as_ref().map(|range| range.condition()) {
            None | Some(None) => value,
            Some(Some(nullable)) => quote! {
                if #nullable {
                    #value
                } else {
                    Some(::barnabas_wire::generate::Generate::generate(generator, version))
                }
            },
        };
        match field.versions.condition() {
            None => quote!(#name: #value),
            Some(present) => quote!(#name: if #present { #value } else { #default }),
        }
    });
    quote! {
        #[cfg(any(test, feature = "generate"))]
        #[automatically_derived]
        impl ::barnabas_wire::generate::Generate for #name {
            fn generate(
                generator: &mut ::barnabas_wire::generate::Generator,
                version: ::barnabas_wire::Version,
            ) -> Self {
                Self { #(#values,)* }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    fn refusal(input: &DeriveInput) -> String {
        match expand(input) {
            Ok(code) => panic!("this struct was to be refused, not to become {code}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_plain_struct_is_part_of_a_message() {
        let code = expand(&parse_quote! {
            struct Topic {
                #[field(versions = "3+", ignorable)]
                name: String,
            }
        });
        let code = code.expect("it has nothing to refuse").to_string();
        assert!(code.contains("FieldCodec for Topic"));
        assert!(code.contains("version . number () >= 3i16"));
        assert!(!code.contains("barnabas_wire :: Message for"));
    }

    #[test]
    fn a_request_names_its_key_and_its_response() {
        let code = expand(&parse_quote! {
            #[message(key = Fetch, response = FetchResponse, versions = "4-18", flexible = "12+", advertised = "0-18")]
            struct FetchRequest {}
        });
        let code = code.expect("it has nothing to refuse").to_string();
        assert!(code.contains("ApiKey :: Fetch"));
        assert!(code.contains("ADVERTISED : :: core :: ops :: RangeInclusive < i16 > = 0i16 ..= 18i16"));
        assert!(code.contains("VERSIONS : :: core :: ops :: RangeInclusive < i16 > = 4i16 ..= 18i16"));
        let half: DeriveInput = parse_quote! {
            #[message(key = Fetch, versions = "0")]
            struct FetchRequest {}
        };
        assert_eq!(refusal(&half), "a request names both its key and its response");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let cases: [(DeriveInput, &str); 7] = [
            (
                parse_quote!(
                    struct A {
                        #[field(nullable = "0+")]
                        a: String,
                    }
                ),
                "`nullable` and `Option` belong together",
            ),
            (
                parse_quote!(
                    struct A {
                        a: Option<String>,
                    }
                ),
                "`nullable` and `Option` belong together",
            ),
            (
                parse_quote!(
                    struct A {
                        #[field(tag = 0)]
                        a: i32,
                    }
                ),
                "`tag` and `tagged` belong together",
            ),
            (
                parse_quote!(
                    struct A {
                        #[field(tag = 0, tagged = "0+")]
                        a: Records,
                    }
                ),
                "records cannot be tagged: their file range has no length yet",
            ),
            (
                parse_quote!(
                    struct A {
                        #[field(versions = "3-1")]
                        a: i32,
                    }
                ),
                "expected \"3\", \"3-7\" or \"3+\"",
            ),
            (
                parse_quote!(
                    #[message(versions = "0+")]
                    struct A {}
                ),
                "the versions of a message must end",
            ),
            (
                parse_quote!(
                    enum A {
                        B,
                    }
                ),
                "a message is a plain struct",
            ),
        ];
        for (input, expected) in cases {
            assert_eq!(refusal(&input), expected);
        }
    }
}
