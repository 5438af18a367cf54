//! Waiting for the log and for queues without holding a thread.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use broker_core::broker::Broker;
use broker_core::host::Lsn;
use broker_core::inbox::{Answer, Event, Inbox, Item, Mail};
use broker_core::queue::handle::{Command, QueueHandle, ReplyTo};
use broker_core::time::Timestamp;
use tokio::time::timeout;

use super::reply::Refusal;

/// A log or a queue that needs longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Returns when the log is durable to `lsn`.
pub(super) async fn durable(broker: &Broker, lsn: Lsn) -> Result<(), Refusal> {
    if durable_within(broker, lsn, PATIENCE).await {
        return Ok(());
    }
    Err(Refusal::internal("the change could not be made durable"))
}

/// Whether the log gets durable to `lsn` in that time.
pub(super) async fn durable_within(broker: &Broker, lsn: Lsn, patience: Duration) -> bool {
    let inbox = Inbox::new();
    let durable = poll_fn(|context| {
        let host = broker.host();
        if host.is_durable(lsn) {
            return Poll::Ready(());
        }
        inbox.take(&mut Mail::default(), Some(context.waker()));
        // Wakes at once if the log got there meanwhile.
        host.wake_when_durable(lsn, &inbox);
        Poll::Pending
    });
    timeout(patience, durable).await.is_ok()
}

/// Puts a question to a queue and waits for the answer.
pub(super) async fn ask(
    queue: &Arc<QueueHandle>,
    now: Timestamp,
    question: impl FnOnce(ReplyTo) -> Command,
) -> Result<Answer, Refusal> {
    let inbox = Inbox::new();
    let reply = ReplyTo {
        inbox: Arc::clone(&inbox),
        channel: 0,
        token: 0,
    };
    queue.submit(now, question(reply));
    let answered = poll_fn(|context| {
        let mut mail = Mail::default();
        if !inbox.take(&mut mail, Some(context.waker())) {
            return Poll::Pending;
        }
        let answer = mail.items.into_iter().find_map(|item| match item {
            Item::Event(Event::Answer { answer, .. }) => Some(answer),
            _ => None,
        });
        match answer {
            Some(answer) => Poll::Ready(answer),
            None => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    });
    timeout(PATIENCE, answered)
        .await
        .map_err(|_| Refusal::internal("the queue does not answer"))
}
