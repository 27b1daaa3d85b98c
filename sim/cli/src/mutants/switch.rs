//! Where the runner switches planted bugs on. The build for people has none; [`copy`](super::copy) puts
//! `switch_planted.txt` in the place of this file, in the copy that has them.

use anyhow::{Result, bail};

/// Switches on the planted bugs of the runs that follow, and all others off.
///
/// # Errors
/// A bug that this build does not have.
pub(crate) fn switch_on(ids: &[String]) -> Result<()> {
    match ids.first() {
        None => Ok(()),
        Some(id) => bail!("{id} is a planted bug, and this build has none: `cargo sim mutants` makes one that has"),
    }
}

/// How often the bugs that are switched on were reached since the process began.
pub(crate) const fn hits() -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_build_has_no_bugs() {
        assert!(switch_on(&[]).is_ok());
        let error = switch_on(&["M25".to_owned()]).expect_err("there is none");
        assert!(error.to_string().starts_with("M25 is a planted bug"));
        assert_eq!(hits(), 0);
    }
}
