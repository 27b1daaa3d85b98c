//! The contract of the seam as a suite that every implementation runs: each case asserts one promise over [`crate::Env`]
//! and panics where it is broken. A simulator that is kinder than Linux proves nothing, so that both worlds run the same
//! cases with the same outcome. Not a test of any broker logic; the two runtimes' tests drive it.
//!
//! Left to the simulator's own tests is what one process cannot make Linux show: power loss and what it leaves, failing
//! and lying devices, silence, closed ways, SYNs without an answer, clocks that drift or jump. What a killed process leaves
//! is shown on the real broker by `cargo ci`.

mod closing;
mod disk;
mod full_disk;
mod net;
mod send;
mod shards;
mod tasks;

use std::path::PathBuf;

use crate::{Env, Local};

/// A case for one shard. It gets an empty directory of its own.
pub type Case = fn(Env, PathBuf) -> Local<'static, ()>;

/// A case that runs on each shard of a node with [`SHARDS`] of them.
pub type ShardCase = fn(Env) -> Local<'static, ()>;

/// Shards of the node that a [`ShardCase`] runs on.
pub const SHARDS: u16 = 3;

/// Largest file system that [`full_disk_cases`] are run on; they fill it.
pub const FULL_DISK_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Names functions as cases.
macro_rules! cases {
    ($($module:ident::$name:ident),* $(,)?) => {
        vec![$((concat!(stringify!($module), "::", stringify!($name)), |env, root| Box::pin($module::$name(env, root)))),*]
    };
}

/// Every case that runs on one shard, with its name.
#[must_use]
pub fn cases() -> Vec<(&'static str, Case)> {
    cases![
        net::bytes_arrive_in_order,
        net::a_finished_peer_reads_as_the_end,
        net::half_a_connection_can_be_closed,
        net::an_aborted_peer_reads_as_a_reset,
        net::an_abort_wakes_the_own_reader,
        net::closing_with_unread_bytes_resets,
        net::writing_to_a_closed_peer_fails_in_the_end,
        net::nobody_listening_refuses,
        net::a_bound_port_is_taken,
        net::dropped_accepts_and_reads_lose_nothing,
        net::connections_wait_for_accept,
        net::a_slow_reader_holds_the_sender,
        net::a_host_resolves,
        closing::a_read_does_not_wait_for_more,
        closing::what_was_sent_arrives_after_the_close,
        closing::a_dropped_send_leaves_a_prefix,
        closing::an_abort_loses_what_is_under_way,
        closing::a_blocked_sender_hears_of_the_end,
        closing::finishing_is_said_once_and_not_to_nobody,
        closing::a_reset_behind_the_end_concerns_the_sender,
        closing::an_accepted_connection_that_nobody_takes_is_closed,
        closing::a_dropped_connect_leaves_nobody,
        closing::a_listener_may_take_every_address,
        send::segments_arrive_in_order,
        send::a_long_range_arrives_whole,
        send::a_range_past_the_end_is_reported,
        send::a_handle_outlives_name_and_file,
        disk::modes_of_opening,
        disk::reads_are_short_only_at_the_end,
        disk::parts_are_written_one_behind_the_other,
        disk::a_gap_reads_as_zeroes,
        disk::truncation_cuts_and_extends,
        disk::allocation_keeps_the_length,
        disk::an_unlinked_file_stays_usable,
        disk::a_rename_replaces,
        disk::directories_are_renamed_and_removed,
        disk::listings_are_sorted,
        disk::a_listing_follows_what_happens_to_names,
        disk::a_name_may_be_so_long_and_no_longer,
        disk::missing_names_are_not_found,
        disk::a_write_may_overtake_a_sync,
        disk::many_files_are_synced,
        disk::a_dropped_future_still_happens,
        disk::a_lock_excludes,
        disk::a_lock_that_nobody_waits_for_is_given_back,
        disk::space_and_times_are_plausible,
        tasks::spawned_tasks_start_in_order,
        tasks::a_dropped_handle_stops_the_task,
        tasks::a_detached_task_runs_on,
        tasks::a_yield_lets_others_run,
        tasks::offloaded_work_returns,
        tasks::timers_fire_in_order_and_never_early,
        tasks::a_dropped_timer_is_cancelled,
        tasks::a_timer_wakes_whoever_polled_it_last,
        tasks::a_waker_outlives_its_task,
        tasks::clocks_go_forward,
        tasks::random_words_differ,
    ]
}

/// Cases for a directory on a file system of its own, at most [`FULL_DISK_BYTES_MAX`] large. Where a harness cannot have
/// one it says so and leaves them out.
#[must_use]
pub fn full_disk_cases() -> Vec<(&'static str, Case)> {
    cases![
        full_disk::a_full_disk_refuses_writes_until_room_returns,
        full_disk::allocated_room_is_kept_free,
        full_disk::an_allocation_that_does_not_fit_is_refused,
    ]
}

/// Every case that runs on all shards of a node, with its name.
#[must_use]
pub fn shard_cases() -> Vec<(&'static str, ShardCase)> {
    vec![
        ("shards::messages_are_fifo_per_sender", |env| Box::pin(shards::messages_are_fifo_per_sender(env))),
        ("shards::a_connection_moves_to_another_shard", |env| {
            Box::pin(shards::a_connection_moves_to_another_shard(env))
        }),
        ("shards::a_dropped_receive_loses_nothing", |env| Box::pin(shards::a_dropped_receive_loses_nothing(env))),
        ("shards::messages_to_an_ended_shard_are_dropped", |env| {
            Box::pin(shards::messages_to_an_ended_shard_are_dropped(env))
        }),
    ]
}
