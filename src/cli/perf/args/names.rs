//! The names a load uses: queues, exchange, routing keys, bindings.
//! Owns how patterns on the command line become names, and that each fits into 255 bytes.

use amqp_codec::ShortString;

use super::super::error::PerfError;
use super::super::keys::{Keys, NUMBER, numbered};
use super::PerfArgs;

impl PerfArgs {
    pub(in super::super) fn queue_names(&self) -> Result<Vec<ShortString>, PerfError> {
        (1..=self.queues)
            .map(|number| self.queue_name_of(number))
            .collect()
    }

    /// The slow reader's queue and the one of the fast pair beside it.
    pub(in super::super) fn slow_reader_queues(&self) -> Result<[ShortString; 2], PerfError> {
        Ok([self.queue_name_of(1)?, self.queue_name_of(2)?])
    }

    fn queue_name_of(&self, number: u64) -> Result<ShortString, PerfError> {
        name(
            "--queue-name",
            &self.queue_name.replace(NUMBER, &number.to_string()),
        )
    }

    /// Exchange and routing key for messages meant for `queue`; the key may still lack its number.
    pub(in super::super) fn target(
        &self,
        queue: &ShortString,
    ) -> Result<(ShortString, ShortString), PerfError> {
        let exchange = name("--exchange", self.exchange.as_deref().unwrap_or_default())?;
        let key = match &self.routing_key {
            Some(key) => name("--routing-key", key)?,
            None => queue.clone(),
        };
        Ok((exchange, key))
    }

    /// The bindings to make: so many, on the queues in turn.
    pub(in super::super) fn binding_count(&self) -> u64 {
        match self.exchange {
            Some(_) => self.bindings.unwrap_or(self.queues),
            None => 0,
        }
    }

    /// The key of binding `number`, from one, of `queue`.
    pub(in super::super) fn binding_key(
        &self,
        number: u64,
        queue: &ShortString,
    ) -> Result<ShortString, PerfError> {
        match self.binding_key.as_ref().or(self.routing_key.as_ref()) {
            Some(key) => name("--binding-key", &numbered(key, number)),
            None => Ok(queue.clone()),
        }
    }

    /// The numbers in the routing keys of a publisher, if there are any.
    pub(in super::super) fn keys(&self, publisher: u64) -> Option<Keys> {
        self.routing_keys.map(|count| Keys {
            count,
            publisher: (publisher, self.publishers),
        })
    }
}

fn name(flag: &str, text: &str) -> Result<ShortString, PerfError> {
    ShortString::try_from(text)
        .map_err(|_| PerfError::Usage(format!("{flag} is longer than 255 bytes")))
}
