//! The cluster under test in the simulated world: brokers as they run in production, clients beside them, and what
//! happened between.
//!
//! Knows how a broker is started, stopped, killed and cut off from power; not what it promises, which the checkers know.

mod broker;
mod raw;
pub mod requests;
mod run;
mod scene;

pub use broker::{Broker, BrokerSetup};
pub use raw::{NoAnswer, RawClient};
pub use run::{Report, Run, Stop};
pub use scene::{Scene, Visitor, play, with_broker};
