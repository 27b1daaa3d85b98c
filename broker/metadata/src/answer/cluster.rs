//! DescribeCluster.

use barnabas_wire::ErrorCode;
use barnabas_wire::message::describe_cluster::DescribeClusterBroker;
use barnabas_wire::message::{DescribeClusterRequest, DescribeClusterResponse};

use super::{CLUSTER_OPERATIONS, OPERATIONS_OMITTED, View};

/// Endpoint type that asks for brokers; the other one, controllers, is served by the controllers' listener only.
const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

impl View<'_> {
    /// Answers DescribeCluster (KIP-700, KIP-919).
    #[must_use]
    pub fn describe_cluster(&self, request: &DescribeClusterRequest) -> DescribeClusterResponse {
        match request.endpoint_type {
            BROKERS => {}
            CONTROLLERS => {
                let message =
                    "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER";
                return refused(ErrorCode::MismatchedEndpointType, message.to_owned());
            }
            other => {
                let message = format!("Unsupported endpoint type {other}");
                return refused(ErrorCode::UnsupportedEndpointType, message);
            }
        }
        let brokers = self.brokers().filter(|broker| request.include_fenced_brokers || !broker.fenced);
        let operations =
            if request.include_cluster_authorized_operations { CLUSTER_OPERATIONS } else { OPERATIONS_OMITTED };
        DescribeClusterResponse {
            error_code: ErrorCode::None.code(),
            endpoint_type: BROKERS,
            cluster_id: self.cluster_id.to_string(),
            controller_id: self.own_id.0,
            brokers: brokers
                .map(|broker| DescribeClusterBroker {
                    broker_id: broker.id.0,
                    host: broker.host.to_owned(),
                    port: i32::from(broker.port),
                    rack: broker.rack.map(str::to_owned),
                    is_fenced: broker.fenced,
                })
                .collect(),
            cluster_authorized_operations: operations,
            ..DescribeClusterResponse::default()
        }
    }
}

fn refused(code: ErrorCode, message: String) -> DescribeClusterResponse {
    DescribeClusterResponse {
        error_code: code.code(),
        error_message: Some(message),
        endpoint_type: BROKERS,
        ..DescribeClusterResponse::default()
    }
}
