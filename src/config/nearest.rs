//! The known name that an unknown one was probably meant to be.

/// The candidate with the fewest edits from `name`.
pub(super) fn nearest(name: &str, candidates: impl Iterator<Item = String>) -> Option<String> {
    candidates.min_by_key(|candidate| edits(name, candidate))
}

/// Letters to insert, remove, change, or swap with their neighbour, to make one word the other.
pub(super) fn edits(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for i in 1..=from.len() {
        let mut row = vec![i];
        for j in 1..=to.len() {
            let change = last[j - 1] + usize::from(from[i - 1] != to[j - 1]);
            let mut best = change.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                best = best.min(before_last[j - 2] + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_count_insert_remove_change_and_swap_as_one_each() {
        let table = [
            ("", "", 0),
            ("", "abc", 3),
            ("heartbeat", "heartbeat", 0),
            ("hearbeat", "heartbeat", 1),
            ("heartbeaat", "heartbeat", 1),
            ("heartbaet", "heartbeat", 1),
            ("heartboat", "heartbeat", 1),
            ("kitten", "sitting", 3),
        ];
        for (from, to, count) in table {
            assert_eq!(edits(from, to), count, "{from} {to}");
        }
    }

    #[test]
    fn the_nearest_candidate_is_named() {
        let names = ["frame_max", "channel_max", "heartbeat"];
        let known = || names.iter().map(|name| (*name).to_owned());
        assert_eq!(
            nearest("chanel_max", known()).as_deref(),
            Some("channel_max")
        );
        assert_eq!(nearest("frame_mx", known()).as_deref(), Some("frame_max"));
    }
}
