//! What a start builds the map on: the catalogue; if that is lost, damaged or too old, the snapshot;
//! without either, the empty map, if the log reaches back to record 1. A damaged catalogue is set
//! aside here, once it is sure that the map can be had without it.

use tracing::warn;

use super::catalogue::{Catalogue, CatalogueError, Mark};
use super::recover::Scene;
use super::{Lsn, Map, StoreError};

/// The map as of a record, and how much of it the next checkpoint has to write.
pub(super) struct State {
    pub(super) entries: Map,
    pub(super) mark: Lsn,
    /// No entry of the log up to this record is needed with it.
    pub(super) floor: Lsn,
    /// The catalogue holds nothing: all of it.
    pub(super) whole: bool,
}

impl State {
    /// The empty map, for a log that begins at record 1.
    fn from_nothing() -> State {
        State {
            entries: Map::new(),
            mark: Lsn(0),
            floor: Lsn(0),
            whole: true,
        }
    }
}

pub(super) struct Base {
    pub(super) state: State,
    pub(super) catalogue: Option<Box<dyn Catalogue>>,
    pub(super) checkpoint: Lsn,
    /// The floor that goes with it.
    pub(super) checkpoint_floor: Lsn,
    /// The log must reach this record, or the base is of no use.
    pub(super) touched: Lsn,
}

impl Scene<'_> {
    /// Whether catalogue or snapshot at `mark`, with the floor recorded there, and the log after
    /// them make the whole map and hold every entry that is needed.
    pub(super) fn is_enough(&self, mark: Lsn, floor: Lsn) -> bool {
        let known = mark.min(floor.max(self.node.state.floor));
        if self.log.last_written().is_none() {
            return mark >= self.node.state.last && known >= self.node.state.log_end;
        }
        self.log.reaches_back_to(known.next(), mark)
    }

    /// Chooses the base.
    pub(super) fn base(&mut self) -> Result<Base, StoreError> {
        match self.source.open(&self.node.identity) {
            Ok(catalogue) => self.base_on(catalogue),
            Err(CatalogueError::Damaged(reason)) => self.base_without(reason),
            Err(CatalogueError::DiskFull(error)) => {
                warn!(%error, "the catalogue cannot be opened: going on without it");
                let state = self.rebuild(&error.to_string())?;
                let (checkpoint, checkpoint_floor) = (state.mark, state.floor);
                let state = State {
                    whole: false,
                    ..state
                };
                Ok(Base {
                    state,
                    catalogue: None,
                    checkpoint,
                    checkpoint_floor,
                    touched: Lsn(0),
                })
            }
            Err(CatalogueError::Refused(error)) => Err(self.catalogue_error(&error.to_string())),
        }
    }

    fn base_on(&mut self, catalogue: Box<dyn Catalogue>) -> Result<Base, StoreError> {
        let Some(Mark {
            complete: mark,
            touched,
            floor,
        }) = catalogue.mark()
        else {
            return self.base_on_empty(catalogue);
        };
        if !self.is_enough(mark, floor) {
            drop(catalogue);
            return self.base_without(format!("it ends at record {mark}, before the log begins"));
        }
        let mut entries = Map::new();
        let scanned = catalogue.scan(&mut |key, value| {
            entries.insert(key.to_vec(), value.to_vec());
        });
        match scanned {
            Ok(()) => {
                let state = State {
                    entries,
                    mark,
                    floor,
                    whole: false,
                };
                Ok(Base {
                    state,
                    catalogue: Some(catalogue),
                    checkpoint: mark,
                    checkpoint_floor: floor,
                    touched,
                })
            }
            Err(error) => {
                drop(catalogue);
                self.base_without(error.to_string())
            }
        }
    }

    /// The catalogue was never written to: it is new, or the one before it was lost.
    fn base_on_empty(&mut self, catalogue: Box<dyn Catalogue>) -> Result<Base, StoreError> {
        let is_new = matches!(self.snapshot, Ok(None));
        let state = if is_new && self.is_enough(Lsn(0), Lsn(0)) {
            State::from_nothing()
        } else {
            self.report.rebuilt = true;
            self.rebuild("it is empty")?
        };
        Ok(Base {
            state,
            catalogue: Some(catalogue),
            checkpoint: Lsn(0),
            checkpoint_floor: Lsn(0),
            touched: Lsn(0),
        })
    }

    /// The catalogue cannot be used: it is set aside, a new one begun.
    pub(super) fn base_without(&mut self, reason: String) -> Result<Base, StoreError> {
        let state = self.rebuild(&reason)?;
        self.report.rebuilt = true;
        let path = self.source.path();
        let aside = self
            .source
            .set_aside()
            .map_err(StoreError::io("rename", &path))?;
        self.report.catalogue_set_aside = Some((aside, reason));
        let catalogue = match self.source.open(&self.node.identity) {
            Ok(catalogue) => Some(catalogue),
            Err(CatalogueError::DiskFull(_)) => None,
            Err(error) => return Err(self.catalogue_error(&error.to_string())),
        };
        Ok(Base {
            state,
            catalogue,
            checkpoint: Lsn(0),
            checkpoint_floor: Lsn(0),
            touched: Lsn(0),
        })
    }

    fn catalogue_error(&self, reason: &str) -> StoreError {
        StoreError::Catalogue {
            path: self.source.path(),
            reason: reason.to_owned(),
        }
    }

    /// The map without the catalogue: from the snapshot, or from nothing.
    fn rebuild(&mut self, reason: &str) -> Result<State, StoreError> {
        let snapshot = match &self.snapshot {
            Ok(Some(snapshot)) if self.is_enough(snapshot.mark, snapshot.floor) => {
                match snapshot.read() {
                    Ok(entries) => {
                        return Ok(State {
                            entries,
                            mark: snapshot.mark,
                            floor: snapshot.floor,
                            whole: true,
                        });
                    }
                    Err(error) => error.to_string(),
                }
            }
            Ok(Some(snapshot)) => format!("the snapshot ends at record {}", snapshot.mark),
            Ok(None) => "there is no snapshot".to_owned(),
            Err(error) => error.to_string(),
        };
        if self.is_enough(Lsn(0), Lsn(0)) {
            return Ok(State::from_nothing());
        }
        let (dir, catalogue) = (self.options.dir.clone(), self.source.path());
        let reason = format!(
            "the catalogue {}: {reason}; {snapshot}; the log does not hold what comes before it",
            catalogue.display()
        );
        Err(StoreError::Unrecoverable { dir, reason })
    }

    /// Whether the log has to wait for a new snapshot.
    pub(super) fn is_snapshot_wanted(&self) -> bool {
        match &self.snapshot {
            Ok(Some(_)) => false,
            Ok(None) => !self.is_enough(Lsn(0), Lsn(0)),
            Err(_) => true,
        }
    }
}
