//! Dialogues with a coordinator: each script is what clients, the clock and the log say, and what comes back.
//!
//! `tests/scripts/*.txt` hold the scripts. A line without indentation is an input; the indented lines below it are all
//! its outputs. A difference is shown with the whole transcript as it is. [`scribe`] puts outputs into words, [`stage`] plays
//! the inputs.

mod scribe;
mod stage;

use stage::Stage;

/// Plays a script and compares.
fn play(name: &str, script: &str) {
    let mut stage = Stage::new();
    let mut transcript = String::new();
    for line in script.lines() {
        let line = line.trim_end();
        if line.starts_with(' ') {
            continue;
        }
        transcript.push_str(line);
        transcript.push('\n');
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        for output in stage.play(line) {
            transcript.push_str("  ");
            transcript.push_str(&output);
            transcript.push('\n');
        }
    }
    let expected: String = script.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    assert!(transcript == expected, "{name} went differently:\n-----\n{transcript}-----");
    stage.finish();
}

macro_rules! scripts {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                play(stringify!($name), include_str!(concat!("../scripts/", stringify!($name), ".txt")));
            }
        )*
    };
}

scripts! {
    dynamic_two_members
    member_id_required
    static_member
    zombie_commit
    leader_times_out
    sync_times_out
    group_full
    memory_full
    commit_and_fetch
    reload
    expiry
    deletion
    deletion_fails
    protocol_vote
    protocol_named_twice
    append_failures
    describe_and_list
    resign
    refusals
}
