//! A scenario's connections, channels and consumers with lapin.

use std::sync::{Arc, Mutex, PoisonError};

use futures_lite::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions,
    ExchangeDeclareOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::uri::AMQPUri;
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer,
    ExchangeKind, Queue,
};

use crate::board::name_for;
use crate::facts::{Outcome, equal, table};

/// Opens connections for one scenario and keeps them; lapin closes one that is dropped.
#[derive(Default)]
pub struct Client {
    open: Mutex<Vec<Arc<Connection>>>,
}

impl Client {
    /// A connection; `change` may alter where and how.
    pub async fn connect_with(
        &self,
        change: impl FnOnce(&mut AMQPUri),
    ) -> Outcome<lapin::Result<Arc<Connection>>> {
        let mut uri: AMQPUri = std::env::var("AMQP_URI")?.parse()?;
        if uri.vhost.is_empty() {
            uri.vhost = "/".to_owned();
        }
        change(&mut uri);
        let opened = Connection::connect_uri(uri, ConnectionProperties::default()).await;
        Ok(opened.map(|connection| {
            let connection = Arc::new(connection);
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.push(Arc::clone(&connection));
            connection
        }))
    }

    /// A connection.
    pub async fn connect(&self) -> Outcome<Arc<Connection>> {
        Ok(self.connect_with(|_| {}).await??)
    }

    /// A channel in confirm mode of a connection of its own.
    pub async fn channel(&self) -> Outcome<Channel> {
        open_channel(&*self.connect().await?).await
    }
}

/// A channel in confirm mode.
pub async fn open_channel(connection: &Connection) -> Outcome<Channel> {
    let channel = connection.create_channel().await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    Ok(channel)
}

/// An exclusive queue with this name.
pub async fn exclusive(
    channel: &Channel,
    name: &str,
    arguments: FieldTable,
) -> lapin::Result<Queue> {
    channel
        .queue_declare(name.into(), QueueDeclareOptions::exclusive(), arguments)
        .await
}

/// An exclusive queue with a name of its own.
pub async fn queue<const N: usize>(
    channel: &Channel,
    arguments: [(&str, AMQPValue); N],
) -> Outcome<String> {
    let declared = exclusive(channel, &name_for("queue"), table(arguments)).await?;
    Ok(declared.name().to_string())
}

/// A durable queue other connections may use; it expires by itself.
pub async fn shared_queue(channel: &Channel) -> Outcome<String> {
    let name = name_for("shared");
    let expires = table([("x-expires", AMQPValue::LongInt(60_000))]);
    channel
        .queue_declare(
            name.as_str().into(),
            QueueDeclareOptions::durable(),
            expires,
        )
        .await?;
    Ok(name)
}

/// Declares an auto-delete exchange.
pub async fn declare_exchange(
    channel: &Channel,
    name: &str,
    kind: ExchangeKind,
    arguments: FieldTable,
) -> lapin::Result<()> {
    let options = ExchangeDeclareOptions {
        auto_delete: true,
        ..Default::default()
    };
    channel
        .exchange_declare(name.into(), kind, options, arguments)
        .await
}

/// An auto-delete exchange with a name of its own.
pub async fn exchange(channel: &Channel, kind: ExchangeKind) -> Outcome<String> {
    let name = name_for("exchange");
    declare_exchange(channel, &name, kind, FieldTable::default()).await?;
    Ok(name)
}

/// Binds a queue without arguments.
pub async fn bind(channel: &Channel, queue: &str, exchange: &str, key: &str) -> lapin::Result<()> {
    let arguments = FieldTable::default();
    channel
        .queue_bind(
            queue.into(),
            exchange.into(),
            key.into(),
            Default::default(),
            arguments,
        )
        .await
}

/// Publishes and waits for the confirm where there is one.
pub async fn publish_to(
    channel: &Channel,
    (exchange, key): (&str, &str),
    body: &[u8],
    mandatory: bool,
    properties: BasicProperties,
) -> lapin::Result<Confirmation> {
    let options = BasicPublishOptions {
        mandatory,
        immediate: false,
    };
    channel
        .basic_publish(exchange.into(), key.into(), options, body, properties)
        .await?
        .await
}

/// Publishes by way of the default exchange; a nack fails.
pub async fn publish_message(
    channel: &Channel,
    queue: &str,
    body: &[u8],
    properties: BasicProperties,
) -> Outcome {
    let outcome = publish_to(channel, ("", queue), body, false, properties).await?;
    equal(outcome.is_nack(), false, "the publish is nacked")
}

/// Publishes texts by way of the default exchange.
pub async fn publish(channel: &Channel, queue: &str, bodies: &[&str]) -> Outcome {
    for body in bodies {
        publish_message(channel, queue, body.as_bytes(), BasicProperties::default()).await?;
    }
    Ok(())
}

/// A consumer that acks by itself.
pub async fn consume(channel: &Channel, queue: &str, tag: &str) -> lapin::Result<Consumer> {
    let options = BasicConsumeOptions::default();
    channel
        .basic_consume(queue.into(), tag.into(), options, FieldTable::default())
        .await
}

/// A consumer without acks.
pub async fn consume_no_ack(channel: &Channel, queue: &str) -> lapin::Result<Consumer> {
    let options = BasicConsumeOptions {
        no_ack: true,
        ..Default::default()
    };
    channel
        .basic_consume(queue.into(), "".into(), options, FieldTable::default())
        .await
}

/// The next delivery.
pub async fn one(consumer: &mut Consumer) -> Outcome<Delivery> {
    Ok(consumer.next().await.ok_or("the consumer ended")??)
}

/// The next deliveries.
pub async fn take(consumer: &mut Consumer, count: usize) -> Outcome<Vec<Delivery>> {
    let mut taken = Vec::with_capacity(count);
    while taken.len() < count {
        taken.push(one(consumer).await?);
    }
    Ok(taken)
}

/// A delivery's body as text, and whether it was delivered before.
pub fn seen(delivery: &Delivery) -> (String, bool) {
    (
        String::from_utf8_lossy(&delivery.data).into_owned(),
        delivery.redelivered,
    )
}

/// The bodies of all ready messages.
pub async fn drain(channel: &Channel, queue: &str) -> Outcome<Vec<String>> {
    let mut bodies = Vec::new();
    let options = BasicGetOptions { no_ack: true };
    while let Some(message) = channel.basic_get(queue.into(), options).await? {
        bodies.push(seen(&message).0);
    }
    Ok(bodies)
}

/// A passive declare.
pub async fn look(channel: &Channel, queue: &str) -> lapin::Result<Queue> {
    let options = QueueDeclareOptions::default().passive();
    channel
        .queue_declare(queue.into(), options, FieldTable::default())
        .await
}

/// The number of ready messages.
pub async fn ready(channel: &Channel, queue: &str) -> Outcome<u32> {
    Ok(look(channel, queue).await?.message_count())
}
