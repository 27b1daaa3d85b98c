//! Tests of [`super`], polled by hand.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::*;

/// What either account may hold.
const LIMIT: u64 = 100;
const NOW: Monotonic = Monotonic::ZERO;
const AT_ONCE: Granted = Granted { has_waited: false, overdraws: false };

fn admission() -> Admission {
    Admission::new(Budget::new(|_| LIMIT))
}

impl Admission {
    fn large_bytes(&self) -> u64 {
        self.budget.used_bytes(Account::RequestFrames)
    }
}

/// A frame that asks for more.
type Asking<'a> = Pin<Box<dyn Future<Output = Granted> + 'a>>;

fn ask(frame: &mut Admitted, bytes: u64) -> Asking<'_> {
    Box::pin(frame.hold(bytes, NOW))
}

fn poll(asking: &mut Asking<'_>) -> Option<Granted> {
    match asking.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(granted) => Some(granted),
        Poll::Pending => None,
    }
}

/// A large frame that holds `bytes` without waiting.
fn holding(admission: &Admission, bytes: u64) -> Admitted {
    let mut frame = admission.begin_large();
    poll(&mut ask(&mut frame, bytes)).expect("there is room");
    frame
}

#[test]
fn frames_grow_while_there_is_room_and_give_all_back() {
    let admission = admission();
    let mut frame = admission.begin_large();
    assert_eq!(admission.large_bytes(), 0, "a claim costs nothing");
    for bytes in [10, 30, 30, 100] {
        assert_eq!(poll(&mut ask(&mut frame, bytes)), Some(AT_ONCE));
        assert_eq!((frame.bytes(), admission.large_bytes()), (bytes, bytes));
    }
    drop(frame);
    assert_eq!(admission.large_bytes(), 0);
}

#[test]
fn small_frames_pass_by_large_ones() {
    let admission = admission();
    let _full = holding(&admission, LIMIT);
    let _overdraws = holding(&admission, 5 * LIMIT);
    let mut waits = admission.begin_large();
    assert_eq!(poll(&mut ask(&mut waits, 1)), None);
    let mut small = admission.begin_small();
    assert_eq!(poll(&mut ask(&mut small, LIMIT)), Some(AT_ONCE));
}

/// All hold a part and wait for the rest: one after the other gets through.
#[test]
fn one_at_a_time_passes_the_limit() {
    let admission = admission();
    let mut frames: Vec<_> = (0..4).map(|_| holding(&admission, LIMIT / 4)).collect();
    let mut first = frames.remove(0);
    assert_eq!(poll(&mut ask(&mut first, 60)), Some(Granted { has_waited: false, overdraws: true }));
    assert_eq!(admission.large_bytes(), LIMIT + 35);
    let mut asking: Vec<_> = frames.iter_mut().map(|frame| ask(frame, 90)).collect();
    assert!(asking.iter_mut().all(|asking| poll(asking).is_none()));
    assert_eq!(poll(&mut ask(&mut first, 70)), Some(AT_ONCE), "it waits for nobody, and the right is not new");
    drop(first);
    assert_eq!(admission.large_bytes(), LIMIT - 25);
    assert_eq!(poll(&mut asking[2]), None, "not its turn");
    assert_eq!(poll(&mut asking[1]), None, "not its turn");
    assert_eq!(poll(&mut asking[0]), Some(Granted { has_waited: true, overdraws: true }));
    assert_eq!(poll(&mut asking[1]), None, "one overdraws already");
    drop(asking);
    drop(frames);
    assert_eq!(admission.large_bytes(), 0);
}

#[test]
fn older_frames_go_first_and_nobody_slips_in() {
    let admission = admission();
    let mut old = admission.begin_large();
    let mut young = admission.begin_large();
    let overdraws = holding(&admission, LIMIT + 1);
    let mut younger = ask(&mut young, 50);
    assert_eq!(poll(&mut younger), None);
    let mut older = ask(&mut old, 80);
    assert_eq!(poll(&mut older), None);
    let mut last = admission.begin_large();
    let mut little = ask(&mut last, 1);
    assert_eq!(poll(&mut little), None);
    drop(overdraws);
    let other = admission.budget.charge(Account::RequestFrames, 15);
    assert_eq!(poll(&mut little), None, "it would fit, and is not the first");
    assert_eq!(poll(&mut younger), None, "an older one came later to the line");
    assert_eq!(poll(&mut older), Some(Granted { has_waited: true, overdraws: false }));
    assert_eq!(poll(&mut little), None);
    assert_eq!(poll(&mut younger), Some(Granted { has_waited: true, overdraws: true }));
    assert_eq!(poll(&mut little), None, "there is no room, and one overdraws already");
    drop((older, younger, other));
    drop(old);
    drop(young);
    assert_eq!(poll(&mut little), Some(Granted { has_waited: true, overdraws: false }));
    assert_eq!(admission.large_bytes(), 1);
}

#[test]
fn who_goes_away_leaves_the_line_and_its_right() {
    let admission = admission();
    let full = holding(&admission, LIMIT);
    let overdraws = holding(&admission, 1);
    let (mut gone, mut stays) = (admission.begin_large(), admission.begin_large());
    let mut going = ask(&mut gone, 1);
    let mut staying = ask(&mut stays, 1);
    assert_eq!((poll(&mut going), poll(&mut staying)), (None, None));
    drop(going);
    drop(overdraws);
    assert_eq!(poll(&mut staying), Some(Granted { has_waited: true, overdraws: true }));
    drop(staying);
    assert_eq!(gone.bytes(), 0);
    drop((gone, stays, full));
    assert_eq!(admission.large_bytes(), 0);
}

#[test]
fn it_is_known_since_when_others_wait() {
    let admission = admission();
    let full = holding(&admission, LIMIT);
    let overdraws = holding(&admission, 1);
    assert_eq!(full.others_wait_since(), None);
    let (mut first, mut second) = (admission.begin_large(), admission.begin_large());
    let mut one = Box::pin(first.hold(1, Monotonic(7)));
    let mut other = Box::pin(second.hold(1, Monotonic(9)));
    let mut context = Context::from_waker(Waker::noop());
    assert!(one.as_mut().poll(&mut context).is_pending() && other.as_mut().poll(&mut context).is_pending());
    assert_eq!(full.others_wait_since(), Some(Monotonic(7)));
    drop(one);
    assert_eq!(full.others_wait_since(), Some(Monotonic(7)), "there was always somebody");
    drop(overdraws);
    assert!(other.as_mut().poll(&mut context).is_ready());
    assert_eq!(full.others_wait_since(), None);
}
