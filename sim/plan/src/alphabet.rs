//! [`alphabet!`]: an enum whose variants have one text form each, `name field=value ...`, written and read back. Used by
//! operations, faults and triggers; nobody else.

use std::str::FromStr;

use crate::text::Malformed;

/// The fields of one line: `key=value` words, each taken once.
pub(crate) struct Fields<'a> {
    words: Vec<Option<(&'a str, &'a str)>>,
}

impl<'a> Fields<'a> {
    /// Splits `text` at spaces.
    pub(crate) fn new(text: &'a str) -> Result<Self, Malformed> {
        let word = |word: &'a str| {
            word.split_once('=').map(Some).ok_or_else(|| Malformed::new(format!("`{word}` is not key=value")))
        };
        Ok(Self { words: text.split_whitespace().map(word).collect::<Result<_, _>>()? })
    }

    /// Takes the value of `key`.
    pub(crate) fn take<T: FromStr>(&mut self, key: &str) -> Result<T, Malformed> {
        let found = self.words.iter_mut().find(|word| word.is_some_and(|(name, _)| name == key));
        let (_, value) = found.and_then(Option::take).ok_or_else(|| Malformed::new(format!("`{key}=` is missing")))?;
        value.parse().map_err(|_| Malformed::new(format!("`{key}={value}` cannot be read")))
    }

    /// That everything was taken.
    pub(crate) fn end(&self) -> Result<(), Malformed> {
        match self.words.iter().flatten().next() {
            Some((key, _)) => Err(Malformed::new(format!("`{key}=` means nothing here"))),
            None => Ok(()),
        }
    }
}

/// Defines an enum with `Display` and `FromStr` over its text form.
macro_rules! alphabet {
    (
        $(#[$about:meta])*
        pub enum $name:ident {
            $(
                $(#[$doc:meta])*
                $variant:ident = $word:literal { $( $(#[$field_doc:meta])* $field:ident: $type:ty ),* $(,)? }
            ),* $(,)?
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name {
            $(
                $(#[$doc])*
                $variant { $( $(#[$field_doc])* $field: $type ),* }
            ),*
        }

        impl $name {
            /// Every word of the alphabet.
            pub const WORDS: &[&str] = &[$($word),*];

            /// The first word of its text form.
            #[must_use]
            pub const fn word(&self) -> &'static str {
                match self {
                    $( Self::$variant { .. } => $word ),*
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self {
                    $(
                        Self::$variant { $($field),* } => {
                            f.write_str($word)?;
                            $( write!(f, " {}={}", stringify!($field), $field)?; )*
                            Ok(())
                        }
                    ),*
                }
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::text::Malformed;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
                let mut fields = $crate::alphabet::Fields::new(rest)?;
                let read = match word {
                    $( $word => Self::$variant { $( $field: fields.take(stringify!($field))? ),* }, )*
                    _ => return Err($crate::text::Malformed::new(format!("nobody knows `{word}`"))),
                };
                fields.end()?;
                Ok(read)
            }
        }
    };
}

/// Defines an enum of words without fields, with `Display` and `FromStr`.
macro_rules! words {
    (
        $(#[$about:meta])*
        pub enum $name:ident { $( $(#[$doc:meta])* $variant:ident = $word:literal ),* $(,)? }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $( $(#[$doc])* $variant ),* }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its text form.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $( Self::$variant => $word ),* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.word())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::text::Malformed;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $( $word => Ok(Self::$variant), )*
                    _ => Err($crate::text::Malformed::new(format!("nobody knows `{text}`"))),
                }
            }
        }
    };
}

pub(crate) use {alphabet, words};
