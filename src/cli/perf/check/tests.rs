//! Each kind of wrong is found as what it is, and nothing is found where all is right.

use std::sync::atomic::Ordering::Relaxed;

use super::*;

const BODY_BYTES: usize = 40;

fn publishers(published: &[u64]) -> Vec<Tally> {
    let tally = |&published: &u64| {
        let tally = Tally::default();
        tally.published.store(published, Relaxed);
        tally
    };
    published.iter().map(tally).collect()
}

fn body(publisher: u64, sequence: u64) -> Vec<u8> {
    let mut body = vec![b'.'; BODY_BYTES];
    body[..8].copy_from_slice(b"anytimes");
    Seal::new(publisher, true, BODY_BYTES, b'.').put(&mut body, sequence);
    body
}

fn checker<'a>(publishers: &'a [Tally], bodies: &[Vec<u8>]) -> Checker<'a> {
    let mut checker = Checker::new(publishers, true);
    for body in bodies {
        checker.piece(body);
        checker.end();
    }
    checker
}

/// The verdict over one queue that all messages should reach.
fn verdict(publishers: &[Tally], accounts: Vec<Checker<'_>>) -> Checks {
    Checks::of(vec![accounts], publishers, Some(&|_, _| true))
}

#[test]
fn all_messages_once_in_order_are_sound() {
    let publishers = publishers(&[3, 2]);
    let bodies = [body(0, 0), body(1, 0), body(0, 1), body(1, 1), body(0, 2)];
    let checks = verdict(&publishers, vec![checker(&publishers, &bodies)]);
    assert!(checks.is_sound(), "{checks}");
    assert_eq!((checks.received, checks.lost), (5, Some(0)));
}

#[test]
fn messages_may_be_spread_over_the_consumers_of_a_queue() {
    let publishers = publishers(&[4]);
    let even = checker(&publishers, &[body(0, 0), body(0, 2)]);
    let odd = checker(&publishers, &[body(0, 1), body(0, 3)]);
    let checks = verdict(&publishers, vec![even, odd]);
    assert!(checks.is_sound(), "{checks}");
}

#[test]
fn a_missing_message_is_lost_unless_it_was_refused() {
    let publishers = publishers(&[3]);
    let got = || vec![checker(&publishers, &[body(0, 0), body(0, 2)])];
    assert_eq!(verdict(&publishers, got()).lost, Some(1));
    assert_eq!(Checks::of(vec![got()], &publishers, None).lost, None);
    publishers[0].nacked.store(1, Relaxed);
    assert_eq!(verdict(&publishers, got()).lost, Some(0));
}

#[test]
fn every_queue_of_a_fanout_must_have_all() {
    let publishers = publishers(&[2]);
    let all = || checker(&publishers, &[body(0, 0), body(0, 1)]);
    let queues = vec![vec![all()], vec![checker(&publishers, &[body(0, 0)])]];
    let checks = Checks::of(queues, &publishers, Some(&|_, _| true));
    assert_eq!((checks.lost, checks.duplicated), (Some(1), 0));
    let queues = vec![vec![all()], Vec::new()];
    let checks = Checks::of(queues, &publishers, Some(&|_, queue| queue == 0));
    assert_eq!(checks.lost, Some(0));
}

#[test]
fn a_message_that_comes_twice_is_found_at_one_consumer_and_at_two() {
    let publishers = publishers(&[2]);
    let bodies = [body(0, 0), body(0, 1), body(0, 0)];
    let checks = verdict(&publishers, vec![checker(&publishers, &bodies)]);
    assert_eq!((checks.duplicated, checks.reordered), (1, 0));
    let accounts = vec![
        checker(&publishers, &bodies[..2]),
        checker(&publishers, &bodies[1..2]),
    ];
    assert_eq!(verdict(&publishers, accounts).duplicated, 1);
}

#[test]
fn a_message_behind_a_later_one_is_reordered() {
    let publishers = publishers(&[3]);
    let bodies = [body(0, 1), body(0, 0), body(0, 2)];
    let checks = verdict(&publishers, vec![checker(&publishers, &bodies)]);
    assert_eq!(
        (checks.reordered, checks.duplicated, checks.lost),
        (1, 0, Some(0))
    );
}

#[test]
fn any_changed_octet_is_corruption() {
    let publishers = publishers(&[1]);
    for at in 0..BODY_BYTES {
        let mut changed = body(0, 0);
        changed[at] ^= 0x20;
        let checks = verdict(&publishers, vec![checker(&publishers, &[changed])]);
        assert_eq!((checks.corrupted, checks.lost), (1, Some(1)), "octet {at}");
    }
    let short = body(0, 0)[..19].to_vec();
    assert_eq!(checker(&publishers, &[short]).corrupted, 1);
}

#[test]
fn a_message_that_nobody_has_published_is_corruption() {
    let publishers = publishers(&[1]);
    let checker = checker(&publishers, &[body(0, 1), body(1, 0)]);
    assert_eq!(checker.corrupted, 2);
}

#[test]
fn a_body_is_the_same_in_whatever_pieces_it_comes() {
    let publishers = publishers(&[1]);
    let body = body(0, 0);
    for first in 0..BODY_BYTES {
        for second in first..BODY_BYTES {
            let mut checker = Checker::new(&publishers, true);
            checker.piece(&body[..first]);
            checker.piece(&body[first..second]);
            checker.piece(&body[second..]);
            checker.end();
            assert_eq!(checker.corrupted, 0, "cut at {first} and {second}");
        }
    }
}

#[test]
fn the_head_is_as_long_as_it_says() {
    assert_eq!((head_bytes(false), head_bytes(true)), (12, HEAD_MAX));
}
