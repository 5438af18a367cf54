//! One damage after the other, each on a fresh copy.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use broker_core::definition::Definition;
use parking_lot::Mutex;

use super::hurt::{Hurt, Random, files};
use super::layout::FILE_HEADER;
use super::reference::{Lost, Reference, State};
use super::scene::{Life, Published, copy, folder, number};
use super::verdict::{Telling, Verdict, judge};
use crate::cli::store::check;
use crate::store::{Finding, Severity};

/// Failures that are shown.
const SHOWN: usize = 8;

/// With so many samples every kind of file has been hit where it matters.
const ENOUGH: u64 = 500;

/// Tries samples and remembers how they went.
pub(super) struct Bench<'a> {
    subjects: Vec<Subject<'a>>,
    published: &'a Published,
    failures: Mutex<Vec<String>>,
    tallies: Mutex<BTreeMap<String, Tally>>,
}

/// How samples of a kind went.
#[derive(Debug, Default)]
struct Tally {
    samples: u64,
    /// The start refused.
    refused: u64,
    /// The alarm was raised.
    raised: u64,
    /// Messages or definitions were lost.
    costly: u64,
}

/// How a sample went.
enum Outcome {
    Refused,
    Served { is_raised: bool, is_costly: bool },
}

/// A directory, with its files by kind.
struct Subject<'a> {
    reference: &'a Reference,
    kinds: BTreeMap<String, Vec<PathBuf>>,
}

/// Files that are alike: those of a folder, or a file in the directory itself.
fn kind(name: &Path) -> String {
    let text = name.to_str().expect("a name");
    match text.split_once('/') {
        _ if text.contains("transient") => "pages that are transient".into(),
        _ if text.contains("reserve") => "reserve".into(),
        Some((folder, _)) => folder.into(),
        None => text.into(),
    }
}

/// Where the bytes of a file lie that mean something.
fn used(reference: &Reference, name: &Path) -> Vec<Range<u64>> {
    if let Some(file) = reference.logs.iter().find(|file| file.name == name) {
        let groups = file.groups.iter().map(|group| group.bytes());
        return groups.chain(std::iter::once(0..FILE_HEADER)).collect();
    }
    let stem = name.file_stem().and_then(|stem| stem.to_str());
    let segment = stem.and_then(|stem| stem.parse().ok());
    let pages = reference.pages.iter();
    let here = pages.filter(|page| Some(page.segment) == segment);
    match name.to_str() {
        Some("node") => vec![0..FILE_HEADER, 4096..4096 + FILE_HEADER],
        Some(text) if text.starts_with("pages/") => here
            .map(|page| page.bytes())
            .chain(std::iter::once(0..FILE_HEADER))
            .collect(),
        _ => Vec::new(),
    }
}

impl<'a> Bench<'a> {
    pub(super) fn new(references: &'a [Reference], published: &'a Published) -> Bench<'a> {
        let subjects = references.iter().map(|reference| {
            let mut kinds = BTreeMap::<String, Vec<PathBuf>>::new();
            for name in files(&reference.dir) {
                kinds.entry(kind(&name)).or_default().push(name);
            }
            Subject { reference, kinds }
        });
        Bench {
            subjects: subjects.collect(),
            published,
            failures: Mutex::default(),
            tallies: Mutex::default(),
        }
    }

    /// Whether so much failed that more would say nothing new.
    pub(super) fn is_done(&self) -> bool {
        self.failures.lock().len() >= SHOWN
    }

    /// The sample of a seed.
    pub(super) fn run(&self, seed: u64) {
        let mut random = Random::new(seed);
        // More of them where a start has more to do.
        let subject = &self.subjects[usize::from(random.below(4) == 0)];
        let kinds: Vec<&String> = subject.kinds.keys().collect();
        let kind = match random.below(2) {
            0 => *random.pick(&kinds),
            _ => *random.pick(
                &kinds
                    .iter()
                    .copied()
                    .filter(|kind| {
                        ["log", "pages", "definitions.snapshot", "catalogue"]
                            .contains(&kind.as_str())
                    })
                    .collect::<Vec<_>>(),
            ),
        };
        let name = random.pick(&subject.kinds[kind]);
        let bytes = std::fs::read(subject.reference.dir.join(name)).expect("read");
        let hurt = Hurt::draw(&mut random, &bytes, &used(subject.reference, name));
        let again = random.below(8) == 0;
        let folder = folder();
        let dir = folder.path().join("data");
        copy(&subject.reference.dir, &dir);
        let ranges = hurt.inflict(&dir.join(name), &bytes);
        let verdict = judge(subject.reference, name, &hurt, &ranges);
        let trial = Trial {
            reference: subject.reference,
            published: self.published,
            name,
            verdict: &verdict,
            dir: &dir,
        };
        let outcome = trial.run(again);
        self.count(kind, &outcome);
        if let Err(why) = outcome {
            let source = subject.reference.dir.file_name().unwrap_or_default();
            let text = format!(
                "{}: {}: {hurt:?}: {why}\n  again: SEED={seed} SAMPLES=1 cargo test -p leveret \
                 --lib damage_is_told",
                source.display(),
                name.display()
            );
            self.failures.lock().push(text);
        }
    }

    fn count(&self, kind: &str, outcome: &Result<Outcome, String>) {
        let mut tallies = self.tallies.lock();
        let tally = tallies.entry(kind.to_owned()).or_default();
        tally.samples += 1;
        match outcome {
            Ok(Outcome::Served {
                is_raised,
                is_costly,
            }) => {
                tally.raised += u64::from(*is_raised);
                tally.costly += u64::from(*is_costly);
            }
            Ok(Outcome::Refused) => tally.refused += 1,
            Err(_) => {}
        }
    }

    /// Fails if anything did, or if so many samples were too kind.
    pub(super) fn tell(&self) {
        let (failures, tallies) = (self.failures.lock(), self.tallies.lock());
        assert!(failures.is_empty(), "{}\n", failures.join("\n"));
        eprintln!("{tallies:#?}");
        let samples: u64 = tallies.values().map(|tally| tally.samples).sum();
        if samples < ENOUGH {
            return;
        }
        for kind in ["catalogue", "definitions.snapshot", "log", "node", "pages"] {
            let tally = &tallies[kind];
            assert!(tally.raised > 0, "{kind}: {tally:?}");
        }
        for kind in ["log", "pages"] {
            assert!(tallies[kind].costly > 0, "{kind}: {:?}", tallies[kind]);
        }
    }
}

/// A damaged directory.
struct Trial<'a> {
    reference: &'a Reference,
    published: &'a Published,
    name: &'a Path,
    verdict: &'a Verdict,
    dir: &'a Path,
}

impl Trial<'_> {
    fn run(&self, again: bool) -> Result<Outcome, String> {
        let report = check::examine(self.dir).map_err(|error| format!("not checked: {error}"))?;
        let errors = report.findings.into_iter();
        let errors: Vec<Finding> = errors
            .filter(|finding| finding.severity == Severity::Error)
            .collect();
        self.compare("store check", self.verdict.check, &errors)?;
        let mut life = match (Life::begin(self.dir), self.verdict.refusal) {
            (Err(why), Telling::Must | Telling::May) => {
                self.check_refusal(&why, &errors)?;
                return Ok(Outcome::Refused);
            }
            (Err(why), Telling::Never) => return Err(format!("the start refuses: {why}")),
            (Ok(_), Telling::Must) => return Err("the start does not refuse".into()),
            (Ok(life), _) => life,
        };
        let mut alarm = Vec::new();
        if again {
            // What is lost is not lost again, nor comes back.
            alarm = life.end();
            life = Life::begin(self.dir).map_err(|why| format!("the second start: {why}"))?;
        }
        let found = self.drain(&life);
        // The snapshot is checked in the background, before a checkpoint that is asked for.
        let checkpoint = life.opened.store.checkpoint();
        alarm.extend(life.end());
        checkpoint.map_err(|error| error.to_string())?;
        self.compare("the alarm", self.verdict.alarm, &alarm)?;
        if self.name.starts_with("catalogue") && errors.is_empty() != alarm.is_empty() {
            return Err(format!("check finds {errors:?}, the start {alarm:?}"));
        }
        let found = found?;
        self.compare_states(&found)?;
        Ok(Outcome::Served {
            is_raised: !alarm.is_empty(),
            is_costly: difference(self.reference, &Lost::default(), &found).is_some(),
        })
    }

    fn check_refusal(&self, why: &str, errors: &[Finding]) -> Result<(), String> {
        let path = self.dir.join(self.name);
        if !why.contains(path.to_str().unwrap_or_default()) {
            return Err(format!("the refusal does not name the file: {why}"));
        }
        match errors
            .iter()
            .any(|error| error.path.as_deref() == Some(&path))
        {
            true => Ok(()),
            false => Err(format!("check does not name the file: {errors:?}")),
        }
    }

    fn compare(&self, who: &str, telling: Telling, found: &[Finding]) -> Result<(), String> {
        let path = self.dir.join(self.name);
        let is_named = found.iter().any(|find| find.path.as_deref() == Some(&path));
        match telling {
            Telling::Must if !is_named => Err(format!("{who} does not name the file: {found:?}")),
            Telling::Never if !found.is_empty() => Err(format!(
                "{who} finds something in what nothing uses: {found:?}"
            )),
            _ => Ok(()),
        }
    }

    /// Takes every message out of every queue.
    fn drain(&self, life: &Life) -> Result<State, String> {
        let broker = &life.opened.broker;
        let mut state = State::default();
        for user in broker.access().users() {
            let user = broker_core::access::User::clone(&user);
            state.definitions.insert(Definition::User(user).key());
        }
        for (vhost, user, _) in broker.access().permissions() {
            let patterns = Default::default();
            let permission = Definition::Permission {
                vhost,
                user,
                patterns,
            };
            state.definitions.insert(permission.key());
        }
        let mut client = life.client();
        for vhost in broker.vhosts() {
            state
                .definitions
                .insert(Definition::Vhost(vhost.spec()).key());
            for definition in vhost.definitions() {
                state.definitions.insert(definition.key());
                let Definition::Queue(_, spec, _) = definition else {
                    continue;
                };
                let queue = vhost.queue(&spec.name).ok_or("a queue without a handle")?;
                let bodies = client.drain(&spec.name, || queue.counts().ready == 0);
                let numbers = bodies.iter().map(|body| self.known(&spec.name, body));
                let numbers = numbers.collect::<Result<Vec<_>, _>>()?;
                state.queues.insert(spec.name.to_string(), numbers);
            }
        }
        client.hang_up();
        Ok(state)
    }

    /// The number of a message, if it was published to this queue, and like this.
    fn known(&self, queue: &str, body: &[u8]) -> Result<u32, String> {
        let number = number(body).ok_or_else(|| format!("{queue}: an altered body {body:?}"))?;
        match self.published.get(&number) {
            Some(queues) if queues.contains(queue) => Ok(number),
            _ => Err(format!(
                "{queue}: message {number} was never published there"
            )),
        }
    }

    fn compare_states(&self, found: &State) -> Result<(), String> {
        let mut whys = Vec::new();
        for lost in &self.verdict.lost {
            match difference(self.reference, lost, found) {
                None => return Ok(()),
                Some(why) => whys.push(why),
            }
        }
        Err(whys.join("; or "))
    }
}

/// How what was found differs from what should be there.
fn difference(reference: &Reference, lost: &Lost, found: &State) -> Option<String> {
    let expected = reference.without(lost);
    let queues: BTreeSet<&String> = expected.queues.keys().chain(found.queues.keys()).collect();
    for queue in queues {
        let [mut expected, mut found] =
            [&expected, found].map(|state| state.queues.get(queue).cloned());
        if queue == "prio" {
            expected
                .iter_mut()
                .chain(&mut found)
                .for_each(|numbers| numbers.sort_unstable());
        }
        if expected != found {
            return Some(format!("{queue} has {found:?} and not {expected:?}"));
        }
    }
    let invented = found.definitions.difference(&expected.definitions).next();
    if let Some(key) = invented {
        return Some(format!("{} is there", key.escape_ascii()));
    }
    // Without an end there is no binding, without a user no permission.
    let is_whole = lost.records.is_empty();
    let missing = expected.definitions.difference(&found.definitions).next();
    let missing = missing.filter(|_| is_whole);
    missing.map(|key| format!("{} is not there", key.escape_ascii()))
}
