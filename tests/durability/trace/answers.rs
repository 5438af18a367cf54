//! When answers left: the frames in what a broker sent, and the call that carried each.

use std::collections::{BTreeMap, BTreeSet};

use super::calls::Call;

/// What a socket carried, and where in it each call began.
type Stream = (Vec<u8>, Vec<(usize, usize)>);

/// An answer that says that something is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Answer {
    /// The confirm of the message with this tag.
    Confirm(u64),
    /// The n-th tx.commit-ok of the channel.
    Commit(u64),
    /// The n-th channel.close-ok under the channel's number.
    Close(u64),
    /// The n-th queue.declare-ok of the channel.
    Declare(u64),
}

/// Who was answered: the client's port and the channel.
pub(crate) type Whom = (u16, u16);

/// For each answer when the call began that carried its first byte.
pub(crate) type Answers = BTreeMap<(Whom, Answer), usize>;

/// Reads everything that was sent to clients.
pub(crate) fn read(calls: &[Call]) -> Result<Answers, String> {
    let sent = calls
        .iter()
        .filter(|call| call.what.starts_with("TCP:[") && call.result > 0);
    let mut streams: BTreeMap<u16, Stream> = BTreeMap::new();
    for call in sent {
        let port = call.what.trim_end_matches(']').rsplit(':').next();
        let port = port.and_then(|port| port.parse().ok());
        let port: u16 = port.ok_or_else(|| format!("no port in {}", call.what))?;
        let (bytes, begins) = streams.entry(port).or_default();
        begins.push((bytes.len(), call.begun));
        bytes.extend_from_slice(&call.bytes);
    }
    let mut answers = Answers::new();
    for (port, (bytes, begins)) in streams {
        read_stream(port, &bytes, &begins, &mut answers);
    }
    Ok(answers)
}

fn read_stream(port: u16, bytes: &[u8], begins: &[(usize, usize)], answers: &mut Answers) {
    let mut counts: BTreeMap<(u16, [u8; 4]), u64> = BTreeMap::new();
    let mut confirmed: BTreeMap<u16, (u64, BTreeSet<u64>)> = BTreeMap::new();
    let mut at = 0;
    while let Some(head) = bytes.get(at..at + 7) {
        let channel = u16::from_be_bytes([head[1], head[2]]);
        let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
        let Some(payload) = bytes.get(at + 7..at + 7 + size) else {
            return;
        };
        let begun = begins[begins.partition_point(|(from, _)| *from <= at) - 1].1;
        at += size + 8;
        let Some(&ids) = payload.first_chunk::<4>().filter(|_| head[0] == 1) else {
            continue;
        };
        if ids == [0, 60, 0, 80] {
            let tag = payload[4..12].try_into().map_or(0, u64::from_be_bytes);
            for tag in tags(
                confirmed.entry(channel).or_default(),
                tag,
                payload[12] & 1 == 1,
            ) {
                answers.insert(((port, channel), Answer::Confirm(tag)), begun);
            }
            continue;
        }
        let count = counts.entry((channel, ids)).or_default();
        *count += 1;
        let answer = match ids {
            [0, 90, 0, 21] => Answer::Commit(*count),
            [0, 20, 0, 41] => Answer::Close(*count),
            [0, 50, 0, 11] => Answer::Declare(*count),
            _ => continue,
        };
        answers.insert(((port, channel), answer), begun);
    }
}

/// The tags a confirm speaks of: (all up to the number are confirmed, and these beside).
fn tags(known: &mut (u64, BTreeSet<u64>), tag: u64, multiple: bool) -> Vec<u64> {
    let (upto, beside) = known;
    if !multiple {
        beside.insert(tag);
        return vec![tag];
    }
    let new = (*upto + 1..=tag)
        .filter(|tag| !beside.contains(tag))
        .collect();
    *upto = tag;
    *beside = beside.split_off(&(tag + 1));
    new
}
