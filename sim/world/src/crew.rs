//! [`Crew`]: the clients of a run, each on a machine of its own, with the lives they lead. The director begins their lives.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use barnabas_client::Address;
use barnabas_plan::{ClientName, Operation, Plan};
use barnabas_runtime::Local;
use barnabas_runtime_madsim::{Node as MachineOf, World};
use barnabas_workloads::{ClientEnd, Recorder, Script, run_client};

/// One client.
struct Member {
    name: ClientName,
    machine: MachineOf,
    script: Rc<Script>,
    life: u32,
    /// The operation its next life begins with.
    next: usize,
    done: bool,
}

/// The clients of a run.
pub(crate) struct Crew {
    members: Vec<Member>,
    elapsed_ms: Rc<dyn Fn() -> u64>,
    recorder: Recorder,
    ended: Rc<RefCell<Vec<(ClientName, u32, ClientEnd)>>>,
    has_news: Rc<Cell<bool>>,
    living: Rc<Cell<usize>>,
}

impl Crew {
    /// The clients of `plan`, of which none lives yet. `elapsed_ms` is how much of the safety phase has passed.
    pub(crate) fn new(
        world: &World,
        plan: &Plan,
        bootstrap: &[Address],
        elapsed_ms: Rc<dyn Fn() -> u64>,
        recorder: Recorder,
    ) -> Self {
        let member = |client: &barnabas_plan::PlannedClient| {
            let own = plan.operations.iter().filter(|operation| operation.client == client.name);
            let later =
                |operation: &Operation| Operation { at_ms: plan.after_quiet_ms(operation.at_ms), ..operation.clone() };
            let script = Script {
                client: client.clone(),
                bootstrap: bootstrap.to_vec(),
                operations: own.map(later).collect(),
                lane: plan.lane,
                safety_ms: plan.after_quiet_ms(plan.safety_ms),
            };
            Member {
                name: client.name,
                machine: world.node(&client.name.to_string()),
                script: Rc::new(script),
                life: 0,
                next: 0,
                done: false,
            }
        };
        Self {
            members: plan.clients.iter().map(member).collect(),
            elapsed_ms,
            recorder,
            ended: Rc::default(),
            has_news: Rc::default(),
            living: Rc::new(Cell::new(plan.clients.len())),
        }
    }

    pub(crate) fn names(&self) -> Vec<ClientName> {
        self.members.iter().map(|member| member.name).collect()
    }

    /// The machine of a client.
    pub(crate) fn machine(&self, name: ClientName) -> Option<&MachineOf> {
        self.members.iter().find(|member| member.name == name).map(|member| &member.machine)
    }

    /// Whether a client has ended a life since it was last asked after.
    pub(crate) fn has_news(&self) -> Rc<Cell<bool>> {
        Rc::clone(&self.has_news)
    }

    /// How many clients have not done all they were to do.
    pub(crate) fn living(&self) -> Rc<Cell<usize>> {
        Rc::clone(&self.living)
    }

    /// Who has not, with the operation it is at.
    pub(crate) fn pending(&self) -> Vec<String> {
        let pending = self.members.iter().filter(|member| !member.done);
        let told = |member: &Member| {
            let open = self.recorder.open_calls(member.name);
            let last = open.first().map_or("between two calls", String::as_str);
            format!("{} (life {}, {} calls open, the last: {last})", member.name, member.life, open.len())
        };
        pending.map(told).collect()
    }

    /// Begins the next life of a client.
    pub(crate) fn begin_life(&mut self, name: ClientName) {
        let Some(member) = self.members.iter_mut().find(|member| member.name == name) else { return };
        if member.machine.is_running() || member.done {
            return;
        }
        let (life, from) = (member.life, member.next);
        let (script, elapsed_ms, recorder) =
            (Rc::clone(&member.script), Rc::clone(&self.elapsed_ms), self.recorder.clone());
        let (ended, has_news) = (Rc::clone(&self.ended), Rc::clone(&self.has_news));
        member.machine.start(1, move |env| -> Local<'static, ()> {
            let (script, elapsed_ms, recorder) = (Rc::clone(&script), Rc::clone(&elapsed_ms), recorder.clone());
            let (ended, has_news) = (Rc::clone(&ended), Rc::clone(&has_news));
            Box::pin(async move {
                let end = run_client(env, script, from, life, elapsed_ms, recorder).await;
                let crashed = matches!(end, ClientEnd::Crashed { .. });
                ended.borrow_mut().push((name, life, end));
                has_news.set(true);
                if crashed {
                    // Killed by the director, before it can say goodbye to anybody.
                    std::future::pending::<()>().await;
                }
            })
        });
    }

    /// Takes note of lives that have ended; gives the clients that died and are to be born again.
    pub(crate) fn take_ended(&mut self) -> Vec<ClientName> {
        self.has_news.set(false);
        let mut died = Vec::new();
        for (name, life, end) in self.ended.borrow_mut().drain(..) {
            let Some(member) = self.members.iter_mut().find(|member| member.name == name && member.life == life) else {
                continue;
            };
            match end {
                ClientEnd::Done => {
                    member.done = true;
                    self.living.set(self.living.get() - 1);
                }
                ClientEnd::Crashed { next } => {
                    member.life += 1;
                    member.next = next;
                    died.push(name);
                }
            }
        }
        for name in &died {
            if let Some(machine) = self.machine(*name) {
                machine.crash();
            }
        }
        died
    }
}

impl fmt::Debug for Crew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crew").field("members", &self.members.len()).finish_non_exhaustive()
    }
}
