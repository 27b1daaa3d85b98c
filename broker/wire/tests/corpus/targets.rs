//! What is held against arbitrary bytes: no panic, and whatever is accepted survives another round. Shared by the
//! fuzz targets of `ci/fuzz`, which search for new bytes, and by the replay of the kept corpus.

use barnabas_wire::record::{
    Batch, BatchBuilder, BatchOptions, Compressor, Decompressor, EndTxnMarker, HEADER_BYTES, Record, Tail, batches,
    empty_batch,
};
use barnabas_wire::{ApiKey, RequestBody, ResponseBody, Segment};
use bytes::{Bytes, BytesMut};

/// What a batch of the fuzzer may unpack to.
const PLAIN_BYTES_MAX: usize = 1 << 20;
/// Bytes of a frame that hold its size.
const SIZE_BYTES: usize = 4;

/// A whole request frame without its size.
pub(crate) fn requests(data: &[u8]) {
    let Ok((header, body)) = RequestBody::from_frame(Bytes::copy_from_slice(data)) else {
        return;
    };
    let segments = body.to_frame(&header).expect("what was decoded can be encoded");
    let again = RequestBody::from_frame(joined(&segments));
    assert_eq!(again.as_ref(), Ok(&(header, body)), "a request means the same after a round");
}

/// API key, version, then a response frame without its size.
pub(crate) fn responses(data: &[u8]) {
    let Some(([key_high, key_low, version], frame)) = data.split_first_chunk::<3>() else {
        return;
    };
    let Some(api) = ApiKey::from_code(i16::from_be_bytes([*key_high, *key_low])) else {
        return;
    };
    let version = i16::from(*version);
    if RequestBody::versions(api).is_none_or(|versions| !versions.contains(&version)) {
        return;
    }
    let Ok((header, body)) = ResponseBody::from_frame(api, version, Bytes::copy_from_slice(frame)) else {
        return;
    };
    let segments = body.to_frame(version, header.correlation_id).expect("what was decoded can be encoded");
    let again = ResponseBody::from_frame(api, version, joined(&segments));
    assert_eq!(again.as_ref(), Ok(&(header, body)), "a response means the same after a round");
}

fn joined(segments: &[Segment]) -> Bytes {
    let mut frame = BytesMut::new();
    for segment in segments {
        match segment {
            Segment::Bytes(bytes) => frame.extend_from_slice(bytes),
            Segment::External { .. } => panic!("decoded records are bytes"),
        }
    }
    frame.split_off(SIZE_BYTES).freeze()
}

/// Record batches, one after another, the last one cut perhaps. Their checksums need not match: whatever lies behind
/// a true checksum is reached by these bytes too.
pub(crate) fn record_batches(data: &[u8]) {
    let data = Bytes::copy_from_slice(data);
    let mut decompressor = Decompressor::new();
    for batch in batches(&data, Tail::MayBeCut).flatten() {
        assert_eq!(batch.bytes()[..HEADER_BYTES], batch.header().to_bytes(), "a header is its fields");
        let _ = batch.check_crc();
        let Ok(payload) = batch.payload(&mut decompressor, PLAIN_BYTES_MAX) else {
            continue;
        };
        let Ok(records) = payload.records().collect::<Result<Vec<_>, _>>() else {
            continue;
        };
        for record in &records {
            let _ = EndTxnMarker::parse(record);
        }
        rebuild(&batch, &records, &mut decompressor);
    }
}

/// Compaction that keeps everything, where the offsets allow it, gives the same records.
fn rebuild(batch: &Batch, records: &[Record<'_>], decompressor: &mut Decompressor) {
    let mut builder = BatchBuilder::new(BatchOptions::retaining(batch.header()));
    if records.iter().any(|record| builder.append_record(record).is_err()) {
        return;
    }
    let rebuilt = if records.is_empty() {
        empty_batch(batch.header())
    } else {
        builder.build(&mut Compressor::new()).expect("as large as it was")
    };
    let rebuilt = Batch::parse(rebuilt).expect("a built batch is sound");
    assert_eq!(rebuilt.check_crc(), Ok(()), "a built batch has its checksum");
    assert_eq!(rebuilt.header().last_sequence(), batch.header().last_sequence(), "compaction keeps the sequence");
    let payload = rebuilt.payload(decompressor, 2 * PLAIN_BYTES_MAX).expect("a built body unpacks");
    let again = payload.records().collect::<Result<Vec<_>, _>>().expect("built records read");
    assert!(again.len() == records.len(), "no record is lost");
    for (again, record) in again.iter().zip(records) {
        // Attribute bits have no meaning yet and are not kept.
        let record = Record { attributes: 0, ..*record };
        assert_eq!(*again, record, "a record means the same after a round");
    }
}
