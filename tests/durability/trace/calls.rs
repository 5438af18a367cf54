//! What strace wrote: the system calls of all threads in the order in which they began and ended.

use std::collections::HashMap;

/// A call, and when it began and ended: numbers of lines, so that "before" means what it says.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) begun: usize,
    pub(crate) ended: usize,
    pub(crate) name: String,
    /// What the descriptor stands for: a path, or the two ends of a socket.
    pub(crate) what: String,
    /// What was written, as far as it was taken.
    pub(crate) bytes: Vec<u8>,
    pub(crate) result: i64,
}

/// Reads a whole trace. A call that never ended is left out.
pub(crate) fn parse(text: &str) -> Result<Vec<Call>, String> {
    let mut open: HashMap<&str, (usize, &str)> = HashMap::new();
    let mut calls = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let (thread, rest) = line.split_once(' ').ok_or_else(|| at(number, line))?;
        let rest = rest.trim_start();
        if let Some(begin) = rest.strip_suffix(" <unfinished ...>") {
            open.insert(thread, (number, begin));
        } else if let Some(resumed) = rest.strip_prefix("<... ") {
            let Some((begun, begin)) = open.remove(thread) else {
                continue;
            };
            let (_, end) = resumed
                .split_once(" resumed>")
                .ok_or_else(|| at(number, line))?;
            calls.extend(call(begun, number, &format!("{begin}{end}"))?);
        } else {
            calls.extend(call(number, number, rest)?);
        }
    }
    calls.sort_by_key(|call| call.begun);
    Ok(calls)
}

fn at(number: usize, line: &str) -> String {
    let shown: String = line.chars().take(200).collect();
    format!("line {number} of the trace cannot be read: {shown}")
}

/// `name(descriptor<what>, arguments…) = result`; none for signals and ends of threads.
fn call(begun: usize, ended: usize, text: &str) -> Result<Option<Call>, String> {
    let Some((head, tail)) = text.rsplit_once(" = ") else {
        return Ok(None);
    };
    let Some((name, arguments)) = head.split_once('(') else {
        return Ok(None);
    };
    let result = tail
        .split_whitespace()
        .next()
        .and_then(|word| word.parse().ok());
    let result: i64 = result.ok_or_else(|| at(begun, text))?;
    let what = descriptor(arguments).ok_or_else(|| at(begun, text))?;
    let mut bytes = strings(arguments).ok_or_else(|| at(begun, text))?;
    bytes.truncate(usize::try_from(result).unwrap_or(0));
    Ok(Some(Call {
        begun,
        ended,
        name: name.to_owned(),
        what,
        bytes,
        result,
    }))
}

/// The path or socket of the first argument. The bytes of a path are written as `\x..`.
fn descriptor(arguments: &str) -> Option<String> {
    let inside = arguments.split_once('<')?.1;
    if !inside.starts_with("\\x") {
        let end = inside
            .find("]>")
            .map_or_else(|| inside.find('>'), |end| Some(end + 1))?;
        return Some(inside[..end].to_owned());
    }
    let end = inside.find(['<', '>'])?;
    let mut path = String::from_utf8_lossy(&unescape(&inside[..end])?).into_owned();
    if inside[end..].starts_with(">(deleted)") {
        path.push_str(DELETED);
    }
    Some(path)
}

/// Behind the path of a file that has no name any more.
pub(crate) const DELETED: &str = " (deleted)";

fn unescape(text: &str) -> Option<Vec<u8>> {
    let bytes = text.split("\\x").skip(1);
    bytes
        .map(|digits| u8::from_str_radix(digits, 16).ok())
        .collect()
}

/// All quoted strings one after the other.
fn strings(arguments: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for quoted in arguments.split('"').skip(1).step_by(2) {
        bytes.extend(unescape(quoted)?);
    }
    // Dots behind a string would say that strace has cut it.
    (!arguments.contains("\"...")).then_some(bytes)
}

#[test]
fn calls_of_several_threads_are_put_together() {
    let text = "\
7 pwrite64(3<\\x2f\\x64>, \"\\x61\\x62\", 2, 4096) = 2
7 fdatasync(3<\\x2f\\x64>(deleted) <unfinished ...>
8 sendto(9<TCP:[127.0.0.1:1->127.0.0.1:2]>, \"\\x01\", 1, MSG_NOSIGNAL, NULL, 0) = 1
7 <... fdatasync resumed>) = 0
8 writev(9<TCP:[127.0.0.1:1->127.0.0.1:2]>, [{iov_base=\"\\x02\\x03\", iov_len=2}, {iov_base=\"\\x04\", iov_len=1}], 2) = 2
8 --- SIGTERM {si_signo=SIGTERM} ---
8 +++ exited with 0 +++
";
    let calls = parse(text).expect("readable");
    let shape: Vec<_> = calls
        .iter()
        .map(|call| {
            (
                call.name.as_str(),
                call.begun,
                call.ended,
                call.bytes.as_slice(),
            )
        })
        .collect();
    let expected: [(&str, usize, usize, &[u8]); 4] = [
        ("pwrite64", 0, 0, b"ab"),
        ("fdatasync", 1, 3, b""),
        ("sendto", 2, 2, b"\x01"),
        ("writev", 4, 4, b"\x02\x03"),
    ];
    assert_eq!(shape, expected);
    assert_eq!(
        (calls[0].what.as_str(), calls[1].what.as_str()),
        ("/d", "/d (deleted)")
    );
    assert_eq!(calls[2].what, "TCP:[127.0.0.1:1->127.0.0.1:2]");
    assert!(parse("7 write(1<x>, \"\\x61\"..., 2) = 2").is_err());
}
