//! Paths and queries: split first, decoded piece by piece, so that `%2F` in a name is no slash.

use percent_encoding::percent_decode_str;

/// The segments of a path below `/api`, decoded. None if it is not below it, has an empty segment
/// in the middle, or is no UTF-8 when decoded.
pub(super) fn segments(raw: &str) -> Option<Vec<String>> {
    let below = raw.strip_prefix("/api/")?;
    let below = below.strip_suffix('/').unwrap_or(below);
    below.split('/').map(segment).collect()
}

fn segment(raw: &str) -> Option<String> {
    if raw.is_empty() {
        return None;
    }
    let decoded = percent_decode_str(raw).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

/// The values of the segments that `pattern` names with a colon, if the path fits.
pub(super) fn matches(pattern: &'static str, segments: &[String]) -> Option<Names> {
    let mut names = Vec::new();
    let mut rest = segments.iter();
    for part in pattern.split('/') {
        let segment = rest.next()?;
        match part.strip_prefix(':') {
            Some(name) => names.push((name, segment.clone())),
            None if part == segment => {}
            None => return None,
        }
    }
    rest.next().is_none().then_some(Names(names))
}

/// What a path says for the placeholders of its route.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Names(Vec<(&'static str, String)>);

impl Names {
    /// The segment at a placeholder.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(placeholder, _)| *placeholder == name);
        found.map(|(_, segment)| segment.as_str())
    }
}

/// The parameters behind the question mark.
#[derive(Clone, Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(raw: &str) -> Query {
        let pairs = raw.split('&').filter(|pair| !pair.is_empty());
        Query(
            pairs
                .map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (decode(name), decode(value))
                })
                .collect(),
        )
    }

    /// The first value of this name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Whether a flag is set: `true`, and nothing else.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.get(name) == Some("true")
    }
}

/// Form encoding: a plus is a space.
fn decode(raw: &str) -> String {
    let spaced = raw.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(pattern: &'static str, path: &str) -> Option<Vec<String>> {
        let names = matches(pattern, &segments(path)?)?;
        Some(names.0.into_iter().map(|(_, segment)| segment).collect())
    }

    #[test]
    fn an_encoded_slash_is_part_of_a_name() {
        let found = names("queues/:vhost/:name", "/api/queues/%2F/a%2fb%20c+d/");
        assert_eq!(found, Some(vec!["/".into(), "a/b c+d".into()]));
    }

    #[test]
    fn empty_segments_and_other_roots_are_no_paths() {
        for path in [
            "/api",
            "/api/",
            "/queues",
            "/api/queues//q",
            "/api/a//",
            "/api/%ff",
        ] {
            assert_eq!(segments(path), None, "{path}");
        }
    }

    #[test]
    fn a_pattern_fits_paths_of_its_length_only() {
        assert_eq!(names("queues/:vhost", "/api/queues"), None);
        assert_eq!(names("queues/:vhost", "/api/queues/a/b"), None);
        assert_eq!(names("overview", "/api/overview/"), Some(Vec::new()));
    }

    #[test]
    fn a_query_is_decoded_like_a_form() {
        let query = Query::parse("name=a+b%2Bc&use_regex=true&page&&x=%ff");
        assert_eq!(query.get("name"), Some("a b+c"));
        assert!(query.flag("use_regex"));
        assert_eq!(query.get("page"), Some(""));
        assert_eq!(query.get("sort"), None);
        assert_eq!(query.get("x"), Some("\u{fffd}"));
    }
}
