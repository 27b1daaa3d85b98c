//! Names of what a plan speaks about: machines, topics, groups. Plain words that appear in plans and reports alike.

use std::fmt;
use std::str::FromStr;

use crate::text::Malformed;

/// Defines a numbered name with a letter in front, as `n0` or `t3`.
macro_rules! numbered {
    ($(#[$about:meta])* $name:ident($inner:ty) = $letter:literal) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", $letter, self.0)
            }
        }

        impl FromStr for $name {
            type Err = Malformed;

            fn from_str(text: &str) -> Result<Self, Malformed> {
                let number = text.strip_prefix($letter).and_then(|number| number.parse().ok());
                number.map(Self).ok_or_else(|| Malformed::new(format!("`{text}` is not like `{}0`", $letter)))
            }
        }
    };
}

numbered! {
    /// A broker node.
    NodeName(u16) = "n"
}

numbered! {
    /// A client; each runs on a machine of its own.
    ClientName(u16) = "c"
}

numbered! {
    /// A topic.
    TopicName(u16) = "t"
}

numbered! {
    /// A consumer group.
    GroupName(u16) = "g"
}

/// A machine of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Machine {
    /// Of a broker.
    Node(NodeName),
    /// Of a client.
    Client(ClientName),
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => node.fmt(f),
            Self::Client(client) => client.fmt(f),
        }
    }
}

impl FromStr for Machine {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let node = text.parse().map(Self::Node);
        node.or_else(|_| text.parse().map(Self::Client)).map_err(|_| Malformed::new(format!("`{text}` is no machine")))
    }
}
