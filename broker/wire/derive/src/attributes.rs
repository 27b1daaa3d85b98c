//! What a struct and its fields say about themselves, read from `#[message]` and `#[field]`.
//!
//! Checks what can be checked without knowing the wire; writes no code. Driven by `codec`.

use syn::meta::ParseNestedMeta;
use syn::{Data, DeriveInput, Expr, Field, Fields, GenericArgument, Ident, LitInt, LitStr, Path, PathArguments, Type};

use crate::versions::Versions;

/// `#[message(...)]` on a struct; all empty for a struct that is part of another message.
#[derive(Default)]
pub(crate) struct MessageAttributes {
    pub(crate) versions: Option<Versions>,
    pub(crate) flexible: Option<Versions>,
    pub(crate) advertised: Option<Versions>,
    pub(crate) key: Option<Ident>,
    pub(crate) response: Option<Path>,
}

impl MessageAttributes {
    pub(crate) fn parse(input: &DeriveInput) -> syn::Result<Self> {
        let mut message = Self::default();
        for attribute in &input.attrs {
            if attribute.path().is_ident("message") {
                attribute.parse_nested_meta(|meta| message.set(&meta))?;
            }
        }
        message.check(&input.ident)?;
        Ok(message)
    }

    fn set(&mut self, meta: &ParseNestedMeta<'_>) -> syn::Result<()> {
        if meta.path.is_ident("versions") {
            self.versions = Some(versions(meta)?);
        } else if meta.path.is_ident("flexible") {
            self.flexible = Some(versions(meta)?);
        } else if meta.path.is_ident("advertised") {
            self.advertised = Some(versions(meta)?);
        } else if meta.path.is_ident("key") {
            self.key = Some(meta.value()?.parse()?);
        } else if meta.path.is_ident("response") {
            self.response = Some(meta.value()?.parse()?);
        } else {
            return Err(meta.error("unknown message attribute"));
        }
        Ok(())
    }

    fn check(&self, name: &Ident) -> syn::Result<()> {
        let refuse = |text: &str| Err(syn::Error::new(name.span(), text));
        if self.key.is_some() != self.response.is_some() {
            return refuse("a request names both its key and its response");
        }
        let part = self.versions.is_none();
        if part && (self.flexible.is_some() || self.key.is_some() || self.advertised.is_some()) {
            return refuse("a message with a key or flexible versions must name its versions");
        }
        if self.versions.is_some_and(|range| range.last.is_none()) {
            return refuse("the versions of a message must end");
        }
        if self.flexible.is_some_and(|range| range.last.is_some()) {
            return refuse("flexible versions do not end");
        }
        Ok(())
    }
}

/// One field of a message.
pub(crate) struct MessageField {
    pub(crate) name: Ident,
    pub(crate) ty: Type,
    pub(crate) versions: Versions,
    pub(crate) nullable: Option<Versions>,
    pub(crate) tag: Option<(u32, Versions)>,
    pub(crate) default: Option<Expr>,
    pub(crate) ignorable: bool,
    /// Kafka's name of the field where it is not the Rust name in camel case.
    pub(crate) json: Option<LitStr>,
}

impl MessageField {
    /// All fields of the struct, in wire order.
    pub(crate) fn all(input: &DeriveInput) -> syn::Result<Vec<Self>> {
        let unsupported = || syn::Error::new(input.ident.span(), "a message is a plain struct");
        let Data::Struct(body) = &input.data else {
            return Err(unsupported());
        };
        match &body.fields {
            Fields::Named(fields) => fields.named.iter().map(Self::parse).collect(),
            Fields::Unit => Ok(Vec::new()),
            Fields::Unnamed(_) => Err(unsupported()),
        }
    }

    fn parse(field: &Field) -> syn::Result<Self> {
        let name = field.ident.clone().expect("named fields have names");
        let mut parsed = Self {
            name,
            ty: field.ty.clone(),
            versions: Versions::ALL,
            nullable: None,
            tag: None,
            default: None,
            ignorable: false,
            json: None,
        };
        let mut tag = None;
        let mut tagged = None;
        for attribute in &field.attrs {
            if attribute.path().is_ident("field") {
                attribute.parse_nested_meta(|meta| parsed.set(&meta, &mut tag, &mut tagged))?;
            }
        }
        parsed.tag = match (tag, tagged) {
            (Some(tag), Some(tagged)) => Some((tag, tagged)),
            (None, None) => None,
            _ => return Err(parsed.error("`tag` and `tagged` belong together")),
        };
        parsed.check()?;
        Ok(parsed)
    }

    fn set(
        &mut self,
        meta: &ParseNestedMeta<'_>,
        tag: &mut Option<u32>,
        tagged: &mut Option<Versions>,
    ) -> syn::Result<()> {
        if meta.path.is_ident("versions") {
            self.versions = versions(meta)?;
        } else if meta.path.is_ident("nullable") {
            self.nullable = Some(versions(meta)?);
        } else if meta.path.is_ident("tag") {
            *tag = Some(meta.value()?.parse::<LitInt>()?.base10_parse()?);
        } else if meta.path.is_ident("tagged") {
            *tagged = Some(versions(meta)?);
        } else if meta.path.is_ident("default") {
            self.default = Some(meta.value()?.parse()?);
        } else if meta.path.is_ident("ignorable") {
            self.ignorable = true;
        } else if meta.path.is_ident("json") {
            self.json = Some(meta.value()?.parse()?);
        } else {
            return Err(meta.error("unknown field attribute"));
        }
        Ok(())
    }

    fn check(&self) -> syn::Result<()> {
        if self.nullable.is_some() != self.is_option() {
            return Err(self.error("`nullable` and `Option` belong together"));
        }
        if self.tag.is_some() && self.is_named("Records") {
            return Err(self.error("records cannot be tagged: their file range has no length yet"));
        }
        Ok(())
    }

    /// Whether the field's type is spelled `Option<...>`.
    pub(crate) fn is_option(&self) -> bool {
        self.is_named("Option")
    }

    /// Whether the field is a nullable struct, whose null marker differs between plain and tagged fields.
    pub(crate) fn is_nullable_struct(&self) -> bool {
        let Type::Path(path) = &self.ty else {
            return false;
        };
        let Some(last) = path.path.segments.last() else {
            return false;
        };
        let PathArguments::AngleBracketed(arguments) = &last.arguments else {
            return false;
        };
        let Some(GenericArgument::Type(Type::Path(inner))) = arguments.args.first() else {
            return false;
        };
        let inner = inner.path.segments.last().map(|segment| segment.ident.to_string());
        self.is_option() && !matches!(inner.as_deref(), Some("String" | "Bytes" | "Vec") | None)
    }

    fn is_named(&self, name: &str) -> bool {
        match &self.ty {
            Type::Path(path) => path.path.segments.last().is_some_and(|last| last.ident == name),
            _ => false,
        }
    }

    fn error(&self, text: &str) -> syn::Error {
        syn::Error::new(self.name.span(), text)
    }
}

fn versions(meta: &ParseNestedMeta<'_>) -> syn::Result<Versions> {
    Versions::parse(&meta.value()?.parse::<LitStr>()?)
}
