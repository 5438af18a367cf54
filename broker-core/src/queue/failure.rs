//! A panic in the machine fails its queue and nothing else; and what a queue answers that is
//! deleted or has failed.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use amqp_codec::ReplyCode;

use super::handle::{Batch, Command, Deletion, ReplyTo};
use super::publishing::confirm;
use super::{Effects, Life, Queue, Share};
use crate::error::BrokerError;
use crate::host::Lsn;
use crate::inbox::Answer;
use crate::time::Timestamp;

impl Queue {
    /// [`Queue::apply`]; should it panic, whoever asked is refused.
    pub(super) fn apply_guarded(
        &mut self,
        now: Timestamp,
        command: Command,
        effects: &mut Effects,
    ) {
        match command {
            Command::Publish(mut batch) => self.publish_guarded(now, &mut batch, effects),
            command => {
                let asker = asker(&command);
                let survived =
                    self.guard(effects, |queue, effects| queue.apply(now, command, effects));
                if let (false, Some(asker)) = (survived, asker) {
                    effects.answer(&asker, Answer::Refused(self.crashed()));
                }
            }
        }
    }

    /// [`Queue::publish`]; should it panic, the messages are refused.
    pub(super) fn publish_guarded(
        &mut self,
        now: Timestamp,
        batch: &mut Batch,
        effects: &mut Effects,
    ) {
        if !self.guard(effects, |queue, effects| queue.publish(now, batch, effects)) {
            self.decline_batch(batch, effects);
        }
    }

    /// Runs the machine. False when it panicked: the queue has failed then.
    fn guard(&mut self, effects: &mut Effects, act: impl FnOnce(&mut Queue, &mut Effects)) -> bool {
        let Err(panic) = catch_unwind(AssertUnwindSafe(|| act(self, effects))) else {
            return true;
        };
        effects.failed = Some(panic_message(panic.as_ref()));
        self.fail(effects);
        false
    }

    /// Nothing is left but the messages that survive a restart: the next start gives them to a
    /// machine that is whole. Until then they keep their pages and their part of the log.
    fn fail(&mut self, effects: &mut Effects) {
        let fresh = Queue {
            life: Life::Failed,
            now: self.now,
            next_ordinal: self.next_ordinal,
            chunks: std::mem::take(&mut self.chunks),
            log: self.log.taken(),
            share: std::mem::take(&mut self.share),
            releasing: self.releasing.take(),
            parked: self.parked.take(),
            ..Queue::new(
                self.identity.clone(),
                self.settings.clone(),
                None,
                Share::default(),
            )
        };
        let broken = std::mem::replace(self, fresh);
        let why = self.crashed();
        self.refuse_gets(effects, &why);
        // As far as that does not panic too.
        let consumers = broken.consumers;
        drop(catch_unwind(AssertUnwindSafe(|| {
            consumers.dismiss(effects)
        })));
        drop(catch_unwind(AssertUnwindSafe(|| {
            self.chunks.retain_logged();
            self.finish_log();
            self.finish_pages(effects);
        })));
        self.report_memory();
    }

    /// What a command gets from a queue that is deleted or has failed.
    pub(super) fn decline(&mut self, command: Command, effects: &mut Effects) {
        if let Some(asker) = asker(&command) {
            let answer = self.declining_answer(&command);
            effects.answer(&asker, answer);
        }
        match command {
            Command::Publish(mut batch) => self.decline_batch(&mut batch, effects),
            Command::DeadLettered { ordinals } => self.dead_lettered(&ordinals),
            Command::PageRead { job, records } => self.page_read(job, records, effects),
            Command::PageWritten { job, at, durable } => {
                self.page_written(job, at, durable, effects);
            }
            Command::Release { upto } => self.release(upto.0, effects),
            Command::Delete { reason, .. } => self.delete_failed(reason, effects),
            _ => {}
        }
        self.finish_log();
        self.finish_pages(effects);
        effects.dead_letters |= self.dead.announce();
    }

    fn declining_answer(&self, command: &Command) -> Answer {
        match command {
            Command::Cancel { consumer, .. } => Answer::Cancelled(*consumer),
            Command::Delete { .. } => Answer::Deleted(0),
            _ if self.life == Life::Failed => Answer::Refused(self.crashed()),
            _ => {
                let (name, vhost) = (&self.identity.name, &self.identity.vhost);
                Answer::Refused(BrokerError::no_queue(name, vhost))
            }
        }
    }

    /// A deleted queue has taken the messages, as if it had been deleted a moment later. One that
    /// failed refuses them.
    pub(super) fn decline_batch(&self, batch: &mut Batch, effects: &mut Effects) {
        let refused: Vec<usize> = match self.life {
            Life::Failed => (0..batch.records.len()).collect(),
            Life::Running | Life::Deleted => Vec::new(),
        };
        if let (Life::Failed, Some(in_turn)) = (self.life, batch.in_turn.take()) {
            self.log.refuse(&in_turn);
        }
        confirm(batch, &refused, Lsn::NONE, effects);
        batch.records.clear();
    }

    /// A failed queue can still be deleted, once.
    fn delete_failed(&mut self, reason: Deletion, effects: &mut Effects) {
        if self.life == Life::Failed {
            self.delete(reason, effects);
        }
    }

    fn crashed(&self) -> BrokerError {
        let (name, vhost) = (&self.identity.name, &self.identity.vhost);
        let text = format!("queue '{name}' in vhost '{vhost}' has crashed");
        BrokerError::new(ReplyCode::InternalError, text)
    }
}

/// Who waits for an answer to the command.
fn asker(command: &Command) -> Option<ReplyTo> {
    match command {
        Command::Consume(spec, token) => Some(ReplyTo {
            inbox: spec.inbox.clone(),
            channel: spec.channel,
            token: *token,
        }),
        Command::Get { reply, .. } | Command::Count { reply } => Some(reply.clone()),
        Command::Cancel { reply, .. }
        | Command::Purge { reply }
        | Command::Delete { reply, .. } => reply.clone(),
        Command::Publish(_)
        | Command::Ack { .. }
        | Command::Sent { .. }
        | Command::Requeue { .. }
        | Command::Reject { .. }
        | Command::Return { .. }
        | Command::Touch
        | Command::Tick
        | Command::Resume
        | Command::DeadLettered { .. }
        | Command::Configure(_)
        | Command::PageWritten { .. }
        | Command::PageRead { .. }
        | Command::Restore(_)
        | Command::Release { .. }
        | Command::Shrink
        | Command::Remove { .. } => None,
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "panic without a message".to_owned(),
    }
}
