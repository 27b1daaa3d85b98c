//! What the records of internal topics and control batches say, as JSON in the layout of Kafka's converters. Bytes that
//! do not decode are told in the line, as Kafka's tool does; `segment` drives it.

use barnabas_wire::internal::consumer_protocol::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
use barnabas_wire::internal::control::{
    KRaftVersionRecord, LeaderChangeMessage, SnapshotFooterRecord, SnapshotHeaderRecord, VotersRecord,
};
use barnabas_wire::internal::offsets_schema::GroupMetadataValue;
use barnabas_wire::internal::transactions::{TransactionLogKey, TransactionLogValue};
use barnabas_wire::internal::{MetadataRecord, OffsetsKey, OffsetsValue};
use barnabas_wire::json::JsonWriter;
use barnabas_wire::record::{ControlType, EndTxnMarker, Record, control_type};
use barnabas_wire::{DecodeError, Message, ToJson, Version};
use bytes::Bytes;

use super::Decoder;

/// The key and the payload of a record as they are printed.
pub(super) fn key_and_payload(decoder: Decoder, record: &Record<'_>) -> (Option<String>, Option<String>) {
    let offset = record.offset;
    match decoder {
        Decoder::Text => {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (record.key.map(text), record.value.map(text))
        }
        Decoder::Offsets => coordinator(offsets(record), offset.0),
        Decoder::Transactions => coordinator(transactions(record), offset.0),
        Decoder::ClusterMetadata => {
            let payload = metadata(record).unwrap_or_else(|error| format!("Error at {offset}, skipping. {error}"));
            (None, Some(payload))
        }
    }
}

/// What becomes of a coordinator's record: a tombstone is named as such, an error takes the key's place.
fn coordinator(
    decoded: Result<(String, Option<String>), DecodeError>,
    offset: i64,
) -> (Option<String>, Option<String>) {
    match decoded {
        Ok((key, payload)) => (Some(key), Some(payload.unwrap_or_else(|| "<DELETE>".to_owned()))),
        Err(DecodeError::UnknownRecordType { kind }) => {
            (Some(format!("Unknown record type {kind} at offset {offset}, skipping.")), None)
        }
        Err(error) => (Some(format!("Error at offset {offset}, skipping. {error}")), None),
    }
}

fn shared(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

/// The version in front of a value.
fn version_of(bytes: &[u8]) -> i16 {
    bytes.first_chunk().map_or(-1, |version| i16::from_be_bytes(*version))
}

/// `{"<name>":"<number>","data":...}`, as Kafka frames the keys and values of coordinators.
fn framed(name: &'static str, number: i16, data: impl FnOnce(&mut JsonWriter)) -> String {
    let mut writer = JsonWriter::new();
    writer.begin_object();
    writer.key(name);
    writer.string(&number.to_string());
    writer.key("data");
    data(&mut writer);
    writer.end_object();
    writer.into_text()
}

fn offsets(record: &Record<'_>) -> Result<(String, Option<String>), DecodeError> {
    let key = OffsetsKey::from_bytes(shared(record.key.unwrap_or_default()))?;
    let payload = match record.value {
        None => None,
        Some(bytes) => {
            let version = version_of(bytes);
            let value = key.decode_value(shared(bytes))?;
            Some(framed("version", version, |writer| match &value {
                OffsetsValue::GroupMetadata(group) => write_group(group, version, writer),
                other => other.write_json(version, writer),
            }))
        }
    };
    Ok((framed("type", key.kind(), |writer| key.write_json(writer)), payload))
}

/// A classic group; what its members of type `consumer` said of themselves is decoded as well.
fn write_group(group: &GroupMetadataValue, version: i16, writer: &mut JsonWriter) {
    let version = Version::new(version, GroupMetadataValue::FLEXIBLE_FROM);
    if group.protocol_type == "consumer" {
        writer.with_decoded_bytes(member_bytes, |writer| group.write_json(version, writer));
    } else {
        group.write_json(version, writer);
    }
}

fn member_bytes(key: &'static str, bytes: &Bytes, writer: &mut JsonWriter) -> bool {
    match key {
        "subscription" => embedded::<ConsumerProtocolSubscription>(bytes, writer),
        "assignment" => embedded::<ConsumerProtocolAssignment>(bytes, writer),
        _ => false,
    }
}

/// A message behind its version; bytes may follow that a later version added.
fn embedded<T: Message + ToJson>(bytes: &Bytes, writer: &mut JsonWriter) -> bool {
    let mut decoder = barnabas_wire::Decoder::new(bytes.clone());
    let Ok(version) = decoder.i16() else { return false };
    let Ok(message) = T::decode(version, &mut decoder) else { return false };
    message.write_json(Version::new(version, T::FLEXIBLE_FROM), writer);
    true
}

fn transactions(record: &Record<'_>) -> Result<(String, Option<String>), DecodeError> {
    let mut decoder = barnabas_wire::Decoder::new(shared(record.key.unwrap_or_default()));
    let kind = decoder.i16()?;
    if kind != 0 {
        return Err(DecodeError::UnknownRecordType { kind: kind.into() });
    }
    let key = TransactionLogKey::decode(kind, &mut decoder)?;
    decoder.finish()?;
    let payload = match record.value {
        None => None,
        Some(bytes) => {
            let mut decoder = barnabas_wire::Decoder::new(shared(bytes));
            let version = decoder.i16()?;
            let value = TransactionLogValue::decode(version, &mut decoder)?;
            decoder.finish()?;
            let form = Version::new(version, TransactionLogValue::FLEXIBLE_FROM);
            Some(framed("version", version, |writer| value.write_json(form, writer)))
        }
    };
    Ok((framed("type", kind, |writer| key.write_json(Version::new(kind, None), writer)), payload))
}

fn metadata(record: &Record<'_>) -> Result<String, DecodeError> {
    let (message, version) = MetadataRecord::from_bytes(shared(record.value.unwrap_or_default()))?;
    let mut writer = JsonWriter::new();
    writer.begin_object();
    writer.key("type");
    writer.string(&upper_snake(message.name()));
    writer.key("version");
    writer.literal(version);
    writer.key("data");
    message.write_json(version, &mut writer);
    writer.end_object();
    Ok(writer.into_text())
}

/// `TopicRecord` as Kafka's enum of record types spells it: `TOPIC_RECORD`.
fn upper_snake(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 4);
    for (index, char) in name.chars().enumerate() {
        if index > 0 && char.is_ascii_uppercase() {
            text.push('_');
        }
        text.push(char.to_ascii_uppercase());
    }
    text
}

/// What a control record says.
pub(super) fn control(record: &Record<'_>) -> String {
    let kind = match control_type(record) {
        Ok(kind) => kind,
        Err(error) => return format!("controlType: unreadable ({error})"),
    };
    let value = record.value.unwrap_or_default();
    let text = match kind {
        ControlType::Abort | ControlType::Commit => return end_txn(record),
        ControlType::LeaderChange => json::<LeaderChangeMessage>("LeaderChange:", value),
        ControlType::SnapshotHeader => json::<SnapshotHeaderRecord>("SnapshotHeader", value),
        ControlType::SnapshotFooter => json::<SnapshotFooterRecord>("SnapshotFooter", value),
        ControlType::KRaftVersion => json::<KRaftVersionRecord>("KRaftVersion", value),
        ControlType::KRaftVoters => json::<VotersRecord>("KRaftVoters", value),
        ControlType::Unknown(id) => return format!("controlType: UNKNOWN({id})"),
    };
    text.unwrap_or_else(|error| format!("controlType: {kind:?} unreadable ({error})"))
}

fn end_txn(record: &Record<'_>) -> String {
    match EndTxnMarker::parse(record) {
        Ok(Some(marker)) => {
            let kind = if marker.is_commit { "COMMIT" } else { "ABORT" };
            format!("endTxnMarker: {kind} coordinatorEpoch: {}", marker.coordinator_epoch)
        }
        Ok(None) | Err(_) => "endTxnMarker: unreadable".to_owned(),
    }
}

/// A control value; its version is its own first field.
fn json<T: Message + ToJson>(name: &str, value: &[u8]) -> Result<String, DecodeError> {
    let version = version_of(value);
    let message = T::from_bytes(version, shared(value))?;
    let mut writer = JsonWriter::new();
    message.write_json(Version::new(version, T::FLEXIBLE_FROM), &mut writer);
    Ok(format!("{name} {}", writer.into_text()))
}
