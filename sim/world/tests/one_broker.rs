//! One broker and its clients in the simulated world: the same twice, and nothing acknowledged lost.

use barnabas_base::Keyed;
use barnabas_sim_world::{BrokerSetup, Report, Run, Stop};

fn run(seed: u64, stop: Stop, flush_policy: &str) -> Run {
    let draw = |purpose| Keyed::new(seed, purpose);
    let overrides = [
        ("num.partitions", "3".to_owned()),
        ("flush.policy", flush_policy.to_owned()),
        ("log.segment.bytes", (1_048_576 + draw("segment bytes").below(1_048_576)).to_string()),
        ("offsets.topic.num.partitions", "2".to_owned()),
    ];
    Run {
        seed,
        setup: BrokerSetup {
            data_shards: 1 + u16::try_from(draw("shards").below(3)).expect("small"),
            overrides: overrides.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        },
        producers: 2,
        records: 100,
        partitions: 3,
        stop,
        stops_under_load: 1 + u32::try_from(draw("stops").below(3)).expect("small"),
    }
}

/// Every promise that holds for one broker with idempotent producers, or the first that was broken.
fn judge(report: &Report) -> Result<usize, String> {
    let mut judged = 0;
    for (promise, check) in barnabas_checkers::ALL {
        let verdict = check(&report.history);
        if let Some(anomaly) = verdict.anomalies.first() {
            return Err(format!("{promise}: {}", anomaly.what));
        }
        judged += verdict.judged;
    }
    Ok(judged)
}

fn sweep(stop: Stop, seeds: u64) {
    let mut acknowledged = 0;
    for seed in 0..seeds {
        let report = run(seed, stop, "ack").execute();
        acknowledged += report.history.acknowledged();
        match judge(&report) {
            Ok(judged) => assert!(judged > 0, "seed {seed} judged nothing"),
            Err(broken) => panic!("seed {seed} under {stop:?}: {broken}"),
        }
    }
    let least = usize::try_from(seeds).expect("few seeds") * 100;
    assert!(acknowledged >= least, "only {acknowledged} records were acknowledged: the runs prove nothing");
}

#[test]
fn the_same_seed_gives_the_same_hash() {
    for seed in [1, 2, 0x7f3a] {
        let [first, second] = [(); 2].map(|()| run(seed, Stop::Crash, "ack").execute());
        assert!(first.trace_count > 5_000, "a run of {} events shows nothing", first.trace_count);
        assert_eq!(first.trace_hash, second.trace_hash, "seed {seed}");
        assert_eq!(first.history, second.history, "seed {seed}");
    }
}

#[test]
fn a_clean_stop_loses_nothing() {
    sweep(Stop::Clean, 5);
}

#[test]
fn a_killed_process_loses_nothing_acknowledged() {
    sweep(Stop::Crash, 20);
}

#[test]
fn power_loss_loses_nothing_acknowledged() {
    sweep(Stop::PowerLoss, 100);
}

#[test]
#[ignore = "minutes; ci/full runs it"]
fn a_thousand_power_losses_lose_nothing_acknowledged() {
    sweep(Stop::PowerLoss, 1_000);
}

/// A disk that never loses anything under `os` would prove nothing under `ack`.
#[test]
fn power_loss_is_seen_under_the_page_cache_policy() {
    let is_lost = |seed: &u64| judge(&run(*seed, Stop::PowerLoss, "os").execute()).is_err();
    let losses = (0..20).filter(is_lost).count();
    assert!(losses > 0, "20 power losses under flush.policy=os lost nothing: the disk is too kind");
}
