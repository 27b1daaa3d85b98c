//! Records of `__cluster_metadata` about ACLs, credentials, delegation tokens and quotas.
//!
//! Structs only; `metadata` frames them and knows their keys.

use barnabas_base::Uuid;
use bytes::Bytes;

use crate::{Message, ToJson};

/// An ACL exists.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
#[message(versions = "0", flexible = "0+")]
pub struct AccessControlEntryRecord {
    /// The ACL's id.
    pub id: Uuid,
    /// The kind of resource.
    pub resource_type: i8,
    /// The resource's name.
    pub resource_name: String,
    /// 3 literal name, 4 prefix.
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

/// A quota is set or removed.
#[derive(Clone, PartialEq, Debug, Message, ToJson)]
#[message(versions = "0", flexible = "0+")]
pub struct ClientQuotaRecord {
    /// The entity, as a path of types and names.
    pub entity: Vec<EntityData>,
    /// The quota's name, such as `producer_byte_rate`.
    pub key: String,
    /// The quota; its unit follows from the key.
    pub value: f64,
    /// Whether the quota is removed.
    pub remove: bool,
}

/// One step of an entity's path.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
pub struct EntityData {
    /// `user`, `client-id` or `ip`.
    pub entity_type: String,
    /// The entity's name; null for the default entity.
    #[field(nullable = "0+", default = Some(String::new()))]
    pub entity_name: Option<String>,
}

/// A delegation token exists.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
#[message(versions = "0", flexible = "0+")]
pub struct DelegationTokenRecord {
    /// The principal that owns the token.
    pub owner: String,
    /// The principal that asked for the token.
    pub requester: String,
    /// The principals that may renew the token.
    pub renewers: Vec<String>,
    /// When the token was issued, in milliseconds since 1970.
    pub issue_timestamp: i64,
    /// When the token expires even if it is renewed, in milliseconds since 1970.
    pub max_timestamp: i64,
    /// When the token expires, in milliseconds since 1970.
    pub expiration_timestamp: i64,
    /// The token.
    pub token_id: String,
}

/// An ACL is gone.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
#[message(versions = "0", flexible = "0+")]
pub struct RemoveAccessControlEntryRecord {
    /// The ACL's id.
    pub id: Uuid,
}

/// A delegation token is gone.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
#[message(versions = "0", flexible = "0+")]
pub struct RemoveDelegationTokenRecord {
    /// The token.
    pub token_id: String,
}

/// A SCRAM credential is gone.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
#[message(versions = "0", flexible = "0+")]
pub struct RemoveUserScramCredentialRecord {
    /// The user.
    pub name: String,
    /// 1 SCRAM-SHA-256, 2 SCRAM-SHA-512.
    pub mechanism: i8,
}

/// A user has a SCRAM credential.
#[derive(Clone, PartialEq, Eq, Debug, Message, ToJson)]
#[message(versions = "0", flexible = "0+")]
pub struct UserScramCredentialRecord {
    /// The user.
    pub name: String,
    /// 1 SCRAM-SHA-256, 2 SCRAM-SHA-512.
    pub mechanism: i8,
    /// The salt.
    pub salt: Bytes,
    /// SCRAM's stored key.
    pub stored_key: Bytes,
    /// SCRAM's server key.
    pub server_key: Bytes,
    /// How often the hash is applied.
    pub iterations: i32,
}
