//! Which pairs of a record and the next operation on the disk a crash came between.

use std::collections::BTreeMap;
use std::path::Path;

use leveret::store::sim::{Operation, Step};

use crate::host::Kind;
use crate::settings::DIR;

/// What is done to which sort of file.
type Deed = (&'static str, &'static str);

/// How often a crash came between each record and each operation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Coverage {
    pairs: BTreeMap<(Kind, Deed), u64>,
}

impl Coverage {
    pub(crate) fn note(&mut self, kind: Option<Kind>, operation: &Operation<'_>) {
        if let Some(kind) = kind {
            *self.pairs.entry((kind, deed(operation))).or_default() += 1;
        }
    }

    pub(crate) fn add(&mut self, other: &Coverage) {
        for (pair, count) in &other.pairs {
            *self.pairs.entry(*pair).or_default() += count;
        }
    }

    /// How many different pairs there were.
    pub(crate) fn pairs(&self) -> usize {
        self.pairs.len()
    }

    /// A table: operations by sort of record.
    pub(crate) fn table(&self) -> String {
        let mut deeds: Vec<Deed> = self.pairs.keys().map(|(_, deed)| *deed).collect();
        deeds.sort_unstable();
        deeds.dedup();
        let mut table = format!("{:<24}", "next operation");
        for kind in Kind::ALL {
            table.push_str(&format!("{:>12}", format!("{kind:?}")));
        }
        for deed in deeds {
            table.push_str(&format!("\n{:<24}", format!("{} {}", deed.0, deed.1)));
            for kind in Kind::ALL {
                let count = self.pairs.get(&(kind, deed)).copied().unwrap_or_default();
                table.push_str(&format!("{count:>12}"));
            }
        }
        table
    }

    /// The records after which an operation that comes all the time never came.
    pub(crate) fn gaps(&self) -> Vec<String> {
        const USUAL: [Deed; 8] = [
            ("write", "log"),
            ("sync", "log"),
            ("create", "log"),
            ("write", "segment"),
            ("sync", "segment"),
            ("apply", "catalogue"),
            ("sync", "catalogue"),
            ("rename", "snapshot"),
        ];
        let pairs = Kind::ALL
            .iter()
            .flat_map(|kind| USUAL.map(|deed| (*kind, deed)));
        pairs
            .filter(|pair| !self.pairs.contains_key(pair))
            .map(|(kind, deed)| format!("{kind:?}, {} {}", deed.0, deed.1))
            .collect()
    }
}

fn deed(operation: &Operation<'_>) -> Deed {
    match operation {
        Operation::CreateDir(path) => ("make", sort(path)),
        Operation::Create(path) => ("create", sort(path)),
        Operation::Rename(_, to) => ("rename", sort(to)),
        Operation::Remove(path) => ("remove", sort(path)),
        Operation::SyncDir(path) => ("sync names", sort(path)),
        Operation::Write { path, .. } => ("write", sort(path)),
        Operation::Punch { path, .. } => ("punch", sort(path)),
        Operation::Sync(path) => ("sync", sort(path)),
        Operation::Catalogue(Step::Apply) => ("apply", "catalogue"),
        Operation::Catalogue(Step::Flush) => ("flush", "catalogue"),
        Operation::Catalogue(Step::Sync) => ("sync", "catalogue"),
    }
}

fn sort(path: &Path) -> &'static str {
    let inside = path.strip_prefix(DIR).unwrap_or(path);
    let text = inside.to_string_lossy();
    match &*text {
        "" => "directory",
        "node" => "node",
        "log" => "logs",
        "pages" => "segments",
        text if text.contains("reserve") || text.contains("spare") => "reserve",
        text if text.starts_with("log/") => "log",
        text if text.contains("transient") => "transient",
        text if text.starts_with("pages/") => "segment",
        text if text.starts_with("definitions") => "snapshot",
        _ => "other",
    }
}
