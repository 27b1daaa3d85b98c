//! [`run_client`]: carries out what a plan has one client do, one operation after the other, none before its time.

use std::rc::Rc;

use barnabas_base::Monotonic;
use barnabas_client::Address;
use barnabas_history::What;
use barnabas_plan::{Action, Lane, Operation, PlannedClient};
use barnabas_runtime::Env;

use crate::Recorder;
use crate::session::Session;

/// A client with nothing to do for longer than this is away: keeping it going for days costs millions of heartbeats.
const AWAY_MS_MIN: u64 = 3_600_000;

/// A client that is so far behind when the safety phase has ended gives up what it has not begun. Where topics are gone
/// every question takes the whole time of its answer, and a client falls minutes behind.
const LATE_MS_MAX: u64 = 60_000;

/// What one client is to do.
#[derive(Clone, Debug)]
pub struct Script {
    /// The client.
    pub client: PlannedClient,
    /// Brokers to ask first.
    pub bootstrap: Vec<Address>,
    /// Its operations, by time; times count from the beginning of the safety phase and include the quiet stretch.
    pub operations: Rc<[Operation]>,
    /// What is promised.
    pub lane: Lane,
    /// When the safety phase ends, as the times of operations count.
    pub safety_ms: u64,
}

/// How one life of a client ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientEnd {
    /// By its own crash: its machine is to be killed, and its next life begins with this operation.
    Crashed {
        /// Position among the operations.
        next: usize,
    },
    /// Every operation is done, every send has ended, no membership is left.
    Done,
}

/// Lives the life `life` of a client: its operations from `from` on.
///
/// A life after the first begins with [`What::Reborn`]. Calls that are under way when it crashes stay without an end.
/// `elapsed_ms` is the world's time since the safety phase began.
pub async fn run_client(
    env: Env,
    script: Rc<Script>,
    from: usize,
    life: u32,
    elapsed_ms: Rc<dyn Fn() -> u64>,
    recorder: Recorder,
) -> ClientEnd {
    let mut session = Session::new(env, Rc::clone(&script), life, recorder);
    if life > 0 {
        session.recorder.push(What::Reborn { by: session.by });
    }
    for (position, operation) in script.operations.iter().enumerate().skip(from) {
        session.idle_until(operation.at_ms, &*elapsed_ms).await;
        if elapsed_ms() > script.safety_ms.saturating_add(LATE_MS_MAX) {
            break;
        }
        if operation.action == (Action::Crash {}) {
            return ClientEnd::Crashed { next: position + 1 };
        }
        session.perform(&operation.action).await;
    }
    session.finish().await;
    ClientEnd::Done
}

impl Session {
    /// Keeps everything going until the safety phase is `at_ms` old.
    async fn idle_until(&mut self, at_ms: u64, elapsed_ms: &dyn Fn() -> u64) {
        loop {
            let left_ms = at_ms.saturating_sub(elapsed_ms());
            if left_ms == 0 {
                return;
            }
            if left_ms > AWAY_MS_MIN {
                self.be_away(left_ms).await;
                continue;
            }
            // By the client's own clock, which may run differently: it looks again.
            let until = self.env.now().after_ms(i64::try_from(left_ms).expect("plans are short"));
            self.turn(until).await;
        }
    }

    /// Does nothing for half of a long time: first what was sent comes to its end, and a membership ends, by leaving or by
    /// silence, so that a group of which all are away grows old.
    async fn be_away(&mut self, left_ms: u64) {
        while self.undelivered() > 0 {
            self.turn(Monotonic::NEVER).await;
        }
        if self.by.client.0.is_multiple_of(2) {
            self.leave("is away").await;
        } else {
            self.vanish("is away");
        }
        let half_ms = i64::try_from(left_ms / 2).expect("plans are short");
        self.env.sleep_until(self.env.now().after_ms(half_ms)).await;
    }

    async fn perform(&mut self, action: &Action) {
        match *action {
            Action::Send { topic, partition, records, bytes } => {
                for _ in 0..records {
                    self.send(topic, partition, None, Some(bytes));
                }
            }
            Action::Put { topic, partition, key, bytes } => self.send(topic, partition, Some(key), Some(bytes)),
            Action::Delete { topic, partition, key } => self.send(topic, partition, Some(key), None),
            Action::Assign { topic, from_start } => self.assign(topic, from_start).await,
            Action::Poll { wait_ms } => {
                self.poll(wait_ms).await;
            }
            Action::Join { group, topic, instance } => self.join(group, topic, instance).await,
            Action::Commit {} => self.commit().await,
            Action::Leave {} => self.leave("leaves").await,
            Action::Committed { group, topic } => {
                self.committed(group, topic).await;
            }
            Action::Offsets { topic, partition, spec } => {
                self.offsets(topic, partition, spec).await;
            }
            Action::Trim { topic, partition, percent } => self.trim(topic, partition, percent).await,
            Action::Create { topic, partitions } => self.create(topic, partitions).await,
            Action::Drop { topic } => self.drop_topic(topic).await,
            Action::Grow { topic, partitions } => self.grow(topic, partitions).await,
            Action::Configure { topic, ref key, ref value } => self.configure(topic, key, value).await,
            Action::Raw { trick, topic, partition } => self.play(trick, topic, partition).await,
            Action::Wrong { request, topic, partition } => self.ask_wrongly(request, topic, partition).await,
            Action::Crash {} => unreachable!("a crash ends the life before it is performed"),
        }
    }

    /// Waits for the end of every send and ends the membership.
    async fn finish(&mut self) {
        while self.undelivered() > 0 {
            self.turn(Monotonic::NEVER).await;
        }
        self.leave("is done").await;
    }
}
