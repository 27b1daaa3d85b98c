//! The cluster image, its records, the configuration table and the controller's decisions.
//!
//! Pure: no I/O, no clock, no lock. The node's controller shard feeds records and requests in and appends what comes
//! out; shards read the images it publishes.

pub mod answer;
pub mod config;
pub mod controller;
pub mod image;
pub mod log;
mod shared_map;

pub use shared_map::SharedMap;
