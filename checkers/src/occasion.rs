//! Which promises a lane gives an occasion to judge: one that judges nothing although its lane has the occasion proves
//! nothing, and a sweep says so.

use barnabas_plan::{Lane, Workload};

use crate::Promise;

impl Promise {
    /// Whether the workloads and faults of `lane` make what the promise is about.
    #[must_use]
    pub fn has_occasion(&self, lane: Lane) -> bool {
        let works = |workload| lane.workloads().contains(&workload);
        match self.name {
            "committed" | "one-owner" | "stale-commit" => works(Workload::Group),
            "compacted" | "disk-keys" => works(Workload::Compacted),
            "trimmed" => works(Workload::Retention),
            "withheld" => lane == Lane::Rot,
            "outlived" | "outgrown" => lane == Lane::Retention,
            "forgotten" => lane == Lane::Groups,
            "manners" | "refusals" => works(Workload::Raw),
            "dead-topic" => works(Workload::Admin),
            "offset-query" => works(Workload::Queries),
            // Compaction makes gaps that need no excuse.
            "gap-justified" => works(Workload::Log),
            "disk-offsets" => works(Workload::Group) && !lane.promises().final_power_loss,
            // Caches of a broker that lost power are made anew when they are read.
            "disk-check" | "disk-index" | "disk-snapshot" => !lane.promises().final_power_loss && lane != Lane::Caches,
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ALL;

    #[test]
    fn every_promise_has_an_occasion_somewhere() {
        for promise in ALL {
            assert!(Lane::ALL.iter().any(|lane| promise.has_occasion(*lane)), "{}", promise.name);
        }
    }

    #[test]
    fn a_promise_about_what_only_some_lanes_do_is_told_apart() {
        let told_apart = ALL.iter().filter(|promise| Lane::ALL.iter().any(|lane| !promise.has_occasion(*lane)));
        let names: Vec<&str> = told_apart.map(|promise| promise.name).collect();
        assert_eq!(
            names,
            [
                "gap-justified",
                "offset-query",
                "trimmed",
                "outlived",
                "forgotten",
                "compacted",
                "committed",
                "one-owner",
                "stale-commit",
                "dead-topic",
                "manners",
                "refusals",
                "disk-keys",
                "disk-check",
                "disk-index",
                "disk-snapshot",
                "disk-offsets",
                "outgrown",
                "withheld"
            ],
            "names in the table are names of promises"
        );
    }
}
