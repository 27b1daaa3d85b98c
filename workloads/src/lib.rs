//! Client state machines that record what they saw, over the same seam as the broker.
//!
//! They judge nothing: a history goes to the checkers. The simulated world drives them, and so may real processes.

mod driver;
mod numbered;

pub use barnabas_wire::record::Compression;
pub use driver::Driver;
pub use numbered::{Numbered, final_read, produce};
