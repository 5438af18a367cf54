//! Reads a transcript file. Refuses whatever it does not understand, with the line's number.

use std::str::FromStr;

use super::{Act, Brokers, Call, Failure, Step, Transcript, Voice};
use crate::support::term;

/// The commands that are about a connection as a whole, and so stand on channel 0.
const CHANNEL_0: [&str; 5] = ["connection.", "heartbeat", "connect", "eof", "raw"];

/// Reads the text of a file.
pub(crate) fn parse(text: &str) -> Result<Transcript, Failure> {
    let mut transcript = Transcript::default();
    let mut group = None;
    for (line, source) in (1..).zip(text.lines()) {
        let failure = |got| Failure { line, got };
        let trimmed = source.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            group = None;
            continue;
        }
        if let (true, Some(place)) = (source.starts_with(' '), group) {
            let member = voice(line, trimmed).map_err(failure)?;
            let step: &mut Step = &mut transcript.steps[place];
            if let (Act::Group(members), Spoken::Server(voice)) = (&mut step.act, member.spoken) {
                members.push(voice);
                continue;
            }
            return Err(failure("only S: lines can stand in a group".to_owned()));
        }
        group = None;
        if directive(&mut transcript, trimmed).map_err(failure)? {
            continue;
        }
        let step = step(line, trimmed).map_err(failure)?;
        if matches!(step.act, Act::Group(_)) {
            group = Some(transcript.steps.len());
        }
        transcript.steps.push(step);
    }
    settle_alternatives(&mut transcript.steps);
    mark_frames(&mut transcript.steps);
    Ok(transcript)
}

/// `raw`, `skip-against: reason`, `skip-against rabbitmq-3.10: reason`.
fn directive(transcript: &mut Transcript, line: &str) -> Result<bool, String> {
    if line == "raw" {
        transcript.raw = true;
        return Ok(true);
    }
    let Some(rest) = line.strip_prefix("skip-against") else {
        return Ok(false);
    };
    let (broker, reason) = rest
        .split_once(':')
        .ok_or("skip-against wants ': reason'")?;
    transcript
        .skip
        .push((broker.trim().to_owned(), reason.trim().to_owned()));
    Ok(true)
}

fn step(line: usize, source: &str) -> Result<Step, String> {
    let said = voice(line, source)?;
    let act = match said.spoken {
        Spoken::Api(call) => Act::Api(call),
        Spoken::Client(voice) => Act::Speak(voice),
        Spoken::Server(voice) if is_group(&voice) => Act::Group(Vec::new()),
        Spoken::Server(voice) => Act::Hear(voice),
    };
    Ok(Step {
        line,
        brokers: said.brokers,
        act,
    })
}

fn is_group(voice: &Voice) -> bool {
    voice.phrase.name() == "in"
}

struct Said {
    brokers: Brokers,
    spoken: Spoken,
}

enum Spoken {
    Client(Voice),
    Server(Voice),
    Api(Call),
}

/// Who speaks on a line, for which brokers, and what.
fn voice(line: usize, source: &str) -> Result<Said, String> {
    let (label, text) = source
        .split_once(':')
        .ok_or("a line starts with C:, S: or API:")?;
    let (who, broker) = take(label, '(', ')')?;
    let brokers = match broker {
        None => Brokers::All,
        Some("otherwise") => Brokers::Otherwise(Vec::new()),
        Some(name) => Brokers::Only(name.to_owned()),
    };
    let spoken = match who.as_bytes().first() {
        _ if who == "API" => Spoken::Api(call(text.trim())?),
        Some(b'C') => Spoken::Client(words(line, label, &who, text.trim())?),
        Some(b'S') => Spoken::Server(words(line, label, &who, text.trim())?),
        _ => return Err(format!("'{who}' is neither C, S nor API")),
    };
    Ok(Said { brokers, spoken })
}

/// A line of one connection; `who` is `C`, `S2`, `C[3]` ...
fn words(line: usize, label: &str, who: &str, text: &str) -> Result<Voice, String> {
    let (who, channel) = take(who, '[', ']')?;
    let bytewise = text.strip_prefix("bytewise ");
    let phrase = term::parse(bytewise.unwrap_or(text))?;
    let on_0 = |prefix: &&str| phrase.name().starts_with(prefix);
    let usual = u16::from(!CHANNEL_0.iter().any(on_0));
    Ok(Voice {
        line,
        label: label.to_owned(),
        peer: number(who.get(1..), "connection")?.unwrap_or(1),
        channel: number(channel, "channel")?.unwrap_or(usual),
        bytewise: bytewise.is_some(),
        frames_follow: false,
        phrase,
    })
}

/// A number that may be left out.
fn number<N: FromStr>(text: Option<&str>, what: &str) -> Result<Option<N>, String> {
    let digits = text.filter(|text| !text.is_empty());
    let number = digits.map(str::parse).transpose();
    number.map_err(|_| format!("there is no {what} '{}'", digits.unwrap_or_default()))
}

/// Takes the part between two brackets out of a label.
fn take(label: &str, open: char, close: char) -> Result<(String, Option<&str>), String> {
    let Some((before, rest)) = label.split_once(open) else {
        return Ok((label.to_owned(), None));
    };
    let (inner, after) = rest
        .split_once(close)
        .ok_or_else(|| format!("'{close}' is missing"))?;
    Ok((format!("{before}{after}"), Some(inner)))
}

/// `PUT /api/users/x {"tags": ""} -> 201 {...} eventually`
fn call(text: &str) -> Result<Call, String> {
    let (question, answer) = text
        .rsplit_once(" -> ")
        .ok_or("-> and a status are missing")?;
    let mut words = question.splitn(3, ' ');
    let method = words.next().unwrap_or_default().to_owned();
    let path = words.next().ok_or("a path is missing")?.to_owned();
    let body = words.next().unwrap_or_default().trim().to_owned();
    let stripped = answer.trim().strip_suffix("eventually");
    let answer = stripped.unwrap_or(answer).trim();
    let (statuses, answer) = answer.split_once(' ').unwrap_or((answer, ""));
    let statuses = statuses
        .split('|')
        .map(str::parse)
        .collect::<Result<_, _>>();
    Ok(Call {
        method,
        path,
        body,
        statuses: statuses.map_err(|_| "a status is a number")?,
        answer: answer.trim().to_owned(),
        eventually: stripped.is_some(),
    })
}

/// Tells each `(otherwise)` line which brokers its neighbours name.
fn settle_alternatives(steps: &mut [Step]) {
    let runs = steps
        .chunk_by_mut(|left, right| left.brokers != Brokers::All && right.brokers != Brokers::All);
    for run in runs {
        let named = |step: &Step| match &step.brokers {
            Brokers::Only(name) => Some(name.clone()),
            _ => None,
        };
        let names: Vec<String> = run.iter().filter_map(named).collect();
        for step in run {
            if let Brokers::Otherwise(others) = &mut step.brokers {
                others.clone_from(&names);
            }
        }
    }
}

/// A content is left unread where the next line of that connection speaks of its frames.
fn mark_frames(steps: &mut [Step]) {
    for place in 1..steps.len() {
        let (before, after) = steps.split_at_mut(place);
        let (
            Some(Step {
                act: Act::Hear(first),
                ..
            }),
            Some(Step {
                act: Act::Hear(second),
                ..
            }),
        ) = (before.last_mut(), after.first())
        else {
            continue;
        };
        first.frames_follow = second.phrase.name() == "header" && first.peer == second.peer;
    }
}
