//! The macro that turns the table of methods into structs, decoders, encoders and names.
//!
//! One row is
//!
//! ```text
//!   /// What it does.
//!   40 "publish" Publish<'a> as BasicPublish [content] { ticket: short, exchange: shortstr, … }
//! ```
//!
//! with the method id, the name on the wire, the struct, the variant of `Method`, what the
//! specification says about it (`sync`: the sender waits for an answer; `content`: a header and a
//! body follow), and the arguments with their types. A field named `kind` is `type` on the wire.

/// The Rust type of an argument.
macro_rules! arg_type {
    (bit) => { bool };
    (octet) => { u8 };
    (short) => { u16 };
    (long) => { u32 };
    (longlong) => { u64 };
    (shortstr) => { &'a str };
    (longstr) => { &'a [u8] };
    (table) => { $crate::table::FieldTable };
}

/// The [`FieldKind`](super::FieldKind) of an argument.
macro_rules! arg_kind {
    (bit) => {
        FieldKind::Bit
    };
    (octet) => {
        FieldKind::Octet
    };
    (short) => {
        FieldKind::Short
    };
    (long) => {
        FieldKind::Long
    };
    (longlong) => {
        FieldKind::LongLong
    };
    (shortstr) => {
        FieldKind::ShortStr
    };
    (longstr) => {
        FieldKind::LongStr
    };
    (table) => {
        FieldKind::Table
    };
}

/// The name of an argument as the specification spells it.
macro_rules! arg_name {
    (kind) => {
        "type"
    };
    ($field:ident) => {{
        const DASHED: [u8; stringify!($field).len()] = dashed(stringify!($field));
        const NAME: &str = match str::from_utf8(&DASHED) {
            Ok(name) => name,
            Err(_) => panic!("a field name is ASCII"),
        };
        NAME
    }};
}

macro_rules! is_content {
    (content) => {
        true
    };
    ($($other:ident)?) => {
        false
    };
}

macro_rules! is_sync {
    (sync) => {
        true
    };
    ($($other:ident)?) => {
        false
    };
}

macro_rules! methods {
    ($(
        $(#[$class_doc:meta])+
        $class:ident = $class_id:literal {
            $(
                $(#[$doc:meta])+
                $id:literal $name:literal $method:ident $(<$lt:lifetime>)? as $variant:ident
                    [$($trait:ident)?] { $($field:ident: $kind:ident),* $(,)? }
            )+
        }
    )+) => {
        $(
            $(#[$class_doc])+
            pub mod $class {
                use super::{
                    ArgReader, ArgWriter, DecodeError, EncodeError, Method, MethodId,
                };

                $(
                    $(#[$doc])+
                    #[derive(Clone, Debug, Default, PartialEq)]
                    pub struct $method $(<$lt>)? {
                        $(
                            #[doc = concat!("The argument `", stringify!($field), "`, of type ",
                                stringify!($kind), ".")]
                            pub $field: super::arg_type!($kind),
                        )*
                    }

                    impl $(<$lt>)? $method $(<$lt>)? {
                        /// Class and method id.
                        pub const ID: MethodId = MethodId { class: $class_id, method: $id };

                        /// Decodes the arguments: the payload behind the ids, to its end.
                        #[inline]
                        pub fn decode_args(args: & $($lt)? [u8]) -> Result<Self, DecodeError> {
                            #[allow(unused_mut, reason = "some methods have no arguments")]
                            let mut args = ArgReader::new(args);
                            let method = $method { $($field: args.$kind()?),* };
                            args.finish()?;
                            Ok(method)
                        }

                        #[inline]
                        pub(super) fn put_args(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
                            #[allow(unused, reason = "some methods have no arguments")]
                            let mut args = ArgWriter::new(out);
                            $(args.$kind(&self.$field)?;)*
                            Ok(())
                        }
                    }

                    impl<'a> From<$method $(<$lt>)?> for Method<'a> {
                        fn from(method: $method $(<$lt>)?) -> Method<'a> {
                            Method::$variant(method)
                        }
                    }
                )+
            }
        )+

        /// A method with its arguments.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Method<'a> {
            $($(
                #[doc = concat!("`", stringify!($class), ".", $name, "`")]
                $variant($class::$method $(<$lt>)?),
            )+)+
        }

        impl<'a> Method<'a> {
            /// Decodes the arguments of the method that `id` names.
            pub fn decode_args(id: MethodId, args: &'a [u8]) -> Result<Method<'a>, DecodeError> {
                match (id.class, id.method) {
                    $($(
                        ($class_id, $id) => {
                            $class::$method::decode_args(args).map(Method::$variant)
                        }
                    )+)+
                    _ => Err(DecodeError::UnknownMethod(id)),
                }
            }

            /// Class and method id.
            pub const fn id(&self) -> MethodId {
                match self {
                    $($(Method::$variant(_) => $class::$method::ID,)+)+
                }
            }

            /// The name, such as `basic.publish`.
            pub const fn name(&self) -> &'static str {
                match self {
                    $($(Method::$variant(_) => concat!(stringify!($class), ".", $name),)+)+
                }
            }

            /// Whether a content header and a body follow.
            pub const fn has_content(&self) -> bool {
                match self {
                    $($(Method::$variant(_) => is_content!($($trait)?),)+)+
                }
            }

            /// Whether the sender waits for an answer.
            pub const fn is_synchronous(&self) -> bool {
                match self {
                    $($(Method::$variant(_) => is_sync!($($trait)?),)+)+
                }
            }

            pub(super) fn put_args(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
                match self {
                    $($(Method::$variant(method) => method.put_args(out),)+)+
                }
            }
        }

        /// All methods, by class in the order of the table.
        pub static METHODS: &[MethodSpec] = &[
            $($(
                MethodSpec {
                    id: $class::$method::ID,
                    name: concat!(stringify!($class), ".", $name),
                    fields: &[
                        $(FieldSpec { name: arg_name!($field), kind: arg_kind!($kind) }),*
                    ],
                    has_content: is_content!($($trait)?),
                    synchronous: is_sync!($($trait)?),
                },
            )+)+
        ];

        /// What the table says about a method; `None` when the protocol has none of that id.
        pub fn spec(id: MethodId) -> Option<&'static MethodSpec> {
            let row = match (id.class, id.method) {
                $($(($class_id, $id) => Row::$variant,)+)+
                _ => return None,
            };
            METHODS.get(row as usize)
        }

        /// The place of each method in [`METHODS`].
        #[derive(Clone, Copy)]
        enum Row {
            $($($variant,)+)+
        }
    };
}

/// A snake-case name with dashes for underscores.
pub(super) const fn dashed<const LEN: usize>(snake: &str) -> [u8; LEN] {
    let snake = snake.as_bytes();
    let mut name = [0; LEN];
    let mut at = 0;
    while at < LEN {
        name[at] = if snake[at] == b'_' { b'-' } else { snake[at] };
        at += 1;
    }
    name
}

pub(super) use {arg_kind, arg_name, arg_type, is_content, is_sync, methods};
