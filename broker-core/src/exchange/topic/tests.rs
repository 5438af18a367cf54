//! Patterns against a matcher that tries every way, and the work that nasty patterns cost.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn topic(patterns: &[&str]) -> Topic {
    let mut topic = Topic::default();
    for (number, pattern) in patterns.iter().enumerate() {
        topic.add(pattern, TargetId::Queue(number as u32));
    }
    topic
}

/// The numbers of the patterns that match, and the steps that took.
fn find(topic: &Topic, key: &str) -> (BTreeSet<u32>, usize) {
    let mut found = BTreeSet::new();
    let steps = topic.find(key, &mut |target| match target {
        TargetId::Queue(number) | TargetId::Exchange(number) => {
            found.insert(number);
        }
    });
    (found, steps)
}

/// The rule as the protocol states it.
fn matches(pattern: &[&str], key: &[&str]) -> bool {
    match (pattern.split_first(), key.split_first()) {
        (None, None) => true,
        (Some((&"#", rest)), None) => matches(rest, key),
        (Some((&"#", rest)), Some((_, words))) => matches(rest, key) || matches(pattern, words),
        (Some((&"*", rest)), Some((_, words))) => matches(rest, words),
        (Some((word, rest)), Some((first, words))) => word == first && matches(rest, words),
        _ => false,
    }
}

fn words(text: &str) -> Vec<&str> {
    if text.is_empty() {
        Vec::new()
    } else {
        text.split('.').collect()
    }
}

#[test]
fn stars_are_one_word_and_hashes_any_number_of_them() {
    let table = [
        ("a.*.b", "a.x.b", true),
        ("a.*.b", "a..b", true),
        ("a.*.b", "a.b", false),
        ("a.*.b", "a.x.y.b", false),
        ("a.#", "a", true),
        ("a.#", "a.b.c", true),
        ("a.#", "", false),
        ("#", "", true),
        ("#", "a.b", true),
        ("*", "", false),
        ("*.#", "", false),
        ("*", "a", true),
        ("*", "a.b", false),
        ("*.*", ".", true),
        ("", "", true),
        ("", "a", false),
        ("", ".", false),
        (".", ".", true),
        ("#.b", "b", true),
        ("#.b", "a.b", true),
        ("#.b", "a.b.c", false),
        ("#.x.*.#", "p.x.q.x", true),
        ("#.x.*.#", "x", false),
        ("#.#.a", "a", true),
        ("*.#.a", "a", false),
        ("*.#.*", "a", false),
        ("#.*.#.*", "a.b", true),
        ("#.*.#.*", "a", false),
        ("a.*.b", "a.*.b", true),
        ("a#", "ab", false),
        ("a#", "a#", true),
        ("A", "a", false),
        ("größe.*", "größe.ß", true),
    ];
    for (pattern, key, expected) in table {
        let found = !find(&topic(&[pattern]), key).0.is_empty();
        assert_eq!(found, expected, "{pattern} and {key}");
        assert_eq!(
            matches(&words(pattern), &words(key)),
            expected,
            "{pattern} and {key}"
        );
    }
}

#[test]
fn runs_of_wildcards_are_stars_and_then_one_hash() {
    use Part::{Hash, Star, Word};
    for (pattern, expected) in [
        ("#.#", vec![Hash]),
        ("#.*.#", vec![Star, Hash]),
        ("*.#.*", vec![Star, Star, Hash]),
        ("#.a.#.*", vec![Hash, Word("a"), Star, Hash]),
        ("*.*", vec![Star, Star]),
        ("", vec![]),
        (".", vec![Word(""), Word("")]),
    ] {
        assert_eq!(parts(pattern), expected, "{pattern}");
    }
}

#[test]
fn patterns_that_mean_the_same_are_told_apart_by_their_targets_only() {
    let mut topic = topic(&["#.*", "*.#"]);
    assert_eq!(find(&topic, "a").0, BTreeSet::from([0, 1]));
    topic.remove("#.*", TargetId::Queue(0));
    assert_eq!(find(&topic, "a").0, BTreeSet::from([1]));
}

#[test]
fn nothing_is_left_of_removed_patterns() {
    let patterns = ["a.b.c", "a.b", "a.*.c", "#", "#.a.#", "", "a.#.b"];
    let mut topic = topic(&patterns);
    topic.remove("a.b.c.d", TargetId::Queue(0));
    topic.remove("*", TargetId::Queue(0));
    assert_eq!(find(&topic, "a.b.c").0, BTreeSet::from([0, 2, 3, 4]));
    for (number, pattern) in patterns.iter().enumerate() {
        topic.remove(pattern, TargetId::Queue(number as u32));
    }
    assert!(topic.root.is_unused());
    assert_eq!(topic.nodes.iter().count(), 0);
    assert_eq!(topic.word_numbers.iter().count(), 0);
    assert!(topic.words.is_empty() && topic.edges.is_empty());
}

#[test]
fn hashes_in_a_row_cost_a_step_per_word() {
    let patterns: Vec<String> = (1..=50)
        .map(|length| vec!["#"; 2 * length].join(".") + ".x")
        .collect();
    let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
    let key = vec!["a"; 128].join(".");
    assert_eq!(key.len(), 255);
    let topic = topic(&patterns);
    let (found, steps) = find(&topic, &key);
    assert_eq!(
        (found.len(), steps),
        (0, 128 + 1),
        "the root once, the one hash for each word"
    );
    assert_eq!(find(&topic, &(key[2..].to_owned() + ".x")).0.len(), 50);
}

#[test]
fn the_work_is_at_most_words_times_nodes() {
    // Each pattern can be read in a number of ways that grows with the factorial of its length.
    let patterns: Vec<String> = (0..50)
        .map(|number| ["#.a"; 60].join(".") + &format!(".#.{number}"))
        .collect();
    let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
    let topic = topic(&patterns);
    let nodes = topic.nodes.iter().count() + 1;
    assert!(
        nodes < 200,
        "50 patterns share their beginning: {nodes} nodes"
    );
    let key = vec!["a"; 128].join(".");
    let (found, steps) = find(&topic, &key);
    assert!(found.is_empty());
    assert!(steps <= 128 * nodes, "{steps} steps over {nodes} nodes");
    assert_eq!(
        find(&topic, &(key[4..].to_owned() + ".7")).0,
        BTreeSet::from([7])
    );
}

#[test]
fn patterns_that_cannot_match_cost_nothing() {
    let patterns: Vec<String> = (0..10_000)
        .map(|number| format!("stock.{number}.#"))
        .collect();
    let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
    let topic = topic(&patterns);
    let (found, steps) = find(&topic, "stock.77.bid");
    assert_eq!(found, BTreeSet::from([77]));
    assert!(steps <= 5, "{steps} steps");
    assert!(find(&topic, "bond.77.bid").1 <= 1);
}

fn text(alphabet: &'static [&'static str]) -> impl Strategy<Value = String> {
    proptest::collection::vec(proptest::sample::select(alphabet), 1..7)
        .prop_map(|words| words.join("."))
}

proptest! {
    #[test]
    fn finds_what_the_rule_finds(
        patterns in proptest::collection::vec((text(&["a", "b", "", "*", "#", "#"]), any::<bool>()), 1..12),
        keys in proptest::collection::vec(text(&["a", "b", "", "*", "c"]), 1..12),
    ) {
        let mut topic = Topic::default();
        for (number, (pattern, _)) in patterns.iter().enumerate() {
            topic.add(pattern, TargetId::Queue(number as u32));
        }
        for (number, (pattern, stays)) in patterns.iter().enumerate() {
            if !stays {
                topic.remove(pattern, TargetId::Queue(number as u32));
            }
        }
        for key in &keys {
            let expected: BTreeSet<u32> = patterns
                .iter()
                .enumerate()
                .filter(|(_, (pattern, stays))| *stays && matches(&words(pattern), &words(key)))
                .map(|(number, _)| number as u32)
                .collect();
            let (found, steps) = find(&topic, key);
            prop_assert_eq!(found, expected, "{} over {:?}", key, patterns);
            prop_assert!(steps <= words(key).len() * (topic.nodes.iter().count() + 1));
        }
    }
}
