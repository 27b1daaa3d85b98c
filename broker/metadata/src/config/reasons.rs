//! Why a key is refused or has no effect, in the words a user reads behind its name. Plain text; the key tables use it.

pub(crate) const BACKLOG: &str = "each listener lets the kernel hold 1024";
pub(crate) const BYTES_BOUND: &str = "requests are bounded by their bytes and by 64 for each connection";
pub(crate) const CORDON: &str = "cordoning of log directories does not work yet";
pub(crate) const FLUSH: &str = "flush.policy=ack syncs every record before it is acknowledged, which is stronger";
pub(crate) const INTERNALS: &str = "it tunes the insides of Apache Kafka";
pub(crate) const KERNEL_BUFFERS: &str = "the kernel sizes the buffers of each connection by what it measures";
pub(crate) const LONE: &str = "a single broker has no peers";
pub(crate) const LONE_QUORUM: &str = "a metadata quorum of more than one node does not work yet";
pub(crate) const METRICS: &str = "it belongs to Kafka's JVM metrics";
pub(crate) const NO_ACL: &str = "authorization does not work yet";
pub(crate) const NO_CONSUMER: &str = "consumer groups of KIP-848 are not offered yet";
pub(crate) const NO_EFFECT_SASL: &str = "no listener authenticates yet";
pub(crate) const NO_PLUGINS: &str = "Java plugins cannot be loaded";
pub(crate) const NO_PROVIDERS: &str = "config providers do not work yet";
pub(crate) const NO_QUOTA: &str = "quotas are not enforced yet";
pub(crate) const NO_SASL: &str = "SASL does not work yet";
pub(crate) const NO_SECURITY: &str = "only PLAINTEXT works yet";
pub(crate) const NO_SHARE: &str = "share groups are not offered yet";
pub(crate) const NO_STREAMS: &str = "streams groups are not offered yet";
pub(crate) const NO_TIER: &str = "tiered storage is off";
pub(crate) const NO_TLS: &str = "TLS does not work yet";
pub(crate) const NO_TXN: &str = "transactions are not offered yet";
pub(crate) const PROTOCOLS: &str = "only the classic group protocol is offered yet";
pub(crate) const SNAPSHOTS: &str =
    "a snapshot is due after metadata.log.max.record.bytes.between.snapshots, and what lies before it goes at once";
pub(crate) const THREADS: &str = "shards and a small pool do this work, see barnabas.shards";
pub(crate) const TIER: &str = "tiered storage does not work yet";
pub(crate) const TWO_PHASE: &str = "two-phase commit does not work yet";
pub(crate) const UNCOMPRESSED: &str = "batches of committed offsets are stored without compression";
pub(crate) const UNSTABLE: &str = "unstable versions are not offered";
pub(crate) const UNTHROTTLED: &str = "cleaning is not held to a rate yet";
