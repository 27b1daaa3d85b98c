//! DescribeConfigs: configuration of topics, brokers and groups, with where it comes from.
//!
//! Structs only, no behaviour: the derive writes their codec, brokers and clients drive it.

use crate::Message;

/// A DescribeConfigs request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(key = DescribeConfigs, response = DescribeConfigsResponse, versions = "1-4", flexible = "4+")]
pub struct DescribeConfigsRequest {
    /// The resources.
    pub resources: Vec<DescribeConfigsResource>,
    /// Whether to add the layers below each value.
    pub include_synonyms: bool,
    /// Whether to add what each key means.
    #[field(versions = "3+")]
    pub include_documentation: bool,
}

/// A resource to describe.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct DescribeConfigsResource {
    /// 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
    pub resource_type: i8,
    /// The resource's name.
    pub resource_name: String,
    /// The keys to describe; null for all.
    #[field(nullable = "0+", default = Some(Vec::new()))]
    pub configuration_keys: Option<Vec<String>>,
}

/// The answer to a DescribeConfigs request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(versions = "1-4", flexible = "4+")]
pub struct DescribeConfigsResponse {
    /// How long the client should pause for its quota, in milliseconds.
    pub throttle_time_ms: i32,
    /// The results.
    pub results: Vec<DescribeConfigsResult>,
}

/// The result for one resource.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct DescribeConfigsResult {
    /// Zero, or why it was refused.
    pub error_code: i16,
    /// The refusal in words; null when there is none.
    #[field(nullable = "0+", default = Some(String::new()))]
    pub error_message: Option<String>,
    /// 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
    pub resource_type: i8,
    /// The resource's name.
    pub resource_name: String,
    /// Configuration keys and values.
    pub configs: Vec<DescribeConfigsResourceResult>,
}

/// One key of a resource.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct DescribeConfigsResourceResult {
    /// The key.
    pub name: String,
    /// The value; null for none.
    #[field(nullable = "0+", default = Some(String::new()))]
    pub value: Option<String>,
    /// Whether the value cannot be altered.
    pub read_only: bool,
    /// Which layer the value comes from: 1 topic, 2 this broker, 3 all brokers, 4 static file, 5 default,
    /// 6 logger, 7 client metrics, 8 group.
    #[field(default = -1)]
    pub config_source: i8,
    /// Whether the value is secret; it is null then.
    pub is_sensitive: bool,
    /// The layers that the value was chosen from.
    pub synonyms: Vec<DescribeConfigsSynonym>,
    /// The type: 0 unknown, 1 boolean, 2 string, 3 int, 4 short, 5 long, 6 double, 7 list, 8 class, 9 password.
    #[field(versions = "3+", ignorable)]
    pub config_type: i8,
    /// What the key means; null unless asked for.
    #[field(versions = "3+", nullable = "0+", default = Some(String::new()), ignorable)]
    pub documentation: Option<String>,
}

/// A layer that a value may come from.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct DescribeConfigsSynonym {
    /// The key.
    pub name: String,
    /// The value; null for none.
    #[field(nullable = "0+", default = Some(String::new()))]
    pub value: Option<String>,
    /// Which layer the value comes from: 1 topic, 2 this broker, 3 all brokers, 4 static file, 5 default,
    /// 6 logger, 7 client metrics, 8 group.
    pub source: i8,
}
