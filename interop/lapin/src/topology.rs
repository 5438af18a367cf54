//! Exchanges, queues and bindings with lapin.

use lapin::ExchangeKind::{Direct, Fanout, Topic};
use lapin::options::{ExchangeDeclareOptions, ExchangeDeleteOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel};

use crate::board::{Scenario, name_for};
use crate::client::{
    Client, bind, consume, declare_exchange, drain, exchange, exclusive, look, open_channel,
    publish, publish_to, queue, ready,
};
use crate::facts::{Outcome, closed_with, equal, routes, table, text};

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    ("exchange-types", |c| Box::pin(exchange_types(c))),
    ("exchange-bind", |c| Box::pin(exchange_bind(c))),
    ("alternate-exchange", |c| Box::pin(alternate_exchange(c))),
    ("passive", |c| Box::pin(passive(c))),
    ("server-named", |c| Box::pin(server_named(c))),
    ("delete-conditions", |c| Box::pin(delete_conditions(c))),
    ("redeclare-mismatch", |c| Box::pin(redeclare_mismatch(c))),
];

async fn exchange_types(c: &Client) -> Outcome {
    let channel = c.channel().await?;
    for route in routes() {
        let exchange = exchange(&channel, route.kind.clone()).await?;
        let queues = [queue(&channel, []).await?, queue(&channel, []).await?];
        for (index, (key, arguments)) in route.bindings {
            let queue = queues[index].as_str().into();
            let source = exchange.as_str().into();
            channel
                .queue_bind(queue, source, key.into(), Default::default(), arguments)
                .await?;
        }
        for (number, (key, headers)) in route.messages.into_iter().enumerate() {
            let properties = BasicProperties::default().with_headers(headers);
            let body = number.to_string();
            publish_to(
                &channel,
                (&exchange, key),
                body.as_bytes(),
                false,
                properties,
            )
            .await?;
        }
        for (queue, expected) in queues.iter().zip(route.arrive) {
            let what = format!("messages through {:?}", route.kind);
            equal(drain(&channel, queue).await?, expected, &what)?;
        }
    }
    Ok(())
}

/// Publishes a text with the mandatory flag as given.
async fn send(channel: &Channel, route: (&str, &str), body: &str, mandatory: bool) -> Outcome {
    let properties = BasicProperties::default();
    let outcome = publish_to(channel, route, body.as_bytes(), mandatory, properties).await?;
    equal(
        outcome,
        lapin::Confirmation::Ack(None),
        "the answer to the publish",
    )
}

async fn exchange_bind(c: &Client) -> Outcome {
    let channel = c.channel().await?;
    let source = exchange(&channel, Topic).await?;
    let target = exchange(&channel, Fanout).await?;
    let queue_name = queue(&channel, []).await?;
    bind(&channel, &queue_name, &target, "").await?;
    bind(
        &channel,
        &queue(&channel, []).await?,
        &source,
        "keeps.it.alive",
    )
    .await?;
    let (to, from) = (target.as_str(), source.as_str());
    let none = FieldTable::default;
    channel
        .exchange_bind(
            to.into(),
            from.into(),
            "k.#".into(),
            Default::default(),
            none(),
        )
        .await?;
    send(&channel, (&source, "k.1"), "crosses", false).await?;
    equal(
        drain(&channel, &queue_name).await?,
        ["crosses"],
        "through two exchanges",
    )?;
    channel
        .exchange_unbind(
            to.into(),
            from.into(),
            "k.#".into(),
            Default::default(),
            none(),
        )
        .await?;
    send(&channel, (&source, "k.2"), "stays", false).await?;
    equal(
        drain(&channel, &queue_name).await?,
        [""; 0],
        "after exchange.unbind",
    )
}

async fn alternate_exchange(c: &Client) -> Outcome {
    let channel = c.channel().await?;
    let alternate = exchange(&channel, Fanout).await?;
    let name = name_for("direct");
    let arguments = table([("alternate-exchange", text(&alternate))]);
    declare_exchange(&channel, &name, Direct, arguments).await?;
    let (own, rest) = (queue(&channel, []).await?, queue(&channel, []).await?);
    bind(&channel, &own, &name, "own").await?;
    bind(&channel, &rest, &alternate, "").await?;
    send(&channel, (&name, "own"), "bound", true).await?;
    send(&channel, (&name, "other"), "unbound", true).await?;
    equal(drain(&channel, &own).await?, ["bound"], "the bound queue")?;
    equal(
        drain(&channel, &rest).await?,
        ["unbound"],
        "the alternate exchange's queue",
    )
}

async fn passive(c: &Client) -> Outcome {
    let channel = c.channel().await?;
    let name = queue(&channel, []).await?;
    publish(&channel, &name, &["1", "2", "3"]).await?;
    let found = look(&channel, &name).await?;
    equal(found.name().as_str(), name.as_str(), "name in declare-ok")?;
    equal(
        (found.message_count(), found.consumer_count()),
        (3, 0),
        "counts in declare-ok",
    )?;
    let options = ExchangeDeclareOptions {
        passive: true,
        ..Default::default()
    };
    let none = FieldTable::default;
    channel
        .exchange_declare("amq.topic".into(), Topic, options, none())
        .await?;
    let missing = name_for("missing");
    let no_queue = format!("NOT_FOUND - no queue '{missing}' in vhost '/'");
    closed_with(look(&channel, &missing).await, 404, &[&no_queue])?;
    let other = c.channel().await?;
    let declared = other
        .exchange_declare(missing.as_str().into(), Topic, options, none())
        .await;
    let no_exchange = format!("NOT_FOUND - no exchange '{missing}' in vhost '/'");
    closed_with(declared, 404, &[&no_exchange])
}

async fn server_named(c: &Client) -> Outcome {
    let channel = c.channel().await?;
    let first = exclusive(&channel, "", FieldTable::default())
        .await?
        .name()
        .to_string();
    let second = exclusive(&channel, "", FieldTable::default())
        .await?
        .name()
        .to_string();
    for name in [&first, &second] {
        equal(name.starts_with("amq.gen-"), true, name)?;
    }
    equal(first == second, false, "the two names are the same")?;
    publish(&channel, &first, &["found"]).await?;
    equal(drain(&channel, &first).await?, ["found"], "the first queue")?;
    equal(drain(&channel, &second).await?, [""; 0], "the second queue")
}

async fn delete_conditions(c: &Client) -> Outcome {
    let connection = c.connect().await?;
    let using = open_channel(&connection).await?;
    let name = queue(&using, []).await?;
    let _consumer = consume(&using, &name, "").await?;
    let plain = QueueDeleteOptions::default();
    let unused = QueueDeleteOptions {
        if_unused: true,
        ..plain
    };
    let in_use = ["PRECONDITION_FAILED", "in use"];
    closed_with(
        using.queue_delete(name.as_str().into(), unused).await,
        406,
        &in_use,
    )?;
    let filling = open_channel(&connection).await?;
    publish(&filling, &name, &["kept"]).await?;
    let empty = QueueDeleteOptions {
        if_empty: true,
        ..plain
    };
    let not_empty = ["PRECONDITION_FAILED", "not empty"];
    closed_with(
        filling.queue_delete(name.as_str().into(), empty).await,
        406,
        &not_empty,
    )?;
    let binding = open_channel(&connection).await?;
    let source = exchange(&binding, Direct).await?;
    bind(&binding, &name, &source, "key").await?;
    let unused = ExchangeDeleteOptions {
        if_unused: true,
        ..Default::default()
    };
    closed_with(
        binding
            .exchange_delete(source.as_str().into(), unused)
            .await,
        406,
        &in_use,
    )?;
    let deleting = open_channel(&connection).await?;
    equal(
        deleting.queue_delete(name.as_str().into(), plain).await?,
        1,
        "messages deleted",
    )?;
    equal(
        deleting.queue_delete(name.as_str().into(), plain).await?,
        0,
        "deleted once more",
    )
}

async fn redeclare_mismatch(c: &Client) -> Outcome {
    let connection = c.connect().await?;
    let channel = open_channel(&connection).await?;
    let (name, source) = (name_for("queue"), name_for("exchange"));
    let ttl = |ms| table([("x-message-ttl", AMQPValue::LongInt(ms))]);
    let none = FieldTable::default;
    for _ in 0..2 {
        exclusive(&channel, &name, ttl(10_000)).await?;
        declare_exchange(&channel, &source, Direct, none()).await?;
    }
    equal(ready(&channel, &name).await?, 0, "declared twice")?;
    let other_ttl = "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl'";
    closed_with(
        exclusive(&channel, &name, ttl(20_000)).await,
        406,
        &[other_ttl, &name],
    )?;
    let channel = open_channel(&connection).await?;
    let other_type = "PRECONDITION_FAILED - inequivalent arg 'type'";
    let redeclared = declare_exchange(&channel, &source, Fanout, none()).await;
    closed_with(redeclared, 406, &[other_type, &source])?;
    let channel = open_channel(&connection).await?;
    Ok(channel
        .exchange_delete(source.as_str().into(), Default::default())
        .await?)
}
