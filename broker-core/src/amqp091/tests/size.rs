//! What an idle connection with a channel costs in memory of its own.

use std::mem::size_of;

use crate::amqp091::channel::Channel;
use crate::amqp091::connection::Connection;
use crate::amqp091::session::{ChannelEntry, Session};
use crate::inbox::Inbox;

#[test]
fn an_idle_connection_with_a_channel_is_small() {
    let parts = [
        ("connection", size_of::<Connection>()),
        ("channel", size_of::<Channel>()),
        ("session", size_of::<Session>()),
        ("channel entry", size_of::<ChannelEntry>()),
        ("inbox", size_of::<Inbox>()),
    ];
    let total: usize = parts.iter().map(|(_, size)| size).sum();
    assert!(total <= 1400, "{total} bytes: {parts:?}");
}
