//! Deleting topics, by name or by id (KIP-516).
//!
//! Follows Kafka's `ControllerApis.deleteTopics` in what is refused, with which code and message; answers come in the
//! order of the request, where Kafka shuffles them.

use std::collections::{BTreeMap, BTreeSet};

use barnabas_base::TopicId;
use barnabas_wire::ErrorCode;
use barnabas_wire::internal::metadata_schema::RemoveTopicRecord;
use barnabas_wire::message::delete_topics::{DeletableTopicResult, DeleteTopicsRequest, DeleteTopicsResponse};

use super::refusal::{Refusal, code_and_message};
use super::{ControllerCore, Decision, Work};

/// First version of DeleteTopics that knows TOPIC_DELETION_DISABLED.
const DELETION_DISABLED_SINCE: i16 = 3;

impl ControllerCore {
    /// Deletes topics, all that can be deleted, by name or by id.
    pub fn delete_topics(&mut self, request: &DeleteTopicsRequest, version: i16) -> Decision<DeleteTopicsResponse> {
        let mut work = self.work();
        let wanted = wanted_topics(request);
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        let mut ids: BTreeMap<TopicId, usize> = BTreeMap::new();
        for (name, id) in &wanted {
            match name {
                Some(name) => *names.entry(name).or_default() += 1,
                None => *ids.entry(*id).or_default() += 1,
            }
        }
        // A topic named in both ways is not deleted, and answered once, under its name.
        let named: BTreeSet<TopicId> = names.keys().filter_map(|name| work.image.topic_id(name)).collect();
        let is_named_twice = |id: &TopicId| named.contains(id) && ids.contains_key(id);
        let (mut responses, mut answered) = (Vec::new(), BTreeSet::new());
        for (name, id) in &wanted {
            if !answered.insert((*name, *id)) || (name.is_none() && is_named_twice(id)) {
                continue;
            }
            let outcome = match (*name, *id) {
                _ if !self.config.topics.delete_enable => Err(deletion_disabled(version)),
                (None, id) if id.0.is_zero() => {
                    Err(Refusal::invalid_request("Neither topic name nor id were specified."))
                }
                (Some(_), id) if !id.0.is_zero() => {
                    Err(Refusal::invalid_request("You may not specify both topic name and topic id."))
                }
                (Some(name), _) if names[name] > 1 => Err(Refusal::invalid_request("Duplicate topic name.")),
                (None, id) if ids[&id] > 1 => Err(Refusal::invalid_request("Duplicate topic id.")),
                (Some(name), _) => delete_by_name(name, is_named_twice, &mut work),
                (None, id) => delete_by_id(id, &mut work),
            };
            responses.push(deletion_result(*name, *id, outcome));
        }
        let response = DeleteTopicsResponse { throttle_time_ms: 0, responses };
        self.decided(work, response)
    }
}

/// The topics of a request in whichever form its version has; a zero id stands for "not by id".
fn wanted_topics(request: &DeleteTopicsRequest) -> Vec<(Option<&str>, TopicId)> {
    let by_name = request.topic_names.iter().map(|name| (Some(name.as_str()), TopicId::default()));
    let by_state = request.topics.iter().map(|topic| (topic.name.as_deref(), TopicId(topic.topic_id)));
    by_name.chain(by_state).collect()
}

fn deletion_disabled(version: i16) -> Refusal {
    if version < DELETION_DISABLED_SINCE {
        Refusal::invalid_request("Topic deletion is disabled.")
    } else {
        Refusal::bare(ErrorCode::TopicDeletionDisabled)
    }
}

/// The topic that was deleted: its name and id are answered whichever of them the request had.
type Deleted = (String, TopicId);

fn delete_by_name(name: &str, is_named_twice: impl Fn(&TopicId) -> bool, work: &mut Work) -> Result<Deleted, Refusal> {
    let id = work.image.topic_id(name).ok_or_else(Refusal::unknown_topic)?;
    if is_named_twice(&id) {
        let message = "The provided topic name maps to an ID that was already supplied.";
        return Err(Refusal::invalid_request(message));
    }
    delete_by_id(id, work)
}

fn delete_by_id(id: TopicId, work: &mut Work) -> Result<Deleted, Refusal> {
    let topic = work.image.topic(id).ok_or_else(Refusal::unknown_topic_id)?;
    let name = topic.name.to_string();
    work.add(vec![RemoveTopicRecord { topic_id: id.0 }.into()])?;
    Ok((name, id))
}

fn deletion_result(name: Option<&str>, id: TopicId, outcome: Result<Deleted, Refusal>) -> DeletableTopicResult {
    let (name, id, outcome) = match outcome {
        Ok((name, id)) => (Some(name), id, Ok(())),
        Err(refusal) => (name.map(str::to_owned), id, Err(refusal)),
    };
    let (error_code, error_message) = code_and_message(&outcome);
    DeletableTopicResult { name, topic_id: id.0, error_code, error_message }
}
