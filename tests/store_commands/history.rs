//! What a log says there is at each record, worked out from its dump.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// The bodies of each queue's messages, in order, by the queue's name.
pub(crate) type Held = BTreeMap<String, Vec<String>>;

/// A message of a turn, until its queue has a place for it.
#[derive(Clone, Debug)]
struct Waiting {
    body: String,
    is_placed: bool,
}

/// What there is as of some record.
#[derive(Debug, Default)]
pub(crate) struct History {
    names: BTreeMap<u64, String>,
    /// Messages by queue and ordinal.
    messages: BTreeMap<u64, BTreeMap<u64, String>>,
    /// Messages of turns by turn and queue.
    turns: BTreeMap<u64, BTreeMap<u64, Vec<Waiting>>>,
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().expect("a list").iter()
}

fn body(message: &Value) -> String {
    let encoded = message["body"].as_str().expect("a body");
    String::from_utf8(STANDARD.decode(encoded).expect("base64")).expect("text")
}

/// `1-3, 7`
fn ordinals(text: &Value) -> Vec<u64> {
    let runs = text.as_str().expect("ordinals").split(", ");
    let run = |run: &str| {
        let (first, last) = run.split_once('-').unwrap_or((run, run));
        let read = |text: &str| text.parse::<u64>().expect("an ordinal");
        read(first)..=read(last)
    };
    runs.flat_map(run).collect()
}

impl History {
    /// The records of a dump with bodies, up to `lsn`.
    pub(crate) fn upto(lsn: u64, records: &[Value]) -> History {
        let mut history = History::default();
        let mut next = 1;
        for record in records
            .iter()
            .take_while(|record| number(&record["lsn"]) <= lsn)
        {
            assert_eq!(number(&record["lsn"]), next, "the log is whole");
            next += 1;
            history.read(record);
        }
        assert_eq!(next, lsn + 1, "the log reaches so far");
        history
    }

    fn read(&mut self, record: &Value) {
        match record["kind"].as_str().expect("a kind") {
            "changes" => list(&record["changes"]).for_each(|change| self.change(change)),
            "batch" => {
                let queue = self.messages.entry(number(&record["queue"])).or_default();
                for message in list(&record["messages"]) {
                    let ordinal = number(&message["ordinal"]);
                    queue.entry(ordinal).or_insert_with(|| body(message));
                }
            }
            "turn" => self.turn(record),
            "placed" => self.place(record),
            "settled" => self.settle(record),
            "returned" => {}
            other => panic!("{other}"),
        }
    }

    fn change(&mut self, change: &Value) {
        let put = &change["put"];
        if put["kind"] == "queue" {
            let name = put["name"].as_str().expect("a name").to_owned();
            self.names.insert(number(&put["id"]), name);
        }
        if change["delete"]["kind"] == "queue" {
            let gone = &change["delete"]["key"][1];
            self.names.retain(|_, name| name != gone);
        }
    }

    fn turn(&mut self, record: &Value) {
        list(&record["settled"]).for_each(|settled| self.settle(settled));
        let turn = self.turns.entry(number(&record["lsn"])).or_default();
        for section in list(&record["sections"]) {
            let messages = list(&section["messages"]).map(|message| Waiting {
                body: body(message),
                is_placed: false,
            });
            let messages: Vec<Waiting> = messages.collect();
            for queue in list(&section["queues"]) {
                let of_queue = turn.entry(number(queue)).or_default();
                of_queue.extend(messages.iter().cloned());
            }
        }
    }

    fn place(&mut self, record: &Value) {
        let id = number(&record["queue"]);
        let queue = self.messages.entry(id).or_default();
        for placed in list(&record["messages"]) {
            let turn = self
                .turns
                .get_mut(&number(&placed["turn"]))
                .expect("the turn");
            let waiting = turn.get_mut(&id).expect("messages for the queue");
            let first = number(&placed["index"]) as usize;
            let count = number(&placed["count"]) as usize;
            for (message, place) in waiting[first..first + count].iter_mut().zip(0..) {
                message.is_placed = true;
                if let Some(ordinal) = placed["ordinal"].as_u64() {
                    queue.insert(ordinal + place, message.body.clone());
                }
            }
        }
    }

    fn settle(&mut self, record: &Value) {
        let queue = self.messages.entry(number(&record["queue"])).or_default();
        for ordinal in ordinals(&record["ordinals"]) {
            queue.remove(&ordinal);
        }
    }

    /// The queues there are, with their messages. Those that got no place come behind the others.
    pub(crate) fn held(&self) -> Held {
        let mut held = Held::new();
        for (id, name) in &self.names {
            let placed = self.messages.get(id).into_iter().flat_map(BTreeMap::values);
            let turns = self.turns.values().filter_map(|turn| turn.get(id));
            let left = turns.flatten().filter(|message| !message.is_placed);
            let bodies = placed.chain(left.map(|message| &message.body));
            held.insert(name.clone(), bodies.cloned().collect());
        }
        held
    }
}
