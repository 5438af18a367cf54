//! What lies in the inbox, handed to the channels it is for.

use std::sync::Arc;

use amqp_codec::{connection, put_heartbeat};

use super::channel::Departed;
use super::close::Failure;
use super::connection::{Connection, Io, State};
use super::delivering::give_back;
use super::held::{Cursor, HeldItem};
use super::session::Phase;
use super::turn::Turn;
use crate::inbox::{Answer, ConfirmRun, ConsumerId, Event, Item, Mail};
use crate::message::Records;
use crate::queue::Command;
use crate::time::Timestamp;

/// A mail's record buffer above this size is not kept for the next mail.
const MAIL_BYTES_KEPT: usize = 512 * 1024;

impl Connection {
    /// Works through one mail, which is left empty with its memory.
    pub fn collect(&mut self, mail: &mut Mail, now: Timestamp, io: &mut Io<'_>) {
        let mut items = std::mem::take(&mut mail.items);
        let mut cursor = Cursor::new(&mail.records);
        for item in items.drain(..) {
            if let Err((channel, failure)) = self.item(item, &mut cursor, now, io) {
                self.fail(channel, failure, now, io);
            }
        }
        mail.items = items;
        mail.records.clear(MAIL_BYTES_KEPT);
        self.finish_turn(now, io);
    }

    /// Lets out what waited for the log and for answers; resumes queues that passed this
    /// connection over. To be called once per turn, also without mail.
    pub fn finish_turn(&mut self, now: Timestamp, io: &mut Io<'_>) {
        io.batches.hand_over(self.broker.host(), now);
        self.release_synced(now, io);
        self.pump_gates(now, io);
        // What left a gate without acks is settled, and no other turn may come soon.
        io.batches.hand_over(self.broker.host(), now);
        if self.inbox.is_ready() {
            for queue in self.inbox.take_skipped() {
                if let Some(queue) = queue.upgrade() {
                    queue.submit(now, Command::Resume);
                }
            }
        }
        self.close_if_requested(now, io);
    }

    fn pump_gates(&mut self, now: Timestamp, io: &mut Io<'_>) {
        let mut index = 0;
        while let Some(&number) = self.gated.get(index) {
            let Some(session) = self.session.clone() else {
                return self.gated.clear();
            };
            let mut turn = Turn {
                now,
                out: io.out,
                batches: io.batches,
                session: &session,
            };
            let Some(channel) = self.channels.get_mut(&number) else {
                self.gated.swap_remove(index);
                continue;
            };
            let is_failed = channel.is_closing;
            let pumped = channel.pump(&mut turn);
            let is_open = channel.is_delivering();
            let is_over = channel.is_closed && is_open;
            if is_open {
                self.gated.swap_remove(index);
            } else {
                index += 1;
            }
            if is_over {
                self.channels.remove(&number);
            }
            // A channel fails once: what its queues refuse afterwards is nobody's news.
            match pumped {
                Err(failure) if !is_failed => self.fail(number, failure, now, io),
                _ => {}
            }
        }
    }

    /// Confirms for publishes that needed no queue.
    pub(super) fn finished_publishes(&mut self, now: Timestamp, io: &mut Io<'_>) {
        for number in io.batches.take_finished() {
            self.send_confirms(number, now, io);
        }
    }

    fn send_confirms(&mut self, number: u16, now: Timestamp, io: &mut Io<'_>) {
        let Some(session) = self.session.clone() else {
            return;
        };
        let Some(channel) = self.channels.get_mut(&number) else {
            return;
        };
        if channel.is_closing {
            return;
        }
        let mut turn = Turn {
            now,
            out: io.out,
            batches: io.batches,
            session: &session,
        };
        if let Err(error) = channel.send_confirms(&mut turn) {
            self.fail(number, error.into(), now, io);
        }
    }

    fn item(
        &mut self,
        item: Item,
        cursor: &mut Cursor<'_>,
        now: Timestamp,
        io: &mut Io<'_>,
    ) -> Result<(), (u16, Failure)> {
        match item {
            Item::Deliveries {
                channel,
                consumer,
                count,
            } => self.deliveries(channel, consumer, count, cursor, now, io),
            Item::Event(Event::Published {
                confirms,
                rejected,
                lsn,
            }) => {
                self.taken(confirms, rejected, lsn, now, io);
                Ok(())
            }
            Item::Event(Event::Answer {
                channel,
                token,
                answer,
            }) => {
                self.answer(channel, token, answer, cursor);
                Ok(())
            }
            Item::Event(Event::ConsumerCancelled { channel, consumer }) => {
                self.hold(channel, HeldItem::Cancelled(consumer));
                Ok(())
            }
            Item::Event(Event::Blocked(reason)) => {
                self.alarm_changed(reason.is_some(), io);
                Ok(())
            }
            Item::Event(Event::HeartbeatDue) => {
                if self.state == State::Open && io.out.is_empty() {
                    put_heartbeat(io.out.buffer());
                }
                Ok(())
            }
        }
    }

    #[inline]
    fn deliveries(
        &mut self,
        number: u16,
        consumer: ConsumerId,
        count: u32,
        cursor: &mut Cursor<'_>,
        now: Timestamp,
        io: &mut Io<'_>,
    ) -> Result<(), (u16, Failure)> {
        let Some(session) = &self.session else {
            cursor.copy(count);
            return Ok(());
        };
        let known = self.channels.get_mut(&number).filter(|c| c.knows(consumer));
        let Some(channel) = known else {
            self.late_deliveries(consumer, cursor.copy(count), now);
            return Ok(());
        };
        if !channel.is_delivering() {
            let held = HeldItem::Deliveries(consumer, cursor.copy(count));
            self.hold(number, held);
            return Ok(());
        }
        let mut turn = Turn {
            now,
            out: io.out,
            batches: io.batches,
            session,
        };
        let records = (0..count).map_while(|_| cursor.next());
        let delivered = channel.deliver(consumer, records, &mut turn);
        delivered
            .map(|_| ())
            .map_err(|error| (number, error.into()))
    }

    /// Deliveries to a consumer whose channel is gone: never seen by the client, so they go back.
    fn late_deliveries(&mut self, consumer: ConsumerId, records: Records, now: Timestamp) {
        let bytes = records.iter().map(|record| record.memory_bytes()).sum();
        self.inbox.release_bytes(bytes);
        if let Some(Departed { queue, no_ack }) = self.departed.get(&consumer) {
            give_back(queue, *no_ack, records, now);
        }
    }

    pub(super) fn published(
        &mut self,
        confirms: &[ConfirmRun],
        rejected: &[(u16, u64)],
        now: Timestamp,
        io: &mut Io<'_>,
    ) {
        let mut last = None;
        for run in confirms {
            if let Some(channel) = self.channels.get_mut(&run.channel) {
                channel.published(run, rejected);
            }
            if let Some(other) = last.replace(run.channel)
                && other != run.channel
            {
                self.send_confirms(other, now, io);
            }
        }
        if let Some(number) = last {
            self.send_confirms(number, now, io);
        }
    }

    fn answer(&mut self, number: u16, token: u32, answer: Answer, cursor: &mut Cursor<'_>) {
        let records = match answer {
            Answer::Got { .. } => cursor.copy(1),
            _ => Records::new(),
        };
        if let Answer::Cancelled(consumer) = answer {
            self.departed.remove(&consumer);
        }
        if token == 0 {
            return;
        }
        match self.channels.get_mut(&number) {
            Some(channel) if channel.gate.question(token).is_some() => {
                self.hold(number, HeldItem::Answer(token, answer, records));
            }
            _ => self
                .inbox
                .release_bytes(records.iter().map(|r| r.memory_bytes()).sum()),
        }
    }

    fn hold(&mut self, number: u16, item: HeldItem) {
        if let Some(channel) = self.channels.get_mut(&number) {
            channel.hold(item);
            if !self.gated.contains(&number) {
                self.gated.push(number);
            }
        }
    }

    fn alarm_changed(&mut self, raised: bool, io: &mut Io<'_>) {
        let Some(session) = &self.session else { return };
        if raised {
            if session.phase() == Phase::Running {
                session.set_phase(Phase::Blocking);
            }
            return;
        }
        session.set_phase(Phase::Running);
        if std::mem::take(&mut self.told_blocked) {
            let _ = io.out.method(0, connection::Unblocked {});
        }
    }

    /// Mail that will never be encoded goes back to where it came from.
    pub(super) fn return_mail(&mut self, mail: Mail, now: Timestamp) {
        let mut cursor = Cursor::new(&mail.records);
        for item in mail.items {
            match item {
                Item::Deliveries {
                    consumer, count, ..
                } => {
                    let records = cursor.copy(count);
                    if let Some(Departed { queue, no_ack }) = self.departed.get(&consumer) {
                        give_back(&Arc::clone(queue), *no_ack, records, now);
                    }
                }
                Item::Event(Event::Answer {
                    channel,
                    token,
                    answer: Answer::Got { .. },
                }) => {
                    let records = cursor.copy(1);
                    let channel = self.channels.get_mut(&channel);
                    if let Some((queue, no_ack)) = channel.and_then(|c| c.asked_get(token)) {
                        give_back(&queue, no_ack, records, now);
                    }
                }
                Item::Event(_) => {}
            }
        }
    }
}
