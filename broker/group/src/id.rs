//! Names and numbers that only group coordination needs. Plain values; text ids are shared, so that timers and
//! records in flight carry them without a copy.

use std::borrow::Borrow;
use std::fmt;
use std::rc::Rc;

/// Declares a shared text id that can be looked up by `&str`.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Rc<str>);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(Rc::from(text))
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(Rc::from(text))
            }
        }

        impl From<&$name> for String {
            fn from(id: &$name) -> Self {
                id.0.as_ref().to_owned()
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    };
}

text_id! {
    /// `group.id`. May be empty for simple consumers, as Kafka allows for old clients.
    GroupId
}
text_id! {
    /// What the coordinator calls one life of one consumer: `client-id-uuid`, or `group.instance.id-uuid`.
    MemberId
}
text_id! {
    /// `group.instance.id` of a static member (KIP-345).
    InstanceId
}
text_id! {
    /// Name of a topic, as commits carry it.
    TopicName
}

/// What the shell calls one request; given back with its reply and never interpreted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// What the coordinator calls one batch of records it asked to append. Rises by one with each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppendId(pub u64);
