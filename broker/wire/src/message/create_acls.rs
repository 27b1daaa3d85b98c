//! CreateAcls: new ACLs.
//!
//! Structs only, no behaviour: the derive writes their codec, brokers and clients drive it.

use crate::Message;

/// A CreateAcls request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(key = CreateAcls, response = CreateAclsResponse, versions = "1-3", flexible = "2+")]
pub struct CreateAclsRequest {
    /// The ACLs to create.
    pub creations: Vec<AclCreation>,
}

/// An ACL to create.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct AclCreation {
    /// The kind of resource.
    pub resource_type: i8,
    /// The resource's name.
    pub resource_name: String,
    /// 3 literal name, 4 prefix.
    #[field(default = 3)]
    pub resource_pattern_type: i8,
    /// The principal as `type:name`.
    pub principal: String,
    /// The host that the ACL speaks of; `*` for any.
    pub host: String,
    /// The operation, as in `org.apache.kafka.common.acl.AclOperation`; 1 matches any.
    pub operation: i8,
    /// 2 deny, 3 allow; 1 matches any.
    pub permission_type: i8,
}

/// The answer to a CreateAcls request.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
#[message(versions = "1-3", flexible = "2+")]
pub struct CreateAclsResponse {
    /// How long the client should pause for its quota, in milliseconds.
    pub throttle_time_ms: i32,
    /// The results.
    pub results: Vec<AclCreationResult>,
}

/// The result for one ACL.
#[derive(Clone, PartialEq, Eq, Debug, Message)]
pub struct AclCreationResult {
    /// Zero, or why it was refused.
    pub error_code: i16,
    /// The refusal in words; null when there is none.
    #[field(nullable = "0+", default = Some(String::new()))]
    pub error_message: Option<String>,
}
