//! ListConfigResources: which resources have a configuration of their own (KIP-1142).
//!
//! Structs only, no behaviour: the derive writes their codec, brokers and clients drive it.

use crate::Message;

/// A ListConfigResources request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(key = ListConfigResources, response = ListConfigResourcesResponse, versions = "0-1", flexible = "0+")]
pub struct ListConfigResourcesRequest {
    /// The kinds of resources to list; empty for all.
    #[field(versions = "1+")]
    pub resource_types: Vec<i8>,
}

/// The answer to a ListConfigResources request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(versions = "0-1", flexible = "0+")]
pub struct ListConfigResourcesResponse {
    /// How long the client should pause for its quota, in milliseconds.
    pub throttle_time_ms: i32,
    /// Zero, or why it was refused.
    pub error_code: i16,
    /// The resources found.
    pub config_resources: Vec<ConfigResource>,
}

/// A resource with a configuration.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct ConfigResource {
    /// The resource's name.
    pub resource_name: String,
    /// 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
    #[field(versions = "1+", default = 16, ignorable)]
    pub resource_type: i8,
}
