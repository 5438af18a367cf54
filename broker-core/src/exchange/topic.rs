//! The topic exchange: patterns in a trie of words, matched by following all paths at once.
//!
//! ```text
//!   a.*.#      root ─a─▶ 1 ─*─▶ 2 ─#─▶ 3 ↺      a node behind # is entered without a word
//!   a.b        root ─a─▶ 1 ─b─▶ 4               and keeps itself alive with any word
//! ```
//!
//! The words of a key are taken one after the other; the state is the set of nodes that some way
//! of reading the words so far leads to. No node is in the set twice, so a key costs at most its
//! number of words times the number of nodes, whatever the patterns are.

#[cfg(test)]
mod tests;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::seen::Seen;
use super::slab::Slab;
use super::targets::{TargetId, Targets};

const ROOT: u32 = u32::MAX;

/// The bindings of a topic exchange.
#[derive(Debug, Default)]
pub(crate) struct Topic {
    root: Node,
    nodes: Slab<Node>,
    /// The number of each word that some pattern has.
    words: FxHashMap<Box<str>, Word>,
    word_numbers: Slab<()>,
    /// From a node with a word to a node.
    edges: FxHashMap<(u32, u32), u32>,
}

#[derive(Debug, Default)]
struct Node {
    star: Option<u32>,
    hash: Option<u32>,
    /// How many edges with a word lead on from here.
    edges: u32,
    targets: Targets,
}

impl Node {
    fn is_unused(&self) -> bool {
        self.star.is_none() && self.hash.is_none() && self.edges == 0 && self.targets.is_empty()
    }
}

#[derive(Debug)]
struct Word {
    number: u32,
    /// How many edges have it.
    edges: u32,
}

/// A part of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part<'a> {
    Word(&'a str),
    Star,
    Hash,
}

impl Topic {
    pub(super) fn add(&mut self, pattern: &str, target: TargetId) {
        let mut node = ROOT;
        for part in parts(pattern) {
            node = match self.next(node, part) {
                Some(next) => next,
                None => self.grow(node, part),
            };
        }
        if let Some(node) = self.node_mut(node) {
            node.targets.add(target);
        }
    }

    pub(super) fn remove(&mut self, pattern: &str, target: TargetId) {
        let mut node = ROOT;
        let mut path = Vec::new();
        for part in parts(pattern) {
            let Some(next) = self.next(node, part) else {
                return;
            };
            path.push((node, part, next));
            node = next;
        }
        if let Some(node) = self.node_mut(node) {
            node.targets.remove(target);
        }
        for (parent, part, node) in path.into_iter().rev() {
            if !self.nodes.get(node).is_some_and(Node::is_unused) {
                return;
            }
            self.cut(parent, part, node);
        }
    }

    /// Calls `found` for the targets of all patterns that match, and gives the number of steps
    /// taken (nodes left behind a word).
    pub(super) fn find(&self, key: &str, found: &mut impl FnMut(TargetId)) -> usize {
        let mut state = State::default();
        let mut steps = 0;
        self.enter(ROOT, &mut state);
        for word in words(key) {
            let word = self.words.get(word).map(|word| word.number);
            let plain = std::mem::take(&mut state.plain);
            // Hash nodes that this word enters are left by the next one.
            let hashes = state.hashes.len();
            steps += plain.len() + hashes;
            for node in plain {
                self.step(node, word, &mut state);
            }
            for place in 0..hashes {
                self.step(state.hashes[place], word, &mut state);
            }
            if state.plain.is_empty() && state.hashes.is_empty() {
                return steps;
            }
        }
        for &node in state.plain.iter().chain(&state.hashes) {
            if let Some(node) = self.node(node) {
                node.targets.each(found);
            }
        }
        steps
    }

    fn step(&self, node: u32, word: Option<u32>, state: &mut State) {
        if let Some(word) = word
            && let Some(&next) = self.edges.get(&(node, word))
        {
            self.enter(next, state);
        }
        if let Some(next) = self.node(node).and_then(|node| node.star) {
            self.enter(next, state);
        }
    }

    /// Puts a node that is not behind # into the state, and what can be reached without a word.
    fn enter(&self, node: u32, state: &mut State) {
        state.plain.push(node);
        if let Some(hash) = self.node(node).and_then(|node| node.hash)
            && state.seen.insert(hash)
        {
            state.hashes.push(hash);
        }
    }

    fn node(&self, node: u32) -> Option<&Node> {
        if node == ROOT {
            Some(&self.root)
        } else {
            self.nodes.get(node)
        }
    }

    fn node_mut(&mut self, node: u32) -> Option<&mut Node> {
        if node == ROOT {
            Some(&mut self.root)
        } else {
            self.nodes.get_mut(node)
        }
    }

    fn next(&self, node: u32, part: Part<'_>) -> Option<u32> {
        match part {
            Part::Star => self.node(node)?.star,
            Part::Hash => self.node(node)?.hash,
            Part::Word(word) => {
                let word = self.words.get(word)?;
                self.edges.get(&(node, word.number)).copied()
            }
        }
    }

    fn grow(&mut self, parent: u32, part: Part<'_>) -> u32 {
        let node = self.nodes.insert(Node::default());
        if let Part::Word(word) = part {
            let word = self.take_word(word);
            self.edges.insert((parent, word), node);
        }
        if let Some(parent) = self.node_mut(parent) {
            match part {
                Part::Star => parent.star = Some(node),
                Part::Hash => parent.hash = Some(node),
                Part::Word(_) => parent.edges += 1,
            }
        }
        node
    }

    fn cut(&mut self, parent: u32, part: Part<'_>, node: u32) {
        self.nodes.remove(node);
        if let Part::Word(word) = part
            && let Some(word) = self.leave_word(word)
        {
            self.edges.remove(&(parent, word));
        }
        if let Some(parent) = self.node_mut(parent) {
            match part {
                Part::Star => parent.star = None,
                Part::Hash => parent.hash = None,
                Part::Word(_) => parent.edges -= 1,
            }
        }
    }

    fn take_word(&mut self, text: &str) -> u32 {
        if let Some(word) = self.words.get_mut(text) {
            word.edges += 1;
            return word.number;
        }
        let number = self.word_numbers.insert(());
        self.words.insert(text.into(), Word { number, edges: 1 });
        number
    }

    fn leave_word(&mut self, text: &str) -> Option<u32> {
        let word = self.words.get_mut(text)?;
        let number = word.number;
        word.edges -= 1;
        if word.edges == 0 {
            self.words.remove(text);
            self.word_numbers.remove(number);
        }
        Some(number)
    }
}

/// Where the words read so far may have led.
#[derive(Debug, Default)]
struct State {
    /// Nodes behind a word or a star: they are left with the next word.
    plain: SmallVec<[u32; 16]>,
    /// Nodes behind a hash: once entered they stay.
    hashes: SmallVec<[u32; 16]>,
    seen: Seen<u32>,
}

/// The words of a key or pattern. An empty one has no word, as in RabbitMQ: `*` does not match it.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split('.').filter(|_| !text.is_empty())
}

/// The parts of a pattern. A run of wildcards that has a hash is written stars first, then one
/// hash: `#.*.#` and `*.#` match the same keys and share their nodes, and no two hash nodes
/// follow each other.
fn parts(pattern: &str) -> Vec<Part<'_>> {
    let mut parts: Vec<Part<'_>> = Vec::new();
    for word in words(pattern) {
        match (word, parts.last()) {
            ("#", Some(Part::Hash)) => {}
            ("#", _) => parts.push(Part::Hash),
            ("*", Some(Part::Hash)) => {
                parts.pop();
                parts.extend([Part::Star, Part::Hash]);
            }
            ("*", _) => parts.push(Part::Star),
            (word, _) => parts.push(Part::Word(word)),
        }
    }
    parts
}
