//! Tricks of producers: batches that are broken, repeated, of the past, out of order.

use barnabas_base::{ProducerEpoch, Sequence};
use barnabas_history::{Outcome, Reply};
use barnabas_wire::ErrorCode;
use barnabas_wire::RequestBody;
use barnabas_wire::record::ProducerFields;

use super::{ANSWER_MAX, PRODUCE_VERSION, Stage, Trouble, code_of, must_be_accepted, must_be_refused, produced};
use crate::NoAnswer;

/// Payloads of what is sent without waiting for answers.
const PIPELINED_BYTES: [u32; 6] = [3_000, 64, 64, 3_000, 64, 64];

/// More batches than a broker remembers of a producer.
const OLD_AFTER: i32 = 7;

impl Stage<'_> {
    pub(super) async fn wrong_crc(&mut self) -> Result<(), Trouble> {
        let mut raw = self.connect().await?;
        let sent = self.draft(-1, None);
        let mut broken = sent.batch.to_vec();
        let last = broken.last_mut().expect("a batch has bytes");
        *last ^= 1;
        let answer = self.produce(&mut raw, &broken.into()).await;
        self.end(&sent, std::slice::from_ref(&answer));
        let expected = [ErrorCode::CorruptMessage, ErrorCode::InvalidRecord];
        must_be_refused("a batch with a wrong checksum", code_of(answer?.error_code), &expected)
    }

    pub(super) async fn send_and_vanish(&mut self) -> Result<(), Trouble> {
        let mut raw = self.connect().await?;
        let sent = self.draft(0, None);
        let request = RequestBody::Produce(self.request(0, &sent.batch));
        let outcome = match raw.send_unanswered(PRODUCE_VERSION, &request).await {
            Ok(_) => Outcome::Ok(Reply::Sent { log: self.log, offset: None }),
            Err(error) => Outcome::Unknown(error.to_string()),
        };
        self.session.recorder.end(sent.call, outcome);
        Ok(())
    }

    pub(super) async fn twice_at_once(&mut self) -> Result<(), Trouble> {
        let mut first = self.connect().await?;
        let mut second = self.connect().await?;
        let producer = self.producer(&mut first).await?;
        let sent = self.draft(-1, Some(producer));
        let request = self.request(-1, &sent.batch);
        let mut attempts = Vec::new();
        let begun = [first.send(PRODUCE_VERSION, request.clone()).await, second.send(PRODUCE_VERSION, request).await];
        for (raw, begun) in [&mut first, &mut second].into_iter().zip(begun) {
            attempts.push(match begun {
                Ok(_) => raw.receive_within(ANSWER_MAX).await.and_then(produced),
                Err(error) => Err(error),
            });
        }
        self.end(&sent, &attempts);
        let offsets: Vec<i64> = attempts
            .iter()
            .flatten()
            .filter(|answer| answer.error_code == 0)
            .map(|answer| answer.base_offset)
            .collect();
        match offsets[..] {
            [one, other] if one != other => {
                Err(Trouble::Broken(format!("one batch was acknowledged at {one} and at {other}")))
            }
            _ => attempts.into_iter().find_map(Result::err).map_or(Ok(()), |error| Err(error.into())),
        }
    }

    /// What comes by one connection is appended in the order in which it came, however large it is.
    pub(super) async fn pipelined(&mut self) -> Result<(), Trouble> {
        let mut raw = self.connect().await?;
        let (mut sent, mut begun) = (Vec::new(), Vec::new());
        for bytes in PIPELINED_BYTES {
            let draft = self.draft_of(-1, None, bytes);
            begun.push(raw.send(PRODUCE_VERSION, self.request(-1, &draft.batch)).await);
            sent.push(draft);
        }
        let mut last = None;
        let mut trouble = None;
        for (sent, begun) in sent.iter().zip(begun) {
            let answer = match (begun, &trouble) {
                (Ok(_), None) => raw.receive_within(ANSWER_MAX).await.and_then(produced),
                (Ok(_), Some(error)) => Err(NoAnswer::clone(error)),
                (Err(error), _) => Err(error),
            };
            self.end(sent, std::slice::from_ref(&answer));
            match answer {
                Ok(answer) if answer.error_code == 0 => {
                    let (before, offset) = (last.replace(answer.base_offset), answer.base_offset);
                    if let Some(before) = before.filter(|before| offset <= *before) {
                        return Err(Trouble::Broken(format!("sent later, appended at {offset}, not behind {before}")));
                    }
                }
                Ok(_) => {}
                // Who got no answer once waits for none any more.
                Err(error) => trouble = trouble.or(Some(error)),
            }
        }
        trouble.map_or(Ok(()), |error| Err(error.into()))
    }

    pub(super) async fn replay_old(&mut self) -> Result<(), Trouble> {
        let mut raw = self.connect().await?;
        let producer = self.producer(&mut raw).await?;
        let mut oldest = None;
        for sequence in 0..OLD_AFTER {
            let (sent, code, offset) = self.send(&mut raw, at(producer, sequence)).await?;
            must_be_accepted("the next batch of a producer", code)?;
            oldest = oldest.or(Some((sent, offset)));
        }
        let (sent, offset) = oldest.expect("some were sent");
        // The call has ended well; the replay belongs to no call, because it must do nothing.
        let answer = self.produce(&mut raw, &sent.batch).await?;
        match code_of(answer.error_code) {
            ErrorCode::None if answer.base_offset != offset.0 && answer.base_offset >= 0 => {
                Err(Trouble::Broken(format!("a batch of offset {offset} was appended again at {}", answer.base_offset)))
            }
            ErrorCode::None | ErrorCode::DuplicateSequenceNumber | ErrorCode::OutOfOrderSequenceNumber => Ok(()),
            code => Err(Trouble::Unclear(format!("a replay: {}", code.name()))),
        }
    }

    /// The next epoch of a producer begins at sequence 0 and at no other (KIP-360), and ends the one before it.
    pub(super) async fn zombie_epoch(&mut self) -> Result<(), Trouble> {
        let mut raw = self.connect().await?;
        let zombie = self.producer(&mut raw).await?;
        let (_, code, _) = self.send(&mut raw, zombie).await?;
        must_be_accepted("a first batch", code)?;
        let successor = ProducerFields { epoch: ProducerEpoch(zombie.epoch.0 + 1), ..zombie };
        let (_, code, _) = self.send(&mut raw, at(successor, 1)).await?;
        must_be_refused("a next epoch behind its beginning", code, &[ErrorCode::OutOfOrderSequenceNumber])?;
        let (_, code, _) = self.send(&mut raw, successor).await?;
        must_be_accepted("a batch of the next epoch", code)?;
        let (_, code, _) = self.send(&mut raw, at(zombie, 1)).await?;
        let expected = [ErrorCode::InvalidProducerEpoch, ErrorCode::ProducerFenced];
        must_be_refused("a batch of a fenced epoch", code, &expected)
    }

    pub(super) async fn sequence_gap(&mut self) -> Result<(), Trouble> {
        let mut raw = self.connect().await?;
        let producer = self.producer(&mut raw).await?;
        let (_, code, _) = self.send(&mut raw, producer).await?;
        must_be_accepted("a first batch", code)?;
        let (_, code, _) = self.send(&mut raw, at(producer, 5)).await?;
        must_be_refused("a batch behind a gap", code, &[ErrorCode::OutOfOrderSequenceNumber])
    }

    pub(super) async fn sequence_wrap(&mut self) -> Result<(), Trouble> {
        let mut raw = self.connect().await?;
        let producer = self.producer(&mut raw).await?;
        let (_, code, _) = self.send(&mut raw, at(producer, i32::MAX - 1)).await?;
        if code != ErrorCode::None {
            return Err(Trouble::Unclear(format!("a first batch near the wrap: {}", code.name())));
        }
        for sequence in [i32::MAX, 0, 1] {
            let (_, code, _) = self.send(&mut raw, at(producer, sequence)).await?;
            must_be_accepted("a sequence around the wrap", code)?;
        }
        Ok(())
    }
}

const fn at(producer: ProducerFields, sequence: i32) -> ProducerFields {
    ProducerFields { base_sequence: Sequence(sequence), ..producer }
}
