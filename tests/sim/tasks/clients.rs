//! Clients listening, consuming, asking, coming and going.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use broker_core::host::Host;
use broker_core::inbox::{ConsumerId, Item, Mail};
use broker_core::message::Records;
use broker_core::queue::{Command, ConsumerSpec, ReplyTo};

use crate::client::{CHANNEL, Client, Consumer, by_queue};
use crate::message::id_of;
use crate::process::Process;
use crate::world::World;

impl World {
    /// Any of the clients that will do.
    pub(super) fn pick<'a>(
        &self,
        clients: &'a mut [Client],
        will_do: impl Fn(&Client) -> bool,
    ) -> Option<&'a mut Client> {
        let those = clients.iter().enumerate();
        let those: Vec<usize> = those
            .filter(|(_, client)| will_do(client))
            .map(|(index, _)| index)
            .collect();
        let index = self.draw(|random| random.pick(&those).copied())?;
        clients.get_mut(index)
    }

    /// As many clients as there should be.
    pub(crate) fn connect_all(&self) {
        let mut clients = self.clients.lock();
        while clients.len() < self.settings.clients {
            clients.push(self.connect());
        }
    }

    fn connect(&self) -> Client {
        let number = self.next_client.fetch_add(1, Ordering::Relaxed);
        Client::new(number as u16)
    }

    /// A client hears that its messages are safe.
    pub(super) fn hear_confirms(&self, process: &Process) {
        let mut clients = self.clients.lock();
        let Some(client) = self.pick(&mut clients, |_| true) else {
            return;
        };
        let is_durable = |lsn| process.host.is_durable(lsn);
        let mut safe = client.confirmed(is_durable);
        if self.chance(20) {
            safe.extend(client.promised(is_durable));
        }
        if !safe.is_empty() {
            let durable = process.store.durable();
            self.tell(|| format!("client {} hears {safe:?}: durable {durable}", client.number));
        }
        let mut model = self.model.lock();
        safe.iter().for_each(|id| model.confirmed(*id));
    }

    /// A client takes what queues gave it.
    pub(super) fn take_deliveries(&self) {
        let mut clients = self.clients.lock();
        if let Some(client) = self.pick(&mut clients, |_| true) {
            self.take(client);
        }
    }

    pub(super) fn take(&self, client: &mut Client) {
        let taken = client.take();
        let mut model = self.model.lock();
        for (queue, seen, _) in &taken.deliveries {
            model.delivered(*queue, seen);
        }
        drop(model);
        if !taken.deliveries.is_empty() {
            self.tell(|| {
                let seen = taken.deliveries.iter();
                let seen: Vec<_> = seen
                    .map(|(queue, seen, _)| (*queue, seen.id.unwrap_or(0), seen.ordinal))
                    .collect();
                format!("client {} takes {seen:?}", client.number)
            });
        }
        for queue in client.deliveries.take_skipped() {
            if let Some(queue) = queue.upgrade() {
                queue.submit(self.now(), Command::Resume);
            }
        }
    }

    pub(super) fn consume(&self, process: &Process) {
        let Some(queue) = self.any_queue(process) else {
            return;
        };
        let mut clients = self.clients.lock();
        let Some(client) = self.pick(&mut clients, |client| client.consumers.len() < 3) else {
            return;
        };
        let (no_ack, prefetch) = self.draw(|random| {
            let prefetch = *random.pick(&[0, 1, 3, 20]).unwrap_or(&0);
            (random.chance(25), prefetch)
        });
        let id = ConsumerId::next();
        client.consumers.push(Consumer {
            id,
            queue: queue.identity().id.0,
            no_ack,
        });
        let spec = ConsumerSpec {
            id,
            channel: CHANNEL,
            tag: "consumer".into(),
            inbox: Arc::clone(&client.deliveries),
            credit: Arc::clone(&client.credit),
            no_ack,
            exclusive: false,
            priority: 0,
            prefetch,
            arguments: Default::default(),
        };
        self.tell(|| {
            let (of, name) = (client.number, &queue.identity().name);
            format!("client {of} consumes from {name}, no_ack {no_ack}, prefetch {prefetch}")
        });
        queue.submit(self.now(), Command::Consume(spec, 0));
    }

    pub(super) fn cancel(&self, process: &Process) {
        let mut clients = self.clients.lock();
        let Some(client) = self.pick(&mut clients, |client| !client.consumers.is_empty()) else {
            return;
        };
        let index = self.draw(|random| random.below(client.consumers.len() as u64));
        let (id, queue) = {
            let consumer = &client.consumers[index as usize];
            (consumer.id, consumer.queue)
        };
        if let Some(queue) = self.queue(process, queue) {
            let cancel = Command::Cancel {
                consumer: id,
                reply: None,
            };
            queue.submit(self.now(), cancel);
        }
        self.take(client);
        client.consumers.retain(|consumer| consumer.id != id);
        self.tell(|| format!("client {} cancels a consumer of {queue}", client.number));
    }

    pub(super) fn get(&self, process: &Process) {
        let Some(queue) = self.any_queue(process) else {
            return;
        };
        let mut clients = self.clients.lock();
        let Some(client) = self.pick(&mut clients, |_| true) else {
            return;
        };
        let no_ack = self.chance(30);
        let token = client.next_token;
        client.next_token += 1;
        client.gets.insert(token, (queue.identity().id.0, no_ack));
        let reply = ReplyTo {
            inbox: Arc::clone(&client.deliveries),
            channel: CHANNEL,
            token,
        };
        let consumer = ConsumerId::next();
        self.tell(|| {
            let (of, name) = (client.number, &queue.identity().name);
            format!("client {of} gets from {name}, no_ack {no_ack}")
        });
        let get = Command::Get {
            no_ack,
            reply,
            consumer,
        };
        queue.submit(self.now(), get);
    }

    /// A client goes and another one comes.
    pub(super) fn reconnect(&self, process: &Process) {
        let mut clients = self.clients.lock();
        let those: Vec<usize> = (0..clients.len())
            .filter(|index| clients[*index].is_free())
            .collect();
        let Some(index) = self.draw(|random| random.pick(&those).copied()) else {
            return;
        };
        let gone = std::mem::replace(&mut clients[index], self.connect());
        drop(clients);
        self.tell(|| format!("client {} goes", gone.number));
        self.disconnect(process, gone);
    }

    pub(super) fn disconnect(&self, process: &Process, mut client: Client) {
        let mail = client.deliveries.close();
        client.events.close();
        self.return_unseen(process, &client, &mail);
        let sent = std::mem::take(&mut client.sent);
        for (queue, held) in by_queue(&sent) {
            self.note_sent(process, queue, &held);
        }
        let held = std::mem::take(&mut client.held);
        for (queue, held) in by_queue(&held) {
            self.give_back(process, queue, &held);
        }
        for consumer in &client.consumers {
            if let Some(queue) = self.queue(process, consumer.queue) {
                let cancel = Command::Cancel {
                    consumer: consumer.id,
                    reply: None,
                };
                queue.submit(self.now(), cancel);
            }
        }
    }

    /// What the client never saw goes back to where it came from.
    fn return_unseen(&self, process: &Process, client: &Client, mail: &Mail) {
        let mut records = mail.records.iter();
        for item in &mail.items {
            let (queue, no_ack, count) = match item {
                Item::Deliveries {
                    consumer, count, ..
                } => {
                    let known = client.consumers.iter().find(|known| known.id == *consumer);
                    let Some(known) = known else { continue };
                    (known.queue, known.no_ack, *count)
                }
                Item::Event(event) => {
                    let Some((queue, no_ack)) = client.got(event) else {
                        continue;
                    };
                    (queue, no_ack, 1)
                }
            };
            let (mut ordinals, mut unkept) = (Vec::new(), Records::new());
            for record in records.by_ref().take(count as usize) {
                match no_ack && !record.is_logged() {
                    true => drop(unkept.push_record(record)),
                    false => ordinals.push(record.ordinal()),
                }
                if let Some(id) = id_of(record) {
                    self.model.lock().put_back(queue, id);
                }
            }
            if let Some(handle) = self.queue(process, queue) {
                let back = Command::Return {
                    ordinals,
                    records: unkept,
                };
                handle.submit(self.now(), back);
            }
        }
    }
}
