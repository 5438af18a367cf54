//! `S:` lines: waiting for what a broker says, and comparing it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::stage::Stage;
use super::{Failure, Voice, render};
use crate::support::build;
use crate::support::client::{Arrival, Content, Frame, PATIENCE, Peer};
use crate::support::compare;
use crate::support::method::{Header, Method};
use crate::support::term::{self, Item};

/// Between two attempts of a question that is answered eventually.
const PAUSE: Duration = Duration::from_millis(25);
/// How long a recording waits for more.
const QUIET: Duration = Duration::from_millis(500);

/// What came: a message, a lone frame, or an end.
#[derive(Clone, Debug)]
pub(super) enum Came {
    /// A method, and its content if it has one and the content was asked for.
    Message(Method, Option<Content>),
    /// A content header frame.
    Header(Header),
    /// A body frame.
    Body(Vec<u8>),
    /// A heartbeat frame.
    Heartbeat,
    /// Raw bytes.
    Raw(Vec<u8>),
    /// The socket's end.
    Eof,
    /// Nothing in time.
    Nothing,
    /// Something that is not AMQP.
    Garbage(String),
}

impl Came {
    pub(super) fn render(&self) -> String {
        match self {
            Came::Message(method, None) => render::method(method),
            Came::Message(method, Some(content)) => {
                format!("{} | {}", render::method(method), render::content(content))
            }
            Came::Header(header) => render::header(header),
            Came::Body(body) => format!("body {}", render::body(body)),
            Came::Heartbeat => "heartbeat".to_owned(),
            Came::Raw(bytes) => {
                let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("raw {}", pairs.join(" "))
            }
            Came::Eof => "eof".to_owned(),
            Came::Nothing => "nothing".to_owned(),
            Came::Garbage(what) => format!("garbage: {what}"),
        }
    }
}

/// `` for the first connection, `2` for the second.
pub(super) fn number_label(number: u8) -> String {
    if number == 1 {
        String::new()
    } else {
        number.to_string()
    }
}

impl Stage<'_> {
    pub(super) fn hear(&mut self, voice: &Voice) -> Result<(), Failure> {
        let item = voice.phrase.items.first().cloned().unwrap_or_default();
        let deadline = Instant::now() + voice.phrase.within.unwrap_or(PATIENCE);
        let verdict = match item.name.as_str() {
            "?" => self.record(voice),
            "anything" => self.guest(voice.peer).map(|guest| guest.lenient = true),
            "nothing" => self.nothing(voice, &item),
            "acked" | "nacked" => self.confirmed(voice, &item, deadline),
            _ => {
                for _ in 0..item.times.unwrap_or(1) {
                    self.hear_once(voice, deadline)?;
                }
                Ok(())
            }
        };
        verdict.map_err(|got| Failure {
            line: voice.line,
            got,
        })
    }

    fn hear_once(&mut self, voice: &Voice, deadline: Instant) -> Result<(), Failure> {
        let failure = |got| Failure {
            line: voice.line,
            got,
        };
        loop {
            let came = self.wait(voice, deadline).map_err(failure)?;
            let Err(difference) = self.compare(voice, &came) else {
                return Ok(());
            };
            if voice.phrase.eventually && Instant::now() < deadline {
                self.ask_again(voice.peer).map_err(failure)?;
                continue;
            }
            let rendered = self.hide_vhost(&came.render());
            if !self.update || matches!(came, Came::Nothing) {
                return Err(failure(format!("{rendered}\n    ({difference})")));
            }
            self.rewritten
                .insert(voice.line, vec![format!("{}: {rendered}", voice.label)]);
            return Ok(());
        }
    }

    /// Lines whose order does not matter; order within a channel is the broker's own affair here.
    pub(super) fn hear_all(&mut self, voices: &[Voice]) -> Result<(), Failure> {
        let mut open: Vec<&Voice> = voices.iter().collect();
        let deadline = Instant::now() + PATIENCE;
        while let Some(first) = open.first() {
            let failure = |got| Failure {
                line: first.line,
                got,
            };
            let came = self.wait(first, deadline).map_err(failure)?;
            let place = open.iter().position(|voice| {
                (voice.peer, voice.channel) == (first.peer, first.channel)
                    && self.compare(voice, &came).is_ok()
            });
            match place {
                Some(place) => drop(open.remove(place)),
                None => return Err(failure(self.hide_vhost(&came.render()))),
            }
        }
        Ok(())
    }

    fn ask_again(&mut self, number: u8) -> Result<(), String> {
        self.pause(number, PAUSE)?;
        let guest = self.guest(number)?;
        let words = guest.last_words.clone();
        guest.peer.write(&words).map_err(|error| error.to_string())
    }

    fn wait(&mut self, voice: &Voice, deadline: Instant) -> Result<Came, String> {
        let item = voice.phrase.items.first().cloned().unwrap_or_default();
        let raw = match item.name.as_str() {
            "raw" => Some(build::bytes(&item.arguments, &self.captures)?.len()),
            _ => None,
        };
        let guest = self.guest(voice.peer)?;
        let came = match raw {
            Some(count) => match guest.peer.raw(count, deadline) {
                Ok(bytes) => Came::Raw(bytes),
                Err(arrival) => ended(arrival),
            },
            None => message(&mut guest.peer, voice, item.name == "heartbeat", deadline),
        };
        if let Came::Message(method, _) = &came {
            match method.spec.name {
                "connection.open-ok" => guest.open = true,
                "connection.close" | "connection.close-ok" => guest.open = false,
                _ => {}
            }
        }
        if matches!(came, Came::Eof | Came::Garbage(_)) {
            guest.open = false;
        }
        Ok(came)
    }

    fn compare(&mut self, voice: &Voice, came: &Came) -> Result<(), String> {
        let items = voice.phrase.items.as_slice();
        let Some(item) = items.first() else {
            return Ok(());
        };
        match (item.name.as_str(), came) {
            ("eof", Came::Eof) | ("heartbeat", Came::Heartbeat) => Ok(()),
            ("header", Came::Header(header)) => {
                compare::content(item, header, None, &mut self.captures)
            }
            ("body", Came::Body(body)) => self.compare_body(item, body),
            ("raw", Came::Raw(bytes)) => {
                let same = build::bytes(&item.arguments, &self.captures)? == *bytes;
                if same {
                    Ok(())
                } else {
                    Err("the bytes differ".to_owned())
                }
            }
            (_, Came::Message(method, content)) => {
                compare::method(item, method, &mut self.captures)?;
                match (items.get(1), content) {
                    (Some(item), Some(content)) => {
                        let (header, body) = (&content.header, Some(content.body.as_slice()));
                        compare::content(item, header, body, &mut self.captures)
                    }
                    (Some(_), None) => Err("there is no content".to_owned()),
                    (None, _) => Ok(()),
                }
            }
            _ => Err("it is something else".to_owned()),
        }
    }

    /// `body "text"` or `body size=4088`.
    fn compare_body(&mut self, item: &Item, body: &[u8]) -> Result<(), String> {
        let Some(argument) = item.arguments.first() else {
            return Ok(());
        };
        let same = match argument.name.as_str() {
            "size" => build::number(&argument.term, &self.captures) == Ok(body.len()),
            _ => compare::bytes(&argument.term, body, &mut self.captures),
        };
        if same {
            Ok(())
        } else {
            Err(format!("a body of {} bytes", body.len()))
        }
    }

    /// `nothing for 200ms`
    fn nothing(&mut self, voice: &Voice, item: &Item) -> Result<(), String> {
        let last = item.arguments.last().ok_or("for how long?")?;
        let last = build::text(&last.term, &self.captures)?;
        let silence = term::duration(&String::from_utf8_lossy(&last))?;
        let guest = self.guest(voice.peer)?;
        match message(&mut guest.peer, voice, false, Instant::now() + silence) {
            Came::Nothing => Ok(()),
            other => Err(other.render()),
        }
    }

    /// `acked 1..3`: confirms for these tags, however many frames they come in.
    fn confirmed(&mut self, voice: &Voice, item: &Item, deadline: Instant) -> Result<(), String> {
        let word = item
            .arguments
            .first()
            .map(|argument| build::text(&argument.term, &self.captures));
        let word = word.ok_or("delivery tags are missing")??;
        let word = String::from_utf8_lossy(&word).into_owned();
        let (first, last) = word.split_once("..").unwrap_or((&word, &word));
        let number = |text: &str| {
            text.parse::<u64>()
                .map_err(|_| format!("'{text}' is no tag"))
        };
        let mut open: BTreeSet<u64> = (number(first)?..=number(last)?).collect();
        let wanted = if item.name == "acked" {
            "basic.ack"
        } else {
            "basic.nack"
        };
        while !open.is_empty() {
            let came = self.wait(voice, deadline)?;
            let Came::Message(method, None) = &came else {
                return Err(came.render());
            };
            let tag = method.int("delivery-tag");
            let multiple =
                method.field("multiple") == Some(&crate::support::method::Field::Bit(true));
            let covered = |open: &u64| *open == tag || (multiple && *open <= tag);
            if method.spec.name != wanted || !open.iter().any(covered) {
                return Err(format!("{} with {open:?} outstanding", came.render()));
            }
            open.retain(|tag| !covered(tag));
        }
        Ok(())
    }

    /// `?`: writes down all that comes until nothing more does.
    fn record(&mut self, voice: &Voice) -> Result<(), String> {
        if !self.update {
            return Err("nothing is expected yet; UPDATE_EXPECT=1 writes it down".to_owned());
        }
        let mut quiet = voice.phrase.within.unwrap_or(QUIET);
        let mut lines = Vec::new();
        loop {
            let guest = self.guest(voice.peer)?;
            let (channel, came) = anywhere(&mut guest.peer, Instant::now() + quiet);
            quiet = QUIET;
            if matches!(came, Came::Nothing) {
                break;
            }
            let usual = !matches!(&came, Came::Message(method, _)
                if !method.spec.name.starts_with("connection."));
            let label = match channel {
                1 => String::new(),
                0 if usual => String::new(),
                other => format!("[{other}]"),
            };
            let text = self.hide_vhost(&came.render());
            lines.push(format!("S{}{label}: {text}", number_label(voice.peer)));
            if matches!(came, Came::Eof | Came::Garbage(_)) {
                self.guest(voice.peer)?.open = false;
                break;
            }
        }
        if lines.is_empty() {
            lines.push(format!("S{}: nothing for 200ms", number_label(voice.peer)));
        }
        self.rewritten.insert(voice.line, lines);
        Ok(())
    }

    fn hide_vhost(&self, text: &str) -> String {
        if self.vhost == "/" {
            text.to_owned()
        } else {
            text.replace(&self.vhost, "$vhost")
        }
    }
}

fn ended(arrival: Arrival) -> Came {
    match arrival {
        Arrival::Eof => Came::Eof,
        Arrival::Silence => Came::Nothing,
        Arrival::Garbage(what) => Came::Garbage(what),
        Arrival::Frame(frame) | Arrival::Closing(frame) => lone(&frame),
    }
}

fn lone(frame: &Frame) -> Came {
    match frame.kind {
        1 => match Method::decode(&frame.payload) {
            Ok(method) => Came::Message(method, None),
            Err(error) => Came::Garbage(error),
        },
        2 => Header::decode(&frame.payload).map_or_else(Came::Garbage, Came::Header),
        3 => Came::Body(frame.payload.clone()),
        8 => Came::Heartbeat,
        kind => Came::Garbage(format!("a frame of type {kind}")),
    }
}

fn message(peer: &mut Peer, voice: &Voice, heartbeats: bool, deadline: Instant) -> Came {
    loop {
        let came = match peer.next(voice.channel, deadline) {
            Arrival::Frame(frame) => lone(&frame),
            other => ended(other),
        };
        match came {
            Came::Heartbeat if !heartbeats => {}
            Came::Message(method, None) if !voice.frames_follow => {
                return with_content(peer, voice.channel, method, deadline);
            }
            other => return other,
        }
    }
}

fn with_content(peer: &mut Peer, channel: u16, method: Method, deadline: Instant) -> Came {
    if !matches!(
        method.spec.name,
        "basic.deliver" | "basic.return" | "basic.get-ok"
    ) {
        return Came::Message(method, None);
    }
    match peer.content(channel, deadline) {
        Ok(content) => Came::Message(method, Some(content)),
        Err(arrival) => {
            let instead = ended(arrival).render();
            Came::Garbage(format!("{} followed by {instead}", render::method(&method)))
        }
    }
}

fn anywhere(peer: &mut Peer, deadline: Instant) -> (u16, Came) {
    match peer.next_anywhere(deadline) {
        Arrival::Frame(frame) => match lone(&frame) {
            Came::Message(method, None) => (
                frame.channel,
                with_content(peer, frame.channel, method, deadline),
            ),
            other => (frame.channel, other),
        },
        other => (0, ended(other)),
    }
}

/// The next message on any channel.
pub(super) fn message_anywhere(peer: &mut Peer, deadline: Instant) -> Came {
    anywhere(peer, deadline).1
}
