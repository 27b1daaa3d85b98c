//! A second, small reading of Kafka's protocol for the checks: oldest non-flexible versions, blocking sockets, nothing
//! shared with the broker's own codec. A check that decoded with the code under test could not see its faults.

pub(crate) mod batch;
pub(crate) mod bytes;
pub(crate) mod connection;

pub(crate) use batch::ProducerIdentity;
pub(crate) use connection::{Connection, GroupDescription};
