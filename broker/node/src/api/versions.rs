//! ApiVersions: what this broker serves, in exactly the version ranges of Apache Kafka 4.3.

use barnabas_metadata::answer::{finalized_features, supported_features};
use barnabas_wire::message::api_versions::ApiVersion;
use barnabas_wire::message::{ApiVersionsRequest, ApiVersionsResponse};
use barnabas_wire::{ErrorCode, RequestBody};

use crate::dispatch::Call;

/// First version in which a client names its software.
const SOFTWARE_NAME_SINCE: i16 = 3;

/// ApiVersions.
pub(crate) fn respond(call: &Call, request: &ApiVersionsRequest) -> ApiVersionsResponse {
    let named = is_software_name(&request.client_software_name) && is_software_name(&request.client_software_version);
    let image = call.shard.image();
    let mut response = ApiVersionsResponse {
        api_keys: advertised(),
        supported_features: supported_features(call.version),
        finalized_features_epoch: call.shard.metadata_offset.get().0,
        finalized_features: finalized_features(&image),
        ..ApiVersionsResponse::default()
    };
    if (SOFTWARE_NAME_SINCE..).contains(&call.version) && !named {
        response =
            ApiVersionsResponse { error_code: ErrorCode::InvalidRequest.code(), ..ApiVersionsResponse::default() };
    }
    response
}

/// Every API that is served, with its versions.
pub(crate) fn advertised() -> Vec<ApiVersion> {
    let of = |api: &barnabas_wire::ApiKey| {
        let range = RequestBody::advertised(*api)?;
        Some(ApiVersion { api_key: api.code(), min_version: *range.start(), max_version: *range.end() })
    };
    RequestBody::APIS.iter().filter_map(of).collect()
}

/// `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?` (KIP-511).
fn is_software_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let edges = [bytes.first(), bytes.last()];
    edges.iter().all(|edge| edge.is_some_and(u8::is_ascii_alphanumeric))
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pitfall_2_software_names_follow_kip_511() {
        for good in ["a", "apache-kafka-java", "4.3.1", "x9"] {
            assert!(is_software_name(good), "{good}");
        }
        for bad in ["", "-a", "a-", "a b", ".", "ä"] {
            assert!(!is_software_name(bad), "{bad}");
        }
    }

    #[test]
    fn pitfall_4_produce_zero_is_advertised_for_old_librdkafka() {
        let produce = advertised().into_iter().find(|api| api.api_key == 0).expect("Produce is served");
        assert_eq!((produce.min_version, produce.max_version), (0, 13));
    }

    #[test]
    fn telemetry_and_transactions_are_not_advertised() {
        for absent in [24, 25, 26, 28, 68, 71, 72] {
            assert!(advertised().iter().all(|api| api.api_key != absent), "key {absent}");
        }
    }
}
