//! The records of a mail, in the order they came, in as many pieces as spare copying them.

use crate::message::{self, RecordRef, Records};
use crate::spare;

/// Records that come together and are at least so many bytes are not copied behind others: their
/// buffer becomes a piece of its own. Nor does a piece of that size grow.
const PIECE_BYTES_MIN: usize = 16 * 1024;

/// Records in several buffers.
#[derive(Debug, Default)]
pub struct RecordList {
    /// What came first.
    full: Vec<Records>,
    last: Records,
}

impl RecordList {
    /// Whether nothing was pushed.
    pub fn is_empty(&self) -> bool {
        self.last.is_empty()
    }

    /// All records in order.
    pub fn iter(&self) -> Iter<'_> {
        Iter {
            piece: self.full.first().unwrap_or(&self.last).iter(),
            rest: self.full.get(1..).unwrap_or_default().iter(),
            last: (!self.full.is_empty()).then_some(&self.last),
        }
    }

    /// Appends a copy of `record`.
    pub fn push_record(&mut self, record: RecordRef<'_>) {
        self.last.push_record(record);
    }

    /// Appends all of `records` and leaves it empty, with its memory, with other memory or with
    /// none.
    pub fn append(&mut self, records: &mut Records) {
        let (before, more) = (self.last.record_bytes(), records.record_bytes());
        let is_full = before >= PIECE_BYTES_MIN && before + more > self.last.capacity();
        if before > 0 && (is_full || more >= PIECE_BYTES_MIN) {
            let full = std::mem::take(&mut self.last);
            self.full.push(full);
        }
        self.last.append(records);
    }

    /// Bytes the buffer of the last piece can hold; there is no other one in an empty list.
    pub fn capacity(&self) -> usize {
        self.last.capacity()
    }

    /// Forgets all records. Keeps the memory of the last piece if it is no larger than `kept`.
    pub fn clear(&mut self, kept: usize) {
        self.full.drain(..).for_each(spare::give);
        match self.last.capacity() > kept {
            true => spare::give(std::mem::take(&mut self.last)),
            false => self.last.clear(),
        }
    }
}

/// Iterator over a [`RecordList`].
#[derive(Debug)]
pub struct Iter<'a> {
    piece: message::Iter<'a>,
    rest: std::slice::Iter<'a, Records>,
    last: Option<&'a Records>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = RecordRef<'a>;

    #[inline]
    fn next(&mut self) -> Option<RecordRef<'a>> {
        loop {
            if let Some(record) = self.piece.next() {
                return Some(record);
            }
            self.piece = self.rest.next().or_else(|| self.last.take())?.iter();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Body, Message};

    fn records(bodies: &[&[u8]]) -> Records {
        let mut records = Records::new();
        for body in bodies {
            records.push(Message {
                exchange: "",
                routing_key: "key",
                properties: &[0, 0],
                body: Body::Inline(body),
                persistent: false,
                priority: 0,
                expires_at: None,
                has_bcc: false,
            });
        }
        records
    }

    fn first_bytes(list: &RecordList) -> Vec<u8> {
        list.iter().map(|record| record.body()[0]).collect()
    }

    #[test]
    fn records_come_out_in_the_order_they_came_whatever_their_sizes() {
        let large = |byte| vec![byte; PIECE_BYTES_MIN];
        let mut list = RecordList::default();
        assert!(list.is_empty() && list.iter().next().is_none());
        for mut records in [
            records(&[b"a", b"b"]),
            records(&[b"c"]),
            records(&[&large(b'd'), b"e"]),
            records(&[b"f"]),
            records(&[&large(b'g')]),
            records(&[&large(b'h')]),
        ] {
            list.append(&mut records);
            assert!(records.is_empty() && !list.is_empty());
        }
        list.push_record(records(&[b"i"]).iter().next().unwrap());
        assert_eq!(first_bytes(&list), b"abcdefghi");
        list.clear(usize::MAX);
        assert!(list.is_empty() && list.iter().next().is_none());
        list.append(&mut records(&[b"j"]));
        assert_eq!(first_bytes(&list), b"j");
    }

    #[test]
    fn many_records_are_moved_and_few_are_copied() {
        let mut list = RecordList::default();
        list.append(&mut records(&[b"a"]));
        let mut few = records(&[b"b"]);
        let address = few.at(few.first().unwrap()).body().as_ptr();
        list.append(&mut few);
        assert_ne!(list.iter().last().unwrap().body().as_ptr(), address);
        let mut many = records(&[&[b'c'; PIECE_BYTES_MIN]]);
        let address = many.at(many.first().unwrap()).body().as_ptr();
        list.append(&mut many);
        assert_eq!(list.iter().last().unwrap().body().as_ptr(), address);
    }

    #[test]
    fn a_cleared_list_keeps_no_more_than_it_was_told() {
        let mut list = RecordList::default();
        list.append(&mut records(&[b"a"]));
        list.append(&mut records(&[&[b'b'; PIECE_BYTES_MIN]]));
        list.clear(PIECE_BYTES_MIN);
        assert_eq!(list.capacity(), 0);
        list.append(&mut records(&[b"a"]));
        list.clear(PIECE_BYTES_MIN);
        assert!((1..=PIECE_BYTES_MIN).contains(&list.capacity()));
    }
}
