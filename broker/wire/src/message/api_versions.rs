//! ApiVersions: which APIs, versions and features a broker has (KIP-35, KIP-511, KIP-584).
//!
//! Structs only, no behaviour: the derive writes their codec, brokers and clients drive it.

use crate::Message;

/// An ApiVersions request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(key = ApiVersions, response = ApiVersionsResponse, versions = "0-4", flexible = "3+")]
pub struct ApiVersionsRequest {
    /// The client library.
    #[field(versions = "3+", ignorable)]
    pub client_software_name: String,
    /// The client library's version.
    #[field(versions = "3+", ignorable)]
    pub client_software_version: String,
}

/// The answer to an ApiVersions request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(versions = "0-4", flexible = "3+")]
pub struct ApiVersionsResponse {
    /// Zero, or UNSUPPORTED_VERSION, which is answered in version 0.
    pub error_code: i16,
    /// The APIs that this listener answers.
    pub api_keys: Vec<ApiVersion>,
    /// How long the client should pause for its quota, in milliseconds.
    #[field(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    /// The features that this broker knows.
    #[field(versions = "3+", tag = 0, tagged = "3+", ignorable)]
    pub supported_features: Vec<SupportedFeatureKey>,
    /// Rises with each change of the finalized features; -1 if unknown.
    #[field(versions = "3+", tag = 1, tagged = "3+", default = -1, ignorable)]
    pub finalized_features_epoch: i64,
    /// The features in use across the cluster.
    #[field(versions = "3+", tag = 2, tagged = "3+", ignorable)]
    pub finalized_features: Vec<FinalizedFeatureKey>,
    /// Whether a migration from ZooKeeper may go on; false in a cluster that never had one.
    #[field(versions = "3+", tag = 3, tagged = "3+", ignorable)]
    pub zk_migration_ready: bool,
}

/// An API and its versions.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Message)]
pub struct ApiVersion {
    /// The key of an API.
    pub api_key: i16,
    /// The lowest version.
    pub min_version: i16,
    /// The highest version.
    pub max_version: i16,
}

/// A feature and the levels that the broker knows.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct SupportedFeatureKey {
    /// The feature.
    pub name: String,
    /// The lowest level supported.
    pub min_version: i16,
    /// The highest level supported.
    pub max_version: i16,
}

/// A feature and the levels in use.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct FinalizedFeatureKey {
    /// The feature.
    pub name: String,
    /// The highest level in use.
    pub max_version_level: i16,
    /// The lowest level in use.
    pub min_version_level: i16,
}
