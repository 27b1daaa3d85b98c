//! Every API in every version: sensible, empty, null and random requests are each answered in the version that was
//! asked, on a connection that stays open. A field that a version cannot carry would show as a closed connection.

mod asking;

use std::fmt::Write as _;

use barnabas_sim_world::{NoAnswer, RawClient, Visitor, with_broker};
use barnabas_wire::generate::{Generate, Generator};
use barnabas_wire::message::*;
use barnabas_wire::{ApiKey, Message, RequestBody, ResponseBody, Version};

/// Random requests of each API in each version.
const RANDOM_REQUESTS: u64 = 60;

macro_rules! each_api {
    ($with:ident) => {
        $with! {
            Produce(ProduceRequest), Fetch(FetchRequest), ListOffsets(ListOffsetsRequest), Metadata(MetadataRequest),
            OffsetCommit(OffsetCommitRequest), OffsetFetch(OffsetFetchRequest),
            FindCoordinator(FindCoordinatorRequest), JoinGroup(JoinGroupRequest), Heartbeat(HeartbeatRequest),
            LeaveGroup(LeaveGroupRequest), SyncGroup(SyncGroupRequest), DescribeGroups(DescribeGroupsRequest),
            ListGroups(ListGroupsRequest), ApiVersions(ApiVersionsRequest), CreateTopics(CreateTopicsRequest),
            DeleteTopics(DeleteTopicsRequest), DeleteRecords(DeleteRecordsRequest),
            InitProducerId(InitProducerIdRequest), OffsetForLeaderEpoch(OffsetForLeaderEpochRequest),
            DescribeAcls(DescribeAclsRequest), CreateAcls(CreateAclsRequest), DeleteAcls(DeleteAclsRequest),
            DescribeConfigs(DescribeConfigsRequest), AlterConfigs(AlterConfigsRequest),
            DescribeLogDirs(DescribeLogDirsRequest), CreatePartitions(CreatePartitionsRequest),
            DeleteGroups(DeleteGroupsRequest), ElectLeaders(ElectLeadersRequest),
            IncrementalAlterConfigs(IncrementalAlterConfigsRequest), OffsetDelete(OffsetDeleteRequest),
            DescribeQuorum(DescribeQuorumRequest), DescribeCluster(DescribeClusterRequest),
            DescribeProducers(DescribeProducersRequest), ListConfigResources(ListConfigResourcesRequest),
            DescribeTopicPartitions(DescribeTopicPartitionsRequest),
        }
    };
}

/// A request of defaults, and random ones.
fn made(api: ApiKey, version: i16, seed: Option<u64>) -> RequestBody {
    macro_rules! make {
        ($($name:ident($request:ident),)*) => {
            match api {
                $(ApiKey::$name => match seed {
                    None => $request::default().into(),
                    Some(seed) => {
                        let form = Version::new(version, $request::FLEXIBLE_FROM);
                        $request::generate(&mut Generator::new(seed), form).into()
                    }
                },)*
                other => panic!("{} is served and not asked for here", other.name()),
            }
        };
    }
    each_api!(make)
}

/// Keeps a request from what has no answer, or none for weeks.
fn awaiting_answer(request: RequestBody) -> RequestBody {
    match request {
        RequestBody::Produce(mut request) => {
            if request.acks == 0 {
                request.acks = -1;
            }
            request.into()
        }
        RequestBody::Fetch(mut request) => {
            request.max_wait_ms = request.max_wait_ms.min(500);
            request.into()
        }
        RequestBody::JoinGroup(mut request) => {
            request.rebalance_timeout_ms = request.rebalance_timeout_ms.min(500);
            request.into()
        }
        other => other,
    }
}

/// What went wrong, one line for each request that was not answered.
#[derive(Default)]
struct Complaints {
    lines: String,
    asked: usize,
    answered_apis: Vec<ApiKey>,
}

impl Complaints {
    async fn ask(&mut self, visitor: &Visitor, client: &mut RawClient, version: i16, request: RequestBody) {
        let api = request.api_key();
        self.asked += 1;
        match client.ask(version, request.clone()).await {
            Ok(response) => {
                assert_eq!(response.api_key(), api);
                if !self.answered_apis.contains(&api) {
                    self.answered_apis.push(api);
                }
            }
            Err(why) => {
                let shown: String = format!("{request:?}").chars().take(600).collect();
                writeln!(self.lines, "{} v{version}: {why}\n    {shown}", api.name()).expect("a string grows");
                *client = visitor.connect().await;
            }
        }
    }
}

/// Asks everything in `make` of all versions of all APIs.
fn ask_all(seed: u64, make: impl Fn(ApiKey, i16, &asking::Stage) -> Vec<RequestBody> + Send + 'static) -> usize {
    let overrides = [("offsets.topic.num.partitions", "2"), ("group.initial.rebalance.delay.ms", "100")];
    with_broker(seed, &overrides, async move |visitor, mut client| {
        let stage = asking::set(&mut client).await;
        let mut complaints = Complaints::default();
        for api in RequestBody::APIS {
            for version in RequestBody::versions(*api).expect("the API is served") {
                for request in make(*api, version, &stage) {
                    complaints.ask(&visitor, &mut client, version, request).await;
                }
            }
        }
        assert!(complaints.lines.is_empty(), "not answered:\n{}", complaints.lines);
        assert_eq!(complaints.answered_apis.len(), RequestBody::APIS.len(), "every API was asked");
        complaints.asked
    })
}

#[test]
fn sensible_requests_are_answered_in_every_version() {
    let asked = ask_all(1, asking::sensible);
    assert!(asked > 300, "only {asked} requests");
}

#[test]
fn requests_of_defaults_are_answered_in_every_version() {
    ask_all(2, |api, version, _| vec![awaiting_answer(made(api, version, None))]);
}

#[test]
fn random_requests_are_answered_in_every_version() {
    ask_all(3, |api, version, _| {
        (0..RANDOM_REQUESTS).map(|seed| awaiting_answer(made(api, version, Some(seed)))).collect()
    });
}

/// Produce 0 to 2 are advertised and refused; no other API claims what it does not serve.
#[test]
fn what_is_advertised_is_served_but_for_the_oldest_produce() {
    with_broker(4, &[], async |visitor, mut client| {
        let answer = client.ask(0, ApiVersionsRequest::default()).await;
        let Ok(ResponseBody::ApiVersions(advertised)) = answer else { panic!("ApiVersions answers {answer:?}") };
        for listed in &advertised.api_keys {
            let api = ApiKey::from_code(listed.api_key).expect("a key that Kafka has");
            let served = RequestBody::versions(api).expect("listed and served");
            assert_eq!(listed.max_version, *served.end(), "{}", api.name());
            let least = if api == ApiKey::Produce { 0 } else { *served.start() };
            assert_eq!(listed.min_version, least, "{}", api.name());
        }
        assert_eq!(advertised.api_keys.len(), RequestBody::APIS.len());
        for version in [0, 1, 2] {
            let mut client = visitor.connect().await;
            client.send_bytes(asking::produce_of_version(version)).await.expect("it connects");
            assert_eq!(client.frame().await, Err(NoAnswer::Closed), "Produce v{version}");
        }
    });
}
