//! Routing and binding keys with numbers in them.
//! Owns how a number stands in a key, and which number the n-th message of a publisher takes; all
//! numbers have the same length, so that prebuilt frames can be renumbered in place. Never sends.

/// What a number takes the place of.
pub(super) const NUMBER: &str = "%d";
/// How long a number in a key is.
pub(super) const DIGITS: usize = 10;

/// The numbers of one publisher's routing keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Keys {
    /// Different keys; zero when each message has a key of its own.
    pub(super) count: u64,
    /// This publisher, from zero, and how many there are.
    pub(super) publisher: (u64, u64),
}

impl Keys {
    /// The number in the key of message `index`, from zero. They count from one.
    pub(super) fn number(self, index: u64) -> u64 {
        let (publisher, publishers) = self.publisher;
        match self.count {
            0 => index * publishers + publisher + 1,
            count => (index + publisher) % count + 1,
        }
    }
}

/// `pattern` with `number` in it.
pub(super) fn numbered(pattern: &str, number: u64) -> String {
    let mut digits = [0; DIGITS];
    write_digits(&mut digits, number);
    pattern.replace(NUMBER, &String::from_utf8_lossy(&digits))
}

/// The last digits of a number, with zeros before it.
pub(super) fn write_digits(into: &mut [u8; DIGITS], mut number: u64) {
    for digit in into.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_keys_have_ten_digits() {
        assert_eq!(numbered("a.%d.b", 42), "a.0000000042.b");
        assert_eq!(numbered("a", 42), "a");
        let mut digits = [0; DIGITS];
        write_digits(&mut digits, 98_765_432_109);
        assert_eq!(&digits, b"8765432109");
    }

    #[test]
    fn a_few_keys_come_again_in_turn() {
        let keys = Keys {
            count: 3,
            publisher: (1, 2),
        };
        let numbers: Vec<u64> = (0..5).map(|index| keys.number(index)).collect();
        assert_eq!(numbers, [2, 3, 1, 2, 3]);
    }

    #[test]
    fn keys_that_are_new_are_new_for_every_publisher() {
        let mut numbers = std::collections::BTreeSet::new();
        for publisher in 0..3 {
            let keys = Keys {
                count: 0,
                publisher: (publisher, 3),
            };
            assert!((0..100).all(|index| numbers.insert(keys.number(index))));
        }
        assert_eq!(numbers, (1..=300).collect());
    }
}
