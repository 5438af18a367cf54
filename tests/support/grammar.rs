//! The little language in which tests write AMQP: `queue.declare queue=q arguments={x-expires: I 5}`.
//!
//! Owns the way from the text of one line to items, arguments and terms; knows no method and no
//! field by name.
//!
//! ```text
//! line     = item { "|" item } [ "within" duration ] [ "eventually" ]
//! item     = [ number "times" ] name { argument }
//! argument = field "=" term | field "==" term | "!" field | term
//! term     = word | "quoted" [ "*" number ] | /regex/ | "*" | $capture | typed | {table} | [array]
//! typed    = type-byte term | "V"
//! ```

use super::term::{Argument, Item, Phrase, Piece, Sense, Term, duration};

/// Reads the content of a line.
pub(crate) fn parse(line: &str) -> Result<Phrase, String> {
    let mut cursor = Cursor { rest: line.trim() };
    let mut phrase = Phrase::default();
    phrase.items.push(cursor.item()?);
    loop {
        cursor.blank();
        if cursor.eat('|') {
            phrase.items.push(cursor.item()?);
        } else if cursor.eat_word("within") {
            phrase.within = Some(duration(cursor.word())?);
        } else if cursor.eat_word("eventually") {
            phrase.eventually = true;
        } else if cursor.rest.is_empty() {
            return Ok(phrase);
        } else {
            return Err(format!("cannot read '{}'", cursor.rest));
        }
    }
}

struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    fn blank(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next();
        self.rest = chars.as_str();
        next
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.rest.strip_prefix(wanted);
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    /// Takes `wanted` when it stands alone.
    fn eat_word(&mut self, wanted: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix(wanted) else {
            return false;
        };
        if !rest.is_empty() && !rest.starts_with(char::is_whitespace) {
            return false;
        }
        self.rest = rest;
        true
    }

    /// The characters up to blank or punctuation.
    fn word(&mut self) -> &'a str {
        self.blank();
        self.until(|c| c.is_whitespace() || "|,={}[]\"".contains(c))
    }

    fn until(&mut self, stop: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(stop).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn item(&mut self) -> Result<Item, String> {
        let mut item = Item {
            name: self.word().to_owned(),
            ..Item::default()
        };
        self.blank();
        let times = item.name.parse().ok();
        if times.is_some() && self.eat_word("times") {
            item.times = times;
            item.name = self.word().to_owned();
        }
        if item.name.is_empty() {
            return Err(format!("a method's name is missing before '{}'", self.rest));
        }
        while let Some(argument) = self.argument()? {
            item.arguments.push(argument);
        }
        Ok(item)
    }

    fn argument(&mut self) -> Result<Option<Argument>, String> {
        self.blank();
        let start = self.rest;
        let tail = ["within", "eventually"]
            .iter()
            .any(|word| self.eat_word(word));
        if tail || start.is_empty() || start.starts_with('|') {
            self.rest = start;
            return Ok(None);
        }
        if self.eat('!') {
            let (sense, term) = (Sense::Absent, Term::Any);
            let name = self.word().to_owned();
            return Ok(Some(Argument { name, sense, term }));
        }
        let (name, sense) = self.field();
        let term = self.term(false)?;
        Ok(Some(Argument { name, sense, term }))
    }

    /// `name=` or `name==`; an empty name when a bare term follows.
    fn field(&mut self) -> (String, Sense) {
        let start = self.rest;
        let name = self.word();
        if name.starts_with(|c: char| c.is_ascii_alphabetic()) && self.eat('=') {
            let exactly = self.eat('=');
            let sense = if exactly {
                Sense::Exactly
            } else {
                Sense::Equals
            };
            return (name.to_owned(), sense);
        }
        self.rest = start;
        (String::new(), Sense::Bare)
    }

    /// A term; `typed` inside tables and arrays, where a type byte may stand in front.
    fn term(&mut self, typed: bool) -> Result<Term, String> {
        if typed {
            self.blank();
        }
        match self.peek() {
            Some('"') => self.quoted(),
            Some('/') => self.regex(),
            Some('{') => self.table(),
            Some('[') => self.array(),
            _ if typed => self.typed(),
            _ => Ok(word_term(self.until(|c| c.is_whitespace() || c == '|'))),
        }
    }

    fn typed(&mut self) -> Result<Term, String> {
        let word = self.word();
        if matches!(word, "*" | "true" | "false") || word.starts_with('$') {
            return Ok(word_term(word));
        }
        let &[tag @ b'A'..=b'z'] = word.as_bytes() else {
            return Err(format!("'{word}' wants its type byte in front, or quotes"));
        };
        if tag == b'V' {
            return Ok(Term::Tagged(tag, None));
        }
        self.blank();
        let inner = match self.peek() {
            Some('"' | '/' | '{' | '[') => self.term(true)?,
            _ => match self.word() {
                "" => return Err(format!("a value is missing behind '{word}'")),
                value => word_term(value),
            },
        };
        Ok(Term::Tagged(tag, Some(Box::new(inner))))
    }

    fn table(&mut self) -> Result<Term, String> {
        let mut entries = Vec::new();
        self.eat('{');
        loop {
            self.blank();
            if self.eat('}') {
                return Ok(Term::Table(entries));
            }
            if self.eat('!') {
                entries.push((self.word().to_owned(), None));
            } else {
                let key = self.key()?;
                entries.push((key, Some(self.term(true)?)));
            }
            self.separator('}')?;
        }
    }

    fn key(&mut self) -> Result<String, String> {
        let key = if self.peek() == Some('"') {
            let Term::Text { pieces, .. } = self.quoted()? else {
                return Err("key".into());
            };
            match pieces.as_slice() {
                [] => String::new(),
                [Piece::Literal(bytes)] => String::from_utf8_lossy(bytes).into_owned(),
                _ => return Err("a key cannot hold a capture".into()),
            }
        } else {
            self.until(|c| c.is_whitespace() || ":,}".contains(c))
                .to_owned()
        };
        self.blank();
        if self.eat(':') {
            Ok(key)
        } else {
            Err(format!("':' wanted behind the key '{key}'"))
        }
    }

    fn array(&mut self) -> Result<Term, String> {
        let mut elements = Vec::new();
        self.eat('[');
        loop {
            self.blank();
            if self.eat(']') {
                return Ok(Term::Array(elements));
            }
            elements.push(self.term(true)?);
            self.separator(']')?;
        }
    }

    fn separator(&mut self, end: char) -> Result<(), String> {
        self.blank();
        if self.eat(',') || self.peek() == Some(end) {
            return Ok(());
        }
        Err(format!("',' or '{end}' wanted before '{}'", self.rest))
    }

    fn regex(&mut self) -> Result<Term, String> {
        self.eat('/');
        let mut source = String::new();
        while let Some(next) = self.bump() {
            match next {
                '/' => return Ok(Term::Regex(braced(&source))),
                '\\' if self.eat('/') => source.push('/'),
                _ => source.push(next),
            }
        }
        Err("a regular expression does not end".into())
    }

    fn quoted(&mut self) -> Result<Term, String> {
        self.eat('"');
        let mut text = Pieces::default();
        loop {
            match self.bump().ok_or("a quoted text does not end")? {
                '"' => break,
                '\\' => text.literal.push(self.escape()?),
                '$' => {
                    let braces = self.eat('{');
                    let name = self
                        .until(|c| !c.is_ascii_alphanumeric() && c != '_')
                        .to_owned();
                    if braces && !self.eat('}') {
                        return Err("'}' wanted behind a capture".into());
                    }
                    text.capture(name);
                }
                other => text
                    .literal
                    .extend(other.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        let repeat = if self.eat('*') {
            self.word()
                .parse()
                .map_err(|_| "a number wanted behind '*'")?
        } else {
            1
        };
        Ok(Term::Text {
            pieces: text.done(),
            repeat,
            quoted: true,
        })
    }

    fn escape(&mut self) -> Result<u8, String> {
        Ok(match self.bump() {
            Some('n') => b'\n',
            Some('r') => b'\r',
            Some('t') => b'\t',
            Some('0') => 0,
            Some('x') if self.rest.is_char_boundary(2) => {
                let (digits, rest) = self.rest.split_at(2);
                self.rest = rest;
                u8::from_str_radix(digits, 16).map_err(|error| error.to_string())?
            }
            Some(plain @ ('"' | '\\' | '$')) => plain as u8,
            other => return Err(format!("unknown escape {other:?}")),
        })
    }
}

#[derive(Default)]
struct Pieces {
    pieces: Vec<Piece>,
    literal: Vec<u8>,
}

impl Pieces {
    fn capture(&mut self, name: String) {
        if !self.literal.is_empty() {
            self.pieces
                .push(Piece::Literal(std::mem::take(&mut self.literal)));
        }
        self.pieces.push(Piece::Capture(name));
    }

    fn done(mut self) -> Vec<Piece> {
        if !self.literal.is_empty() {
            self.pieces.push(Piece::Literal(self.literal));
        }
        self.pieces
    }
}

/// A bare word: `*`, `$name`, or itself.
fn word_term(word: &str) -> Term {
    if word == "*" {
        return Term::Any;
    }
    let pieces = match word.strip_prefix('$') {
        _ if word.is_empty() => Vec::new(),
        Some(name) if !name.starts_with('{') => vec![Piece::Capture(name.to_owned())],
        _ => braced(word),
    };
    Term::Text {
        pieces,
        repeat: 1,
        quoted: false,
    }
}

/// Text in which `${name}` stands for a capture and a lone `$` for itself.
fn braced(source: &str) -> Vec<Piece> {
    let mut text = Pieces::default();
    let mut rest = source;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, tail)) = after.split_once('}') else {
            break;
        };
        text.literal.extend(before.as_bytes());
        text.capture(name.to_owned());
        rest = tail;
    }
    text.literal.extend(rest.as_bytes());
    text.done()
}
