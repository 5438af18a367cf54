//! Numbers from bytes that may end anywhere.

use super::{Malformed, Run, Runs};

/// What is left to read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl Reader<'_> {
    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        self.take::<1>().map(|[byte]| byte)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        self.take().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Malformed> {
        self.take().map(u64::from_le_bytes)
    }

    /// A number of things that follow, each at least `bytes_each` long; so it is safe to reserve
    /// memory for them.
    pub(super) fn count(&mut self, bytes_each: usize) -> Result<usize, Malformed> {
        let count = self.u32()? as usize;
        if count > self.0.len() / bytes_each {
            return Err(ENDS_EARLY);
        }
        Ok(count)
    }

    /// How many things of `bytes_each` fill the rest.
    pub(super) fn count_of_rest(&self, bytes_each: usize) -> Result<usize, Malformed> {
        if self.0.is_empty() || !self.0.len().is_multiple_of(bytes_each) {
            return Err(Malformed("an entry does not end where its last item does"));
        }
        Ok(self.0.len() / bytes_each)
    }

    pub(super) fn runs(&mut self, count: usize) -> Result<Runs, Malformed> {
        let mut runs = Runs::new();
        for _ in 0..count {
            let run = Run {
                first: self.u64()?,
                count: self.u32()?,
            };
            let is_behind = runs.last().is_none_or(|last| last < run.first);
            if run.first == 0 || run.checked_last().is_none() || !is_behind {
                return Err(Malformed("runs that overlap, descend or are none"));
            }
            runs.insert_run(run);
        }
        Ok(runs)
    }

    pub(super) fn end(&self) -> Result<(), Malformed> {
        match self.0 {
            [] => Ok(()),
            _ => Err(Malformed("bytes behind the end")),
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(ENDS_EARLY)?;
        self.0 = rest;
        Ok(*bytes)
    }
}

const ENDS_EARLY: Malformed = Malformed("ends before its last item");
