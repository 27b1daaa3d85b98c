//! Administration: topics that are created, deleted, grown and configured, each by one request.

use barnabas_base::Uuid;
use barnabas_client::{Address, Client, ClientConfig, Destination};
use barnabas_history::{Call, Outcome, Reply};
use barnabas_plan::{PlannedTopic, TopicName};
use barnabas_runtime::Env;
use barnabas_wire::message::create_partitions::CreatePartitionsTopic;
use barnabas_wire::message::create_topics::{CreatableTopic, CreatableTopicConfig, CreatableTopicResult};
use barnabas_wire::message::delete_topics::DeleteTopicState;
use barnabas_wire::message::incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use barnabas_wire::message::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, IncrementalAlterConfigsRequest,
};
use barnabas_wire::{ErrorCode, RequestBody, ResponseBody};

use crate::Driver;
use crate::record::partition_index;
use crate::session::{Answer, Purpose, Session, error_of, unanswered};

/// How long the broker may take to do it, in milliseconds.
const TIMEOUT_MS: i32 = 4_000;
/// IncrementalAlterConfigs' type of topics.
const TOPIC_RESOURCE: i8 = 2;
/// IncrementalAlterConfigs' operation that sets a value.
const SET: i8 = 0;
/// How long topics may take to be there before the safety phase.
const SET_UP_MS: i64 = 60_000;
/// How long one request may take then.
const SET_UP_ASK_MS: i64 = 10_000;

impl Session {
    pub(crate) async fn create(&mut self, topic: TopicName, partitions: u32) {
        let call = self.call(Call::Create { topic, partitions });
        let topics = vec![CreatableTopic {
            name: topic.to_string(),
            num_partitions: partition_index(partitions).0,
            replication_factor: -1,
            ..Default::default()
        }];
        let request = CreateTopicsRequest { topics, timeout_ms: TIMEOUT_MS, validate_only: false };
        let answer = self.ask(Destination::Controller, request).await;
        let outcome = match &answer {
            Ok((_, ResponseBody::CreateTopics(response))) => response.topics.first().map(created),
            _ => None,
        };
        self.end_change(call, outcome, &answer);
    }

    pub(crate) async fn drop_topic(&mut self, topic: TopicName) {
        let call = self.call(Call::Drop { topic });
        // Of versions up to 5 the list of names is, from then on the other.
        let request = DeleteTopicsRequest {
            topics: vec![DeleteTopicState { name: Some(topic.to_string()), topic_id: Uuid::ZERO }],
            topic_names: vec![topic.to_string()],
            timeout_ms: TIMEOUT_MS,
        };
        let answer = self.ask(Destination::Controller, request).await;
        let code = match &answer {
            Ok((_, ResponseBody::DeleteTopics(response))) => response.responses.first().map(|one| one.error_code),
            _ => None,
        };
        self.end_change(call, code.map(done), &answer);
    }

    pub(crate) async fn grow(&mut self, topic: TopicName, partitions: u32) {
        let call = self.call(Call::Grow { topic, partitions });
        let topics = vec![CreatePartitionsTopic {
            name: topic.to_string(),
            count: partition_index(partitions).0,
            assignments: None,
        }];
        let request = CreatePartitionsRequest { topics, timeout_ms: TIMEOUT_MS, validate_only: false };
        let answer = self.ask(Destination::Controller, request).await;
        let code = match &answer {
            Ok((_, ResponseBody::CreatePartitions(response))) => response.results.first().map(|one| one.error_code),
            _ => None,
        };
        self.end_change(call, code.map(done), &answer);
    }

    pub(crate) async fn configure(&mut self, topic: TopicName, key: &str, value: &str) {
        let (name, text) = (key.to_owned(), value.to_owned());
        let call = self.call(Call::Configure { topic, key: name.clone(), value: text.clone() });
        let resources = vec![AlterConfigsResource {
            resource_type: TOPIC_RESOURCE,
            resource_name: topic.to_string(),
            configs: vec![AlterableConfig { name, config_operation: SET, value: Some(text) }],
        }];
        let request = IncrementalAlterConfigsRequest { resources, validate_only: false };
        let answer = self.ask(Destination::Controller, request).await;
        let code = match &answer {
            Ok((_, ResponseBody::IncrementalAlterConfigs(response))) => {
                response.responses.first().map(|one| one.error_code)
            }
            _ => None,
        };
        self.end_change(call, code.map(done), &answer);
    }

    /// Ends the call of a change, after which metadata is asked for again.
    fn end_change(&mut self, call: barnabas_history::CallId, outcome: Option<Outcome>, answer: &Answer) {
        self.recorder.end(call, outcome.unwrap_or_else(|| unanswered(answer)));
        let now = self.env.now();
        for purpose in [Purpose::Work, Purpose::Read, Purpose::Group] {
            if self.client(purpose).cluster().topics().next().is_some() {
                self.client_mut(purpose).refresh_metadata(now);
            }
        }
    }
}

fn created(result: &CreatableTopicResult) -> Outcome {
    match error_of(result.error_code) {
        Ok(()) => Outcome::Ok(Reply::Created { id: result.topic_id }),
        Err(outcome) => outcome,
    }
}

fn done(code: i16) -> Outcome {
    error_of(code).err().unwrap_or(Outcome::Ok(Reply::Done))
}

/// Creates the topics of a plan before the safety phase, and waits until each partition has a leader.
///
/// # Errors
/// What could not be created, or did not appear in time.
pub async fn set_up(env: Env, bootstrap: Vec<Address>, topics: Vec<PlannedTopic>) -> Result<(), String> {
    let config = ClientConfig { client_id: "set-up".to_owned(), bootstrap, auto_create_topics: false };
    let mut set_up = SetUp { driver: Driver::new(&env), client: Client::new(config), env };
    let deadline = set_up.env.now().after_ms(SET_UP_MS);
    for topic in &topics {
        set_up.create(topic, deadline).await?;
    }
    for topic in &topics {
        let now = set_up.env.now();
        set_up.client.want_topic(now, &topic.name.to_string());
        while !set_up.is_led(topic) {
            if set_up.env.now() >= deadline {
                return Err(format!("{} has not all its leaders in time", topic.name));
            }
            set_up.turn(deadline).await;
        }
    }
    Ok(())
}

/// The client that creates topics.
struct SetUp {
    env: Env,
    client: Client,
    driver: Driver,
}

impl SetUp {
    async fn turn(&mut self, deadline: barnabas_base::Monotonic) {
        self.driver.perform(&mut self.client);
        self.driver.wait(&mut self.client, deadline).await;
    }

    async fn create(&mut self, topic: &PlannedTopic, deadline: barnabas_base::Monotonic) -> Result<(), String> {
        let config =
            |(name, value): (&String, &String)| CreatableTopicConfig { name: name.clone(), value: Some(value.clone()) };
        let request = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: topic.name.to_string(),
                num_partitions: partition_index(topic.partitions).0,
                replication_factor: -1,
                assignments: Vec::new(),
                configs: topic.configs.iter().map(config).collect(),
            }],
            timeout_ms: TIMEOUT_MS,
            validate_only: false,
        };
        while self.env.now() < deadline {
            let (now, request) = (self.env.now(), RequestBody::CreateTopics(request.clone()));
            let tag = self.client.call(now, Destination::Controller, request, None, SET_UP_ASK_MS);
            let answer = loop {
                match self.client.poll_event() {
                    Some(event) if event.tag == tag => break event.reply,
                    Some(_) => {}
                    None => self.turn(deadline.after_ms(SET_UP_ASK_MS)).await,
                }
            };
            let Ok((_, ResponseBody::CreateTopics(response))) = answer else { continue };
            let Some(result) = response.topics.first() else { continue };
            let code = ErrorCode::from_code(result.error_code).unwrap_or(ErrorCode::UnknownServerError);
            match code {
                ErrorCode::None | ErrorCode::TopicAlreadyExists => return Ok(()),
                code if code.is_retriable() => {}
                code => {
                    let reason = result.error_message.as_deref().unwrap_or_default();
                    return Err(format!("{} cannot be created: {} {reason}", topic.name, code.name()));
                }
            }
        }
        Err(format!("{} is not created in time", topic.name))
    }

    fn is_led(&self, topic: &PlannedTopic) -> bool {
        let known = self.client.cluster().topic(&topic.name.to_string());
        known.is_some_and(|known| {
            known.partitions.len() == usize::try_from(topic.partitions).expect("u32 fits")
                && known.partitions.values().all(|partition| partition.leader.is_some())
        })
    }
}
