//! `C:` lines: what is written to a connection.

use super::Voice;
use super::stage::Stage;
use crate::support::build::{self, Captures};
use crate::support::client::{PROTOCOL_HEADER, Peer, put_frame};
use crate::support::term::{Argument, Item, Term};
use crate::support::value::Table;

impl Stage<'_> {
    pub(super) fn speak(&mut self, voice: &Voice) -> Result<(), String> {
        match voice.phrase.name() {
            "connect" => return self.log_in(voice),
            "reopen" => {
                let peer = &mut self.guest(voice.peer)?.peer;
                let words = "channel.close-ok | channel.open";
                return peer.call(voice.channel, words, "channel.open-ok").map(drop);
            }
            "hang-up" => {
                let guest = self.guest(voice.peer)?;
                guest.open = false;
                guest.peer.hang_up();
                return Ok(());
            }
            _ => {}
        }
        let out = self.write_phrase(voice)?;
        let guest = self.guest(voice.peer)?;
        let width = if voice.bytewise { 1 } else { out.len().max(1) };
        for piece in out.chunks(width) {
            guest.peer.write(piece).map_err(|error| error.to_string())?;
        }
        for item in &voice.phrase.items {
            match item.name.as_str() {
                "connection.open" => guest.open = true,
                "connection.close" | "connection.close-ok" => guest.open = false,
                _ => {}
            }
        }
        guest.last_words = out;
        voice.phrase.items.iter().for_each(|item| self.note(item));
        Ok(())
    }

    fn write_phrase(&mut self, voice: &Voice) -> Result<Vec<u8>, String> {
        let times = voice
            .phrase
            .items
            .iter()
            .find_map(|item| item.times)
            .unwrap_or(1);
        let mut captures = self.captures.clone();
        let guest = self.guest(voice.peer)?;
        let mut out = Vec::new();
        for round in 1..=times {
            captures.insert("n".to_owned(), round.to_string().into_bytes());
            for item in &voice.phrase.items {
                put_item(&guest.peer, voice.channel, item, &captures, &mut out)?;
                if item.name == "connection.tune-ok" {
                    guest.peer.frame_max = frame_max(item, &captures)?;
                }
            }
        }
        Ok(out)
    }

    pub(super) fn properties(&self, term: &Term) -> Result<Table, String> {
        match term {
            Term::Table(entries) => build::table(entries, &self.captures),
            _ => Err("a table wanted".to_owned()),
        }
    }

    /// Remembers what a declare makes, for a broker whose vhost cannot be thrown away.
    fn note(&mut self, item: &Item) {
        let field = match item.name.as_str() {
            "queue.declare" => "queue",
            "exchange.declare" => "exchange",
            _ => return,
        };
        let Ok(method) = build::method(item, &self.captures) else {
            return;
        };
        let name = method.text(field);
        if !name.is_empty() && !name.starts_with("amq.") && !name.contains(['"', '\\', '$']) {
            let class = &item.name[..field.len()];
            self.leftovers
                .push(format!("{class}.delete {field}=\"{name}\" no-wait=true"));
        }
    }
}

fn put_item(
    peer: &Peer,
    channel: u16,
    item: &Item,
    captures: &Captures,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    match item.name.as_str() {
        "protocol-header" => out.extend_from_slice(PROTOCOL_HEADER),
        "raw" => out.extend(build::bytes(&item.arguments, captures)?),
        "heartbeat" => put_frame(out, 8, channel, &[]),
        "header" => {
            let (header, _) = build::content(item, captures)?;
            put_frame(out, 2, channel, &header.encode());
        }
        "body" => put_frame(out, 3, channel, &build::bytes(&item.arguments, captures)?),
        "method" => put_frame(out, 1, channel, &odd_method(item, captures)?),
        "frame" => put_odd_frame(channel, item, captures, out)?,
        _ => peer.encode(channel, item, captures, out)?,
    }
    Ok(())
}

fn named<'a>(item: &'a Item, name: &str) -> Option<&'a Argument> {
    item.arguments.iter().find(|argument| argument.name == name)
}

/// `method class=90 method=99 00 01`: ids and payload bytes as given.
fn odd_method(item: &Item, captures: &Captures) -> Result<Vec<u8>, String> {
    let mut payload = Vec::new();
    for name in ["class", "method"] {
        let argument = named(item, name).ok_or("method wants class= and method=")?;
        let number: u16 = build::number(&argument.term, captures)?;
        payload.extend_from_slice(&number.to_be_bytes());
    }
    payload.extend(build::bytes(&bare(item), captures)?);
    Ok(payload)
}

/// `frame type=4 size=10 end=00 01 02`: a frame with any head and end byte.
fn put_odd_frame(
    channel: u16,
    item: &Item,
    captures: &Captures,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let payload = build::bytes(&bare(item), captures)?;
    let kind = named(item, "type").ok_or("frame wants type=")?;
    let start = out.len();
    put_frame(out, build::number(&kind.term, captures)?, channel, &payload);
    if let Some(size) = named(item, "size") {
        let size: u32 = build::number(&size.term, captures)?;
        out[start + 3..start + 7].copy_from_slice(&size.to_be_bytes());
    }
    if let (Some(end), Some(last)) = (named(item, "end"), out.last_mut()) {
        let text = build::text(&end.term, captures)?;
        let digits = String::from_utf8_lossy(&text).into_owned();
        *last = u8::from_str_radix(&digits, 16).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn bare(item: &Item) -> Vec<Argument> {
    item.arguments
        .iter()
        .filter(|argument| argument.name.is_empty())
        .cloned()
        .collect()
}

fn frame_max(item: &Item, captures: &Captures) -> Result<usize, String> {
    match build::method(item, captures)?.int("frame-max") {
        0 => Ok(crate::support::client::FRAME_MAX),
        limit => usize::try_from(limit).map_err(|error| error.to_string()),
    }
}
