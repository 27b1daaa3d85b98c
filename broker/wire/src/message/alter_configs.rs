//! AlterConfigs: replaces the whole configuration of a resource.
//!
//! Structs only, no behaviour: the derive writes their codec, brokers and clients drive it.

use crate::Message;

/// An AlterConfigs request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(key = AlterConfigs, response = AlterConfigsResponse, versions = "0-2", flexible = "2+")]
pub struct AlterConfigsRequest {
    /// The resources.
    pub resources: Vec<AlterConfigsResource>,
    /// Whether only to check and change nothing.
    pub validate_only: bool,
}

/// One resource and its new configuration.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct AlterConfigsResource {
    /// 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
    pub resource_type: i8,
    /// The resource's name.
    pub resource_name: String,
    /// Configuration keys and values.
    pub configs: Vec<AlterableConfig>,
}

/// One key and its value.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct AlterableConfig {
    /// The key.
    pub name: String,
    /// The value; null for none.
    #[field(nullable = "0+", default = Some(String::new()))]
    pub value: Option<String>,
}

/// The answer to an AlterConfigs request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(versions = "0-2", flexible = "2+")]
pub struct AlterConfigsResponse {
    /// How long the client should pause for its quota, in milliseconds.
    pub throttle_time_ms: i32,
    /// The results.
    pub responses: Vec<AlterConfigsResourceResponse>,
}

/// The result for one resource.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct AlterConfigsResourceResponse {
    /// Zero, or why it was refused.
    pub error_code: i16,
    /// The refusal in words; null when there is none.
    #[field(nullable = "0+", default = Some(String::new()))]
    pub error_message: Option<String>,
    /// 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
    pub resource_type: i8,
    /// The resource's name.
    pub resource_name: String,
}
