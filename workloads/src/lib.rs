//! Client state machines that carry out a plan's operations and record what they saw, over the same seam as the broker.
//!
//! They judge nothing: evidence goes to the checkers. The simulated world drives them, and so may real processes.

mod admin;
mod driver;
mod life;
mod raw;
mod raw_client;
mod read;
mod recorder;
mod script;

pub use driver::Driver;
pub use raw_client::{NoAnswer, RawClient};
pub use read::{read_everything, set_up};
pub use recorder::Recorder;
pub use script::{ClientEnd, Script, run_client};
