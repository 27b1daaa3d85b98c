//! Promise: what nobody can do is refused, with the code that Kafka gives for it. Nothing is judged of an answer that tells
//! of the state of the cluster instead, which any request may meet.

use barnabas_history::{Call, Outcome};
use barnabas_plan::{Action, Plan, WrongRequest};

use crate::facts::Facts;
use crate::verdict::Court;
use crate::{Kind, Promise, Verdict};

pub(crate) const PROMISE: Promise = Promise {
    name: "refusals",
    words: "what nobody can do is refused with the code that Kafka gives for it",
    kind: Kind::BlackBox,
    applies: asks_wrongly,
    check,
};

/// The code of what was done.
const NO_ERROR: &str = "NONE";
/// What any request may be answered while a broker starts, a topic or a coordinator is not there yet, or a disk fails.
const OF_THE_MOMENT: &[&str] = &[
    "UNKNOWN_TOPIC_OR_PARTITION",
    "UNKNOWN_TOPIC_ID",
    "LEADER_NOT_AVAILABLE",
    "NOT_LEADER_OR_FOLLOWER",
    "REQUEST_TIMED_OUT",
    // Also what a Produce in a transaction is answered while nobody coordinates that.
    "NOT_ENOUGH_REPLICAS",
    "COORDINATOR_LOAD_IN_PROGRESS",
    "COORDINATOR_NOT_AVAILABLE",
    "NOT_COORDINATOR",
    "NOT_CONTROLLER",
    "KAFKA_STORAGE_ERROR",
];

/// Where nobody asks for what cannot be done there is nothing to refuse.
fn asks_wrongly(plan: &Plan) -> bool {
    plan.operations.iter().any(|operation| matches!(operation.action, Action::Wrong { .. }))
}

/// The codes that Apache Kafka 4.3 refuses it with; the classes that do are named where the reason is no plain check.
const fn expected(request: WrongRequest) -> &'static [&'static str] {
    match request {
        WrongRequest::ProduceAcksTwo => &["INVALID_REQUIRED_ACKS"],
        // `ProduceRequest.validateRecords`.
        WrongRequest::ProduceTwoBatches => &["INVALID_RECORD"],
        WrongRequest::ProduceTooLarge => &["MESSAGE_TOO_LARGE"],
        WrongRequest::ProduceOldZstd => &["UNSUPPORTED_COMPRESSION_TYPE"],
        // `KafkaApis.handleProduceRequest`: nobody can be allowed to use no id.
        WrongRequest::ProduceUnnamedTransaction => &["TRANSACTIONAL_ID_AUTHORIZATION_FAILED"],
        // `AddPartitionsToTxnManager`: its coordinator does not know the id, or the partition not as one of a transaction.
        WrongRequest::ProduceUnknownTransaction => &["INVALID_TXN_STATE", "INVALID_PRODUCER_ID_MAPPING"],
        WrongRequest::ProduceInternal | WrongRequest::TrimInternal | WrongRequest::CreateBadName => {
            &["INVALID_TOPIC_EXCEPTION"]
        }
        WrongRequest::CreateNoPartitions | WrongRequest::GrowToOne => &["INVALID_PARTITIONS"],
        WrongRequest::CreateManyReplicas => &["INVALID_REPLICATION_FACTOR"],
        WrongRequest::CreateOnStrangers => &["INVALID_REPLICA_ASSIGNMENT"],
        WrongRequest::CreateUnknownConfig | WrongRequest::AlterUnknownConfig | WrongRequest::AlterBadValue => {
            &["INVALID_CONFIG"]
        }
        // `ReplicationControlManager.validateTotalNumberOfPartitions`.
        WrongRequest::CreateTooMany => &["POLICY_VIOLATION"],
        // `ControllerApis.deleteTopics` looks at `delete.topic.enable` first.
        WrongRequest::DeleteNothing => &["INVALID_REQUEST", "TOPIC_DELETION_DISABLED"],
        WrongRequest::DescribeUnknownResource
        | WrongRequest::MetadataOldId
        | WrongRequest::FindUnknownKind
        | WrongRequest::InitUnnamedTransaction => &["INVALID_REQUEST"],
        // `AuthHelper.computeDescribeClusterResponse`.
        WrongRequest::DescribeControllers => &["MISMATCHED_ENDPOINT_TYPE"],
        WrongRequest::DescribeUnknownEndpoint => &["UNSUPPORTED_ENDPOINT_TYPE"],
        WrongRequest::ElectPreferred => &["ELECTION_NOT_NEEDED"],
        WrongRequest::DescribeAcls => &["SECURITY_DISABLED"],
        WrongRequest::JoinNoGroup => &["INVALID_GROUP_ID"],
        WrongRequest::JoinShortSession => &["INVALID_SESSION_TIMEOUT"],
        WrongRequest::JoinNoProtocol => &["INCONSISTENT_GROUP_PROTOCOL"],
        WrongRequest::CommitLongMetadata => &["OFFSET_METADATA_TOO_LARGE"],
        WrongRequest::DeleteNoGroup => &["GROUP_ID_NOT_FOUND"],
    }
}

/// Judges every answer to what nobody can do.
fn check(facts: &Facts<'_>) -> Verdict {
    let mut court = Court::new(facts.evidence);
    for view in &facts.calls {
        let Call::Wrong { request } = view.call else { continue };
        let answered = match view.outcome {
            Some(Outcome::Ok(_)) => NO_ERROR,
            Some(Outcome::Failed(name)) => name.as_str(),
            Some(Outcome::Unknown(_)) | None => continue,
        };
        if OF_THE_MOMENT.contains(&answered) {
            continue;
        }
        let expected = expected(*request);
        court.judge(!expected.contains(&answered), view.ended, None, || {
            format!("{request} was answered {answered}, where Kafka answers {}", expected.join(" or "))
        });
    }
    court.verdict()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::piece::{accepts, durable, passes_over, rejects};

    use barnabas_history::Reply;

    fn wrong() -> Call {
        Call::Wrong { request: WrongRequest::DeleteNothing }
    }

    fn refused(name: &str) -> Outcome {
        Outcome::Failed(name.to_owned())
    }

    #[test]
    fn accepts_the_codes_of_kafka() {
        accepts(
            &PROMISE,
            [
                durable().call(0, wrong(), refused("INVALID_REQUEST")),
                durable().call(0, wrong(), refused("TOPIC_DELETION_DISABLED")).call(
                    1,
                    wrong(),
                    Outcome::Unknown("reset".to_owned()),
                ),
            ],
        );
        passes_over(
            &PROMISE,
            [durable().invoke(0, wrong()), durable().call(0, wrong(), refused("COORDINATOR_LOAD_IN_PROGRESS"))],
        );
    }

    #[test]
    fn rejects_others() {
        rejects(
            &PROMISE,
            [
                durable().ok(0, wrong(), Reply::Done),
                durable().call(0, wrong(), refused("INVALID_CONFIG")),
                durable().call(0, wrong(), refused("INVALID_REQUEST")).call(0, wrong(), refused("CreateTopics")),
            ],
        );
    }

    #[test]
    fn no_code_of_the_moment_is_a_refusal() {
        for request in WrongRequest::ALL {
            assert!(expected(*request).iter().all(|code| !OF_THE_MOMENT.contains(code)), "{request}");
        }
    }
}
