//! The 128 bytes every file of the store begins with, and reading little-endian fields.
//! Knows no file's own fields and does no I/O.
//!
//! ```text
//!   0  8  magic                 what kind of file this is
//!   8  4  format version
//!  12  4  zero
//!  16 16  node id
//!  32 16  cluster id            zero: the node belongs to no cluster
//!  48 76  fields of the kind    zero where unused
//! 124  4  CRC32C of bytes 0..124
//! ```

use std::path::Path;

use super::StoreError;

/// The length of the header every file begins with; within one device sector, so never torn.
pub(super) const HEADER_BYTES: usize = 128;
/// The version of all formats of the store.
pub(super) const FORMAT_VERSION: u32 = 1;

/// So many bytes of a magic may be wrong in a file that is damaged; with more it is not ours.
const MAGIC_ERRORS_MAX: usize = 1;

const FIELDS_AT: usize = 48;
const CRC_AT: usize = HEADER_BYTES - 4;

/// Whose files these are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Drawn at random when the data directory was made.
    pub node: [u8; 16],
    /// All zero while the node belongs to no cluster.
    pub cluster: [u8; 16],
}

impl Identity {
    /// The start of the checksums at a place, so that no other place's bytes pass for its own: epoch
    /// and number of a log file, segment and offset of a page.
    pub(super) fn seed(&self, first: u64, second: u64) -> u32 {
        let seed = crc32c::crc32c_append(crc32c::crc32c(&self.node), &first.to_le_bytes());
        crc32c::crc32c_append(seed, &second.to_le_bytes())
    }
}

/// The kind of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Magic {
    Node,
    Log,
    Snapshot,
    Segment,
}

impl Magic {
    fn bytes(self) -> &'static [u8; 8] {
        match self {
            Magic::Node => b"LVRTNODE",
            Magic::Log => b"LVRTWLOG",
            Magic::Snapshot => b"LVRTSNAP",
            Magic::Segment => b"LVRTSEGM",
        }
    }
}

/// What the first bytes of a file turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Header<'a> {
    /// Nothing was written there yet.
    Blank,
    /// The checksum does not hold.
    Damaged,
    /// A header and the fields of its kind.
    Whole {
        identity: Identity,
        fields: &'a [u8],
    },
}

/// Builds a file header around the `fields` of its kind.
pub(super) fn write_header(magic: Magic, identity: &Identity, fields: &[u8]) -> [u8; HEADER_BYTES] {
    debug_assert!(
        fields.len() <= CRC_AT - FIELDS_AT,
        "the fields must fit the header"
    );
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(magic.bytes());
    header[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    header[16..32].copy_from_slice(&identity.node);
    header[32..48].copy_from_slice(&identity.cluster);
    header[FIELDS_AT..FIELDS_AT + fields.len()].copy_from_slice(fields);
    let crc = crc32c::crc32c(&header[..CRC_AT]);
    header[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
    header
}

/// Reads the header at the start of `bytes`, which come from `path`. What it says of another kind or
/// a later version is believed if its checksum holds; and so many bytes that are not ours are no
/// accident.
pub(super) fn read_header<'a>(
    path: &Path,
    magic: Magic,
    bytes: &'a [u8],
) -> Result<Header<'a>, StoreError> {
    let from = |expected: &[u8; 8]| {
        let differing = bytes.iter().zip(expected);
        differing.filter(|(one, other)| one != other).count()
    };
    let (from_zeros, from_magic) = (from(&[0; 8]), from(magic.bytes()));
    match whole_header(bytes) {
        Some(whole) if whole.magic != magic.bytes() => Err(StoreError::Foreign {
            path: path.to_path_buf(),
        }),
        Some(whole) if whole.version > FORMAT_VERSION => Err(StoreError::NewerFormat {
            path: path.to_path_buf(),
            found: whole.version,
            known: FORMAT_VERSION,
        }),
        Some(whole) if whole.version == FORMAT_VERSION => Ok(Header::Whole {
            identity: whole.identity,
            fields: whole.fields,
        }),
        _ if from_zeros.min(from_magic) > MAGIC_ERRORS_MAX => Err(StoreError::Foreign {
            path: path.to_path_buf(),
        }),
        _ if from_zeros <= from_magic => Ok(Header::Blank),
        _ => Ok(Header::Damaged),
    }
}

/// A header whose checksum holds.
struct WholeHeader<'a> {
    magic: &'a [u8],
    version: u32,
    identity: Identity,
    fields: &'a [u8],
}

fn whole_header(bytes: &[u8]) -> Option<WholeHeader<'_>> {
    let bytes = bytes.get(..HEADER_BYTES)?;
    let mut cursor = Cursor::new(bytes);
    let (magic, version, _zero) = (cursor.bytes(8)?, cursor.u32()?, cursor.u32()?);
    let (node, cluster) = (cursor.array()?, cursor.array()?);
    let fields = cursor.bytes(CRC_AT - FIELDS_AT)?;
    (cursor.u32()? == crc32c::crc32c(&bytes[..CRC_AT])).then_some(WholeHeader {
        magic,
        version,
        identity: Identity { node, cluster },
        fields,
    })
}

/// Gives a header that a test has changed the checksum it needs to be believed.
#[cfg(test)]
pub(super) fn reseal(header: &mut [u8]) {
    let crc = crc32c::crc32c(&header[..CRC_AT]);
    header[CRC_AT..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
}

/// Reads fields from the front of a slice; `None` once it is too short.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Cursor(bytes)
    }

    pub(super) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(front)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (front, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*front)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: Identity = Identity {
        node: [7; 16],
        cluster: [0; 16],
    };

    fn path() -> &'static Path {
        Path::new("some/file")
    }

    #[test]
    fn a_header_reads_back() {
        let header = write_header(Magic::Log, &IDENTITY, &[1, 2, 3]);
        let Ok(Header::Whole { identity, fields }) = read_header(path(), Magic::Log, &header)
        else {
            panic!("whole header expected");
        };
        assert_eq!(identity, IDENTITY);
        assert_eq!(&fields[..4], &[1, 2, 3, 0]);
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_noticed() {
        let header = write_header(Magic::Log, &IDENTITY, &[1, 2, 3]);
        for bit in 0..HEADER_BYTES * 8 {
            let mut damaged = header;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(
                !matches!(
                    read_header(path(), Magic::Log, &damaged),
                    Ok(Header::Whole { .. } | Header::Blank)
                ),
                "bit {bit}"
            );
        }
    }

    #[test]
    fn every_shortened_header_is_damaged() {
        let header = write_header(Magic::Node, &IDENTITY, &[]);
        for length in 1..HEADER_BYTES {
            let read = read_header(path(), Magic::Node, &header[..length]);
            assert!(matches!(read, Ok(Header::Damaged)), "length {length}");
        }
    }

    #[test]
    fn zeros_and_nothing_are_blank() {
        assert!(matches!(
            read_header(path(), Magic::Log, &[]),
            Ok(Header::Blank)
        ));
        assert!(matches!(
            read_header(path(), Magic::Log, &[0; 4096]),
            Ok(Header::Blank)
        ));
    }

    #[test]
    fn a_flipped_bit_anywhere_in_a_header_is_damage_and_no_refusal() {
        for bit in 0..HEADER_BYTES * 8 {
            let mut header = write_header(Magic::Log, &IDENTITY, &[1, 2, 3]);
            header[bit / 8] ^= 1 << (bit % 8);
            let read = read_header(path(), Magic::Log, &header);
            assert!(matches!(read, Ok(Header::Damaged)), "bit {bit}: {read:?}");
            let mut blank = [0; HEADER_BYTES];
            blank[bit / 8] ^= 1 << (bit % 8);
            let read = read_header(path(), Magic::Log, &blank);
            assert!(matches!(read, Ok(Header::Blank)), "bit {bit}: {read:?}");
        }
    }

    #[test]
    fn text_is_foreign() {
        let read = read_header(path(), Magic::Log, b"LVRT-notes: not a log");
        assert!(matches!(read, Err(StoreError::Foreign { .. })), "{read:?}");
    }

    #[test]
    fn another_magic_is_foreign_and_names_the_file() {
        let header = write_header(Magic::Snapshot, &IDENTITY, &[]);
        let Err(error) = read_header(path(), Magic::Log, &header) else {
            panic!("an error expected");
        };
        assert!(matches!(error, StoreError::Foreign { .. }));
        assert!(error.to_string().contains("some/file"));
    }

    #[test]
    fn a_later_version_is_named() {
        let mut header = write_header(Magic::Log, &IDENTITY, &[]);
        header[8] = 2;
        reseal(&mut header);
        let read = read_header(path(), Magic::Log, &header);
        assert!(matches!(
            read,
            Err(StoreError::NewerFormat {
                found: 2,
                known: 1,
                ..
            })
        ));
    }

    #[test]
    fn seeds_differ_by_node_epoch_and_file() {
        let other = Identity {
            node: [8; 16],
            ..IDENTITY
        };
        let seeds = [
            IDENTITY.seed(1, 1),
            IDENTITY.seed(1, 2),
            IDENTITY.seed(2, 1),
            other.seed(1, 1),
        ];
        for (index, seed) in seeds.iter().enumerate() {
            assert!(!seeds[index + 1..].contains(seed));
        }
    }
}
