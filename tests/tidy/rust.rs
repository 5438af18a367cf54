//! Just enough of Rust's grammar for the rules: what is code and what is not, where functions
//! begin and end, which paths are named.

/// Rust with comments and literals turned into spaces; line breaks stay.
pub(crate) fn code(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = at + not_code(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
            continue;
        }
        out.extend(
            chars[at..end]
                .iter()
                .map(|c| if *c == '\n' { '\n' } else { ' ' }),
        );
        at = end;
    }
    out
}

/// The length of the comment or literal that begins at `at`; 0 where code goes on.
fn not_code(chars: &[char], at: usize) -> usize {
    let rest = &chars[at..];
    let inside_word = at > 0 && is_word(chars[at - 1]);
    match rest {
        ['/', '/', ..] => rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()),
        ['/', '*', ..] => block_comment(rest),
        ['"', ..] => string(rest),
        ['r', '"' | '#', ..] if !inside_word => raw_string(&rest[1..]).map_or(0, |n| n + 1),
        ['b', 'r', '"' | '#', ..] if !inside_word => raw_string(&rest[2..]).map_or(0, |n| n + 2),
        ['\'', '\\', ..] => {
            2 + rest[2..]
                .iter()
                .skip(1)
                .position(|c| *c == '\'')
                .map_or(0, |n| n + 2)
        }
        ['\'', _, '\'', ..] => 3,
        _ => 0,
    }
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn string(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// The length of `#"…"#` with any number of hashes; `None` for `r#type`.
fn raw_string(rest: &[char]) -> Option<usize> {
    let hashes = rest.iter().take_while(|c| **c == '#').count();
    if rest.get(hashes) != Some(&'"') {
        return None;
    }
    let closes = |at: &usize| {
        rest[*at] == '"'
            && rest[at + 1..]
                .iter()
                .take(hashes)
                .filter(|c| **c == '#')
                .count()
                == hashes
    };
    let end = (hashes + 1..rest.len()).find(closes);
    Some(end.map_or(rest.len(), |end| end + 1 + hashes))
}

/// `code` with every `#[cfg(test)] mod … { … }` turned into spaces.
pub(crate) fn without_tests(code: &str) -> String {
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some((before, after)) = rest.split_once("#[cfg(test)]") {
        out.push_str(before);
        let body = if after.trim_start().starts_with("mod ") {
            block(after)
        } else {
            0
        };
        out.extend(after[..body].chars().filter(|c| *c == '\n'));
        rest = &after[body..];
    }
    out + rest
}

/// The length of `mod name { … }`; of nothing when it has no body.
fn block(code: &str) -> usize {
    let mut depth = 0;
    for (at, c) in code.char_indices() {
        match c {
            ';' if depth == 0 => return 0,
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => continue,
        }
        if depth == 0 {
            return at + 1;
        }
    }
    code.len()
}

/// Whether `c` can stand inside a word.
pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// A function with a body.
pub(crate) struct Function {
    pub(crate) name: String,
    /// Counted from 1.
    pub(crate) line: usize,
    /// From `fn` to the closing brace.
    pub(crate) lines: usize,
}

/// Every function of `code` that has a body, the ones inside others too.
pub(crate) fn functions(code: &str) -> Vec<Function> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    for (at, pair) in tokens.windows(2).enumerate() {
        let [(keyword, line), (name, _)] = pair else {
            continue;
        };
        if *keyword != "fn" || !name.starts_with(is_word) {
            continue;
        }
        if let Some(last) = end_of_body(&tokens[at + 2..]) {
            let lines = last - line + 1;
            found.push(Function {
                name: (*name).to_owned(),
                line: *line,
                lines,
            });
        }
    }
    found
}

/// The line of the brace that closes the body of the function whose signature begins here.
fn end_of_body(tokens: &[(&str, usize)]) -> Option<usize> {
    let (mut brackets, mut braces) = (0, 0);
    for (token, line) in tokens {
        match *token {
            "(" | "[" => brackets += 1,
            ")" | "]" => brackets -= 1,
            ";" if brackets == 0 && braces == 0 => return None,
            "{" => braces += 1,
            "}" => {
                braces -= 1;
                if braces == 0 && brackets == 0 {
                    return Some(*line);
                }
            }
            _ => {}
        }
    }
    None
}

/// Words, `::` and single signs, each with its line.
pub(crate) fn tokens(code: &str) -> Vec<(&str, usize)> {
    let mut out = Vec::new();
    for (index, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = if is_word(first) {
                rest.find(|c| !is_word(c)).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            out.push((&rest[..length], index + 1));
            rest = rest[length..].trim_start();
        }
    }
    out
}

/// Every path of two parts or more in `code`, with its line; `a::{b, c::d}` is `a::b` and `a::c::d`.
pub(crate) fn paths(code: &str) -> Vec<(String, usize)> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let after_separator = at > 0 && tokens[at - 1].0 == "::";
        if tokens[at].0.starts_with(is_word) && !after_separator {
            at += path(&tokens[at..], "", &mut found);
        } else {
            at += 1;
        }
    }
    found
}

/// Reads one path after `prefix`; how many tokens it took.
fn path(tokens: &[(&str, usize)], prefix: &str, found: &mut Vec<(String, usize)>) -> usize {
    let mut name = prefix.to_owned();
    let mut at = 0;
    while let Some((token, line)) = tokens.get(at) {
        if token.starts_with(is_word) {
            name.push_str(token);
            at += 1;
            if tokens.get(at).is_none_or(|(next, _)| *next != "::") {
                if name.contains("::") {
                    found.push((name, *line));
                }
                return at;
            }
            name.push_str("::");
            at += 1;
        } else if *token == "{" && !name.is_empty() {
            return at + group(&tokens[at..], &name, found);
        } else {
            // `a::*`, `a::<T>`: the path that was read so far.
            found.push((name.trim_end_matches("::").to_owned(), *line));
            return at;
        }
    }
    at
}

/// Reads `{…}` after `prefix`; how many tokens it took.
fn group(tokens: &[(&str, usize)], prefix: &str, found: &mut Vec<(String, usize)>) -> usize {
    let mut at = 1;
    while let Some((token, _)) = tokens.get(at) {
        match *token {
            "}" => return at + 1,
            "as" => at += 2,
            word if word.starts_with(is_word) => at += path(&tokens[at..], prefix, found),
            _ => at += 1,
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_no_code() {
        let table = [
            ("a // b", "a     "),
            ("a /* b /* c */ d */ e", "a                   e"),
            ("f(\"a\\\"b\")", "f(      )"),
            ("r#\"a\"b\"# c", "         c"),
            ("br\"a\" c", "      c"),
            ("r#type", "r#type"),
            ("'a' '\\'' '\\u{1F}' 'b", "                  'b"),
            ("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)"),
            ("\"a\nb\" c", "  \n   c"),
        ];
        for (text, expected) in table {
            assert_eq!(code(text), expected, "{text}");
        }
    }

    #[test]
    fn a_function_reaches_from_its_name_to_its_brace() {
        let text = "fn a() {\n  fn b(x: [u8; 2]) -> u8 {\n 1 }\n}\ntrait T { fn c(&self); }\n";
        let found: Vec<_> = functions(text)
            .into_iter()
            .map(|f| (f.name, f.line, f.lines))
            .collect();
        assert_eq!(found, [("a".to_owned(), 1, 4), ("b".to_owned(), 2, 2)]);
    }

    #[test]
    fn a_test_module_is_taken_out_line_for_line() {
        let text = "a\n#[cfg(test)]\nmod tests {\n fn b() {}\n}\nc\n#[cfg(test)]\nmod tests;\nd";
        assert_eq!(without_tests(text), "a\n\n\n\n\nc\n\nmod tests;\nd");
    }

    #[test]
    fn paths_are_read_through_groups() {
        let text = "use a::{b, c::{d, e as f}};\nlet x = g::h::<T>(i::J);\nuse k::*; self.l";
        let found: Vec<_> = paths(text).into_iter().map(|(name, _)| name).collect();
        assert_eq!(found, ["a::b", "a::c::d", "a::c::e", "g::h", "i::J", "k"]);
    }
}
