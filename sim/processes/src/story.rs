//! [`tell`]: carries out a plan against the broker of an [`Owner`] and brings back what clients saw: set-up, clients at work
//! while things go wrong, heal, two reads of everything with a clean restart between them. The world of the simulator tells
//! the same story (`sim/world/src/execute.rs`).

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use anyhow::{Context, Result};
use barnabas_base::Monotonic;
use barnabas_client::Address;
use barnabas_history::{ClientLife, Evidence, Happening, What};
use barnabas_plan::{ClientName, Fault, NodeName, Plan, PlannedClient, PlannedFault};
use barnabas_runtime::{Env, TaskHandle};
use barnabas_runtime_tokio::{NodeConfig, block_on_single};
use barnabas_workloads::{ClientEnd, Recorder, Script, read_everything, run_client, set_up};

use crate::owner::Owner;

/// The one broker.
const NODE: NodeName = NodeName(0);
/// How long clients may take after the heal, in milliseconds.
const SETTLE_MS: i64 = 120_000;
/// How often it is looked whether they have.
const LOOK_MS: i64 = 20;
/// Bytes of a partition in one fetch of the first and of the second read of everything.
const FIRST_READ_BYTES: u32 = 1_048_576;
const FINAL_READ_BYTES: u32 = 4_096;

/// Carries out `plan` with clients that connect to `address`.
pub(crate) fn tell(plan: Plan, address: Address) -> Result<Evidence> {
    let evidence = Rc::new(RefCell::new(Evidence::new(plan.clone())));
    let kept = Rc::clone(&evidence);
    let config = NodeConfig::new("clients", 1);
    block_on_single(&config, async move |env| {
        let clock = env.clone();
        let recorder = Recorder::new(evidence, Rc::new(move || clock.now()));
        let mut story = Story { owner: Owner::new(env.clone()), env, plan, address, recorder, life: 1 };
        if let Err(what) = story.play().await {
            story.happened(Happening::Unsettled { what });
        }
    })
    .context("the event loop of the clients")?;
    Ok(kept.replace(Evidence::new(Plan::empty(0, barnabas_plan::Lane::Durable))))
}

struct Story {
    env: Env,
    owner: Owner,
    plan: Plan,
    address: Address,
    recorder: Recorder,
    /// Of the broker.
    life: u64,
}

impl Story {
    fn happened(&self, happening: Happening) {
        self.recorder.push(What::Happened(happening));
    }

    async fn play(&mut self) -> Result<(), String> {
        self.happened(Happening::Started { node: NODE, life: self.life });
        self.happened(Happening::Serving { node: NODE });
        set_up(self.env.clone(), vec![self.address.clone()], self.plan.topics.clone()).await?;
        let began = self.env.now();
        let living = Rc::new(Cell::new(self.plan.clients.len()));
        let clients: Vec<TaskHandle> =
            self.plan.clients.iter().map(|client| self.begin(client, began, &living)).collect();
        for planned in self.plan.faults.clone() {
            self.env.sleep_until(later(began, planned.trigger.since_ms())).await;
            self.carry_out(planned).await?;
        }
        self.env.sleep_until(later(began, self.plan.safety_ms)).await;
        self.happened(Happening::Healed);
        let deadline = self.env.now().after_ms(SETTLE_MS);
        while living.get() > 0 {
            if self.env.now() >= deadline {
                return Err(self.pending());
            }
            self.env.sleep_until(self.env.now().after_ms(LOOK_MS)).await;
        }
        drop(clients);
        self.happened(Happening::FirstRead);
        self.read(0, FIRST_READ_BYTES).await?;
        self.restart("restart", true).await?;
        self.happened(Happening::FinalRead);
        self.read(1, FINAL_READ_BYTES).await
    }

    /// Has a client live its lives.
    fn begin(&self, client: &PlannedClient, began: Monotonic, living: &Rc<Cell<usize>>) -> TaskHandle {
        let own = self.plan.operations.iter().filter(|operation| operation.client == client.name);
        let script = Rc::new(Script {
            client: client.clone(),
            bootstrap: vec![self.address.clone()],
            operations: own.cloned().collect(),
            lane: self.plan.lane,
            safety_ms: self.plan.safety_ms,
        });
        let (env, recorder, living) = (self.env.clone(), self.recorder.clone(), Rc::clone(living));
        let clock = self.env.clone();
        let elapsed_ms: Rc<dyn Fn() -> u64> =
            Rc::new(move || u64::try_from(clock.now().since(began).as_millis()).unwrap_or(u64::MAX));
        self.env.spawn("client", async move {
            let (mut life, mut next) = (0, 0);
            loop {
                let (script, elapsed_ms) = (Rc::clone(&script), Rc::clone(&elapsed_ms));
                match run_client(env.clone(), script, next, life, elapsed_ms, recorder.clone()).await {
                    ClientEnd::Done => break,
                    // Its connections went with the session.
                    ClientEnd::Crashed { next: position } => (life, next) = (life + 1, position),
                }
            }
            living.set(living.get() - 1);
        })
    }

    async fn carry_out(&mut self, planned: PlannedFault) -> Result<(), String> {
        let PlannedFault { id, fault, .. } = planned;
        self.happened(Happening::Fault { id, fault: fault.clone() });
        match fault {
            Fault::Crash { .. } => self.restart("kill", false).await?,
            Fault::Stop { .. } => self.restart("restart", true).await?,
            Fault::Pause { for_ms, .. } => self.wait_for(&format!("pause {for_ms}")).await?,
            _ => self.wait_for("reset").await?,
        }
        self.happened(Happening::FaultEnded { id });
        Ok(())
    }

    async fn wait_for(&self, what: &str) -> Result<(), String> {
        self.owner.ask(what)?;
        self.owner.answer("done").await
    }

    async fn restart(&mut self, what: &str, clean: bool) -> Result<(), String> {
        self.owner.ask(what)?;
        self.owner.answer("dead").await?;
        self.happened(Happening::Ended { node: NODE, clean });
        self.life += 1;
        self.happened(Happening::Started { node: NODE, life: self.life });
        self.owner.answer("serving").await?;
        self.happened(Happening::Serving { node: NODE });
        Ok(())
    }

    async fn read(&self, life: u32, fetch_bytes: u32) -> Result<(), String> {
        let by = ClientLife { client: ClientName(u16::MAX), life };
        let bootstrap = vec![self.address.clone()];
        read_everything(self.env.clone(), bootstrap, fetch_bytes, self.plan.lane, by, self.recorder.clone()).await
    }

    /// Who has not come to an end.
    fn pending(&self) -> String {
        let open = |client: &PlannedClient| {
            let open = self.recorder.open_calls(client.name);
            open.first().map(|last| format!("{} ({} calls open, the last: {last})", client.name, open.len()))
        };
        let pending: Vec<String> = self.plan.clients.iter().filter_map(open).collect();
        if pending.is_empty() { "a client between two calls".to_owned() } else { pending.join(", ") }
    }
}

fn later(began: Monotonic, ms: u64) -> Monotonic {
    began.after_ms(i64::try_from(ms).expect("a run is short"))
}
