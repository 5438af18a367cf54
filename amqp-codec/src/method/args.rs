//! Reading and writing the arguments of a method: one function per type of the specification.
//!
//! Consecutive bits share octets, the first in the lowest position; any other argument ends the
//! octet. That is the only state between two arguments.

use crate::error::{DecodeError, EncodeError};
use crate::primitive::{
    Parsed, be_u8, be_u16, be_u32, be_u64, long_bytes, put_longstr, put_shortstr, shortstr,
};
use crate::table::{FieldTable, put_table, table};

const BITS_PER_OCTET: u8 = 8;

/// Takes arguments off the front of a payload.
pub(super) struct ArgReader<'a> {
    rest: &'a [u8],
    octet: u8,
    next_bit: u8,
}

impl<'a> ArgReader<'a> {
    #[inline]
    pub(super) fn new(rest: &'a [u8]) -> ArgReader<'a> {
        ArgReader {
            rest,
            octet: 0,
            next_bit: BITS_PER_OCTET,
        }
    }

    #[inline]
    fn take<T>(
        &mut self,
        parser: impl FnOnce(&'a [u8]) -> Parsed<'a, T>,
    ) -> Result<T, DecodeError> {
        let (rest, value) = parser(self.rest)?;
        self.rest = rest;
        self.next_bit = BITS_PER_OCTET;
        Ok(value)
    }

    #[inline]
    pub(super) fn bit(&mut self) -> Result<bool, DecodeError> {
        if self.next_bit == BITS_PER_OCTET {
            self.octet = self.octet()?;
            self.next_bit = 0;
        }
        let bit = self.octet >> self.next_bit & 1 != 0;
        self.next_bit += 1;
        Ok(bit)
    }

    #[inline]
    pub(super) fn octet(&mut self) -> Result<u8, DecodeError> {
        self.take(be_u8)
    }

    #[inline]
    pub(super) fn short(&mut self) -> Result<u16, DecodeError> {
        self.take(be_u16)
    }

    #[inline]
    pub(super) fn long(&mut self) -> Result<u32, DecodeError> {
        self.take(be_u32)
    }

    #[inline]
    pub(super) fn longlong(&mut self) -> Result<u64, DecodeError> {
        self.take(be_u64)
    }

    #[inline]
    pub(super) fn shortstr(&mut self) -> Result<&'a str, DecodeError> {
        self.take(shortstr)
    }

    #[inline]
    pub(super) fn longstr(&mut self) -> Result<&'a [u8], DecodeError> {
        self.take(long_bytes)
    }

    pub(super) fn table(&mut self) -> Result<FieldTable, DecodeError> {
        self.take(|input| table(1, input))
    }

    /// Ends the arguments.
    #[inline]
    pub(super) fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::Trailing)
        }
    }
}

/// Appends arguments to a payload. All functions take references, so that the table of methods
/// can call them alike.
pub(super) struct ArgWriter<'o> {
    out: &'o mut Vec<u8>,
    next_bit: u8,
}

impl<'o> ArgWriter<'o> {
    #[inline]
    pub(super) fn new(out: &'o mut Vec<u8>) -> ArgWriter<'o> {
        ArgWriter {
            out,
            next_bit: BITS_PER_OCTET,
        }
    }

    #[inline]
    fn put(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.next_bit = BITS_PER_OCTET;
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    #[inline]
    pub(super) fn bit(&mut self, value: &bool) -> Result<(), EncodeError> {
        if self.next_bit == BITS_PER_OCTET {
            self.out.push(0);
            self.next_bit = 0;
        }
        if let Some(octet) = self.out.last_mut() {
            *octet |= u8::from(*value) << self.next_bit;
        }
        self.next_bit += 1;
        Ok(())
    }

    #[inline]
    pub(super) fn octet(&mut self, value: &u8) -> Result<(), EncodeError> {
        self.put(&[*value])
    }

    #[inline]
    pub(super) fn short(&mut self, value: &u16) -> Result<(), EncodeError> {
        self.put(&value.to_be_bytes())
    }

    #[inline]
    pub(super) fn long(&mut self, value: &u32) -> Result<(), EncodeError> {
        self.put(&value.to_be_bytes())
    }

    #[inline]
    pub(super) fn longlong(&mut self, value: &u64) -> Result<(), EncodeError> {
        self.put(&value.to_be_bytes())
    }

    #[inline]
    pub(super) fn shortstr(&mut self, value: &str) -> Result<(), EncodeError> {
        self.next_bit = BITS_PER_OCTET;
        put_shortstr(self.out, value)
    }

    pub(super) fn longstr(&mut self, value: &[u8]) -> Result<(), EncodeError> {
        self.next_bit = BITS_PER_OCTET;
        put_longstr(self.out, value)
    }

    pub(super) fn table(&mut self, value: &FieldTable) -> Result<(), EncodeError> {
        self.next_bit = BITS_PER_OCTET;
        put_table(self.out, 1, value)
    }
}
