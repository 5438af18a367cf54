//! Bodies that say who they are, so that a message found on any disk at any time is known, and one
//! that was changed on the way is seen.

/// A message: who published it, and its number there. Publishers are numbered through a whole run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id {
    pub(crate) publisher: u32,
    pub(crate) number: u32,
}

/// The length of the text in front of the filling.
pub(crate) const BODY_MIN: usize = 28;

fn label(id: Id, size: usize) -> String {
    format!("<{:08x}.{:08x}.{size:08x}>", id.publisher, id.number)
}

fn fill(id: Id, out: &mut Vec<u8>, size: usize) {
    let seed = u64::from(id.publisher) << 32 | u64::from(id.number);
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while out.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let bytes = state.to_le_bytes();
        let count = bytes.len().min(size - out.len());
        out.extend_from_slice(&bytes[..count]);
    }
}

/// The body of a message, at least [`BODY_MIN`] bytes.
pub(crate) fn body(id: Id, size: usize) -> Vec<u8> {
    let size = size.max(BODY_MIN);
    let mut out = label(id, size).into_bytes();
    fill(id, &mut out, size);
    out
}

/// Whose body this is; none if it is not exactly what was published.
pub(crate) fn read(bytes: &[u8]) -> Option<Id> {
    let text = std::str::from_utf8(bytes.get(..BODY_MIN)?).ok()?;
    let inner = text.strip_prefix('<')?.strip_suffix('>')?;
    let mut parts = inner.split('.').map(|part| u32::from_str_radix(part, 16));
    let (publisher, number) = (parts.next()?.ok()?, parts.next()?.ok()?);
    let id = Id { publisher, number };
    (body(id, bytes.len()) == bytes).then_some(id)
}

#[test]
fn a_body_is_known_and_a_changed_one_is_not() {
    let id = Id {
        publisher: 7,
        number: 9,
    };
    for size in [0, 28, 29, 1000] {
        let mut bytes = body(id, size);
        assert_eq!(read(&bytes), Some(id));
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        assert_eq!(read(&bytes), None);
        bytes[last] ^= 1;
        bytes.push(0);
        assert_eq!(read(&bytes), None);
        assert_eq!(read(&bytes[..last]), None);
    }
}
