//! DeleteAcls: ACLs that match filters are deleted.
//!
//! Structs only, no behaviour: the derive writes their codec, brokers and clients drive it.

use crate::Message;

/// A DeleteAcls request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(key = DeleteAcls, response = DeleteAclsResponse, versions = "1-3", flexible = "2+")]
pub struct DeleteAclsRequest {
    /// The filters; what matches any of them is deleted.
    pub filters: Vec<DeleteAclsFilter>,
}

/// What to delete.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct DeleteAclsFilter {
    /// The kind of resource to match; 1 any.
    pub resource_type_filter: i8,
    /// The resource name to match; null for any.
    #[field(nullable = "0+", default = Some(String::new()))]
    pub resource_name_filter: Option<String>,
    /// 1 any, 2 all that apply to a literal name, 3 literal, 4 prefix.
    #[field(default = 3)]
    pub pattern_type_filter: i8,
    /// The principal to match; null for any.
    #[field(nullable = "0+", default = Some(String::new()))]
    pub principal_filter: Option<String>,
    /// The host to match; null for any.
    #[field(nullable = "0+", default = Some(String::new()))]
    pub host_filter: Option<String>,
    /// The operation, as in `org.apache.kafka.common.acl.AclOperation`; 1 matches any.
    pub operation: i8,
    /// 2 deny, 3 allow; 1 matches any.
    pub permission_type: i8,
}

/// The answer to a DeleteAcls request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(versions = "1-3", flexible = "2+")]
pub struct DeleteAclsResponse {
    /// How long the client should pause for its quota, in milliseconds.
    pub throttle_time_ms: i32,
    /// The result of each filter, in their order.
    pub filter_results: Vec<DeleteAclsFilterResult>,
}

/// The result of one filter.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct DeleteAclsFilterResult {
    /// Zero, or why it was refused.
    pub error_code: i16,
    /// The refusal in words; null when there is none.
    #[field(nullable = "0+", default = Some(String::new()))]
    pub error_message: Option<String>,
    /// The ACLs that matched and were deleted.
    pub matching_acls: Vec<DeleteAclsMatchingAcl>,
}

/// An ACL that matched.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct DeleteAclsMatchingAcl {
    /// Zero, or why it was refused.
    pub error_code: i16,
    /// The refusal in words; null when there is none.
    #[field(nullable = "0+", default = Some(String::new()))]
    pub error_message: Option<String>,
    /// The kind of resource.
    pub resource_type: i8,
    /// The resource's name.
    pub resource_name: String,
    /// 3 literal name, 4 prefix.
    #[field(default = 3)]
    pub pattern_type: i8,
    /// The principal as `type:name`.
    pub principal: String,
    /// The host that the ACL speaks of; `*` for any.
    pub host: String,
    /// The operation, as in `org.apache.kafka.common.acl.AclOperation`; 1 matches any.
    pub operation: i8,
    /// 2 deny, 3 allow; 1 matches any.
    pub permission_type: i8,
}
