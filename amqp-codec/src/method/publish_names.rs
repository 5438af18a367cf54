//! The names in a basic.publish as bytes, for whoever has read names like them before.

use nom::Parser;

use crate::primitive::{be_u8, be_u16, short_bytes};

/// The second of the bits.
const IMMEDIATE: u8 = 2;

/// The arguments of a basic.publish, whose names were not checked to be text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishNames<'a> {
    /// The exchange.
    pub exchange: &'a [u8],
    /// The routing key.
    pub routing_key: &'a [u8],
    /// Whether the message is only wanted if a consumer takes it at once.
    pub is_immediate: bool,
}

impl<'a> PublishNames<'a> {
    /// None for arguments that [`decode_args`](super::basic::Publish::decode_args) would refuse for another reason
    /// than their text.
    #[inline]
    pub fn parse(args: &'a [u8]) -> Option<PublishNames<'a>> {
        let (rest, (_ticket, exchange, routing_key, flags)) =
            (be_u16, short_bytes, short_bytes, be_u8).parse(args).ok()?;
        rest.is_empty().then_some(PublishNames {
            exchange,
            routing_key,
            is_immediate: flags & IMMEDIATE != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::basic;
    use super::*;
    use crate::put_method;

    #[test]
    fn names_are_those_of_the_method() {
        for (exchange, routing_key, mandatory, immediate) in [
            ("", "", false, false),
            ("", "queue", true, false),
            ("exchange", "", false, true),
            ("exchange", "a.long.routing.key", true, true),
        ] {
            let method = basic::Publish {
                exchange,
                routing_key,
                mandatory,
                immediate,
                ..Default::default()
            };
            let mut frame = Vec::new();
            put_method(&mut frame, 1, &method.into()).unwrap();
            // Behind head and ids, before the frame's end.
            let mut args = frame[11..frame.len() - 1].to_vec();
            let names = PublishNames::parse(&args).unwrap();
            assert_eq!(names.exchange, exchange.as_bytes());
            assert_eq!(names.routing_key, routing_key.as_bytes());
            assert_eq!(names.is_immediate, immediate);
            for len in 0..args.len() {
                assert_eq!(PublishNames::parse(&args[..len]), None, "cut at {len}");
            }
            args.push(0);
            assert_eq!(PublishNames::parse(&args), None, "a byte too many");
        }
    }
}
