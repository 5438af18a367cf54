//! Strings of at most 255 bytes, the length proven by the type.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;

use crate::error::EncodeError;

/// The longest short string: its length travels in one byte.
pub const SHORT_STRING_MAX: usize = 255;

/// An owned short string: UTF-8, at most [`SHORT_STRING_MAX`] bytes.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShortString(Box<str>);

impl ShortString {
    /// The text, cut as [`clip`] cuts it.
    pub fn clipped(text: &str) -> ShortString {
        ShortString(clip(text).into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text as an owned string, without a copy.
    pub fn into_string(self) -> String {
        self.0.into_string()
    }
}

/// The longest beginning of `text` that is a short string; characters stay whole.
pub fn clip(text: &str) -> &str {
    let mut end = text.len().min(SHORT_STRING_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

impl TryFrom<&str> for ShortString {
    type Error = EncodeError;

    fn try_from(text: &str) -> Result<ShortString, EncodeError> {
        if text.len() > SHORT_STRING_MAX {
            return Err(EncodeError::ShortStringTooLong(text.len()));
        }
        Ok(ShortString(text.into()))
    }
}

impl TryFrom<String> for ShortString {
    type Error = EncodeError;

    fn try_from(text: String) -> Result<ShortString, EncodeError> {
        if text.len() > SHORT_STRING_MAX {
            return Err(EncodeError::ShortStringTooLong(text.len()));
        }
        Ok(ShortString(text.into_boxed_str()))
    }
}

impl Deref for ShortString {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for ShortString {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for ShortString {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for ShortString {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl PartialEq<&str> for ShortString {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}

impl fmt::Display for ShortString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ShortString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_hundred_and_fifty_five_bytes_are_the_limit() {
        for len in [0, 254, 255] {
            let text = "x".repeat(len);
            assert_eq!(ShortString::try_from(text.as_str()).unwrap(), *text);
            assert_eq!(
                ShortString::try_from(text.clone()).unwrap().into_string(),
                text
            );
        }
        let text = "x".repeat(256);
        let refused = Err(EncodeError::ShortStringTooLong(256));
        assert_eq!(ShortString::try_from(text.as_str()), refused);
        assert_eq!(ShortString::try_from(text), refused);
    }

    #[test]
    fn clipping_keeps_characters_whole() {
        assert_eq!(clip("short"), "short");
        assert_eq!(clip(&"x".repeat(300)), "x".repeat(255));
        // 127 characters of two bytes are 254; the next one would end at 256.
        assert_eq!(clip(&"ö".repeat(200)), "ö".repeat(127));
        assert_eq!(ShortString::clipped(&"🐇".repeat(64)), *"🐇".repeat(63));
    }

    #[test]
    fn a_short_string_looks_and_sorts_like_its_text() {
        let text = ShortString::clipped("a\"b");
        assert_eq!(format!("{text} {text:?}"), "a\"b \"a\\\"b\"");
        assert!(ShortString::clipped("a") < ShortString::clipped("b"));
        let set = std::collections::HashSet::from([text]);
        assert!(
            set.contains("a\"b"),
            "found by its text, without an allocation"
        );
    }
}
