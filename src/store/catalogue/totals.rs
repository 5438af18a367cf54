//! A count and a digest over all entries, kept beside the mark: a catalogue that lost or brought
//! back an entry without noticing does not add up. Guards against accident, not malice.

use crate::store::layout::Cursor;

/// The sum over all entries; independent of their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Totals {
    pub(super) entries: u64,
    pub(super) digest: u64,
}

impl Totals {
    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) {
        self.entries = self.entries.wrapping_add(1);
        self.digest = self.digest.wrapping_add(hash(key, value));
    }

    pub(super) fn remove(&mut self, key: &[u8], value: &[u8]) {
        self.entries = self.entries.wrapping_sub(1);
        self.digest = self.digest.wrapping_sub(hash(key, value));
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.entries.to_le_bytes());
        out.extend_from_slice(&self.digest.to_le_bytes());
    }

    pub(super) fn decode(cursor: &mut Cursor<'_>) -> Option<Totals> {
        Some(Totals {
            entries: cursor.u64()?,
            digest: cursor.u64()?,
        })
    }
}

/// Two checksums of different order, then mixed: sums of bare checksums would cancel out when
/// parts of two values change places.
fn hash(key: &[u8], value: &[u8]) -> u64 {
    let length = (key.len() as u64).to_le_bytes();
    let forward = crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(&length), key), value);
    let backward = crc32c::crc32c_append(crc32c::crc32c(value), key);
    let mut mixed = (u64::from(forward) << 32) | u64::from(backward);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(entries: &[(&str, &str)]) -> Totals {
        let mut totals = Totals::default();
        for (key, value) in entries {
            totals.add(key.as_bytes(), value.as_bytes());
        }
        totals
    }

    #[test]
    fn order_does_not_matter_and_removal_undoes() {
        let mut totals = of(&[("b", "2"), ("a", "1"), ("c", "3")]);
        assert_eq!(totals, of(&[("c", "3"), ("a", "1"), ("b", "2")]));
        totals.remove(b"b", b"2");
        assert_eq!(totals, of(&[("a", "1"), ("c", "3")]));
    }

    #[test]
    fn swapped_values_and_moved_boundaries_differ() {
        assert_ne!(of(&[("a", "1"), ("b", "2")]), of(&[("a", "2"), ("b", "1")]));
        assert_ne!(of(&[("ab", "c")]), of(&[("a", "bc")]));
    }
}
