//! Records of features that are not built yet: quotas, SCRAM credentials, delegation tokens, ACLs.
//!
//! They are kept as they are, so that a folder of Apache Kafka loses nothing when Barnabas writes its next snapshot.
//! Nothing here is enforced; the node refuses to serve a cluster that counts on them.

use std::collections::BTreeMap;
use std::sync::Arc;

use barnabas_base::Uuid;
use barnabas_wire::internal::MetadataRecord;

/// What a retained record is about; a later record about the same replaces it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RetainedKey {
    /// A client quota: entity as (type, name) pairs, and the quota's key.
    Quota(Vec<(String, Option<String>)>, String),
    /// A SCRAM credential: user and mechanism.
    Scram(String, i8),
    /// A delegation token.
    DelegationToken(String),
    /// An access control entry.
    AccessControl(Uuid),
}

/// All retained records.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RetainedRecords {
    records: Arc<BTreeMap<RetainedKey, MetadataRecord>>,
}

impl RetainedRecords {
    /// All of them, by what they are about.
    pub fn iter(&self) -> impl Iterator<Item = (&RetainedKey, &MetadataRecord)> {
        self.records.iter()
    }

    /// Takes in a record; `false` when it is not of these features.
    pub(crate) fn apply(&mut self, record: &MetadataRecord) -> bool {
        let Some((key, is_removal)) = key_of(record) else {
            return false;
        };
        let records = Arc::make_mut(&mut self.records);
        if is_removal {
            records.remove(&key);
        } else {
            records.insert(key, record.clone());
        }
        true
    }
}

fn key_of(record: &MetadataRecord) -> Option<(RetainedKey, bool)> {
    match record {
        MetadataRecord::ClientQuotaRecord(quota) => {
            let entity = quota.entity.iter().map(|part| (part.entity_type.clone(), part.entity_name.clone())).collect();
            Some((RetainedKey::Quota(entity, quota.key.clone()), quota.remove))
        }
        MetadataRecord::UserScramCredentialRecord(scram) => {
            Some((RetainedKey::Scram(scram.name.clone(), scram.mechanism), false))
        }
        MetadataRecord::RemoveUserScramCredentialRecord(scram) => {
            Some((RetainedKey::Scram(scram.name.clone(), scram.mechanism), true))
        }
        MetadataRecord::DelegationTokenRecord(token) => {
            Some((RetainedKey::DelegationToken(token.token_id.clone()), false))
        }
        MetadataRecord::RemoveDelegationTokenRecord(token) => {
            Some((RetainedKey::DelegationToken(token.token_id.clone()), true))
        }
        MetadataRecord::AccessControlEntryRecord(entry) => Some((RetainedKey::AccessControl(entry.id), false)),
        MetadataRecord::RemoveAccessControlEntryRecord(entry) => Some((RetainedKey::AccessControl(entry.id), true)),
        MetadataRecord::RegisterBrokerRecord(_)
        | MetadataRecord::UnregisterBrokerRecord(_)
        | MetadataRecord::TopicRecord(_)
        | MetadataRecord::PartitionRecord(_)
        | MetadataRecord::ConfigRecord(_)
        | MetadataRecord::PartitionChangeRecord(_)
        | MetadataRecord::FenceBrokerRecord(_)
        | MetadataRecord::UnfenceBrokerRecord(_)
        | MetadataRecord::RemoveTopicRecord(_)
        | MetadataRecord::FeatureLevelRecord(_)
        | MetadataRecord::ProducerIdsRecord(_)
        | MetadataRecord::BrokerRegistrationChangeRecord(_)
        | MetadataRecord::NoOpRecord(_)
        | MetadataRecord::ZkMigrationStateRecord(_)
        | MetadataRecord::BeginTransactionRecord(_)
        | MetadataRecord::EndTransactionRecord(_)
        | MetadataRecord::AbortTransactionRecord(_)
        | MetadataRecord::RegisterControllerRecord(_)
        | MetadataRecord::ClearElrRecord(_) => None,
    }
}
