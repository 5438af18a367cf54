//! After a start what was found is what there is: clients begin anew with it.

use super::verify::queue_ids;
use super::{Copy, Letters, Model, Window};
use crate::observe::{Observed, Seen};
use crate::settings::Sort;

impl Model {
    /// The process has started, and this is what it has.
    pub(crate) fn rebase(&mut self, observed: &Observed) {
        let existing = queue_ids(&observed.definitions);
        self.queues.retain(|id, _| existing.contains_key(id));
        self.definitions = observed.definitions.clone();
        let nothing = Vec::new();
        let mut again = Vec::new();
        for queue in self.queues.values_mut() {
            let seen = observed.queues.get(&queue.id).unwrap_or(&nothing);
            queue.created = 0;
            queue.deleted = None;
            let letters = seen
                .iter()
                .filter(|one| one.id.is_some_and(|id| !queue.copies.contains_key(&id)));
            let mut counted = std::collections::BTreeMap::new();
            for id in letters.filter_map(|one| one.id) {
                counted.entry(id).or_insert_with(Letters::default).possible += 1;
            }
            queue.letters = counted;
            let before = std::mem::take(&mut queue.copies);
            let mut next_place = 1;
            for one in seen {
                next_place = next_place.max(one.ordinal + 1);
                let known = one.id.and_then(|id| Some((id, before.get(&id)?)));
                if let Some((id, copy)) = known {
                    let copy = found_again(copy, one);
                    if queue.plan.is_dead_lettering() && copy.deadline.is_some() {
                        again.push(id);
                    }
                    queue.copies.insert(id, copy);
                }
            }
            queue.next_place = next_place;
        }
        again.iter().for_each(|id| self.expect_letter(*id));
        let limited = self.queues.values();
        let limited = limited.filter(|queue| matches!(queue.plan.sort, Sort::Limited { .. }));
        let limited: Vec<u64> = limited.map(|queue| queue.id).collect();
        limited.iter().for_each(|id| self.overflow(*id, 0));
    }
}

fn found_again(copy: &Copy, seen: &Seen) -> Copy {
    Copy {
        published: Window::ALWAYS,
        is_confirmed: true,
        ends: Vec::new(),
        returns: Vec::new(),
        returned_before: seen.deliveries,
        was_redelivered: seen.redelivered,
        deadline: copy.deadline,
        place: seen.ordinal,
        is_out: false,
        is_placed: true,
        is_persistent: true,
        level: copy.level,
        client: copy.client,
    }
}
