//! The loads whose instructions are counted: each takes a number of messages from the bytes of the
//! publisher's read to the bytes of the consumer's write.
//!
//! Owns what a load is; how it is counted is in `counter`. Every message must arrive, or the load
//! has failed.

use std::error::Error;
use std::sync::Arc;

use amqp_codec::{basic, confirm, exchange, put_content, put_method, queue};
use broker_core::broker::Broker;

use crate::client::{CHANNEL, Client, FRAME_MAX};
use crate::counter::plant;
use crate::process::{self, Process};

/// A load.
#[derive(Debug)]
pub(crate) struct Load {
    /// Its name on the command line.
    pub(crate) name: &'static str,
    /// Bytes of each body.
    body: usize,
    /// Messages in one read of the publisher.
    batch: u64,
    /// Queues that get every message, each with a consumer.
    queues: usize,
    /// The exchange messages go through; its type.
    exchange: Option<&'static str>,
    acks: bool,
    durable: bool,
    /// Everything is published before anything is consumed.
    backlog: bool,
}

const SMALL: Load = Load {
    name: "small",
    body: 16,
    batch: 500,
    queues: 1,
    exchange: None,
    acks: false,
    durable: false,
    backlog: false,
};

/// All of them.
pub(crate) const LOADS: [Load; 7] = [
    SMALL,
    Load {
        name: "1k",
        body: 1024,
        batch: 50,
        ..SMALL
    },
    Load {
        name: "acked",
        batch: 100,
        acks: true,
        ..SMALL
    },
    Load {
        name: "durable",
        batch: 100,
        acks: true,
        durable: true,
        ..SMALL
    },
    Load {
        name: "topic",
        exchange: Some("topic"),
        ..SMALL
    },
    Load {
        name: "fanout-10",
        body: 1024,
        batch: 50,
        queues: 10,
        exchange: Some("fanout"),
        ..SMALL
    },
    Load {
        name: "backlog",
        backlog: true,
        ..SMALL
    },
];

const EXCHANGE: &str = "guarded";
const ROUTING_KEY: &str = "one.two.three";
const PREFETCH: u16 = 2000;

impl Load {
    /// Takes so many reads of the publisher through the broker, with so many steps of planted work
    /// for each message. Gives how many messages that were.
    pub(crate) fn run(&self, batches: u64, planted: u64) -> Result<u64, Box<dyn Error>> {
        let (broker, process) = process::start()?;
        let mut stage = Stage::set(self, &broker, &process)?;
        for _ in 0..batches {
            stage.publish()?;
            plant(planted * self.batch);
            if !self.backlog {
                stage.consume()?;
            }
        }
        if self.backlog {
            stage.subscribe()?;
            stage.consume()?;
        }
        let messages = batches * self.batch;
        let expected = messages * self.queues as u64;
        match stage.delivered == expected {
            true => Ok(messages),
            false => Err(format!("{} of {expected} delivered", stage.delivered).into()),
        }
    }

    fn queue(&self, number: usize) -> String {
        format!("guarded-{number}")
    }

    /// The frames of one read.
    fn frames(&self) -> Result<Vec<u8>, Box<dyn Error>> {
        let queue = self.queue(0);
        let publish = match self.exchange {
            Some(_) => basic::Publish {
                exchange: EXCHANGE,
                routing_key: ROUTING_KEY,
                ..Default::default()
            },
            None => basic::Publish {
                routing_key: &queue,
                ..Default::default()
            },
        };
        // Property flags: none, or delivery-mode with the value 2.
        let properties: &[u8] = if self.durable { &[0x10, 0, 2] } else { &[0, 0] };
        let body = vec![b'x'; self.body];
        let mut bytes = Vec::new();
        for _ in 0..self.batch {
            put_method(&mut bytes, CHANNEL, &publish.clone().into())?;
            put_content(&mut bytes, CHANNEL, properties, &body, FRAME_MAX);
        }
        Ok(bytes)
    }
}

/// A load with its clients.
struct Stage<'a> {
    load: &'a Load,
    process: &'a Process,
    publisher: Client,
    consumers: Vec<Client>,
    frames: Vec<u8>,
    published: u64,
    delivered: u64,
}

impl<'a> Stage<'a> {
    fn set(
        load: &'a Load,
        broker: &Arc<Broker>,
        process: &'a Process,
    ) -> Result<Self, Box<dyn Error>> {
        let mut stage = Stage {
            load,
            process,
            publisher: Client::connect(broker)?,
            consumers: Vec::new(),
            frames: load.frames()?,
            published: 0,
            delivered: 0,
        };
        stage.declare()?;
        for _ in 0..load.queues {
            stage.consumers.push(Client::connect(broker)?);
        }
        if load.durable {
            stage.publisher.ask(confirm::Select::default())?;
        }
        if !load.backlog {
            stage.subscribe()?;
        }
        Ok(stage)
    }

    fn declare(&mut self) -> Result<(), Box<dyn Error>> {
        if let Some(kind) = self.load.exchange {
            self.publisher.ask(exchange::Declare {
                exchange: EXCHANGE,
                kind,
                ..Default::default()
            })?;
        }
        for number in 0..self.load.queues {
            let name = self.load.queue(number);
            self.declare_queue(&name)?;
        }
        Ok(())
    }

    fn declare_queue(&mut self, name: &str) -> Result<(), Box<dyn Error>> {
        // Durable ones are answered when the log is.
        let declare = queue::Declare {
            queue: name,
            durable: self.load.durable,
            nowait: self.load.durable,
            ..Default::default()
        };
        match self.load.durable {
            true => self.publisher.ask_nothing(declare)?,
            false => self.publisher.ask(declare)?,
        }
        self.process.sync()?;
        if self.load.exchange.is_some() {
            self.publisher.ask(queue::Bind {
                queue: name,
                exchange: EXCHANGE,
                routing_key: ROUTING_KEY,
                ..Default::default()
            })?;
        }
        Ok(())
    }

    fn subscribe(&mut self) -> Result<(), Box<dyn Error>> {
        for (number, consumer) in self.consumers.iter_mut().enumerate() {
            if self.load.acks {
                consumer.ask(basic::Qos {
                    prefetch_count: PREFETCH,
                    ..Default::default()
                })?;
            }
            // The answer would come with deliveries behind it.
            consumer.ask_nothing(basic::Consume {
                queue: &self.load.queue(number),
                consumer_tag: "c",
                no_ack: !self.load.acks,
                nowait: true,
                ..Default::default()
            })?;
        }
        Ok(())
    }

    fn publish(&mut self) -> Result<(), Box<dyn Error>> {
        self.publisher.publish(&self.frames)?;
        self.published += self.load.batch;
        if self.load.durable {
            self.process.sync()?;
            let confirmed = self.publisher.confirmed()?;
            if confirmed != self.published {
                return Err(format!("{confirmed} of {} confirmed", self.published).into());
            }
        }
        Ok(())
    }

    /// Every consumer takes what there is.
    fn consume(&mut self) -> Result<(), Box<dyn Error>> {
        for consumer in &mut self.consumers {
            loop {
                let sent = consumer.deliver()?;
                if sent.deliveries == 0 {
                    break;
                }
                self.delivered += sent.deliveries;
                if self.load.acks {
                    consumer.settle(sent.last_delivery)?;
                }
            }
        }
        if self.load.durable {
            self.process.sync()?;
        }
        Ok(())
    }
}
