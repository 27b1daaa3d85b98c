//! The handlers, one file per family of requests. They take a decoded request, ask shards and images, and build the
//! answer; what is decided, the cores decide. Driven by `dispatch`.

pub(crate) mod acls;
pub(crate) mod cluster;
pub(crate) mod configs;
pub(crate) mod fetch;
pub(crate) mod groups;
pub(crate) mod log_dirs;
pub(crate) mod offsets;
pub(crate) mod produce;
pub(crate) mod producers;
pub(crate) mod topics;
pub(crate) mod versions;
