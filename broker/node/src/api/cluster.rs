//! DescribeCluster, DescribeQuorum, ElectLeaders: the cluster as a whole.

use barnabas_base::Uuid;
use barnabas_metadata::answer::View;
use barnabas_wire::ErrorCode;
use barnabas_wire::message::describe_quorum::{Listener, Node, PartitionData, ReplicaState, TopicData};
use barnabas_wire::message::{
    DescribeClusterRequest, DescribeClusterResponse, DescribeQuorumRequest, DescribeQuorumResponse,
    ElectLeadersRequest, ElectLeadersResponse,
};

use crate::controller::decide;
use crate::dispatch::Call;

/// First version of DescribeQuorum that names log directories and nodes (KIP-853).
const QUORUM_NODES_SINCE: i16 = 2;
/// First version of ElectLeaders with an error for the whole request.
const ELECTION_ERROR_SINCE: i16 = 1;
/// Name of the metadata topic.
const METADATA_TOPIC: &str = "__cluster_metadata";

/// DescribeCluster.
pub(crate) fn describe(call: &Call, request: &DescribeClusterRequest) -> DescribeClusterResponse {
    let image = call.shard.image();
    let endpoint = call.endpoint();
    call.view(&image, &endpoint).describe_cluster(request)
}

/// ElectLeaders: the only replica leads already, or cannot.
pub(crate) async fn elect_leaders(call: &Call, request: ElectLeadersRequest) -> ElectLeadersResponse {
    let decided = decide(&call.shard, move |core, _| core.elect_leaders(&request)).await;
    let mut response = decided
        .unwrap_or_else(|code| ElectLeadersResponse { error_code: code.code(), ..ElectLeadersResponse::default() });
    if call.version < ELECTION_ERROR_SINCE {
        response.error_code = ErrorCode::None.code();
    }
    response
}

/// DescribeQuorum: this node is the one voter and leads.
pub(crate) async fn describe_quorum(call: &Call, request: DescribeQuorumRequest) -> DescribeQuorumResponse {
    let Some(state) = crate::controller::quorum_view(&call.shard).await else {
        let error_code = ErrorCode::NotLeaderOrFollower.code();
        return DescribeQuorumResponse { error_code, error_message: None, ..DescribeQuorumResponse::default() };
    };
    let now_ms = call.shard.env.wall().0;
    let has_nodes = call.version >= QUORUM_NODES_SINCE;
    let own = call.shard.options.broker_id().0;
    let topics = request.topics.into_iter().map(|topic| {
        let is_metadata = topic.topic_name == METADATA_TOPIC;
        let partitions = topic.partitions.into_iter().map(|partition| {
            if !is_metadata || partition.partition_index != 0 {
                return PartitionData {
                    partition_index: partition.partition_index,
                    error_code: ErrorCode::UnknownTopicOrPartition.code(),
                    error_message: None,
                    ..PartitionData::default()
                };
            }
            PartitionData {
                partition_index: 0,
                error_code: ErrorCode::None.code(),
                error_message: None,
                leader_id: own,
                leader_epoch: state.epoch.0,
                high_watermark: state.high_watermark.0,
                current_voters: vec![ReplicaState {
                    replica_id: own,
                    replica_directory_id: if has_nodes { state.directory_id.0 } else { Uuid::ZERO },
                    log_end_offset: state.end_offset.0,
                    last_fetch_timestamp: now_ms,
                    last_caught_up_timestamp: now_ms,
                }],
                observers: Vec::new(),
            }
        });
        TopicData { topic_name: topic.topic_name, partitions: partitions.collect() }
    });
    DescribeQuorumResponse {
        error_code: ErrorCode::None.code(),
        error_message: None,
        topics: topics.collect(),
        nodes: if has_nodes { vec![own_node(call)] } else { Vec::new() },
    }
}

fn own_node(call: &Call) -> Node {
    let endpoint = call.endpoint();
    let listeners = call.shard.options.config.listeners.iter().filter(|listener| listener.is_controller);
    Node {
        node_id: call.shard.options.broker_id().0,
        listeners: listeners
            .map(|listener| Listener { name: listener.name.clone(), host: endpoint.host.clone(), port: listener.port })
            .collect(),
    }
}

impl Call {
    /// The cluster as this client sees it.
    pub(crate) fn view<'a>(
        &'a self,
        image: &'a barnabas_metadata::image::ClusterImage,
        endpoint: &'a crate::endpoint::Endpoint,
    ) -> View<'a> {
        View {
            image,
            cluster_id: self.shard.cluster_id.get().expect("requests come once the directories are open"),
            listener: &self.listener().name,
            own_id: self.shard.options.broker_id(),
            own_endpoint: (&endpoint.host, endpoint.port),
        }
    }
}
