//! What the offline check calls a problem, and what it only counts.

use super::{entry, page, push};
use crate::host::Lsn;
use crate::journal::{
    Block, EntryKind, Journal, Malformed, PageEntry, PageKey, Placement, Runs, Section,
};
use crate::message::{Body, Message, Records};
use crate::recovery::Damaged;
use crate::recovery::check::{Check, Checked, Counts, PROBLEMS_MAX, PageProblem, Problem};

/// A check of queue 1.
fn check() -> Check {
    let mut check = Check::new();
    check.queue_exists(1);
    check
}

fn feed(check: &mut Check, lsn: u64, append: impl FnOnce(&dyn Journal) -> Lsn) {
    let (kind, payload) = entry(append);
    check.entry(Lsn(lsn), kind as u8, &payload);
}

fn of(ordinals: &[u64]) -> Records {
    let mut records = Records::new();
    for &ordinal in ordinals {
        push(&mut records, ordinal, ordinal as u32, 0);
    }
    records
}

fn placement(turn: u64, index: u32, count: u32) -> Placement {
    Placement {
        turn: Lsn(turn),
        index,
        count,
        ordinal: 5,
    }
}

#[test]
fn what_is_in_order_is_counted() {
    let mut check = check();
    let records = of(&[1, 2]);
    feed(&mut check, 3, |log| {
        log.append_batch(1, &Block::of(&records))
    });
    feed(&mut check, 4, |log| {
        let section = Section {
            queues: &[1, 2],
            block: Block::of(&records),
        };
        log.append_turn(&[section], &[(1, Runs::from_iter([1]))])
    });
    feed(&mut check, 5, |log| {
        log.append_placed(1, &[placement(4, 0, 2)])
    });
    feed(&mut check, 6, |log| {
        log.append_settled(1, &Runs::between(1, 100))
    });
    feed(&mut check, 7, |log| log.append_returned(1, &[(2, 1)]));
    let checked = check.finish();
    assert_eq!(checked.problems, []);
    let expected = Counts {
        entries: [1; EntryKind::ALL.len()],
        messages: 4,
        settled: 101,
        of_gone_queues: 1,
        of_unread_turns: 0,
    };
    assert_eq!(checked.counts, expected);
    assert_eq!(checked.restored.queues[0].next_ordinal, 101);
}

#[test]
fn what_deleted_queues_and_forgotten_turns_leave_is_no_problem() {
    let mut check = check();
    feed(&mut check, 1, |log| {
        log.append_settled(9, &Runs::between(1, 9))
    });
    feed(&mut check, 2, |log| {
        log.append_batch(1, &Block::of(&of(&[1])))
    });
    feed(&mut check, 7, |log| {
        log.append_placed(1, &[placement(5, 0, 1)])
    });
    check.queue_gone(1);
    let checked = check.finish();
    assert_eq!(checked.problem_count, 0);
    assert_eq!(checked.counts.of_gone_queues, 3);
    assert_eq!(checked.counts.of_unread_turns, 1);
}

#[test]
fn damage_is_a_problem() {
    let mut check = check();
    check.entry(Lsn(1), 4, &[0; 9]);
    let key = PageKey {
        queue: 1,
        number: 2,
    };
    check.page(&key.bytes(), &[3]);
    let checked = check.finish();
    let entry = Damaged {
        lsn: Lsn(1),
        kind: 4,
        why: Malformed("an entry does not end where its last item does"),
    };
    let page = Problem::PageEntry {
        page: key,
        why: Malformed("a page entry of an unknown version"),
    };
    assert_eq!(checked.problems, [Problem::Entry(entry), page.clone()]);
    assert_eq!(
        page.to_string(),
        "page 2 of queue 1: its entry: a page entry of an unknown version"
    );
}

#[test]
fn lsns_that_do_not_ascend_are_a_problem() {
    let mut check = check();
    for lsn in [3, 3, 4] {
        feed(&mut check, lsn, |log| log.append_returned(1, &[(1, 1)]));
    }
    assert_eq!(check.finish().problems, [Problem::Order(Lsn(3), Lsn(3))]);
}

#[test]
fn placing_more_than_a_turn_has_is_a_problem() {
    let mut check = check();
    feed(&mut check, 1, |log| {
        let records = of(&[0, 0]);
        let section = Section {
            queues: &[1],
            block: Block::of(&records),
        };
        log.append_turn(&[section], &[])
    });
    feed(&mut check, 2, |log| {
        log.append_placed(1, &[placement(1, 0, 2)])
    });
    feed(&mut check, 3, |log| {
        log.append_placed(1, &[placement(1, 1, 2)])
    });
    feed(&mut check, 4, |log| {
        log.append_placed(2, &[placement(1, 0, 1)])
    });
    let checked = check.finish();
    let texts: Vec<String> = checked.problems.iter().map(Problem::to_string).collect();
    let expected = [
        "entry 3: turn 1 has 2 messages for queue 1, not number 3",
        "entry 4: turn 1 has 0 messages for queue 2, not number 1",
    ];
    assert_eq!(texts, expected);
}

#[test]
fn messages_that_vanish_with_their_page_are_a_problem() {
    let mut check = check();
    let page = page(1, 1, Runs::between(1, 3));
    check.page(&page.key(), &page.value());
    check.page_gone(&page.key());
    assert_eq!(check.finish().problems, [Problem::Vanished(3)]);
}

#[test]
fn messages_that_are_logged_again_do_not_vanish() {
    let mut check = check();
    let page = page(1, 1, Runs::between(1, 3));
    check.page(&page.key(), &page.value());
    let (kind, payload) = entry(|log| log.append_again(1, &of(&[1, 2, 3])));
    check.entry(Lsn(1), kind as u8, &payload);
    check.page_gone(&page.key());
    assert_eq!(check.finish().problems, []);
}

#[test]
fn problems_beyond_the_limit_are_only_counted() {
    let mut check = check();
    for lsn in 1..=PROBLEMS_MAX as u64 + 1 {
        check.entry(Lsn(lsn), 99, &[]);
    }
    let mut checked = check.finish();
    assert_eq!(checked.problems.len(), PROBLEMS_MAX);
    assert_eq!(checked.problem_count, PROBLEMS_MAX as u64 + 1);
    checked.page(&page(1, 1, Runs::new()), &[]);
    assert_eq!(checked.problems.len(), PROBLEMS_MAX);
    assert_eq!(checked.problem_count, PROBLEMS_MAX as u64 + 2);
}

/// A page with these records and its entry, which names `alive`.
fn stored(records: &Records, alive: &[u64], level: Option<u8>) -> (PageEntry, Vec<u8>) {
    let block = Block::of(records).parts().concat();
    let entry = PageEntry {
        length: block.len() as u32,
        level,
        ..page(1, 1, alive.iter().copied().collect())
    };
    (entry, block)
}

#[track_caller]
fn differs((entry, block): (PageEntry, Vec<u8>), expected: &[PageProblem]) {
    let mut checked: Checked = check().finish();
    checked.page(&entry, &block);
    let page = entry.page_key();
    let expected: Vec<Problem> = expected
        .iter()
        .map(|&why| Problem::Page { page, why })
        .collect();
    assert_eq!(checked.problems, expected);
}

#[test]
fn a_page_may_hold_more_than_is_alive() {
    differs(stored(&of(&[1, 2, 3]), &[1, 3], Some(0)), &[]);
}

#[test]
fn a_page_holds_all_that_is_alive_once() {
    let missing = PageProblem::Missing { count: 2, first: 4 };
    differs(stored(&of(&[1, 2]), &[2, 4, 9], None), &[missing]);
    differs(
        stored(&of(&[1, 2, 2]), &[2], None),
        &[PageProblem::Twice(2)],
    );
}

#[test]
fn a_page_is_as_long_as_its_entry_says_and_holds_messages() {
    let (entry, mut block) = stored(&of(&[1]), &[1], None);
    block.push(0);
    let length = PageProblem::Length(block.len());
    differs((entry, block), &[length]);
    let (entry, mut block) = stored(&of(&[1]), &[1], None);
    block[0] = 2;
    let why = Malformed("a block holds another number of records");
    differs((entry, block), &[PageProblem::Block(why)]);
}

#[test]
fn what_is_alive_in_a_page_is_persistent_and_not_below_its_level() {
    let mut records = Records::new();
    for (persistent, priority) in [(false, 5), (true, 4), (false, 0)] {
        let position = records.push(Message {
            exchange: "",
            routing_key: "",
            properties: &[],
            body: Body::Inline(b""),
            persistent,
            priority,
            expires_at: None,
            has_bcc: false,
        });
        let ordinal = records.len() as u64;
        records.head_mut(position).set_ordinal(ordinal);
    }
    let expected = [PageProblem::Transient(1), PageProblem::Level(2)];
    differs(stored(&records, &[1, 2], Some(5)), &expected);
}
