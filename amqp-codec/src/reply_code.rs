//! The reply codes of close and return methods, their names, and what each of them ends.

/// What an error with a given code closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The channel; the connection goes on.
    Channel,
    /// The whole connection.
    Connection,
}

macro_rules! reply_codes {
    ($($(#[$doc:meta])+ $code:literal $variant:ident $name:literal $scope:ident;)+) => {
        /// A reply code of AMQP 0-9-1.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum ReplyCode {
            $($(#[$doc])+ $variant = $code,)+
        }

        impl ReplyCode {
            /// All codes, in the order of their numbers.
            pub const ALL: &'static [ReplyCode] = &[$(ReplyCode::$variant),+];

            /// The code with this number.
            pub const fn from_code(code: u16) -> Option<ReplyCode> {
                match code {
                    $($code => Some(ReplyCode::$variant),)+
                    _ => None,
                }
            }

            /// The name that reply texts begin with, such as `NOT_FOUND`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(ReplyCode::$variant => $name,)+
                }
            }

            /// What an error with this code closes.
            pub const fn scope(self) -> Scope {
                match self {
                    $(ReplyCode::$variant => Scope::$scope,)+
                }
            }
        }
    };
}

reply_codes! {
    /// All is well: an orderly close.
    200 ReplySuccess "REPLY_SUCCESS" Connection;
    /// A message is larger than the other side takes now.
    311 ContentTooLarge "CONTENT_TOO_LARGE" Channel;
    /// A mandatory message had no route.
    312 NoRoute "NO_ROUTE" Channel;
    /// An immediate message had no consumer.
    313 NoConsumers "NO_CONSUMERS" Channel;
    /// An operator closed the connection.
    320 ConnectionForced "CONNECTION_FORCED" Connection;
    /// An unknown virtual host.
    402 InvalidPath "INVALID_PATH" Connection;
    /// The user has no right to do this.
    403 AccessRefused "ACCESS_REFUSED" Channel;
    /// The named entity does not exist.
    404 NotFound "NOT_FOUND" Channel;
    /// The entity belongs to another connection.
    405 ResourceLocked "RESOURCE_LOCKED" Channel;
    /// A condition of the method does not hold.
    406 PreconditionFailed "PRECONDITION_FAILED" Channel;
    /// A frame that cannot be decoded.
    501 FrameError "FRAME_ERROR" Connection;
    /// A method with illegal values in its fields.
    502 SyntaxError "SYNTAX_ERROR" Connection;
    /// A method that is not allowed in this order.
    503 CommandInvalid "COMMAND_INVALID" Connection;
    /// Work on a channel that is not open.
    504 ChannelError "CHANNEL_ERROR" Connection;
    /// A frame that was not expected here.
    505 UnexpectedFrame "UNEXPECTED_FRAME" Connection;
    /// The server lacks the resources.
    506 ResourceError "RESOURCE_ERROR" Connection;
    /// A prohibited attempt, whoever makes it.
    530 NotAllowed "NOT_ALLOWED" Connection;
    /// The server does not have this method.
    540 NotImplemented "NOT_IMPLEMENTED" Connection;
    /// A fault of the server.
    541 InternalError "INTERNAL_ERROR" Connection;
}

impl ReplyCode {
    /// The number on the wire.
    pub const fn code(self) -> u16 {
        self as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_names_and_scopes_are_those_of_the_protocol() {
        let text: Vec<String> = ReplyCode::ALL
            .iter()
            .map(|code| format!("{} {} {:?}", code.code(), code.name(), code.scope()))
            .collect();
        let expected = [
            "200 REPLY_SUCCESS Connection",
            "311 CONTENT_TOO_LARGE Channel",
            "312 NO_ROUTE Channel",
            "313 NO_CONSUMERS Channel",
            "320 CONNECTION_FORCED Connection",
            "402 INVALID_PATH Connection",
            "403 ACCESS_REFUSED Channel",
            "404 NOT_FOUND Channel",
            "405 RESOURCE_LOCKED Channel",
            "406 PRECONDITION_FAILED Channel",
            "501 FRAME_ERROR Connection",
            "502 SYNTAX_ERROR Connection",
            "503 COMMAND_INVALID Connection",
            "504 CHANNEL_ERROR Connection",
            "505 UNEXPECTED_FRAME Connection",
            "506 RESOURCE_ERROR Connection",
            "530 NOT_ALLOWED Connection",
            "540 NOT_IMPLEMENTED Connection",
            "541 INTERNAL_ERROR Connection",
        ];
        assert_eq!(text, expected);
    }

    #[test]
    fn only_known_numbers_are_codes() {
        for number in 0..=u16::MAX {
            let code = ReplyCode::from_code(number);
            assert_eq!(
                code.is_some(),
                ReplyCode::ALL.iter().any(|code| code.code() == number)
            );
            assert!(code.is_none_or(|code| code.code() == number));
        }
    }
}
