//! ACL requests without an authorizer: SECURITY_DISABLED, as Kafka answers them.

use barnabas_wire::ErrorCode;
use barnabas_wire::message::create_acls::AclCreationResult;
use barnabas_wire::message::delete_acls::DeleteAclsFilterResult;
use barnabas_wire::message::{
    CreateAclsRequest, CreateAclsResponse, DeleteAclsRequest, DeleteAclsResponse, DescribeAclsResponse,
};

/// Kafka's AclApis has two texts.
const NO_AUTHORIZER: &str = "No Authorizer is configured.";
const NONE_TO_DESCRIBE: &str = "No Authorizer is configured on the broker";

/// DescribeAcls.
pub(crate) fn describe() -> DescribeAclsResponse {
    DescribeAclsResponse {
        error_code: ErrorCode::SecurityDisabled.code(),
        error_message: Some(NONE_TO_DESCRIBE.to_owned()),
        ..DescribeAclsResponse::default()
    }
}

/// CreateAcls: one refusal for each creation.
pub(crate) fn create(request: &CreateAclsRequest) -> CreateAclsResponse {
    let refused = AclCreationResult {
        error_code: ErrorCode::SecurityDisabled.code(),
        error_message: Some(NO_AUTHORIZER.to_owned()),
    };
    CreateAclsResponse { results: vec![refused; request.creations.len()], ..CreateAclsResponse::default() }
}

/// DeleteAcls: one refusal for each filter.
pub(crate) fn delete(request: &DeleteAclsRequest) -> DeleteAclsResponse {
    let refused = DeleteAclsFilterResult {
        error_code: ErrorCode::SecurityDisabled.code(),
        error_message: Some(NO_AUTHORIZER.to_owned()),
        ..DeleteAclsFilterResult::default()
    };
    DeleteAclsResponse { filter_results: vec![refused; request.filters.len()], ..DeleteAclsResponse::default() }
}
