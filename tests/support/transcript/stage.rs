//! Plays one transcript: its vhost, its connections, its lines in order, and the last check that
//! nothing came that nobody asked for.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{Act, Brokers, Failure, Step, Target, Transcript, Voice, api, hear};
use crate::support::build::{Captures, text};
use crate::support::client::{Arrival, Login, PATIENCE, Peer};
use crate::support::method::Method;

/// How a file went.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// Why it was not played.
    pub(crate) skipped: Option<String>,
    /// The lines written for this broker alone that were used.
    pub(crate) differences: Vec<usize>,
    /// What did not hold.
    pub(crate) failure: Option<Failure>,
    /// Lines to be written again, with what came in their place.
    pub(crate) rewritten: BTreeMap<usize, Vec<String>>,
}

/// A connection on the stage.
pub(super) struct Guest {
    /// Its socket.
    pub(super) peer: Peer,
    /// Open in AMQP's sense, so that it is closed properly at the end.
    pub(super) open: bool,
    /// Whatever else comes is of no interest.
    pub(super) lenient: bool,
    /// What was written last, for answers that come eventually.
    pub(super) last_words: Vec<u8>,
}

/// The state of a play.
pub(super) struct Stage<'a> {
    pub(super) target: &'a Target,
    pub(super) vhost: String,
    pub(super) captures: Captures,
    pub(super) guests: BTreeMap<u8, Guest>,
    pub(super) users: Vec<String>,
    /// What to delete where no vhost of its own can be deleted: the method's line.
    pub(super) leftovers: Vec<String>,
    /// Answers are written down instead of compared.
    pub(super) update: bool,
    pub(super) rewritten: BTreeMap<usize, Vec<String>>,
    raw: bool,
    differences: Vec<usize>,
}

/// Plays `script` in a vhost named `vhost`, which exists from here on to the end of the play.
pub(crate) fn play(script: &Transcript, target: &Target, vhost: &str, update: bool) -> Outcome {
    if let Some(reason) = skip_reason(script, target) {
        return Outcome {
            skipped: Some(reason),
            ..Outcome::default()
        };
    }
    let vhost = if target.http.is_some() { vhost } else { "/" };
    let mut stage = Stage {
        target,
        vhost: vhost.to_owned(),
        captures: Captures::from([("vhost".to_owned(), vhost.as_bytes().to_vec())]),
        guests: BTreeMap::new(),
        users: Vec::new(),
        leftovers: Vec::new(),
        update,
        rewritten: BTreeMap::new(),
        raw: script.raw,
        differences: Vec::new(),
    };
    let whole = |got| Failure { line: 0, got };
    let played = stage
        .build_up()
        .map_err(whole)
        .and_then(|()| stage.run(&script.steps));
    let cleared = stage.tear_down().map_err(whole);
    Outcome {
        skipped: None,
        differences: stage.differences,
        failure: played.and(cleared).err(),
        rewritten: stage.rewritten,
    }
}

fn skip_reason(script: &Transcript, target: &Target) -> Option<String> {
    let ours = target.is("leveret");
    let hit = script
        .skip
        .iter()
        .find(|(broker, _)| match broker.as_str() {
            "" => !ours,
            name => target.is(name),
        });
    hit.map(|(_, reason)| reason.clone())
}

impl Stage<'_> {
    fn build_up(&mut self) -> Result<(), String> {
        if self.target.http.is_none() {
            return Ok(());
        }
        let vhost = self.vhost.clone();
        api::must(self.target, "PUT", &format!("/api/vhosts/{vhost}"), "{}")?;
        let all = r#"{"configure": ".*", "write": ".*", "read": ".*"}"#;
        api::must(
            self.target,
            "PUT",
            &format!("/api/permissions/{vhost}/guest"),
            all,
        )
    }

    fn tear_down(&mut self) -> Result<(), String> {
        self.guests.clear();
        for user in std::mem::take(&mut self.users) {
            api::must(self.target, "DELETE", &format!("/api/users/{user}"), "")?;
        }
        if self.target.http.is_some() {
            let path = format!("/api/vhosts/{}", self.vhost);
            return api::must(self.target, "DELETE", &path, "");
        }
        if self.leftovers.is_empty() {
            return Ok(());
        }
        let mut peer = Peer::open(self.target.amqp, &self.vhost)?;
        for line in std::mem::take(&mut self.leftovers) {
            peer.send(1, &line)?;
        }
        peer.call(1, "channel.close", "channel.close-ok").map(drop)
    }

    fn run(&mut self, steps: &[Step]) -> Result<(), Failure> {
        for step in steps {
            match &step.brokers {
                Brokers::All => {}
                Brokers::Only(name) if !self.target.is(name) => continue,
                Brokers::Otherwise(names) if names.iter().any(|name| self.target.is(name)) => {
                    continue;
                }
                Brokers::Only(_) => self.differences.push(step.line),
                Brokers::Otherwise(_) => {}
            }
            self.step(step)?;
        }
        self.close_all()
    }

    fn step(&mut self, step: &Step) -> Result<(), Failure> {
        let failure = |got| Failure {
            line: step.line,
            got,
        };
        match &step.act {
            Act::Speak(voice) => self.speak(voice).map_err(failure),
            Act::Hear(voice) => self.hear(voice),
            Act::Group(voices) => self.hear_all(voices),
            Act::Api(call) => self.call(call).map_err(failure),
        }
    }

    /// The connection of this number, opened on its first mention.
    pub(super) fn guest(&mut self, number: u8) -> Result<&mut Guest, String> {
        if !self.guests.contains_key(&number) {
            if self.raw {
                let peer = Peer::connect(self.target.amqp).map_err(|error| error.to_string())?;
                self.seat(number, peer, false);
            } else {
                let peer = Peer::open(self.target.amqp, &self.vhost)?;
                self.seat(number, peer, true);
            }
        }
        self.guests
            .get_mut(&number)
            .ok_or_else(|| format!("no connection {number}"))
    }

    pub(super) fn seat(&mut self, number: u8, peer: Peer, open: bool) {
        let guest = Guest {
            peer,
            open,
            lenient: false,
            last_words: Vec::new(),
        };
        self.guests.insert(number, guest);
    }

    /// `connect user=u password=p vhost=v heartbeat=1 frame-max=8192 channel-max=5 channel=none`
    pub(super) fn log_in(&mut self, voice: &Voice) -> Result<(), String> {
        let mut login = Login::guest(&self.vhost);
        let mut channel = true;
        for argument in voice.phrase.items.iter().flat_map(|item| &item.arguments) {
            let number = || crate::support::build::number(&argument.term, &self.captures);
            let word = || {
                text(&argument.term, &self.captures)
                    .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            };
            match argument.name.as_str() {
                "user" => login.user = word()?,
                "password" => login.password = word()?,
                "vhost" => login.vhost = word()?,
                "heartbeat" => login.heartbeat = number()?,
                "frame-max" => login.frame_max = number()?,
                "channel-max" => login.channel_max = number()?,
                "channel" => channel = word()? != "none",
                "client-properties" => login.properties = self.properties(&argument.term)?,
                other => return Err(format!("connect has no '{other}'")),
            }
        }
        let mut peer = Peer::log_in(self.target.amqp, &login)?;
        if channel {
            peer.call(1, "channel.open", "channel.open-ok")?;
        }
        self.seat(voice.peer, peer, true);
        Ok(())
    }

    /// Closes what is open, and insists that nothing else was on its way.
    fn close_all(&mut self) -> Result<(), Failure> {
        let failure = |got| Failure { line: 0, got };
        for (number, mut guest) in std::mem::take(&mut self.guests) {
            if !guest.open {
                continue;
            }
            let deadline = Instant::now() + PATIENCE;
            let close = "connection.close reply-code=200 reply-text=bye";
            let sent = guest.peer.send(0, close);
            sent.map_err(|error| failure(format!("connection {number}: {error}")))?;
            while let Some(came) = unasked(&mut guest, deadline) {
                if self.update {
                    let line = format!("S{}: {came}", hear::number_label(number));
                    self.rewritten.entry(usize::MAX).or_default().push(line);
                } else if !guest.lenient {
                    return Err(failure(format!("connection {number} got unasked: {came}")));
                }
                if came.starts_with("eof") || came.starts_with("nothing") {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Waits `pause` in the way that anything arriving meanwhile is kept.
    pub(super) fn pause(&mut self, number: u8, pause: Duration) -> Result<(), String> {
        let guest = self.guest(number)?;
        match guest.peer.next(u16::MAX, Instant::now() + pause) {
            Arrival::Silence => Ok(()),
            other => Err(format!("{other:?}")),
        }
    }
}

/// The next thing before close-ok that no line of the file accounts for.
fn unasked(guest: &mut Guest, deadline: Instant) -> Option<String> {
    loop {
        let came = hear::message_anywhere(&mut guest.peer, deadline);
        let close_ok = |method: &Method| method.spec.name == "connection.close-ok";
        match came {
            hear::Came::Message(method, None) if close_ok(&method) => return None,
            hear::Came::Heartbeat => {}
            other => return Some(other.render()),
        }
    }
}
