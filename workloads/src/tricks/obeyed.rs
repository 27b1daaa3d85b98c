//! What is set on a topic of the trick's own is done from then on, and no more once it is deleted.

use barnabas_base::TimestampMs;
use barnabas_wire::ErrorCode;
use barnabas_wire::message::produce::PartitionProduceResponse;
use barnabas_wire::record::{BatchOptions, Compression, Tail, TimestampType, batches};

use super::configured::{Change, Resource};
use super::own::{OwnTopic, Seen};
use super::{Stage, Trouble, batch_of, code_of, must_be_accepted};
use crate::RawClient;

/// More than is let through with [`MAX_BYTES`].
const VALUE_BYTES: usize = 400;
const MAX_BYTES: &str = "200";
/// How old a record may be with [`BEFORE_MAX_MS`], and how old one is that is too old; the clocks of two machines differ
/// by less.
const BEFORE_MAX_MS: &str = "600000";
const TOO_OLD_MS: i64 = 3_600_000;

/// A key, a value, and what becomes of a record then.
struct Rule {
    key: &'static str,
    value: &'static str,
    then: Then,
}

/// What becomes of records without a key that say they are an hour old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Refused(ErrorCode),
    /// Appended, as it came.
    Kept,
    /// Appended, with the time of its append.
    Stamped,
    /// Appended, compressed by the broker.
    Compressed(Compression),
}

const RULES: [Rule; 6] = [
    Rule { key: "max.message.bytes", value: MAX_BYTES, then: Then::Refused(ErrorCode::MessageTooLarge) },
    Rule {
        key: "message.timestamp.before.max.ms",
        value: BEFORE_MAX_MS,
        then: Then::Refused(ErrorCode::InvalidTimestamp),
    },
    Rule { key: "message.timestamp.type", value: "LogAppendTime", then: Then::Stamped },
    Rule { key: "compression.type", value: "zstd", then: Then::Compressed(Compression::Zstd) },
    Rule { key: "compression.type", value: "gzip", then: Then::Compressed(Compression::Gzip) },
    Rule { key: "cleanup.policy", value: "compact", then: Then::Refused(ErrorCode::InvalidRecord) },
];

impl Stage<'_> {
    pub(super) async fn obeyed_settings(&mut self) -> Result<(), Trouble> {
        let mut raw = self.connect().await?;
        let own = self.make_own(&mut raw, 1).await?;
        let obeyed = self.rules_are_obeyed(&mut raw, &own).await;
        let dropped = self.drop_own(&own).await;
        obeyed.and(dropped)
    }

    async fn rules_are_obeyed(&mut self, raw: &mut RawClient, own: &OwnTopic) -> Result<(), Trouble> {
        self.is_done(raw, own, Then::Kept, "nothing").await?;
        let rule = &RULES[usize::try_from(self.below(RULES.len() as u64)).expect("a few")];
        let topic = Resource::topic(&own.name);
        let code = self.alter_step(raw, &topic, &[(rule.key, rule.value, Change::Set)], false).await?;
        must_be_accepted("a setting", code)?;
        self.is_done(raw, own, rule.then, rule.key).await?;
        let code = self.alter_step(raw, &topic, &[(rule.key, "", Change::Delete)], false).await?;
        must_be_accepted("the deletion of a setting", code)?;
        self.is_done(raw, own, Then::Kept, rule.key).await
    }

    /// Sends records until one fares as it should.
    async fn is_done(&mut self, raw: &mut RawClient, own: &OwnTopic, then: Then, key: &str) -> Result<(), Trouble> {
        let what = format!("{then:?} by {key}");
        self.sees(&what, async |stage: &mut Self| {
            let old = TimestampMs(stage.session.env.wall().0 - TOO_OLD_MS);
            let batch = batch_of(BatchOptions::default(), old, &[&[b'x'; VALUE_BYTES], &[b'y'; VALUE_BYTES]]);
            let answer = stage.produce_own(raw, own, &batch).await?;
            let code = code_of(answer.error_code);
            match then {
                Then::Refused(due) => {
                    if code != due && code != ErrorCode::None {
                        must_be_accepted("a record", code)?;
                    }
                    let blamed: Vec<_> = answer.record_errors.iter().map(|record| record.batch_index).collect();
                    Ok(Seen::equal(&(code, blamed), &(due, blamed_with(due))))
                }
                Then::Kept | Then::Stamped | Then::Compressed(_) if code != ErrorCode::None => {
                    // What was refused may be refused for a while.
                    if matches!(
                        code,
                        ErrorCode::MessageTooLarge | ErrorCode::InvalidTimestamp | ErrorCode::InvalidRecord
                    ) {
                        return Ok(Seen::Wrong(code.name().to_owned()));
                    }
                    must_be_accepted("a record", code).map(|()| Seen::Right)
                }
                Then::Kept | Then::Stamped | Then::Compressed(_) => stage.is_kept(raw, own, &answer, old, then).await,
            }
        })
        .await
    }

    /// Whether the record that was appended is what it should be.
    async fn is_kept(
        &mut self,
        raw: &mut RawClient,
        own: &OwnTopic,
        answer: &PartitionProduceResponse,
        sent: TimestampMs,
        then: Then,
    ) -> Result<Seen, Trouble> {
        let data = self.fetch_own(raw, own, answer.base_offset).await?;
        must_be_accepted("a fetch of what was appended", code_of(data.error_code))?;
        let bytes = data.records.bytes().cloned().unwrap_or_default();
        let Some(Ok(batch)) = batches(&bytes, Tail::MayBeCut).next() else {
            return Err(Trouble::Broken("what was appended is not fetched".to_owned()));
        };
        let header = batch.header();
        let is_stamped = header.attributes.timestamp_type() == TimestampType::LogAppendTime;
        let seen = (is_stamped, header.compression(), header.max_timestamp);
        let stamp = TimestampMs(answer.log_append_time_ms);
        let due = match then {
            Then::Stamped => (true, Compression::None, stamp),
            Then::Compressed(codec) => (false, codec, sent),
            Then::Kept | Then::Refused(_) => (false, Compression::None, sent),
        };
        Ok(Seen::equal(&seen, &due))
    }
}

/// Which of the two records is told to be at fault: both are, unless it is their batch (KIP-467).
fn blamed_with(code: ErrorCode) -> Vec<i32> {
    if code == ErrorCode::MessageTooLarge { Vec::new() } else { vec![0, 1] }
}
