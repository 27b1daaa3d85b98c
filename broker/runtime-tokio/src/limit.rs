//! The process's limit on open descriptors. Not part of the seam; the binary raises it before it starts a node.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit on open descriptors to the hard one and returns it; `None` means there is none. A partition has
/// several files and every client a socket; the usual soft limit of 1,024 is a compatibility of `select`.
pub fn raise_descriptor_limit() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        // A sandbox may refuse; the node then runs out earlier and says so.
        Err(_) => current,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_the_hard_one() {
        let raised = raise_descriptor_limit();
        assert_eq!(raised, getrlimit(Resource::Nofile).current);
        assert_eq!(raised, raise_descriptor_limit(), "raising twice changes nothing");
    }
}
