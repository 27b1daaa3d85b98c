//! What the client knows of the cluster: brokers, topics, who leads what. A cache of Metadata answers; it asks nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use barnabas_base::{BrokerId, LeaderEpoch, PartitionIndex, Uuid};
use barnabas_wire::ErrorCode;
use barnabas_wire::message::MetadataResponse;
use barnabas_wire::message::metadata::{MetadataResponsePartition, MetadataResponseTopic};

/// Where a broker listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// Host name or IP address.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// The text is not `host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseAddressError {
    text: String,
}

impl fmt::Display for ParseAddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' is not host:port", self.text)
    }
}

impl std::error::Error for ParseAddressError {}

impl FromStr for Address {
    type Err = ParseAddressError;

    /// `host:port`, `[ipv6]:port`, with or without `PLAINTEXT://` in front.
    fn from_str(text: &str) -> Result<Self, ParseAddressError> {
        let error = || ParseAddressError { text: text.to_owned() };
        let address = text.trim().strip_prefix("PLAINTEXT://").unwrap_or(text.trim());
        let (host, port) = address.rsplit_once(':').ok_or_else(error)?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if host.is_empty() {
            return Err(error());
        }
        let port = port.parse().map_err(|_| error())?;
        Ok(Self { host: host.to_owned(), port })
    }
}

/// One broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// Its id.
    pub id: BrokerId,
    /// Where it listens.
    pub address: Address,
    /// Its rack, if it has one.
    pub rack: Option<String>,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its id; zero when the broker is too old to say.
    pub id: Uuid,
    /// Whether Kafka itself uses it.
    pub is_internal: bool,
    /// Its partitions by index.
    pub partitions: BTreeMap<PartitionIndex, Partition>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its leader, none while there is none.
    pub leader: Option<BrokerId>,
    /// Epoch of the leader.
    pub leader_epoch: LeaderEpoch,
    /// All replicas; the first is preferred as leader.
    pub replicas: Vec<BrokerId>,
    /// Replicas in sync.
    pub in_sync: Vec<BrokerId>,
    /// Replicas that are down.
    pub offline: Vec<BrokerId>,
}

/// The cache.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cluster {
    id: Option<String>,
    controller: Option<BrokerId>,
    brokers: BTreeMap<BrokerId, Broker>,
    topics: BTreeMap<String, Topic>,
    refused: BTreeMap<String, ErrorCode>,
}

impl Cluster {
    /// The cluster's id, once known.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The broker that takes administrative requests.
    #[must_use]
    pub const fn controller(&self) -> Option<BrokerId> {
        self.controller
    }

    /// All brokers, in order of their ids.
    pub fn brokers(&self) -> impl Iterator<Item = &Broker> {
        self.brokers.values()
    }

    /// The broker with this id.
    #[must_use]
    pub fn broker(&self, id: BrokerId) -> Option<&Broker> {
        self.brokers.get(&id)
    }

    /// All topics known, in order of their names.
    pub fn topics(&self) -> impl Iterator<Item = (&str, &Topic)> {
        self.topics.iter().map(|(name, topic)| (name.as_str(), topic))
    }

    /// The topic of this name.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<&Topic> {
        self.topics.get(name)
    }

    /// Name of the topic with this id.
    #[must_use]
    pub fn topic_name(&self, id: Uuid) -> Option<&str> {
        self.topics.iter().find(|(_, topic)| topic.id == id).map(|(name, _)| name.as_str())
    }

    /// Id of the topic of this name; zero when not known.
    #[must_use]
    pub fn topic_id(&self, name: &str) -> Uuid {
        self.topics.get(name).map_or(Uuid::ZERO, |topic| topic.id)
    }

    /// Why the last answer did not describe a topic that was asked for.
    #[must_use]
    pub fn refusal(&self, topic: &str) -> Option<ErrorCode> {
        self.refused.get(topic).copied()
    }

    /// The leader of a partition, once known.
    #[must_use]
    pub fn leader(&self, topic: &str, partition: PartitionIndex) -> Option<BrokerId> {
        self.topics.get(topic)?.partitions.get(&partition)?.leader
    }

    /// Forgets the leader of a partition, so that it is asked for again.
    pub(crate) fn forget_leader(&mut self, topic: &str, partition: PartitionIndex) {
        let partition = self.topics.get_mut(topic).and_then(|topic| topic.partitions.get_mut(&partition));
        if let Some(partition) = partition {
            partition.leader = None;
        }
    }

    /// Notes where a broker listens that another one named.
    pub(crate) fn learn_broker(&mut self, id: BrokerId, address: Address) {
        let broker = self.brokers.entry(id).or_insert(Broker { id, address: address.clone(), rack: None });
        broker.address = address;
    }

    /// Takes an answer over. `asked` are the topics it was to describe, none for all of them.
    pub(crate) fn update(&mut self, response: MetadataResponse, asked: Option<&BTreeSet<String>>) {
        self.id = response.cluster_id.or_else(|| self.id.take());
        self.controller = (response.controller_id >= 0).then_some(BrokerId(response.controller_id));
        let brokers = response.brokers.into_iter().filter_map(|broker| {
            let address = Address { host: broker.host, port: u16::try_from(broker.port).ok()? };
            let id = BrokerId(broker.node_id);
            Some((id, Broker { id, address, rack: broker.rack }))
        });
        self.brokers = brokers.collect();
        match asked {
            None => {
                self.topics.clear();
                self.refused.clear();
            }
            Some(asked) => asked.iter().for_each(|name| {
                self.refused.remove(name);
            }),
        }
        for topic in response.topics {
            self.update_topic(topic);
        }
    }

    fn update_topic(&mut self, topic: MetadataResponseTopic) {
        let Some(name) = topic.name else { return };
        let code = ErrorCode::from_code(topic.error_code).unwrap_or(ErrorCode::UnknownServerError);
        if code != ErrorCode::None {
            self.topics.remove(&name);
            self.refused.insert(name, code);
            return;
        }
        let known = self.topics.remove(&name).filter(|known| known.id == topic.topic_id);
        let partitions = topic.partitions.into_iter().map(|partition| {
            let index = PartitionIndex(partition.partition_index);
            let known = known.as_ref().and_then(|known| known.partitions.get(&index));
            (index, newer_partition(partition, known))
        });
        let described = Topic { id: topic.topic_id, is_internal: topic.is_internal, partitions: partitions.collect() };
        self.topics.insert(name, described);
    }
}

/// A broker that lags behind may name a leader of the past: an older epoch never replaces a newer one.
fn newer_partition(described: MetadataResponsePartition, known: Option<&Partition>) -> Partition {
    let leader_epoch = LeaderEpoch(described.leader_epoch);
    if let Some(known) = known.filter(|known| known.leader_epoch > leader_epoch && leader_epoch.0 >= 0) {
        return known.clone();
    }
    let ids = |ids: Vec<i32>| ids.into_iter().map(BrokerId).collect();
    Partition {
        leader: (described.leader_id >= 0).then_some(BrokerId(described.leader_id)),
        leader_epoch,
        replicas: ids(described.replica_nodes),
        in_sync: ids(described.isr_nodes),
        offline: ids(described.offline_replicas),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(epoch: i32, leader: i32, id: u8) -> MetadataResponse {
        let partition = MetadataResponsePartition { leader_id: leader, leader_epoch: epoch, ..Default::default() };
        let topic = MetadataResponseTopic {
            name: Some("t".to_owned()),
            topic_id: Uuid([id; 16]),
            partitions: vec![partition],
            ..Default::default()
        };
        MetadataResponse { topics: vec![topic], ..Default::default() }
    }

    #[test]
    fn an_older_epoch_never_replaces_a_newer_one_but_for_a_new_topic() {
        let mut cluster = Cluster::default();
        let leader = |cluster: &Cluster| cluster.leader("t", PartitionIndex(0));
        cluster.update(described(5, 1, 7), Some(&BTreeSet::new()));
        cluster.update(described(4, 2, 7), Some(&BTreeSet::new()));
        assert_eq!(leader(&cluster), Some(BrokerId(1)));
        cluster.update(described(0, 3, 8), Some(&BTreeSet::new()));
        assert_eq!(leader(&cluster), Some(BrokerId(3)));
    }

    #[test]
    fn addresses_have_their_usual_forms() {
        let parse = |text: &str| text.parse::<Address>().map(|address| address.to_string());
        assert_eq!(parse("localhost:9092").as_deref(), Ok("localhost:9092"));
        assert_eq!(parse("PLAINTEXT://[::1]:1").as_deref(), Ok("[::1]:1"));
        for text in ["localhost", ":9092", "host:port", "host:70000", ""] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
