//! The cluster under test in the simulated world: brokers as they run in production, clients beside them, and what
//! happened between.
//!
//! Knows how a broker is started, stopped, killed and cut off from power; not what it promises, which the checkers know.

mod agenda;
mod broker;
mod crew;
mod director;
mod disk_rules;
mod execute;
mod faults;
mod files;
mod knobs;
pub mod requests;
mod scene;
mod watch;

pub use barnabas_checkers::{Broken, Judgement, Scope, judge};
pub use barnabas_runtime_madsim::elapsed;
pub use barnabas_workloads::{NoAnswer, RawClient};
pub use broker::{Broker, BrokerSetup};
pub use execute::{Options, RunReport, execute};
pub use scene::{Scene, Visitor, play, with_broker};
