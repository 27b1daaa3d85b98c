//! A range of message versions as the attributes spell it: `"3"`, `"3-7"` or `"3+"`.
//!
//! Not the versions of a particular message; the codec compares both. Driven by `attributes`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::LitStr;

/// An inclusive range, open above when `last` is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Versions {
    /// The first version.
    pub(crate) first: i16,
    /// The last version, none for all that follow.
    pub(crate) last: Option<i16>,
}

impl Versions {
    /// Every version of the message.
    pub(crate) const ALL: Self = Self { first: 0, last: None };

    /// Reads the attribute's text.
    pub(crate) fn parse(text: &LitStr) -> syn::Result<Self> {
        let value = text.value();
        let malformed = || syn::Error::new(text.span(), "expected \"3\", \"3-7\" or \"3+\"");
        let number = |digits: &str| digits.parse::<i16>().map_err(|_| malformed());
        let range = if let Some(first) = value.strip_suffix('+') {
            Self { first: number(first)?, last: None }
        } else if let Some((first, last)) = value.split_once('-') {
            Self { first: number(first)?, last: Some(number(last)?) }
        } else {
            let only = number(&value)?;
            Self { first: only, last: Some(only) }
        };
        if range.first < 0 || range.last.is_some_and(|last| last < range.first) {
            return Err(malformed());
        }
        Ok(range)
    }

    /// The condition on `version` under which the range holds, none when it always does.
    pub(crate) fn condition(self) -> Option<TokenStream> {
        let Self { first, last } = self;
        match (first, last) {
            (0, None) => None,
            (_, None) => Some(quote!(version.number() >= #first)),
            (0, Some(last)) => Some(quote!(version.number() <= #last)),
            (_, Some(last)) if last == first => Some(quote!(version.number() == #first)),
            (_, Some(last)) => Some(quote!((#first..=#last).contains(&version.number()))),
        }
    }
}
