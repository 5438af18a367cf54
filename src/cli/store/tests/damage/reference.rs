//! What a start finds in a directory that is whole, record by record: so what it must find when some
//! of the records and pages are lost can be worked out.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::path::{Path, PathBuf};

use broker_core::definition::{Definition, is_queue_key};
use broker_core::journal::{PageEntry, PageKey};
use broker_core::message::Records;

use super::layout::{LogFile, log_files};
use super::scene::number;
use crate::cli::store::state::Decoding;
use crate::messages::Checking;
use crate::store::inspect::{Content, Inspection};
use crate::store::pages::PageAt;
use crate::store::{Change, Lsn, Map, Replay};

/// What a start is handed.
#[derive(Default)]
struct Recorder {
    base: Map,
    events: Vec<(u64, Event)>,
}

#[derive(Clone)]
enum Event {
    Change(Change),
    Entry(u8, Vec<u8>),
}

impl Replay for Recorder {
    fn base(&mut self, map: &Map) {
        self.base = map.clone();
        self.events.clear();
    }

    fn change(&mut self, lsn: Lsn, change: &Change) {
        self.events.push((lsn.0, Event::Change(change.clone())));
    }

    fn entry(&mut self, lsn: Lsn, kind: u8, payload: &[u8]) {
        let entry = Event::Entry(kind, payload.to_vec());
        self.events.push((lsn.0, entry));
    }
}

/// What is lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lost {
    /// Records of the log.
    pub(super) records: BTreeSet<u64>,
    /// Pages, by segment and offset.
    pub(super) pages: BTreeSet<(u64, u64)>,
}

/// What a broker holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    /// The numbers of each queue's messages, in order.
    pub(super) queues: BTreeMap<String, Vec<u32>>,
    /// The keys of all definitions.
    pub(super) definitions: BTreeSet<Vec<u8>>,
}

/// A page in use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page {
    pub(super) segment: u64,
    pub(super) offset: u64,
    end: u64,
}

impl Page {
    pub(super) fn bytes(&self) -> Range<u64> {
        self.offset..self.end
    }
}

/// A directory that is whole.
pub(super) struct Reference {
    pub(super) dir: PathBuf,
    pub(super) logs: Vec<LogFile>,
    /// The first record that a start needs; none if it reads no log.
    pub(super) from: Option<u64>,
    /// Pages that a start would read when they are asked for.
    pub(super) pages: Vec<Page>,
    recorder: Recorder,
    /// The numbers of the messages in each page, by segment and offset, then by ordinal.
    contents: HashMap<(u64, u64), BTreeMap<u64, u32>>,
    /// The state if nothing is lost.
    whole: State,
}

/// The bytes before what a page holds.
const PAGE_HEADER: u64 = 16;

impl Reference {
    pub(super) fn of(dir: &Path) -> Reference {
        let inspection = Inspection::open(dir).expect("a data directory");
        let mut recorder = Recorder::default();
        let found = inspection.examine(&mut recorder, &mut Decoding::default());
        let found = found.expect("examined");
        assert_eq!(found.findings, [], "it is whole");
        let floor = found.state.expect("it opens").floor.0;
        let base = found.files.iter().find_map(|file| match file.content {
            Content::Catalogue { upto } => Some(upto.0),
            _ => None,
        });
        let is_clean = found.files.iter().any(|file| match file.content {
            Content::Node { is_clean, .. } => is_clean,
            _ => false,
        });
        let from = base.expect("a catalogue").min(floor) + 1;
        let mut reference = Reference {
            dir: dir.to_path_buf(),
            logs: log_files(dir),
            from: (!is_clean).then_some(from),
            pages: Vec::new(),
            recorder,
            contents: HashMap::new(),
            whole: State::default(),
        };
        reference.read_pages(&inspection);
        reference.whole = reference.work_out(&Lost::default());
        reference
    }

    fn read_pages(&mut self, inspection: &Inspection) {
        // Those too that the end of the log does away with.
        let entries = self.recorder.base.iter();
        let mut named: Vec<PageEntry> = entries
            .filter_map(|(key, value)| page(key, value))
            .collect();
        for (_, event) in &self.recorder.events {
            if let Event::Change(Change::Put { key, value }) = event {
                named.extend(page(key, value));
            }
        }
        let segments = inspection.segments();
        for entry in named {
            let at = PageAt {
                segment: entry.segment,
                offset: entry.offset,
                length: entry.length,
                crc: entry.crc,
            };
            // The place of a page that went may hold another by now.
            let Ok(bytes) = segments.read(&at) else {
                continue;
            };
            let records = Records::decode(&bytes).expect("messages");
            let numbers = records.iter().map(|record| {
                let number = number(record.body()).expect("a body that was published");
                (record.ordinal(), number)
            });
            let numbers = numbers.collect();
            self.contents.insert((at.segment, at.offset), numbers);
        }
        for queue in self.replayed(&Lost::default()).1.restored.queues {
            self.pages.extend(queue.pages.iter().map(|entry| Page {
                segment: entry.segment,
                offset: entry.offset,
                end: entry.offset + PAGE_HEADER + u64::from(entry.length),
            }));
        }
    }

    /// What a start makes of it without what is lost.
    fn replayed(&self, lost: &Lost) -> (Map, broker_core::recovery::check::Checked) {
        let mut map = self.recorder.base.clone();
        let mut reading = Checking::default();
        reading.base(&map);
        let kept = self.recorder.events.iter();
        for (lsn, event) in kept.filter(|(lsn, _)| !lost.records.contains(lsn)) {
            match event {
                Event::Entry(kind, payload) => reading.entry(Lsn(*lsn), *kind, payload),
                Event::Change(change) => {
                    reading.change(Lsn(*lsn), change);
                    match change.clone() {
                        Change::Put { key, value } => map.insert(key, value),
                        Change::Delete { key } => map.remove(&key),
                    };
                }
            }
        }
        (map, reading.finish())
    }

    /// The state without what is lost.
    pub(super) fn without(&self, lost: &Lost) -> State {
        match *lost == Lost::default() {
            true => self.whole.clone(),
            false => self.work_out(lost),
        }
    }

    fn work_out(&self, lost: &Lost) -> State {
        let (map, checked) = self.replayed(lost);
        let mut state = State::default();
        let mut names = HashMap::new();
        for (key, value) in map
            .iter()
            .filter(|(key, _)| !key.starts_with(PageKey::PREFIX))
        {
            state.definitions.insert(key.clone());
            if is_queue_key(key)
                && let Ok(Definition::Queue(_, spec, id)) = Definition::read(key, value)
            {
                names.insert(id.0, spec.name.to_string());
                state.queues.insert(spec.name.to_string(), Vec::new());
            }
        }
        for queue in &checked.restored.queues {
            let mut numbers = BTreeMap::new();
            for entry in &queue.pages {
                let at = (entry.segment, entry.offset);
                let content = self.contents.get(&at).filter(|_| !lost.pages.contains(&at));
                let alive = content.into_iter().flatten();
                numbers.extend(alive.filter(|(ordinal, _)| entry.runs.contains(**ordinal)));
            }
            for record in queue.chunks.iter().flat_map(|chunk| chunk.records.iter()) {
                let number = number(record.body()).expect("a body that was published");
                numbers.insert(record.ordinal(), number);
            }
            if let Some(name) = names.get(&queue.queue) {
                state
                    .queues
                    .insert(name.clone(), numbers.into_values().collect());
            }
        }
        state
    }
}

fn page(key: &[u8], value: &[u8]) -> Option<PageEntry> {
    let is_page = key.starts_with(PageKey::PREFIX);
    is_page.then(|| PageEntry::decode(key, value).expect("an entry"))
}
