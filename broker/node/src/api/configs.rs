//! DescribeConfigs, AlterConfigs, IncrementalAlterConfigs, ListConfigResources.

use barnabas_metadata::answer::{self, Logger};
use barnabas_wire::message::{
    AlterConfigsRequest, AlterConfigsResponse, DescribeConfigsRequest, DescribeConfigsResponse,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse, ListConfigResourcesRequest,
    ListConfigResourcesResponse,
};
use barnabas_wire::message::{alter_configs, incremental_alter_configs};

use crate::controller::decide;
use crate::dispatch::Call;

/// DescribeConfigs.
pub(crate) fn describe(call: &Call, request: &DescribeConfigsRequest) -> DescribeConfigsResponse {
    answer::describe_configs(&call.shard.image(), &call.shard.options.config, &loggers(), request)
}

/// The sources of log lines with the levels that are written now.
fn loggers() -> Vec<Logger> {
    // `enabled!` asks for one source and level that are known when it is compiled.
    macro_rules! levels {
        ($($name:literal),* $(,)?) => {
            vec![$(Logger { name: $name, level: match () {
                () if tracing::enabled!(target: $name, tracing::Level::TRACE) => "TRACE",
                () if tracing::enabled!(target: $name, tracing::Level::DEBUG) => "DEBUG",
                () if tracing::enabled!(target: $name, tracing::Level::INFO) => "INFO",
                () if tracing::enabled!(target: $name, tracing::Level::WARN) => "WARN",
                () if tracing::enabled!(target: $name, tracing::Level::ERROR) => "ERROR",
                () => "OFF",
            } }),*]
        };
    }
    levels![
        "root",
        "BarnabasServer",
        "GroupCoordinator",
        "KafkaApis",
        "LogCleaner",
        "LogManager",
        "MetadataLoader",
        "Partition",
        "QuorumController",
        "SnapshotGenerator",
        "SocketServer",
    ]
}

/// ListConfigResources.
pub(crate) fn list_resources(call: &Call, request: &ListConfigResourcesRequest) -> ListConfigResourcesResponse {
    answer::list_config_resources(&call.shard.image(), call.version, request)
}

/// IncrementalAlterConfigs.
pub(crate) async fn incremental_alter(
    call: &Call,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let named: Vec<_> = request.resources.iter().map(|each| (each.resource_type, each.resource_name.clone())).collect();
    let decided = decide(&call.shard, move |core, _| core.incremental_alter_configs(&request)).await;
    decided.unwrap_or_else(|code| IncrementalAlterConfigsResponse {
        responses: named
            .into_iter()
            .map(|(resource_type, resource_name)| incremental_alter_configs::AlterConfigsResourceResponse {
                error_code: code.code(),
                error_message: None,
                resource_type,
                resource_name,
            })
            .collect(),
        ..IncrementalAlterConfigsResponse::default()
    })
}

/// AlterConfigs, which replaces all that is set.
pub(crate) async fn alter(call: &Call, request: AlterConfigsRequest) -> AlterConfigsResponse {
    let named: Vec<_> = request.resources.iter().map(|each| (each.resource_type, each.resource_name.clone())).collect();
    let decided = decide(&call.shard, move |core, _| core.alter_configs(&request)).await;
    decided.unwrap_or_else(|code| AlterConfigsResponse {
        responses: named
            .into_iter()
            .map(|(resource_type, resource_name)| alter_configs::AlterConfigsResourceResponse {
                error_code: code.code(),
                error_message: None,
                resource_type,
                resource_name,
            })
            .collect(),
        ..AlterConfigsResponse::default()
    })
}
