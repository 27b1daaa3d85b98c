//! DescribeAcls: the ACLs that match a filter.
//!
//! Structs only, no behaviour: the derive writes their codec, brokers and clients drive it.

use crate::Message;

/// A DescribeAcls request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(key = DescribeAcls, response = DescribeAclsResponse, versions = "1-3", flexible = "2+")]
pub struct DescribeAclsRequest {
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

/// The answer to a DescribeAcls request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(versions = "1-3", flexible = "2+")]
pub struct DescribeAclsResponse {
    /// How long the client should pause for its quota, in milliseconds.
    pub throttle_time_ms: i32,
    /// Zero, or why it was refused.
    pub error_code: i16,
    /// The refusal in words; null when there is none.
    #[field(nullable = "0+", default = Some(String::new()))]
    pub error_message: Option<String>,
    /// The resources.
    pub resources: Vec<DescribeAclsResource>,
}

/// A resource and its ACLs.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct DescribeAclsResource {
    /// The kind of resource.
    pub resource_type: i8,
    /// The resource's name.
    pub resource_name: String,
    /// 3 literal name, 4 prefix.
    #[field(default = 3)]
    pub pattern_type: i8,
    /// The ACLs of this resource.
    pub acls: Vec<AclDescription>,
}

/// An ACL.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct AclDescription {
    /// The principal as `type:name`.
    pub principal: String,
    /// The host that the ACL speaks of; `*` for any.
    pub host: String,
    /// The operation, as in `org.apache.kafka.common.acl.AclOperation`; 1 matches any.
    pub operation: i8,
    /// 2 deny, 3 allow; 1 matches any.
    pub permission_type: i8,
}
