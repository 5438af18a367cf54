//! A start from any map, floor and end of the log that a run may leave finds what was there.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::Index;

use super::imagined::{Imagined, Item, Message, State, step};
use super::{Contents, in_log};
use crate::host::Lsn;
use crate::journal::{PageKey, RawChange};
use crate::recovery::{Recovery, Restored, RestoredQueue};

/// Where a start begins and ends.
#[derive(Clone, Copy, Debug)]
struct Cut {
    /// The LSN of the base map.
    map: u64,
    /// Entries up to here are not read.
    floor: u64,
    /// The log ends here.
    end: u64,
    /// The definitions are looked at once all was read.
    learns_queues_last: bool,
}

proptest! {
    #[test]
    fn a_start_finds_what_was_there(
        steps in prop::collection::vec(step(), 1..80),
        cuts in prop::collection::vec(any::<(Index, Index, Index, Index, bool)>(), 12),
    ) {
        let imagined = Imagined::run(&steps);
        for (end, map, floor, below, learns_queues_last) in cuts {
            let end = end.index(imagined.states.len()) as u64;
            let map = map.index(end as usize + 1) as u64;
            // A floor is recorded with a map that is not older than itself.
            let told_at = floor.index(map as usize + 1) as u64;
            let highest = imagined.states[told_at as usize].floor(told_at);
            let is_highest = below.index(2) == 0;
            let below = below.index(highest as usize + 1) as u64;
            let floor = if is_highest { highest } else { below };
            let cut = Cut {
                map,
                floor,
                end,
                learns_queues_last,
            };
            check(&imagined, cut);
        }
    }

    #[test]
    fn a_log_that_nobody_wrote_never_panics(
        steps in prop::collection::vec(step(), 1..40),
        flips in prop::collection::vec((any::<Index>(), any::<Index>(), 0u8..8), 1..30),
    ) {
        let mut imagined = Imagined::run(&steps);
        for (item, byte, bit) in flips {
            let item = item.get_mut(&mut imagined.log);
            if let Some(bytes) = bytes_of(item).filter(|bytes| !bytes.is_empty()) {
                *byte.get_mut(bytes) ^= 1 << bit;
            }
        }
        let cut = Cut {
            map: 0,
            floor: 0,
            end: imagined.log.len() as u64,
            learns_queues_last: false,
        };
        for queue in recover(&imagined, cut).queues {
            let records = queue.chunks.iter().flat_map(|chunk| chunk.records.iter());
            prop_assert!(records.map(|record| record.ordinal()).is_sorted());
            prop_assert!(queue.pages.iter().all(|page| page.runs.count() > 0));
        }
    }
}

fn bytes_of(item: &mut Item) -> Option<&mut Vec<u8>> {
    match item {
        Item::Entry(_, payload) => Some(payload),
        Item::Pages(changes) | Item::Deleted(_, changes) => changes.first_mut()?.value.as_mut(),
        Item::Declared(_) => None,
    }
}

/// Then once more with the map and from the floor that the first start leaves.
fn check(imagined: &Imagined, cut: Cut) {
    let restored = recover(imagined, cut);
    compare(imagined, cut, &restored);
    let needed = restored.queues.iter().filter_map(|queue| queue.first_lsn);
    let floor = needed
        .min()
        .map_or(cut.end, |needed| needed.0.saturating_sub(1));
    let cut = Cut {
        map: cut.end,
        floor: floor.max(cut.floor),
        ..cut
    };
    compare(imagined, cut, &recover(imagined, cut));
}

fn recover(imagined: &Imagined, cut: Cut) -> Restored {
    let mut recovery = Recovery::new();
    let base = &imagined.states[cut.map as usize];
    let mut pages: Vec<_> = base.pages.iter().collect();
    if cut.learns_queues_last {
        pages.reverse();
    }
    for (&(queue, number), mapped) in pages {
        let entry = mapped.entry(queue, number);
        recovery.page(&entry.key(), &entry.value()).unwrap();
    }
    if !cut.learns_queues_last {
        base.queues.keys().for_each(|&id| recovery.queue_exists(id));
    }
    for (item, lsn) in imagined.log.iter().zip(1..=cut.end) {
        match item {
            Item::Entry(kind, payload) if lsn > cut.floor => {
                // Damage is counted, which the caller may look at.
                let _ = recovery.entry(Lsn(lsn), *kind as u8, payload);
            }
            Item::Pages(changes) if lsn > cut.map => change(&mut recovery, changes),
            Item::Declared(id) if lsn > cut.map && !cut.learns_queues_last => {
                recovery.queue_exists(*id);
            }
            Item::Deleted(id, changes) if lsn > cut.map => {
                if !cut.learns_queues_last {
                    recovery.queue_gone(*id);
                }
                change(&mut recovery, changes);
            }
            Item::Entry(..) | Item::Pages(_) | Item::Declared(_) | Item::Deleted(..) => (),
        }
    }
    if cut.learns_queues_last {
        let ids = imagined.states[cut.end as usize].queues.keys();
        ids.for_each(|&id| recovery.queue_exists(id));
    }
    recovery.finish()
}

fn change(recovery: &mut Recovery, changes: &[RawChange]) {
    for RawChange { key, value } in changes {
        match value {
            Some(value) => drop(recovery.page(key, value)),
            None => recovery.page_gone(key),
        }
    }
}

fn compare(imagined: &Imagined, cut: Cut, restored: &Restored) {
    let state = &imagined.states[cut.end as usize];
    assert_eq!((restored.tally.damaged, restored.tally.vanished), (0, 0));
    let nothing = RestoredQueue::default();
    for &id in state.queues.keys() {
        let found = restored.queues.iter().find(|queue| queue.queue == id);
        compare_queue(imagined, cut, (restored, found.unwrap_or(&nothing)), id);
    }
    let exists = |queue: &RestoredQueue| state.queues.contains_key(&queue.queue);
    assert!(restored.queues.iter().all(exists), "{cut:?}");
    let orphans = state.pages.keys();
    let orphans = orphans.filter(|(queue, _)| !state.queues.contains_key(queue));
    let orphans: Vec<PageKey> = orphans
        .map(|&(queue, number)| PageKey { queue, number })
        .collect();
    assert_eq!(restored.orphans, orphans, "{cut:?}");
}

fn compare_queue(imagined: &Imagined, cut: Cut, found: (&Restored, &RestoredQueue), id: u64) {
    let (restored, found) = found;
    let state = &imagined.states[cut.end as usize];
    let in_log = in_log(restored, id);
    let in_pages = in_pages(imagined, found, id);
    let messages = &state.queues[&id].messages;
    let mut expected: Contents = messages
        .iter()
        .map(|(&ordinal, message)| (ordinal, (message.body, expected_count(message, cut.floor))))
        .collect();
    for (ordinal, (turn, index, content)) in expected_unplaced(state, found, id) {
        assert_eq!(
            expected.insert(ordinal, content),
            None,
            "{turn} {index} {cut:?}"
        );
    }
    let mut all = in_log.clone();
    for (&ordinal, &content) in &in_pages {
        assert_eq!(
            all.insert(ordinal, content),
            None,
            "{ordinal} twice, {cut:?}"
        );
    }
    assert_eq!(all, expected, "queue {id}, {cut:?}");
    for (ordinal, message) in messages {
        let is_in_page = message.page.is_some();
        if !message.is_again {
            assert_eq!(
                in_pages.contains_key(ordinal),
                is_in_page,
                "{ordinal} {cut:?}"
            );
        }
    }
    let highest = all.last_key_value().map_or(0, |(&ordinal, _)| ordinal);
    assert!(found.next_ordinal > highest || all.is_empty());
    compare_pages(state, found, id);
}

/// The last count that is read; else the one in the record.
fn expected_count(message: &Message, floor: u64) -> u32 {
    let mut returned = message.returned.iter().rev();
    let last = returned.find(|&&(lsn, _)| lsn > floor);
    last.map_or(message.written_count, |&(_, count)| count)
}

fn in_pages(imagined: &Imagined, found: &RestoredQueue, id: u64) -> Contents {
    let returned: BTreeMap<u64, u32> = found.returned.iter().copied().collect();
    let mut contents = Contents::new();
    for page in &found.pages {
        let of_page = &imagined.contents[&(id, page.number)];
        for ordinal in page.runs.iter() {
            let (body, count) = of_page[&ordinal];
            let count = returned.get(&ordinal).copied().unwrap_or(count);
            assert_eq!(contents.insert(ordinal, (body, count)), None);
        }
    }
    assert!(
        returned
            .keys()
            .all(|ordinal| contents.contains_key(ordinal))
    );
    contents
}

/// Turn, index, and body and delivery count.
type Unplaced = (u64, u32, (u32, u32));

/// What is reported as placed is what was unplaced, in order, behind all else.
fn expected_unplaced(state: &State, found: &RestoredQueue, id: u64) -> Vec<(u64, Unplaced)> {
    let mut unplaced = Vec::new();
    for (&(turn, queue), messages) in &state.turns {
        for (index, content) in messages.iter().enumerate() {
            if let Some(content) = content.filter(|_| queue == id) {
                unplaced.push((turn, index as u32, content));
            }
        }
    }
    let mut placed = Vec::new();
    for placement in &found.placements {
        for index in 0..placement.count {
            let ordinal = placement.ordinal + u64::from(index);
            placed.push((ordinal, placement.turn.0, placement.index + index));
        }
    }
    let turns = unplaced.iter().map(|&(turn, index, _)| (turn, index));
    assert!(turns.eq(placed.iter().map(|&(_, turn, index)| (turn, index))));
    let first = found.next_ordinal.saturating_sub(placed.len() as u64);
    let ordinals = placed.iter().map(|&(ordinal, ..)| ordinal);
    assert!(ordinals.eq((first..).take(placed.len())));
    placed
        .into_iter()
        .map(|(ordinal, ..)| ordinal)
        .zip(unplaced)
        .collect()
}

/// A page lies where the map says, and is stale if the map names others than are alive.
fn compare_pages(state: &State, found: &RestoredQueue, id: u64) {
    let firsts = found.pages.iter().map(|page| page.runs.first());
    assert!(firsts.is_sorted());
    assert!(found.dead_pages.iter().all(|page| page.runs.is_empty()));
    let mapped = state.pages.iter().filter(|((queue, _), _)| *queue == id);
    let mut count = 0;
    for (&(_, number), mapped) in mapped {
        let mut pages = found.pages.iter().chain(&found.dead_pages);
        let page = pages.find(|page| page.number == number).unwrap();
        let mut entry = mapped.entry(id, number);
        let is_stale = found.stale_pages.iter().any(|stale| stale.number == number);
        assert_eq!(is_stale, page.runs != entry.runs);
        entry.runs = page.runs.clone();
        assert_eq!(*page, entry);
        count += 1;
    }
    assert_eq!(found.pages.len() + found.dead_pages.len(), count);
}
