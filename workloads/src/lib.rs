//! Client state machines that record what they saw, over the same seam as the broker.
//!
//! They judge nothing: a history goes to the checkers. The simulated world drives them, and so may real processes.

mod admin;
mod client;
mod driver;
mod everything;
mod group;
mod looking;
mod queries;
mod raw;
mod reading;
mod record;
mod recorder;
mod session;
mod tricks;

pub use admin::set_up;
pub use client::{ClientEnd, Script, run_client};
pub use driver::Driver;
pub use everything::read_everything;
pub use raw::{NoAnswer, RawClient};
pub use recorder::Recorder;
