//! Connections, channels and the scope of errors with lapin.

use futures_lite::StreamExt;
use lapin::BasicProperties;
use lapin::options::{BasicAckOptions, BasicPublishOptions};
use lapin::types::FieldTable;

use crate::board::{Scenario, name_for};
use crate::client::{
    Client, consume, consume_no_ack, drain, exclusive, look, one, open_channel, publish,
    publish_message, publish_to, queue, seen,
};
use crate::facts::{Outcome, WRONG_PASSWORD_TEXT, closed_with, equal, text};

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    ("exclusive-queue", |c| Box::pin(exclusive_queue(c))),
    ("error-closes-channel", |s| {
        Box::pin(error_closes_channel(s))
    }),
    ("error-closes-connection", |s| {
        Box::pin(error_closes_connection(s))
    }),
    ("many-channels", |c| Box::pin(many_channels(c))),
    ("reconnect", |c| Box::pin(reconnect(c))),
    ("heartbeat", |c| Box::pin(heartbeat(c))),
    ("wrong-password", |c| Box::pin(wrong_password(c))),
    ("unknown-vhost", |c| Box::pin(unknown_vhost(c))),
];

const IDLE_MS: &str = "4000";

async fn exclusive_queue(c: &Client) -> Outcome {
    let (owner, other) = (c.channel().await?, c.connect().await?);
    let name = queue(&owner, []).await?;
    let locked =
        format!("RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{name}'");
    closed_with(
        look(&open_channel(&other).await?, &name).await,
        405,
        &[&locked],
    )?;
    closed_with(
        consume(&open_channel(&other).await?, &name, "").await,
        405,
        &[&locked],
    )?;
    publish(&owner, &name, &["still mine"]).await?;
    equal(
        drain(&owner, &name).await?,
        ["still mine"],
        "the owner's queue",
    )
}

async fn error_closes_channel(c: &Client) -> Outcome {
    let connection = c.connect().await?;
    let (failing, steady) = (
        open_channel(&connection).await?,
        open_channel(&connection).await?,
    );
    let missing = name_for("missing");
    let lost = publish_to(&failing, (&missing, ""), b"lost", false, Default::default()).await;
    let no_exchange = format!("NOT_FOUND - no exchange '{missing}' in vhost '/'");
    closed_with(lost, 404, &[&no_exchange])?;
    let name = queue(&steady, []).await?;
    publish(&steady, &name, &["goes on"]).await?;
    equal(
        drain(&steady, &name).await?,
        ["goes on"],
        "the other channel",
    )?;
    let again = open_channel(&connection).await?;
    let mut consumer = consume(&again, &name, "").await?;
    again.basic_ack(77, BasicAckOptions::default()).await?;
    let end = consumer
        .next()
        .await
        .ok_or("the reason of the close expected")?;
    closed_with(end, 406, &["PRECONDITION_FAILED - unknown delivery tag 77"])?;
    publish(&steady, &name, &["still"]).await
}

async fn error_closes_connection(c: &Client) -> Outcome {
    let connection = c.connect().await?;
    let channel = open_channel(&connection).await?;
    let immediate = BasicPublishOptions {
        immediate: true,
        mandatory: false,
    };
    let properties = BasicProperties::default();
    let published = channel
        .basic_publish("amq.direct".into(), "".into(), immediate, b"", properties)
        .await?;
    closed_with(published.await, 540, &["NOT_IMPLEMENTED - immediate=true"])?;
    equal(
        connection.status().connected(),
        false,
        "the connection is open",
    )
}

async fn many_channels(c: &Client) -> Outcome {
    let connection = c.connect().await?;
    let mut channels = Vec::new();
    for _ in 0..200 {
        let channel = open_channel(&connection).await?;
        let name = exclusive(&channel, "", FieldTable::default())
            .await?
            .name()
            .to_string();
        channels.push((channel, name));
    }
    for (channel, name) in &channels {
        publish(channel, name, &[name]).await?;
    }
    for (channel, name) in channels.iter().rev() {
        equal(drain(channel, name).await?, [name.as_str()], name)?;
    }
    Ok(())
}

async fn reconnect(c: &Client) -> Outcome {
    let name = name_for("again");
    for _ in 0..5 {
        let connection = c.connect().await?;
        let channel = open_channel(&connection).await?;
        let declared = exclusive(&channel, &name, FieldTable::default()).await?;
        equal(declared.message_count(), 0, "messages of the new queue")?;
        publish(&channel, &name, &["dies with its queue"]).await?;
        connection.close(200, "done".into()).await?;
    }
    Ok(())
}

/// The wait is a message that expires later: nothing else moves on the connection.
async fn heartbeat(c: &Client) -> Outcome {
    let connection = c
        .connect_with(|uri| uri.query.heartbeat = Some(1))
        .await??;
    equal(
        connection.configuration().heartbeat(),
        1,
        "the negotiated interval",
    )?;
    let channel = open_channel(&connection).await?;
    let target = queue(&channel, []).await?;
    let to_default = ("x-dead-letter-exchange", text(""));
    let waiting = queue(
        &channel,
        [to_default, ("x-dead-letter-routing-key", text(&target))],
    )
    .await?;
    let mut consumer = consume_no_ack(&channel, &target).await?;
    let late = BasicProperties::default().with_expiration(IDLE_MS.into());
    publish_message(&channel, &waiting, b"after the idle time", late).await?;
    equal(
        seen(&one(&mut consumer).await?).0,
        "after the idle time",
        "delivered when idle",
    )?;
    equal(
        connection.status().connected(),
        true,
        "the connection is open",
    )
}

async fn wrong_password(c: &Client) -> Outcome {
    let wrong = "wrong".to_owned();
    let refused = c
        .connect_with(|uri| uri.authority.userinfo.password = wrong)
        .await?;
    closed_with(refused.map(|_| ()), 403, &[WRONG_PASSWORD_TEXT])
}

async fn unknown_vhost(c: &Client) -> Outcome {
    let name = name_for("vhost");
    let refused = c.connect_with(|uri| uri.vhost = name.clone()).await?;
    let not_found = format!("NOT_ALLOWED - vhost {name} not found");
    closed_with(refused.map(|_| ()), 530, &[&not_found])
}
