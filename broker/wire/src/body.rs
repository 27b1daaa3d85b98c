//! All requests and all responses that are implemented, as one enum each, so that a connection can dispatch.
//!
//! Adds no bytes of its own: a body is the message of its API. Driven by connections of the broker and client.

use std::ops::RangeInclusive;

use bytes::Bytes;

use crate::message::*;
use crate::{
    ApiKey, DecodeError, Decoder, EncodeError, Encoder, Message, Request, RequestHeader, ResponseHeader, Segment,
};

macro_rules! bodies {
    ($($api:ident($request:ident, $response:ident),)*) => {
        /// A request of any implemented API.
        #[derive(Clone, PartialEq, Eq, Debug)]
        #[allow(missing_docs, reason = "each variant is named after its API and holds its request")]
        pub enum RequestBody {
            $($api($request),)*
        }

        /// A response of any implemented API.
        #[derive(Clone, PartialEq, Eq, Debug)]
        #[allow(missing_docs, reason = "each variant is named after its API and holds its response")]
        pub enum ResponseBody {
            $($api($response),)*
        }

        impl RequestBody {
            /// The APIs that are implemented, in rising order of their keys.
            pub const APIS: &[ApiKey] = &[$(ApiKey::$api),*];

            /// The API of this request.
            pub const fn api_key(&self) -> ApiKey {
                match self {
                    $(Self::$api(_) => ApiKey::$api,)*
                }
            }

            /// The versions to list in an ApiVersions response, none for an API that is not implemented.
            pub const fn advertised(api: ApiKey) -> Option<RangeInclusive<i16>> {
                match api {
                    $(ApiKey::$api => Some(<$request as Request>::ADVERTISED),)*
                    _ => None,
                }
            }

            /// The versions that can be decoded and answered, none for an API that is not implemented.
            pub const fn versions(api: ApiKey) -> Option<RangeInclusive<i16>> {
                match api {
                    $(ApiKey::$api => Some(<$request as Message>::VERSIONS),)*
                    _ => None,
                }
            }

            /// Reads the body of a request and leaves the decoder behind it.
            pub fn decode(api: ApiKey, version: i16, decoder: &mut Decoder) -> Result<Self, DecodeError> {
                match api {
                    $(ApiKey::$api => $request::decode(version, decoder).map(Self::$api),)*
                    _ => Err(DecodeError::UnknownApiKey { key: api.code() }),
                }
            }

            /// Appends the body.
            pub fn encode(&self, version: i16, encoder: &mut Encoder) -> Result<(), EncodeError> {
                match self {
                    $(Self::$api(request) => request.encode(version, encoder),)*
                }
            }
        }

        impl ResponseBody {
            /// The API that this answers.
            pub const fn api_key(&self) -> ApiKey {
                match self {
                    $(Self::$api(_) => ApiKey::$api,)*
                }
            }

            /// The versions that can be encoded and decoded, none for an API that is not implemented.
            pub const fn versions(api: ApiKey) -> Option<RangeInclusive<i16>> {
                match api {
                    $(ApiKey::$api => Some(<$response as Message>::VERSIONS),)*
                    _ => None,
                }
            }

            /// Reads the body of a response and leaves the decoder behind it.
            pub fn decode(api: ApiKey, version: i16, decoder: &mut Decoder) -> Result<Self, DecodeError> {
                match api {
                    $(ApiKey::$api => $response::decode(version, decoder).map(Self::$api),)*
                    _ => Err(DecodeError::UnknownApiKey { key: api.code() }),
                }
            }

            /// Appends the body.
            pub fn encode(&self, version: i16, encoder: &mut Encoder) -> Result<(), EncodeError> {
                match self {
                    $(Self::$api(response) => response.encode(version, encoder),)*
                }
            }

            /// Shows every error code that it carries, of whatever part, but that of success.
            pub fn error_codes(&self, each: &mut dyn FnMut(i16)) {
                match self {
                    $(Self::$api(response) => crate::codec::FieldCodec::error_codes(response, each),)*
                }
            }
        }

        $(
            impl From<$request> for RequestBody {
                fn from(request: $request) -> Self {
                    Self::$api(request)
                }
            }

            impl From<$response> for ResponseBody {
                fn from(response: $response) -> Self {
                    Self::$api(response)
                }
            }
        )*
    };
}

bodies! {
    Produce(ProduceRequest, ProduceResponse),
    Fetch(FetchRequest, FetchResponse),
    ListOffsets(ListOffsetsRequest, ListOffsetsResponse),
    Metadata(MetadataRequest, MetadataResponse),
    OffsetCommit(OffsetCommitRequest, OffsetCommitResponse),
    OffsetFetch(OffsetFetchRequest, OffsetFetchResponse),
    FindCoordinator(FindCoordinatorRequest, FindCoordinatorResponse),
    JoinGroup(JoinGroupRequest, JoinGroupResponse),
    Heartbeat(HeartbeatRequest, HeartbeatResponse),
    LeaveGroup(LeaveGroupRequest, LeaveGroupResponse),
    SyncGroup(SyncGroupRequest, SyncGroupResponse),
    DescribeGroups(DescribeGroupsRequest, DescribeGroupsResponse),
    ListGroups(ListGroupsRequest, ListGroupsResponse),
    ApiVersions(ApiVersionsRequest, ApiVersionsResponse),
    CreateTopics(CreateTopicsRequest, CreateTopicsResponse),
    DeleteTopics(DeleteTopicsRequest, DeleteTopicsResponse),
    DeleteRecords(DeleteRecordsRequest, DeleteRecordsResponse),
    InitProducerId(InitProducerIdRequest, InitProducerIdResponse),
    OffsetForLeaderEpoch(OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse),
    DescribeAcls(DescribeAclsRequest, DescribeAclsResponse),
    CreateAcls(CreateAclsRequest, CreateAclsResponse),
    DeleteAcls(DeleteAclsRequest, DeleteAclsResponse),
    DescribeConfigs(DescribeConfigsRequest, DescribeConfigsResponse),
    AlterConfigs(AlterConfigsRequest, AlterConfigsResponse),
    DescribeLogDirs(DescribeLogDirsRequest, DescribeLogDirsResponse),
    CreatePartitions(CreatePartitionsRequest, CreatePartitionsResponse),
    DeleteGroups(DeleteGroupsRequest, DeleteGroupsResponse),
    ElectLeaders(ElectLeadersRequest, ElectLeadersResponse),
    IncrementalAlterConfigs(IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse),
    OffsetDelete(OffsetDeleteRequest, OffsetDeleteResponse),
    DescribeQuorum(DescribeQuorumRequest, DescribeQuorumResponse),
    DescribeCluster(DescribeClusterRequest, DescribeClusterResponse),
    DescribeProducers(DescribeProducersRequest, DescribeProducersResponse),
    ListConfigResources(ListConfigResourcesRequest, ListConfigResourcesResponse),
    DescribeTopicPartitions(DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse),
}

impl RequestBody {
    /// Reads a whole request, which `frame` is without its size: header and body, nothing behind it.
    ///
    /// An ApiVersions request of an unknown version is an error here; the connection, which answers it in
    /// version 0, reads the header itself first.
    pub fn from_frame(frame: Bytes) -> Result<(RequestHeader, Self), DecodeError> {
        let mut decoder = Decoder::new(frame);
        let header = RequestHeader::decode(&mut decoder)?;
        let body = Self::decode(header.api_key, header.api_version, &mut decoder)?;
        decoder.finish()?;
        Ok((header, body))
    }

    /// The segments of a whole request, size and header in front; key and version come from `header`.
    pub fn to_frame(&self, header: &RequestHeader) -> Result<Vec<Segment>, EncodeError> {
        assert!(header.api_key == self.api_key(), "a header announces the body that follows it");
        Encoder::frame(|encoder| {
            header.encode(encoder)?;
            self.encode(header.api_version, encoder)
        })
    }
}

impl ResponseBody {
    /// Reads a whole response, which `frame` is without its size, to a request of `api` in `version`.
    pub fn from_frame(api: ApiKey, version: i16, frame: Bytes) -> Result<(ResponseHeader, Self), DecodeError> {
        let mut decoder = Decoder::new(frame);
        let header = ResponseHeader::decode(api, version, &mut decoder)?;
        let body = Self::decode(api, version, &mut decoder)?;
        decoder.finish()?;
        Ok((header, body))
    }

    /// The segments of a whole response in `version`, size and header in front.
    pub fn to_frame(&self, version: i16, correlation_id: i32) -> Result<Vec<Segment>, EncodeError> {
        Encoder::frame(|encoder| {
            let header = ResponseHeader { correlation_id };
            header.encode(self.api_key(), version, encoder)?;
            self.encode(version, encoder)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorCode;
    use crate::message::fetch::{FetchableTopicResponse, PartitionData};
    use crate::message::offset_fetch::OffsetFetchResponseGroup;

    fn codes(response: impl Into<ResponseBody>) -> Vec<i16> {
        let mut codes = Vec::new();
        response.into().error_codes(&mut |code| codes.push(code));
        codes
    }

    #[test]
    fn error_codes_of_every_part_are_shown() {
        let partition = |code: ErrorCode| PartitionData { error_code: code.code(), ..PartitionData::default() };
        let partitions = [ErrorCode::None, ErrorCode::OffsetOutOfRange, ErrorCode::CorruptMessage].map(partition);
        let topic = FetchableTopicResponse { partitions: partitions.into(), ..FetchableTopicResponse::default() };
        let responses = vec![FetchableTopicResponse::default(), topic];
        let response = FetchResponse { error_code: -1, responses, ..FetchResponse::default() };
        assert_eq!(codes(response), [-1, 1, 2]);
        let group = OffsetFetchResponseGroup { error_code: 16, ..OffsetFetchResponseGroup::default() };
        assert_eq!(codes(OffsetFetchResponse { groups: vec![group], ..OffsetFetchResponse::default() }), [16]);
        assert!(codes(HeartbeatResponse::default()).is_empty());
    }
}
