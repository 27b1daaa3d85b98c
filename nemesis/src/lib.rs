//! Draws what a simulated run will do: [`draw`] makes a plan of a seed, within what its lane allows.
//!
//! Knows what can go wrong and how often it should; carries nothing out. A plan is drawn whole before the run begins, so
//! that it can be printed, edited and shrunk.

mod catalog;
mod clients;
mod dice;
mod draw;
mod faults;
mod knobs;
mod operations;
mod schemes;
#[cfg(test)]
mod tests;
mod triggers;

pub use catalog::{Cell, FAMILIES, FamilyEntry, knob_names, matrix};
pub use draw::{draw, lane_of};
