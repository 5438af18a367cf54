//! The form of a configuration file: rabbitmq.conf's `key = value` lines.
//!
//! Cuts text into entries and names what is no entry; knows no option.
//!
//! ```text
//! # a comment, also after a value when a space is before it
//! frame_max    = 128KiB
//! default_pass = 'quoted # to hold a hash'
//! default_user = $(SEED_USERNAME)     the environment variable's value
//! ```

/// One `key = value` line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Counted from 1.
    pub(super) line: usize,
    /// The key, as written.
    pub(super) key: String,
    /// The value without quotes, comment and variables.
    pub(super) value: String,
}

/// A line that is no entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    /// Counted from 1.
    pub(super) line: usize,
    /// What is wrong with it.
    pub(super) reason: String,
}

/// All entries of a file and all lines that are none, each in order.
pub(super) fn parse(
    text: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> (Vec<Entry>, Vec<Malformed>) {
    let (mut entries, mut malformed) = (Vec::new(), Vec::new());
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (index, content) in text.lines().enumerate() {
        let (line, content) = (index + 1, content.trim());
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        match entry(content, variable) {
            Ok((key, value)) => entries.push(Entry { line, key, value }),
            Err(reason) => malformed.push(Malformed { line, reason }),
        }
    }
    (entries, malformed)
}

fn entry(
    content: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<(String, String), String> {
    let Some((key, rest)) = content.split_once('=') else {
        return Err("expected `key = value`".to_owned());
    };
    let key = key.trim();
    if key.is_empty() || key.contains(char::is_whitespace) {
        return Err("expected a key without spaces before `=`".to_owned());
    }
    let rest = rest.trim();
    if let Some(quoted) = rest.strip_prefix('\'') {
        return Ok((key.to_owned(), unquote(quoted)?));
    }
    let value = before_comment(rest)?;
    if value.is_empty() {
        return Err(format!("{key} has no value"));
    }
    Ok((key.to_owned(), interpolate(value, variable)?))
}

fn unquote(quoted: &str) -> Result<String, String> {
    let Some((value, rest)) = quoted.split_once('\'') else {
        return Err("the quoted value has no closing `'`".to_owned());
    };
    let rest = rest.trim_start();
    if !rest.is_empty() && !rest.starts_with('#') {
        return Err("nothing but a comment may follow a quoted value".to_owned());
    }
    Ok(value.to_owned())
}

/// RabbitMQ would cut `secret#1` to `secret` without a word; here such a value must be quoted.
fn before_comment(rest: &str) -> Result<&str, String> {
    let Some(at) = rest.find('#') else {
        return Ok(rest);
    };
    let value = &rest[..at];
    if !value.is_empty() && !value.ends_with(char::is_whitespace) {
        return Err(
            "`#` inside a value: quote the value with ' or put a space before a comment".to_owned(),
        );
    }
    Ok(value.trim_end())
}

fn interpolate(value: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("$(") {
        let Some((name, after)) = after.split_once(')') else {
            return Err("`$(` has no closing `)`; quote the value with ' to mean it".to_owned());
        };
        out.push_str(before);
        out.push_str(
            &variable(name).ok_or_else(|| format!("the environment variable {name} is not set"))?,
        );
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(line: &str) -> Result<(String, String), String> {
        let variable = |name: &str| (name == "SEED").then(|| "grain".to_owned());
        let (mut entries, mut malformed) = parse(line, &variable);
        match (entries.pop(), malformed.pop()) {
            (Some(entry), None) => Ok((entry.key, entry.value)),
            (None, Some(malformed)) => Err(malformed.reason),
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn check(line: &str, key: &str, value: &str) {
        assert_eq!(one(line), Ok((key.to_owned(), value.to_owned())));
    }

    #[test]
    fn spaces_around_a_key_and_a_value_do_not_count() {
        check("heartbeat=30", "heartbeat", "30");
        check("  heartbeat   =  30  ", "heartbeat", "30");
        check(
            "default_permissions.read = ^a b = c$",
            "default_permissions.read",
            "^a b = c$",
        );
    }

    #[test]
    fn a_comment_may_follow_a_value() {
        check("heartbeat = 30 # seconds", "heartbeat", "30");
        check("a = 'x # y' # z", "a", "x # y");
    }

    #[test]
    fn a_hash_inside_a_bare_value_is_refused_rather_than_cut() {
        assert!(one("default_pass = secret#1").is_err_and(|e| e.contains("quote the value")));
    }

    #[test]
    fn a_quoted_value_is_taken_as_it_is() {
        check("default_pass = ' $(SEED) '", "default_pass", " $(SEED) ");
        check("default_pass = ''", "default_pass", "");
        assert!(one("a = 'x").is_err());
        assert!(one("a = 'x' y").is_err());
    }

    #[test]
    fn an_environment_variable_is_put_in_and_must_exist() {
        check("a = <$(SEED)$(SEED)>", "a", "<graingrain>");
        assert!(one("a = $(HUSK)").is_err_and(|e| e.contains("HUSK")));
        assert!(one("a = $(SEED").is_err());
    }

    #[test]
    fn what_is_no_entry_is_named_by_its_line() {
        let (entries, malformed) = parse(
            "\u{feff}# head\n\na = 1\r\n[main]\n= 2\nb c = 3\nd =\n",
            &|_| None,
        );
        assert_eq!(
            entries,
            [Entry {
                line: 3,
                key: "a".to_owned(),
                value: "1".to_owned()
            }]
        );
        let lines: Vec<_> = malformed.iter().map(|m| m.line).collect();
        assert_eq!(lines, [4, 5, 6, 7]);
    }
}
