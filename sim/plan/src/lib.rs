//! What a simulated run will do, as plain data and as text: knobs, topics, clients, operations, faults.
//!
//! Knows neither how it is drawn (`nemesis`) nor how it is carried out (`workloads`, `sim/world`). A plan is complete: the
//! same plan on the same build gives the same run, whoever made it. [`thin`] takes away from a plan what a failure does not need.

mod action;
mod alphabet;
mod fault;
mod lane;
mod name;
mod plan;
#[cfg(test)]
mod tests;
mod text;
mod thin;

pub use action::{Action, OffsetSpec, Operation, RawTrick, WrongRequest};
pub use fault::{Api, Call, Fact, Family, Fate, Fault, FileClass, PlannedFault, Trigger};
pub use lane::{Lane, Promises, Workload};
pub use name::{ClientName, GroupName, Machine, NodeName, TopicName};
pub use plan::{Knobs, Plan, PlannedClient, PlannedTopic, Quiet};
pub use text::{Malformed, parse_seed};
pub use thin::{Piece, thin};
