//! Clients of a plan against a broker in the simulated world: what they record is what happened, and no more.

mod log;
mod others;
mod scene;
