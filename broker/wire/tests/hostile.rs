//! Bytes that nobody honest sends: no panic, no endless loop, and never more memory than the frame's budget.
//!
//! This binary counts every allocation of the thread that decodes, so the bound is measured and not believed.
#![allow(
    unsafe_code,
    clippy::disallowed_macros,
    reason = "a counting allocator, one counter per test thread, is the only way to see what a decode allocates"
)]

mod shared;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fmt::Debug;

use barnabas_wire::generate::{Generate, Generator};
use barnabas_wire::internal::{
    MetadataRecord, OffsetsKey, access_schema::*, consumer_group_schema::*, control::*, metadata_schema::*,
    node_schema::*, offsets_schema::*, transactions::*,
};
use barnabas_wire::internal::{consumer_protocol::*, storage::ProducerSnapshot, storage::QuorumStateData};
use barnabas_wire::limits::{ALLOCATION_CEILING, ELEMENTS_MAX, TAGGED_FIELDS_MAX, allocation_budget};
use barnabas_wire::message::*;
use barnabas_wire::{ApiKey, DecodeError, Message, RequestBody, ResponseBody, Version};
use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

thread_local! {
    static LIVE: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system allocator unchanged; the counters are plain cells of this thread that
// neither allocate nor unwind.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.with(|live| {
            live.set(live.get().wrapping_add(layout.size()));
            PEAK.with(|peak| peak.set(peak.get().max(live.get())));
        });
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.with(|live| live.set(live.get().wrapping_sub(layout.size())));
        // SAFETY: the caller's contract is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// What sharing a frame costs beside the decoded form: one reference count.
const SHARING_BYTES: usize = 128;

/// Decodes, and holds the most memory that was allocated meanwhile against the budget of the frame.
fn bounded<T>(frame: &Bytes, decode: impl FnOnce(Bytes) -> T) -> T {
    let frame = frame.clone();
    let bytes = frame.len();
    // A known base, so that memory freed from other times cannot hide what is allocated.
    let base = 1 << 60;
    LIVE.with(|live| live.set(base));
    PEAK.with(|peak| peak.set(base));
    let outcome = decode(frame);
    let peak = PEAK.with(Cell::get) - base;
    let budget = allocation_budget(bytes) + SHARING_BYTES;
    assert!(peak <= budget, "{peak} bytes allocated for a frame of {bytes}, {budget} are allowed");
    outcome
}

#[test]
fn the_counter_sees_what_a_decode_allocates() {
    let frame = Bytes::from(vec![0; 100]);
    bounded(&frame, |_| Vec::<u8>::with_capacity(1_000));
    let beyond = || bounded(&frame, |_| Vec::<u8>::with_capacity(allocation_budget(100) + 1_000));
    assert!(std::panic::catch_unwind(beyond).is_err(), "an allocation beyond the budget fails the test");
}

/// Every request and response in every version, the advertised and the impossible ones.
fn decode_everything(frame: &Bytes) {
    for api in ApiKey::ALL {
        for version in -1..=20 {
            let decode = |frame| RequestBody::decode(*api, version, &mut barnabas_wire::Decoder::new(frame)).is_ok();
            bounded(frame, decode);
            bounded(frame, |frame| ResponseBody::from_frame(*api, version, frame).is_ok());
        }
    }
    bounded(frame, |frame| RequestBody::from_frame(frame).is_ok());
    bounded(frame, |frame| MetadataRecord::from_bytes(frame).is_ok());
    if let Ok(key) = bounded(frame, OffsetsKey::from_bytes) {
        bounded(frame, |frame| key.decode_value(frame).is_ok());
    }
}

/// A Fetch body of version 4 up to the count of its topics, which follows: 17 bytes.
const FETCH_BEFORE_TOPICS: [u8; 17] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0x10, 0, 0, 0];

fn fetch(version: i16, tail: &[u8]) -> Result<FetchRequest, DecodeError> {
    let before = match version {
        4..=6 => FETCH_BEFORE_TOPICS.to_vec(),
        7..=14 => [&FETCH_BEFORE_TOPICS[..], &[0; 8]].concat(),
        _ => [&FETCH_BEFORE_TOPICS[4..], &[0; 8]].concat(),
    };
    let frame = Bytes::from([&before[..], tail].concat());
    bounded(&frame, |frame| FetchRequest::from_bytes(version, frame))
}

#[test]
fn a_fetch_of_21_bytes_that_claims_2_to_the_31_topics() {
    assert_eq!(FETCH_BEFORE_TOPICS.len() + 4, 21);
    let most = fetch(4, &i32::MAX.to_be_bytes());
    assert_eq!(most, Err(DecodeError::TooManyElements { count: 0x7fff_ffff, left: 0 }));
    let wrapped = fetch(4, &i32::MIN.to_be_bytes());
    assert_eq!(wrapped, Err(DecodeError::NegativeLength { length: -0x8000_0000 }));
    let compact = fetch(12, &[0xff, 0xff, 0xff, 0xff, 0x0f]);
    assert_eq!(compact, Err(DecodeError::TooManyElements { count: 0xffff_fffe, left: 0 }));
}

#[test]
fn negative_counts_are_errors_and_minus_one_is_null() {
    assert_eq!(fetch(4, &(-1i32).to_be_bytes()), Err(DecodeError::UnexpectedNull));
    assert_eq!(fetch(4, &(-2i32).to_be_bytes()), Err(DecodeError::NegativeLength { length: -2 }));
    assert_eq!(fetch(12, &[0]), Err(DecodeError::UnexpectedNull));
    let topic_name = [&1i32.to_be_bytes()[..], &(-2i16).to_be_bytes(), &[0; 8]].concat();
    assert_eq!(fetch(4, &topic_name), Err(DecodeError::NegativeLength { length: -2 }));
}

#[test]
fn pitfall_7_varints_end_within_five_bytes_and_32_bits() {
    assert_eq!(fetch(12, &[0x80, 0x80, 0x80, 0x80, 0x80, 0x01]), Err(DecodeError::VarintTooLong));
    assert_eq!(fetch(12, &[0xff, 0xff, 0xff, 0xff, 0x1f]), Err(DecodeError::VarintTooLong));
    assert!(matches!(fetch(12, &[0x80]), Err(DecodeError::Truncated { .. })));
}

/// A Fetch of version 15 without topics, with `tags` as its tagged section.
fn fetch_with_tags(tags: &[u8]) -> Result<FetchRequest, DecodeError> {
    fetch(15, &[&[1, 1, 1][..], tags].concat())
}

fn varint(mut value: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

#[test]
fn tagged_field_bombs() {
    let count = 0xffff_ffff;
    assert_eq!(fetch_with_tags(&varint(count)), Err(DecodeError::TooManyTaggedFields { count }));
    let count = TAGGED_FIELDS_MAX + 1;
    assert_eq!(fetch_with_tags(&varint(count)), Err(DecodeError::TooManyTaggedFields { count }));

    let many = |tag: fn(u32) -> u32| {
        let field = |index| [varint(tag(index)), vec![0]].concat();
        [varint(TAGGED_FIELDS_MAX), (0..TAGGED_FIELDS_MAX).flat_map(field).collect()].concat()
    };
    assert_eq!(
        fetch_with_tags(&many(|index| index + 2)),
        Ok(FetchRequest { max_bytes: 0x0010_0000, min_bytes: 1, ..fetched_by_nobody() })
    );
    assert_eq!(fetch_with_tags(&many(|_| 7)), Err(DecodeError::TagOrder { tag: 7 }));
    assert_eq!(fetch_with_tags(&many(|index| 20_000 - index)), Err(DecodeError::TagOrder { tag: 19_999 }));
}

fn fetched_by_nobody() -> FetchRequest {
    FetchRequest { session_epoch: 0, ..FetchRequest::default() }
}

#[test]
fn tagged_values_fill_their_stated_size() {
    let beyond = fetch_with_tags(&[1, 99, 0xff, 0xff, 0xff, 0xff, 0x0f]);
    assert_eq!(beyond, Err(DecodeError::Truncated { needed: 0xffff_ffff, left: 0 }));
    let replica_state = [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0];
    let exact = [&[1, 1, 13][..], &replica_state].concat();
    assert_eq!(fetch_with_tags(&exact).map(|fetch| fetch.replica_state.replica_epoch), Ok(2));
    let longer = [&[1, 1, 14][..], &replica_state, &[0]].concat();
    assert_eq!(fetch_with_tags(&longer), Err(DecodeError::TagSize { tag: 1, stated: 14, taken: 13 }));
    let shorter = [&[1, 1, 12][..], &replica_state].concat();
    assert_eq!(fetch_with_tags(&shorter), Err(DecodeError::TagSize { tag: 1, stated: 12, taken: 13 }));
}

#[test]
fn lengths_of_4_gib_take_no_memory() {
    let topic = |length: &[u8]| [&[2][..], length].concat();
    let name = fetch(12, &topic(&[0xff, 0xff, 0xff, 0xff, 0x0f]));
    assert_eq!(name, Err(DecodeError::StringTooLong { bytes: 0xffff_fffe }));
    let produce = Bytes::from_static(&[0, 0, 1, 0, 0, 0, 1, 2, 2, b't', 2, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f]);
    let records = bounded(&produce, |frame| ProduceRequest::from_bytes(9, frame));
    assert_eq!(records, Err(DecodeError::Truncated { needed: 0xffff_fffe, left: 0 }));
}

#[test]
fn strings_are_utf8() {
    let frame = Bytes::from_static(&[0, 0, 0, 1, 0, 2, 0xc3, 0x28]);
    let decoded = bounded(&frame, |frame| MetadataRequest::from_bytes(1, frame));
    assert_eq!(decoded, Err(DecodeError::InvalidUtf8));
}

#[test]
fn arrays_that_the_frame_could_hold_stay_within_the_budget() {
    let claim = |bytes: usize, count: u32| {
        let mut frame = count.to_be_bytes().to_vec();
        frame.resize(bytes, 0);
        let frame = Bytes::from(frame);
        bounded(&frame, |frame| CreateTopicsRequest::from_bytes(2, frame))
    };
    let refused = claim(200_000, 190_000);
    assert!(matches!(refused, Err(DecodeError::BudgetExceeded { .. })), "{refused:?}");
    let above = ELEMENTS_MAX + 1;
    let refused = claim(4_000_000, above as u32);
    assert_eq!(refused, Err(DecodeError::TooManyElements { count: above, left: 3_999_996 }));
    let refused = claim(4_000_000, ELEMENTS_MAX as u32);
    assert!(matches!(refused, Err(DecodeError::BudgetExceeded { .. })), "{refused:?}");
}

#[test]
fn arrays_within_arrays_share_one_budget() {
    let (groups, topics) = (200, 1_000);
    let topic = [1, 1, 0];
    let group = [vec![1], varint(topics + 1), topic.repeat(topics as usize), vec![0]].concat();
    let frame = [varint(groups + 1), group.repeat(groups as usize), vec![0, 0]].concat();
    let frame = Bytes::from(frame);
    let decoded = bounded(&frame, |frame| OffsetFetchRequest::from_bytes(8, frame));
    assert!(matches!(decoded, Err(DecodeError::BudgetExceeded { .. })), "{decoded:?}");
    assert!(allocation_budget(100_000_000) <= ALLOCATION_CEILING, "large frames do not earn without end");
}

/// Every prefix of every message in every version, and every message with one byte changed.
fn cut_and_change<M: Message + Generate + Debug>() {
    for version in M::VERSIONS {
        let form = Version::new(version, M::FLEXIBLE_FROM);
        let mut generator = Generator::new(0xbad + version.unsigned_abs() as u64);
        let sizes = (0..6).map(|_| M::generate(&mut generator, form).to_bytes(version));
        let mut samples: Vec<Bytes> = sizes.map(|bytes| bytes.expect("generated values have bytes")).collect();
        samples.sort_by_key(Bytes::len);
        let bytes = &samples[2];
        for length in 0..bytes.len() {
            let cut = bytes.slice(..length);
            let decoded = bounded(&cut, |cut| M::from_bytes(version, cut).map(drop));
            assert!(decoded.is_err(), "{} v{version} is complete with {length} of {} bytes", M::NAME, bytes.len());
        }
        for index in 0..bytes.len() {
            for change in [0x01, 0x80, 0xff] {
                let mut changed = bytes.to_vec();
                changed[index] ^= change;
                let changed = Bytes::from(changed);
                bounded(&changed, |changed| M::from_bytes(version, changed).map(drop)).ok();
            }
        }
    }
}

macro_rules! cut_and_change_each {
    ($($message:ident,)*) => {
        $(cut_and_change::<$message>();)*
    };
}

#[test]
fn api_messages_cut_and_changed_at_every_byte() {
    shared::for_each_api_message!(cut_and_change_each);
}

#[test]
fn internal_messages_cut_and_changed_at_every_byte() {
    shared::for_each_internal_message!(cut_and_change_each);
}

/// The same bytes in every run: a failure here is a failure for everybody.
fn seeded() -> ProptestConfig {
    ProptestConfig { cases: 48, failure_persistence: None, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(seeded())]

    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        decode_everything(&Bytes::from(bytes));
    }

    #[test]
    fn random_bytes_of_small_numbers(bytes in prop::collection::vec(0u8..4, 0..400)) {
        decode_everything(&Bytes::from(bytes));
    }
}
