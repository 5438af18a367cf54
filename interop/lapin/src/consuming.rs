//! Consuming, settling, prefetch, get and dead letters with lapin.

use futures_lite::{StreamExt, future};
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicGetOptions, BasicNackOptions, BasicRecoverOptions,
    BasicRejectOptions,
};
use lapin::types::AMQPValue;
use lapin::{BasicProperties, Channel, ExchangeKind};

use crate::board::Scenario;
use crate::client::{
    Client, bind, consume, consume_no_ack, drain, exchange, one, open_channel, publish,
    publish_message, queue, ready, seen, shared_queue, take,
};
use crate::facts::{Outcome, equal, single_death, table, text};

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    ("consume-order", |c| Box::pin(consume_order(c))),
    ("requeue", |c| Box::pin(requeue(c))),
    ("ack-multiple", |c| Box::pin(ack_multiple(c))),
    ("reject", |c| Box::pin(reject(c))),
    ("prefetch", |c| Box::pin(prefetch(c))),
    ("get", |c| Box::pin(get(c))),
    ("ttl-dead-letter", |c| Box::pin(ttl_dead_letter(c))),
    ("direct-reply-to", |c| Box::pin(direct_reply_to(c))),
    ("consumer-cancel-notify", |s| {
        Box::pin(consumer_cancel_notify(s))
    }),
];

const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
const ONE: BasicAckOptions = BasicAckOptions { multiple: false };
const UP_TO: BasicAckOptions = BasicAckOptions { multiple: true };

fn fresh(body: &str) -> (String, bool) {
    (body.to_owned(), false)
}

fn again(body: &str) -> (String, bool) {
    (body.to_owned(), true)
}

async fn consume_order(c: &Client) -> Outcome {
    let channel = c.channel().await?;
    let name = queue(&channel, []).await?;
    publish(&channel, &name, &DIGITS).await?;
    let mut consumer = consume(&channel, &name, "mine").await?;
    equal(consumer.tag().as_str(), "mine", "the consumer's tag")?;
    for (body, tag) in DIGITS.into_iter().zip(1_u64..) {
        let delivery = one(&mut consumer).await?;
        equal(seen(&delivery), fresh(body), "order, none redelivered")?;
        equal(delivery.delivery_tag, tag, "delivery tag")?;
        let route = (delivery.exchange.as_str(), delivery.routing_key.as_str());
        equal(route, ("", name.as_str()), "exchange and key")?;
        delivery.ack(ONE).await?;
    }
    equal(
        settled_count(&channel, &name, "mine").await?,
        0,
        "left after the acks",
    )
}

/// What is ready once the consumer is gone and all unacked messages are back.
async fn settled_count(channel: &Channel, queue: &str, tag: &str) -> Outcome<u32> {
    channel
        .basic_cancel(tag.into(), BasicCancelOptions::default())
        .await?;
    channel
        .basic_recover(BasicRecoverOptions { requeue: true })
        .await?;
    ready(channel, queue).await
}

async fn requeue(c: &Client) -> Outcome {
    let connection = c.connect().await?;
    let channel = open_channel(&connection).await?;
    let name = queue(&channel, []).await?;
    publish(&channel, &name, &["a", "b"]).await?;
    channel.basic_qos(1, Default::default()).await?;
    let mut consumer = consume(&channel, &name, "").await?;
    let first = one(&mut consumer).await?;
    equal(seen(&first), fresh("a"), "the first delivery")?;
    first
        .nack(BasicNackOptions {
            multiple: false,
            requeue: true,
        })
        .await?;
    let second = one(&mut consumer).await?;
    equal(seen(&second), again("a"), "after the nack")?;
    second.ack(ONE).await?;
    equal(
        seen(&one(&mut consumer).await?),
        fresh("b"),
        "the second message",
    )?;
    channel.close(200, "done".into()).await?;
    let other = open_channel(&connection).await?;
    let back = one(&mut consume(&other, &name, "").await?).await?;
    equal(seen(&back), again("b"), "after its channel closed")
}

async fn ack_multiple(c: &Client) -> Outcome {
    let channel = c.channel().await?;
    let name = queue(&channel, []).await?;
    publish(&channel, &name, &DIGITS[..7]).await?;
    let mut consumer = consume(&channel, &name, "mine").await?;
    let taken = take(&mut consumer, 7).await?;
    taken[2].ack(UP_TO).await?;
    taken[4]
        .nack(BasicNackOptions {
            multiple: true,
            requeue: false,
        })
        .await?;
    taken[5].ack(ONE).await?;
    equal(
        settled_count(&channel, &name, "mine").await?,
        1,
        "left unsettled",
    )?;
    equal(
        drain(&channel, &name).await?,
        ["6"],
        "the unsettled message",
    )
}

async fn reject(c: &Client) -> Outcome {
    let channel = c.channel().await?;
    let name = queue(&channel, []).await?;
    publish(&channel, &name, &["gone", "back"]).await?;
    let mut consumer = consume(&channel, &name, "mine").await?;
    let taken = take(&mut consumer, 2).await?;
    taken[0]
        .reject(BasicRejectOptions { requeue: false })
        .await?;
    taken[1]
        .reject(BasicRejectOptions { requeue: true })
        .await?;
    let back = one(&mut consumer).await?;
    equal(seen(&back), again("back"), "the requeued message")?;
    back.ack(ONE).await?;
    equal(settled_count(&channel, &name, "mine").await?, 0, "left")
}

async fn prefetch(c: &Client) -> Outcome {
    let channel = c.channel().await?;
    let name = queue(&channel, []).await?;
    publish(&channel, &name, &DIGITS).await?;
    channel.basic_qos(3, Default::default()).await?;
    let mut consumer = consume(&channel, &name, "").await?;
    let taken = take(&mut consumer, 3).await?;
    equal(
        ready(&channel, &name).await?,
        7,
        "ready while three are out",
    )?;
    taken[0].ack(ONE).await?;
    let fourth = one(&mut consumer).await?;
    equal(seen(&fourth), fresh("3"), "let through by one ack")?;
    equal(ready(&channel, &name).await?, 6, "ready after one ack")?;
    fourth.ack(UP_TO).await?;
    take(&mut consumer, 3).await?;
    equal(ready(&channel, &name).await?, 3, "ready after acking all")?;
    let more = future::poll_once(consumer.next()).await;
    equal(
        more.is_some(),
        false,
        "a delivery beyond the prefetch count",
    )
}

async fn get(c: &Client) -> Outcome {
    let channel = c.channel().await?;
    let name = queue(&channel, []).await?;
    let sent = BasicProperties::default()
        .with_message_id("m".into())
        .with_content_type("text/plain".into())
        .with_priority(3)
        .with_correlation_id("c".into())
        .with_type("t".into())
        .with_app_id("a".into())
        .with_timestamp(1_700_000_000);
    publish_message(&channel, &name, b"1", sent.clone()).await?;
    publish(&channel, &name, &["2"]).await?;
    let options = BasicGetOptions::default();
    let first = channel.basic_get(name.as_str().into(), options).await?;
    let first = first.ok_or("a message expected")?;
    let route = (first.exchange.as_str(), first.routing_key.as_str());
    equal(route, ("", name.as_str()), "exchange and key")?;
    equal(
        (first.message_count, first.delivery_tag),
        (1, 1),
        "count left and tag",
    )?;
    equal(seen(&first), fresh("1"), "body and redelivered")?;
    equal(&first.properties, &sent, "properties")?;
    first.ack(ONE).await?;
    let no_ack = BasicGetOptions { no_ack: true };
    let last = channel.basic_get(name.as_str().into(), no_ack).await?;
    let last = last.ok_or("a second message expected")?;
    equal(
        (last.message_count, last.delivery_tag),
        (0, 2),
        "the second get-ok",
    )?;
    let none = channel.basic_get(name.into(), options).await?;
    equal(none.is_none(), true, "get-empty")
}

async fn ttl_dead_letter(c: &Client) -> Outcome {
    let channel = c.channel().await?;
    let target = queue(&channel, []).await?;
    let letters = exchange(&channel, ExchangeKind::Direct).await?;
    bind(&channel, &target, &letters, "dead").await?;
    let to = ("x-dead-letter-exchange", text(&letters));
    let source = queue(&channel, [to, ("x-dead-letter-routing-key", text("dead"))]).await?;
    let mut consumer = consume(&channel, &target, "").await?;
    let late = BasicProperties::default().with_expiration("50".into());
    let late = late.with_headers(table([("mine", AMQPValue::LongInt(1))]));
    publish_message(&channel, &source, b"late", late).await?;
    let expired = one(&mut consumer).await?;
    let headers = expired.properties.headers().clone().unwrap_or_default();
    let death = single_death(&headers, &source, "expired", "", &source)?;
    let original = death.inner().get("original-expiration").cloned();
    equal(original, Some(text("50")), "original-expiration")?;
    let route = (expired.exchange.as_str(), expired.routing_key.as_str());
    equal(route, (letters.as_str(), "dead"), "new route")?;
    equal(
        expired.properties.expiration().is_none(),
        true,
        "expiration is gone",
    )?;
    equal(
        headers.inner().get("mine"),
        Some(&AMQPValue::LongInt(1)),
        "own header",
    )?;
    publish(&channel, &source, &["bad"]).await?;
    let bad = channel
        .basic_get(source.as_str().into(), BasicGetOptions::default())
        .await?;
    bad.ok_or("a message expected")?
        .reject(BasicRejectOptions { requeue: false })
        .await?;
    let rejected = one(&mut consumer).await?.properties;
    let headers = rejected.headers().clone().unwrap_or_default();
    single_death(&headers, &source, "rejected", "", &source)?;
    Ok(())
}

async fn direct_reply_to(c: &Client) -> Outcome {
    let (asking, answering) = (c.channel().await?, c.channel().await?);
    let requests = shared_queue(&answering).await?;
    let mut server = consume_no_ack(&answering, &requests).await?;
    let mut answers = consume_no_ack(&asking, "amq.rabbitmq.reply-to").await?;
    let id = BasicProperties::default().with_correlation_id("7".into());
    let asked = id.clone().with_reply_to("amq.rabbitmq.reply-to".into());
    publish_message(&asking, &requests, b"question", asked).await?;
    let request = one(&mut server).await?;
    let reply_to = request
        .properties
        .reply_to()
        .clone()
        .ok_or("a reply-to expected")?;
    let rewritten = reply_to.as_str().starts_with("amq.rabbitmq.reply-to.");
    equal(rewritten, true, "reply-to is rewritten")?;
    publish_message(&answering, reply_to.as_str(), b"answer", id.clone()).await?;
    let answer = one(&mut answers).await?;
    equal(
        (seen(&answer).0.as_str(), &answer.properties),
        ("answer", &id),
        "the answer",
    )?;
    answering
        .queue_delete(requests.into(), Default::default())
        .await?;
    Ok(())
}

async fn consumer_cancel_notify(c: &Client) -> Outcome {
    let (channel, other) = (c.channel().await?, c.channel().await?);
    let name = shared_queue(&channel).await?;
    let mut consumer = consume(&channel, &name, "").await?;
    other.queue_delete(name.into(), Default::default()).await?;
    equal(
        consumer.next().await.is_none(),
        true,
        "the consumer's deliveries end",
    )?;
    let own = queue(&channel, []).await?;
    publish(&channel, &own, &["the channel goes on"]).await
}
