//! A store without threads: whoever opened it does the work of the log thread and of upkeep, one
//! step at a time, and decides what happens between two steps.

use std::sync::Arc;

use parking_lot::Mutex;

use super::super::catalogue::CatalogueSource;
use super::super::core::Core;
use super::super::disk::Disk;
use super::super::node::NodeFile;
use super::super::pending::OpenGroup;
use super::super::upkeep::Upkeep;
use super::super::writer::{Writer, Written};
use super::super::{
    Inner, Lsn, Parts, Recovered, Replay, Store, StoreError, StoreOptions, end as end_run,
};

/// How far the group that is being made durable has come.
enum Stage {
    /// There is none.
    Idle,
    Taken(OpenGroup),
    Written(OpenGroup, usize, Written),
    Synced(OpenGroup, usize, Written),
}

/// The work of the log thread.
pub struct DrivenLog {
    core: Arc<Core>,
    writer: Writer,
    stage: Stage,
}

impl DrivenLog {
    /// Takes a group, writes it, syncs it, or announces it: whichever is next. False when there
    /// was nothing to do.
    pub fn step(&mut self) -> bool {
        let core = Arc::clone(&self.core);
        if core.failed().is_some() {
            return false;
        }
        let next = match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::Idle => return self.take(),
            Stage::Taken(mut group) => {
                let bytes = group.record_bytes();
                match core.write(&mut self.writer, &mut group) {
                    Ok(Some(written)) => Ok(Stage::Written(group, bytes, written)),
                    Ok(None) => Ok(Stage::Idle),
                    Err(error) => Err(error),
                }
            }
            Stage::Written(group, bytes, written) => core
                .sync(&written)
                .map(|()| Stage::Synced(group, bytes, written)),
            Stage::Synced(group, bytes, written) => {
                core.finish(group, bytes, &written);
                Ok(Stage::Idle)
            }
        };
        match next {
            Ok(stage) => self.stage = stage,
            Err(error) => core.fail(error),
        }
        true
    }

    fn take(&mut self) -> bool {
        let (group, announce) = {
            let mut queue = self.core.queue.lock();
            let announce = std::mem::take(&mut queue.announce);
            (self.core.take_group(&mut queue), announce)
        };
        if announce {
            (self.core.notify)(self.core.durable());
        }
        let is_there = group.is_some();
        self.stage = group.map_or(Stage::Idle, Stage::Taken);
        is_there || announce
    }

    /// Whether another step may be taken now: not while upkeep, interrupted, holds the log's
    /// files.
    pub fn is_free(&self) -> bool {
        self.core.files.try_lock().is_some()
    }
}

/// The work of upkeep.
pub struct DrivenUpkeep {
    upkeep: Upkeep,
}

impl DrivenUpkeep {
    /// Does what is due; a checkpoint in any case if it is `asked` for.
    pub fn round(&mut self, asked: bool) -> Result<(), Arc<StoreError>> {
        self.upkeep.round(asked)
    }
}

/// What is left of a store beside its work.
pub struct DrivenStore {
    store: Store,
    node: NodeFile,
    _lock: Box<dyn Send + Sync>,
}

impl DrivenStore {
    /// As [`Store::open_on`], and starts no threads.
    pub fn open(
        disk: Arc<dyn Disk>,
        catalogue: Arc<dyn CatalogueSource>,
        options: StoreOptions,
        notify: Box<dyn Fn(Lsn) + Send + Sync>,
        replay: &mut dyn Replay,
    ) -> Result<(DrivenStore, DrivenLog, DrivenUpkeep, Recovered), StoreError> {
        let (parts, recovered) = Parts::open(disk, catalogue, options, notify, replay)?;
        let Parts {
            core,
            writer,
            upkeep,
            node,
            lock,
        } = parts;
        let log = DrivenLog {
            core: Arc::clone(&core),
            writer,
            stage: Stage::Idle,
        };
        let store = Store {
            inner: Arc::new(Inner {
                core,
                upkeep: Arc::clone(&upkeep.status),
                site: Arc::clone(&upkeep.site),
                running: Mutex::new(None),
            }),
        };
        let driven = DrivenStore {
            store,
            node,
            _lock: lock,
        };
        Ok((driven, log, DrivenUpkeep { upkeep }, recovered))
    }

    /// The store itself.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// As [`Store::close`].
    pub fn close(mut self, log: &mut DrivenLog, upkeep: DrivenUpkeep) -> Result<(), StoreError> {
        let core = Arc::clone(&self.store.inner.core);
        core.drain();
        while log.step() {}
        core.stop();
        if let Some(failure) = core.failed() {
            return Err(StoreError::Failed(failure));
        }
        let ended = end_run(&core, upkeep.upkeep, &mut self.node);
        *core.owner.lock() = None;
        ended
    }
}
