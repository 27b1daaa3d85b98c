//! What configuration can be set on. Names only; values stand in the image.

/// Kinds of resources with a configuration, by the numbers of the protocol (`ConfigResource.Type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceKind {
    /// A topic.
    Topic,
    /// A broker, or all brokers when the name is empty.
    Broker,
    /// The log levels of a broker.
    BrokerLogger,
    /// A subscription to metrics of clients.
    ClientMetrics,
    /// A group.
    Group,
}

impl ResourceKind {
    /// The kind of a number; none for numbers that Kafka has not.
    #[must_use]
    pub const fn from_code(code: i8) -> Option<Self> {
        match code {
            2 => Some(Self::Topic),
            4 => Some(Self::Broker),
            8 => Some(Self::BrokerLogger),
            16 => Some(Self::ClientMetrics),
            32 => Some(Self::Group),
            _ => None,
        }
    }

    /// Its number.
    #[must_use]
    pub const fn code(self) -> i8 {
        match self {
            Self::Topic => 2,
            Self::Broker => 4,
            Self::BrokerLogger => 8,
            Self::ClientMetrics => 16,
            Self::Group => 32,
        }
    }
}

/// One resource with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigResource {
    /// Its kind.
    pub kind: ResourceKind,
    /// Its name: a topic's name, a broker's id, nothing for all brokers, a group's id.
    pub name: String,
}

impl ConfigResource {
    /// The resource of a topic.
    #[must_use]
    pub fn topic(name: &str) -> Self {
        Self { kind: ResourceKind::Topic, name: name.to_owned() }
    }

    /// The resource of a broker.
    #[must_use]
    pub fn broker(id: barnabas_base::BrokerId) -> Self {
        Self { kind: ResourceKind::Broker, name: id.to_string() }
    }

    /// The resource of a group.
    #[must_use]
    pub fn group(id: &str) -> Self {
        Self { kind: ResourceKind::Group, name: id.to_owned() }
    }

    /// The resource of all brokers.
    #[must_use]
    pub const fn all_brokers() -> Self {
        Self { kind: ResourceKind::Broker, name: String::new() }
    }
}
