//! Publishing, confirms, returns, transactions and bodies with lapin.

use std::cmp::Reverse;

use lapin::options::{BasicAckOptions, BasicGetOptions, BasicPublishOptions, BasicRecoverOptions};
use lapin::types::AMQPValue;
use lapin::{BasicProperties, Channel, Confirmation};

use crate::board::Scenario;
use crate::client::{
    Client, consume, consume_no_ack, drain, one, open_channel, publish, publish_message,
    publish_to, queue, ready, seen, shared_queue,
};
use crate::facts::{FRAME_OVERHEAD, Outcome, PRIORITIES, equal, headers, table, text};

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    ("confirm", |c| Box::pin(confirm(c))),
    ("confirm-nack", |c| Box::pin(confirm_nack(c))),
    ("return-before-confirm", |s| {
        Box::pin(return_before_confirm(s))
    }),
    ("tx-commit", |c| Box::pin(tx_commit(c))),
    ("tx-rollback", |c| Box::pin(tx_rollback(c))),
    ("priorities", |c| Box::pin(priorities(c))),
    ("large-message", |c| Box::pin(large_message(c))),
    ("empty-message", |c| Box::pin(empty_message(c))),
    ("header-tables", |c| Box::pin(header_tables(c))),
];

const LARGE_BYTES: usize = 5 * 1024 * 1024;

async fn confirm(c: &Client) -> Outcome {
    let channel = c.channel().await?;
    let name = shared_queue(&channel).await?;
    let bodies: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    let mut confirms = Vec::new();
    for body in &bodies {
        let persistent = BasicProperties::default().with_delivery_mode(2);
        let options = BasicPublishOptions::default();
        let to = name.as_str().into();
        let body = body.as_bytes();
        confirms.push(
            channel
                .basic_publish("".into(), to, options, body, persistent)
                .await?,
        );
    }
    for confirm in confirms {
        equal(
            confirm.await?,
            Confirmation::Ack(None),
            "the answer to the publish",
        )?;
    }
    equal(drain(&channel, &name).await?, bodies, "confirmed messages")?;
    channel
        .queue_delete(name.into(), Default::default())
        .await?;
    Ok(())
}

async fn confirm_nack(c: &Client) -> Outcome {
    let channel = c.channel().await?;
    let overflow = ("x-overflow", text("reject-publish"));
    let name = queue(
        &channel,
        [("x-max-length", AMQPValue::LongInt(1)), overflow],
    )
    .await?;
    publish(&channel, &name, &["fits"]).await?;
    let properties = BasicProperties::default();
    let outcome = publish_to(&channel, ("", &name), b"does not", false, properties).await?;
    equal(
        outcome,
        Confirmation::Nack(None),
        "the answer to the second publish",
    )?;
    equal(
        drain(&channel, &name).await?,
        ["fits"],
        "the queue's messages",
    )
}

/// lapin puts a returned message into the confirmation only if it came before it.
async fn return_before_confirm(c: &Client) -> Outcome {
    let channel = c.channel().await?;
    let sent_headers = table([("n", AMQPValue::LongInt(1))]);
    let properties = || {
        let plain = BasicProperties::default().with_message_id("m1".into());
        plain.with_headers(sent_headers.clone())
    };
    let route = ("amq.direct", "nobody.home");
    let outcome = publish_to(&channel, route, b"back", true, properties()).await?;
    let Confirmation::Ack(Some(back)) = outcome else {
        return Err(format!("a return before the ack expected, not {outcome:?}").into());
    };
    equal(
        (back.reply_code, back.reply_text.as_str()),
        (312, "NO_ROUTE"),
        "basic.return",
    )?;
    equal(
        (back.exchange.as_str(), back.routing_key.as_str()),
        route,
        "route",
    )?;
    equal(seen(&back).0, "back", "returned body")?;
    equal(back.properties.clone(), properties(), "returned properties")?;
    let name = queue(&channel, []).await?;
    let outcome = publish_to(&channel, ("", &name), b"routable", true, properties()).await?;
    equal(
        outcome,
        Confirmation::Ack(None),
        "the answer to a routable message",
    )
}

/// Gets and acks one message.
async fn ack_one(channel: &Channel, queue: &str) -> Outcome {
    let got = channel
        .basic_get(queue.into(), BasicGetOptions::default())
        .await?;
    let tag = got.ok_or("a message expected")?.delivery_tag;
    Ok(channel.basic_ack(tag, BasicAckOptions::default()).await?)
}

async fn tx_commit(c: &Client) -> Outcome {
    let channel = c.connect().await?.create_channel().await?;
    let name = queue(&channel, []).await?;
    channel.tx_select().await?;
    publish(&channel, &name, &["1", "2"]).await?;
    equal(ready(&channel, &name).await?, 0, "ready before commit")?;
    channel.tx_commit().await?;
    equal(ready(&channel, &name).await?, 2, "ready after commit")?;
    ack_one(&channel, &name).await?;
    channel.tx_commit().await?;
    channel
        .basic_recover(BasicRecoverOptions { requeue: true })
        .await?;
    equal(
        drain(&channel, &name).await?,
        ["2"],
        "left after a committed ack",
    )
}

async fn tx_rollback(c: &Client) -> Outcome {
    let connection = c.connect().await?;
    let channel = connection.create_channel().await?;
    let name = queue(&channel, []).await?;
    channel.tx_select().await?;
    publish(&channel, &name, &["kept"]).await?;
    channel.tx_commit().await?;
    ack_one(&channel, &name).await?;
    publish(&channel, &name, &["dropped"]).await?;
    channel.tx_rollback().await?;
    equal(ready(&channel, &name).await?, 0, "ready after rollback")?;
    channel.close(200, "done".into()).await?;
    let again = open_channel(&connection).await?;
    let back = one(&mut consume(&again, &name, "").await?).await?;
    equal(
        seen(&back),
        ("kept".to_owned(), true),
        "the message whose ack was undone",
    )
}

async fn priorities(c: &Client) -> Outcome {
    let channel = c.channel().await?;
    let name = queue(&channel, [("x-max-priority", AMQPValue::LongInt(10))]).await?;
    let mut expected = Vec::new();
    for (number, priority) in PRIORITIES.into_iter().enumerate() {
        let body = format!("{priority}:{number}");
        let properties = BasicProperties::default().with_priority(priority);
        publish_message(&channel, &name, body.as_bytes(), properties).await?;
        expected.push((priority, body));
    }
    expected.sort_by_key(|(priority, _)| Reverse(*priority));
    let expected: Vec<String> = expected.into_iter().map(|(_, body)| body).collect();
    equal(drain(&channel, &name).await?, expected, "order by priority")
}

async fn large_message(c: &Client) -> Outcome {
    let connection = c.connect().await?;
    let channel = open_channel(&connection).await?;
    let name = queue(&channel, []).await?;
    let large: Vec<u8> = (0..=250).cycle().take(LARGE_BYTES).collect();
    let edge = usize::try_from(connection.configuration().frame_max())? - FRAME_OVERHEAD;
    let sizes = [LARGE_BYTES, edge - 1, edge, edge + 1];
    for size in sizes {
        publish_message(&channel, &name, &large[..size], BasicProperties::default()).await?;
    }
    let mut consumer = consume_no_ack(&channel, &name).await?;
    for size in sizes {
        let body = one(&mut consumer).await?.data;
        equal(body.len(), size, "length of a large body")?;
        equal(
            body == large[..size],
            true,
            "content of a large body is unchanged",
        )?;
    }
    Ok(())
}

async fn empty_message(c: &Client) -> Outcome {
    let channel = c.channel().await?;
    let name = queue(&channel, []).await?;
    let properties = BasicProperties::default().with_message_id("empty".into());
    let properties = properties.with_content_type("text/plain".into());
    publish_message(&channel, &name, b"", properties.clone()).await?;
    publish(&channel, &name, &["next"]).await?;
    let mut consumer = consume_no_ack(&channel, &name).await?;
    let empty = one(&mut consumer).await?;
    equal(
        (empty.data.len(), &empty.properties),
        (0, &properties),
        "the empty message",
    )?;
    equal(
        seen(&one(&mut consumer).await?).0,
        "next",
        "the message after it",
    )
}

async fn header_tables(c: &Client) -> Outcome {
    let channel = c.channel().await?;
    let name = queue(&channel, []).await?;
    let properties = BasicProperties::default().with_headers(headers());
    publish_message(&channel, &name, b"", properties).await?;
    let back = one(&mut consume_no_ack(&channel, &name).await?)
        .await?
        .properties;
    let back = back.headers().clone().unwrap_or_default();
    for (header, value) in headers().inner() {
        equal(back.inner().get(header), Some(value), header.as_str())?;
    }
    equal(
        back.inner().len(),
        headers().inner().len(),
        "number of headers",
    )
}
