//! The command line's access to a cluster: [`Driver`] moves the bytes of `barnabas-client` over the seam, [`Session`]
//! adds the options that all commands share.

mod driver;
mod session;

pub(crate) use driver::Driver;
pub(crate) use session::{ClusterArgs, Session, expect_response, run};
