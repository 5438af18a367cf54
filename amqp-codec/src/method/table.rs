//! The table of methods: AMQP 0-9-1 and RabbitMQ's extensions, each method written down once.
//!
//! How a row reads is told in `grammar`. The tests hold a second copy of ids and fields.

use super::args::{ArgReader, ArgWriter};
use super::grammar::{arg_kind, arg_name, arg_type, dashed, is_content, is_sync, methods};
use super::{FieldKind, FieldSpec, MethodId, MethodSpec};
use crate::error::{DecodeError, EncodeError};

methods! {
    /// Opening, tuning and closing a connection; always on channel 0.
    connection = 10 {
        /// The server names its versions, mechanisms and locales.
        10 "start" Start<'a> as ConnectionStart [sync] {
            version_major: octet, version_minor: octet, server_properties: table,
            mechanisms: longstr, locales: longstr,
        }
        /// The client chooses a mechanism and gives its first response.
        11 "start-ok" StartOk<'a> as ConnectionStartOk [] {
            client_properties: table, mechanism: shortstr, response: longstr, locale: shortstr,
        }
        /// The server asks for more authentication.
        20 "secure" Secure<'a> as ConnectionSecure [sync] { challenge: longstr }
        /// The client answers a challenge.
        21 "secure-ok" SecureOk<'a> as ConnectionSecureOk [] { response: longstr }
        /// The server proposes limits.
        30 "tune" Tune as ConnectionTune [sync] {
            channel_max: short, frame_max: long, heartbeat: short,
        }
        /// The client settles the limits.
        31 "tune-ok" TuneOk as ConnectionTuneOk [] {
            channel_max: short, frame_max: long, heartbeat: short,
        }
        /// The client chooses a virtual host.
        40 "open" Open<'a> as ConnectionOpen [sync] {
            virtual_host: shortstr, capabilities: shortstr, insist: bit,
        }
        /// The connection is open.
        41 "open-ok" OpenOk<'a> as ConnectionOpenOk [] { known_hosts: shortstr }
        /// Either side closes the connection, with a reason.
        50 "close" Close<'a> as ConnectionClose [sync] {
            reply_code: short, reply_text: shortstr, class_id: short, method_id: short,
        }
        /// The connection is closed.
        51 "close-ok" CloseOk as ConnectionCloseOk [] {}
        /// The server has stopped taking messages from this connection.
        60 "blocked" Blocked<'a> as ConnectionBlocked [] { reason: shortstr }
        /// The server takes messages again.
        61 "unblocked" Unblocked as ConnectionUnblocked [] {}
        /// The client replaces the secret it authenticated with.
        70 "update-secret" UpdateSecret<'a> as ConnectionUpdateSecret [sync] {
            new_secret: longstr, reason: shortstr,
        }
        /// The new secret was accepted.
        71 "update-secret-ok" UpdateSecretOk as ConnectionUpdateSecretOk [] {}
    }

    /// Opening and closing channels, and pausing their content.
    channel = 20 {
        /// Opens a channel.
        10 "open" Open<'a> as ChannelOpen [sync] { out_of_band: shortstr }
        /// The channel is open.
        11 "open-ok" OpenOk<'a> as ChannelOpenOk [] { channel_id: longstr }
        /// Asks the other side to pause or resume content.
        20 "flow" Flow as ChannelFlow [sync] { active: bit }
        /// Confirms that content pauses or flows.
        21 "flow-ok" FlowOk as ChannelFlowOk [] { active: bit }
        /// Either side closes the channel, with a reason.
        40 "close" Close<'a> as ChannelClose [sync] {
            reply_code: short, reply_text: shortstr, class_id: short, method_id: short,
        }
        /// The channel is closed.
        41 "close-ok" CloseOk as ChannelCloseOk [] {}
    }

    /// Tickets of AMQP 0-8, kept for clients that still ask for one.
    access = 30 {
        /// Asks for a ticket.
        10 "request" Request<'a> as AccessRequest [sync] {
            realm: shortstr, exclusive: bit, passive: bit, active: bit, write: bit, read: bit,
        }
        /// Grants a ticket.
        11 "request-ok" RequestOk as AccessRequestOk [] { ticket: short }
    }

    /// Declaring, deleting, binding and unbinding exchanges.
    exchange = 40 {
        /// Creates an exchange, or checks that it is there.
        10 "declare" Declare<'a> as ExchangeDeclare [sync] {
            ticket: short, exchange: shortstr, kind: shortstr, passive: bit, durable: bit,
            auto_delete: bit, internal: bit, nowait: bit, arguments: table,
        }
        /// The exchange is there.
        11 "declare-ok" DeclareOk as ExchangeDeclareOk [] {}
        /// Deletes an exchange.
        20 "delete" Delete<'a> as ExchangeDelete [sync] {
            ticket: short, exchange: shortstr, if_unused: bit, nowait: bit,
        }
        /// The exchange is gone.
        21 "delete-ok" DeleteOk as ExchangeDeleteOk [] {}
        /// Binds an exchange to another.
        30 "bind" Bind<'a> as ExchangeBind [sync] {
            ticket: short, destination: shortstr, source: shortstr, routing_key: shortstr,
            nowait: bit, arguments: table,
        }
        /// The exchanges are bound.
        31 "bind-ok" BindOk as ExchangeBindOk [] {}
        /// Unbinds an exchange from another.
        40 "unbind" Unbind<'a> as ExchangeUnbind [sync] {
            ticket: short, destination: shortstr, source: shortstr, routing_key: shortstr,
            nowait: bit, arguments: table,
        }
        /// The exchanges are not bound any more.
        51 "unbind-ok" UnbindOk as ExchangeUnbindOk [] {}
    }

    /// Declaring, binding, purging and deleting queues.
    queue = 50 {
        /// Creates a queue, or checks that it is there.
        10 "declare" Declare<'a> as QueueDeclare [sync] {
            ticket: short, queue: shortstr, passive: bit, durable: bit, exclusive: bit,
            auto_delete: bit, nowait: bit, arguments: table,
        }
        /// The queue is there.
        11 "declare-ok" DeclareOk<'a> as QueueDeclareOk [] {
            queue: shortstr, message_count: long, consumer_count: long,
        }
        /// Binds a queue to an exchange.
        20 "bind" Bind<'a> as QueueBind [sync] {
            ticket: short, queue: shortstr, exchange: shortstr, routing_key: shortstr, nowait: bit,
            arguments: table,
        }
        /// The queue is bound.
        21 "bind-ok" BindOk as QueueBindOk [] {}
        /// Removes the ready messages of a queue.
        30 "purge" Purge<'a> as QueuePurge [sync] { ticket: short, queue: shortstr, nowait: bit }
        /// The queue was purged.
        31 "purge-ok" PurgeOk as QueuePurgeOk [] { message_count: long }
        /// Deletes a queue.
        40 "delete" Delete<'a> as QueueDelete [sync] {
            ticket: short, queue: shortstr, if_unused: bit, if_empty: bit, nowait: bit,
        }
        /// The queue is gone.
        41 "delete-ok" DeleteOk as QueueDeleteOk [] { message_count: long }
        /// Unbinds a queue from an exchange. Alone among its kind it always has an answer.
        50 "unbind" Unbind<'a> as QueueUnbind [sync] {
            ticket: short, queue: shortstr, exchange: shortstr, routing_key: shortstr,
            arguments: table,
        }
        /// The queue is not bound any more.
        51 "unbind-ok" UnbindOk as QueueUnbindOk [] {}
    }

    /// Publishing, consuming and settling messages.
    basic = 60 {
        /// Limits what may be unacknowledged.
        10 "qos" Qos as BasicQos [sync] { prefetch_size: long, prefetch_count: short, global: bit }
        /// The limit is in force.
        11 "qos-ok" QosOk as BasicQosOk [] {}
        /// Starts a consumer.
        20 "consume" Consume<'a> as BasicConsume [sync] {
            ticket: short, queue: shortstr, consumer_tag: shortstr, no_local: bit, no_ack: bit,
            exclusive: bit, nowait: bit, arguments: table,
        }
        /// The consumer has started.
        21 "consume-ok" ConsumeOk<'a> as BasicConsumeOk [] { consumer_tag: shortstr }
        /// Ends a consumer; the server sends it too, to clients that can take it.
        30 "cancel" Cancel<'a> as BasicCancel [sync] { consumer_tag: shortstr, nowait: bit }
        /// The consumer has ended.
        31 "cancel-ok" CancelOk<'a> as BasicCancelOk [] { consumer_tag: shortstr }
        /// Sends a message to an exchange.
        40 "publish" Publish<'a> as BasicPublish [content] {
            ticket: short, exchange: shortstr, routing_key: shortstr, mandatory: bit,
            immediate: bit,
        }
        /// Gives back a message that could not be routed.
        50 "return" Return<'a> as BasicReturn [content] {
            reply_code: short, reply_text: shortstr, exchange: shortstr, routing_key: shortstr,
        }
        /// Brings a message to a consumer.
        60 "deliver" Deliver<'a> as BasicDeliver [content] {
            consumer_tag: shortstr, delivery_tag: longlong, redelivered: bit, exchange: shortstr,
            routing_key: shortstr,
        }
        /// Asks for one message.
        70 "get" Get<'a> as BasicGet [sync] { ticket: short, queue: shortstr, no_ack: bit }
        /// Brings the one message.
        71 "get-ok" GetOk<'a> as BasicGetOk [content] {
            delivery_tag: longlong, redelivered: bit, exchange: shortstr, routing_key: shortstr,
            message_count: long,
        }
        /// The queue has no message ready.
        72 "get-empty" GetEmpty<'a> as BasicGetEmpty [] { cluster_id: shortstr }
        /// Settles messages: the client those it got, the server those it was sent.
        80 "ack" Ack as BasicAck [] { delivery_tag: longlong, multiple: bit }
        /// Refuses one message.
        90 "reject" Reject as BasicReject [] { delivery_tag: longlong, requeue: bit }
        /// Asks for unacknowledged messages again, without an answer.
        100 "recover-async" RecoverAsync as BasicRecoverAsync [] { requeue: bit }
        /// Asks for unacknowledged messages again.
        110 "recover" Recover as BasicRecover [sync] { requeue: bit }
        /// The messages are on their way.
        111 "recover-ok" RecoverOk as BasicRecoverOk [] {}
        /// Refuses messages: the client those it got, the server those it was sent.
        120 "nack" Nack as BasicNack [] { delivery_tag: longlong, multiple: bit, requeue: bit }
    }

    /// Confirms of published messages.
    confirm = 85 {
        /// Asks for confirms on this channel.
        10 "select" Select as ConfirmSelect [sync] { nowait: bit }
        /// The channel confirms.
        11 "select-ok" SelectOk as ConfirmSelectOk [] {}
    }

    /// Transactions on a channel.
    tx = 90 {
        /// Makes the channel transactional.
        10 "select" Select as TxSelect [sync] {}
        /// The channel is transactional.
        11 "select-ok" SelectOk as TxSelectOk [] {}
        /// Applies the work of the transaction.
        20 "commit" Commit as TxCommit [sync] {}
        /// The work is done and safe.
        21 "commit-ok" CommitOk as TxCommitOk [] {}
        /// Drops the work of the transaction.
        30 "rollback" Rollback as TxRollback [sync] {}
        /// The work is dropped.
        31 "rollback-ok" RollbackOk as TxRollbackOk [] {}
    }
}
