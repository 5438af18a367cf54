//! The memory of a group: bytes that begin on a block of memory, because only such bytes can go
//! past the page cache on their way to the disk. Everything works where they do not.

use super::group::BLOCK_BYTES;

/// Bytes that grow like those of a `Vec`, and begin at a multiple of [`BLOCK_BYTES`] as long as
/// room for them was made here.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    /// Unused up to `start`, then what is held.
    memory: Vec<u8>,
    start: usize,
}

impl Buffer {
    /// An empty buffer with room for `bytes`.
    pub(super) fn with_capacity(bytes: usize) -> Buffer {
        let mut buffer = Buffer {
            memory: Vec::with_capacity(bytes + BLOCK_BYTES),
            start: 0,
        };
        buffer.clear();
        buffer
    }

    /// Forgets what is held, but keeps the memory.
    pub(super) fn clear(&mut self) {
        self.memory.clear();
        let start = self.memory.as_ptr().align_offset(BLOCK_BYTES);
        self.start = start.min(self.memory.capacity());
        self.memory.resize(self.start, 0);
    }

    /// How many bytes are held.
    pub(super) fn len(&self) -> usize {
        self.memory.len() - self.start
    }

    /// How many bytes there is room for.
    pub(super) fn capacity(&self) -> usize {
        self.memory.capacity() - self.start
    }

    /// Where encoders append. What they append beyond the room that was made is held all the same,
    /// but may begin anywhere from then on.
    pub(super) fn end(&mut self) -> &mut Vec<u8> {
        &mut self.memory
    }

    /// Makes room for so many bytes in all, no more than that and a block.
    pub(super) fn make_room(&mut self, bytes: usize) {
        if bytes > self.capacity() {
            let mut larger = Buffer::with_capacity(bytes);
            larger.memory.extend_from_slice(self);
            *self = larger;
        }
    }

    /// Makes the bytes longer with zeros, or shorter.
    pub(super) fn resize(&mut self, bytes: usize) {
        self.make_room(bytes);
        self.memory.resize(self.start + bytes, 0);
    }
}

impl std::ops::Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.start..]
    }
}

impl std::ops::DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_aligned(buffer: &Buffer) -> bool {
        buffer.as_ptr().align_offset(BLOCK_BYTES) == 0
    }

    #[test]
    fn bytes_begin_on_a_block_however_they_grow() {
        let mut buffer = Buffer::default();
        assert_eq!((buffer.len(), buffer.capacity()), (0, 0));
        let mut expected = Vec::new();
        for round in 1..200_usize {
            let bytes = round * 97;
            buffer.make_room(buffer.len() + bytes);
            buffer.end().extend(std::iter::repeat_n(round as u8, bytes));
            expected.extend(std::iter::repeat_n(round as u8, bytes));
            assert!(is_aligned(&buffer), "round {round}");
        }
        assert!(*buffer == expected[..]);
        buffer.resize(10_000);
        assert!(*buffer == expected[..10_000]);
        buffer.resize(10_001);
        assert_eq!(buffer[10_000], 0);
        let capacity = buffer.capacity();
        buffer.clear();
        assert_eq!((buffer.len(), buffer.capacity()), (0, capacity));
        assert!(is_aligned(&buffer));
    }

    #[test]
    fn room_is_made_for_what_is_asked_and_a_block() {
        for bytes in [1, 4095, 4096, 1 << 20] {
            let buffer = Buffer::with_capacity(bytes);
            assert!((bytes..=bytes + BLOCK_BYTES).contains(&buffer.capacity()));
        }
    }

    #[test]
    fn bytes_appended_beyond_the_room_are_held() {
        let mut buffer = Buffer::with_capacity(10);
        for byte in 0..100_000_u32 {
            buffer.end().push(byte as u8);
        }
        assert_eq!(buffer.len(), 100_000);
        assert!((0..100_000).all(|at| buffer[at] == at as u8));
        buffer.clear();
        assert!(is_aligned(&buffer) && buffer.is_empty());
    }
}
