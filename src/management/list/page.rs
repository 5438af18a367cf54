//! `page`, `page_size`, `name` and `use_regex`.

use std::ops::Range;

use axum::http::StatusCode;
use regex::{Regex, RegexBuilder};

use crate::management::path::Query;
use crate::management::reply::Refusal;

const SIZE_DEFAULT: usize = 100;
const SIZE_MAX: usize = 500;
/// Characters of a pattern.
const PATTERN_MAX: usize = 1024;
/// Bytes of a compiled pattern.
const PATTERN_BYTES_MAX: usize = 256 * 1024;

/// The page that is asked for.
#[derive(Debug)]
pub(super) struct Page {
    /// From 1.
    pub(super) number: usize,
    /// Items of a page.
    pub(super) size: usize,
    name: Filter,
}

#[derive(Debug)]
enum Filter {
    All,
    /// In lower case.
    Part(String),
    Pattern(Regex),
}

impl Page {
    /// None when the whole list is wanted: `page` alone makes pages.
    pub(super) fn parse(query: &Query) -> Result<Option<Page>, Refusal> {
        let Some(number) = query.get("page") else {
            return Ok(None);
        };
        let invalid = || Refusal::bad_request("Pagination parameters are invalid");
        let parse = |text: &str| text.parse::<i64>().map_err(|_| invalid());
        let number = parse(number)?;
        let size = query
            .get("page_size")
            .map_or(Ok(SIZE_DEFAULT as i64), parse)?;
        let name = Filter::parse(query).ok_or_else(invalid)?;
        match (usize::try_from(number), usize::try_from(size)) {
            (Ok(number @ 1..), Ok(size @ 1..=SIZE_MAX)) => Ok(Some(Page { number, size, name })),
            _ => Err(Refusal::new(
                StatusCode::BAD_REQUEST,
                "invalid_pagination_parameters",
                format!("Invalid pagination parameters: page number {number}, page size {size}"),
            )),
        }
    }

    /// Whether an item of this name is listed at all.
    pub(super) fn takes(&self, name: &str) -> bool {
        match &self.name {
            Filter::All => true,
            Filter::Part(part) => name.to_lowercase().contains(part),
            Filter::Pattern(pattern) => pattern.is_match(name),
        }
    }

    /// The places of the page's items in a list of `length`.
    pub(super) fn range(&self, length: usize) -> Result<Range<usize>, Refusal> {
        let start = (self.number - 1).saturating_mul(self.size);
        if start >= length && self.number > 1 {
            return Err(Refusal::new(
                StatusCode::BAD_REQUEST,
                "page_out_of_range",
                format!(
                    "Page out of range, page: {} page size: {}, len: {length}",
                    self.number, self.size
                ),
            ));
        }
        Ok(start.min(length)..start.saturating_add(self.size).min(length))
    }
}

impl Filter {
    fn parse(query: &Query) -> Option<Filter> {
        let Some(name) = query.get("name").filter(|name| !name.is_empty()) else {
            return Some(Filter::All);
        };
        if !query.flag("use_regex") {
            return Some(Filter::Part(name.to_lowercase()));
        }
        if name.chars().count() > PATTERN_MAX {
            return None;
        }
        let pattern = RegexBuilder::new(name)
            .case_insensitive(true)
            .size_limit(PATTERN_BYTES_MAX)
            .build();
        pattern.ok().map(Filter::Pattern)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(query: &str) -> Result<Page, String> {
        match Page::parse(&Query::parse(query)) {
            Ok(Some(page)) => Ok(page),
            Ok(None) => Err("no page".into()),
            Err(refusal) => Err(refusal.to_string()),
        }
    }

    #[test]
    fn bad_parameters_are_told_apart() {
        let numbers = "400 invalid_pagination_parameters: \"Invalid pagination parameters: page \
                       number 0, page size 10\"";
        assert_eq!(page("page=0&page_size=10").map(|_| ()), Err(numbers.into()));
        assert!(page("page=1&page_size=501").is_err());
        assert!(page("page=1&page_size=500").is_ok());
        let invalid = "400 bad_request: \"Pagination parameters are invalid\"";
        for query in ["page=x", "page=", "page=1&name=%5B&use_regex=true"] {
            assert_eq!(page(query).map(|_| ()), Err(invalid.into()), "{query}");
        }
    }

    #[test]
    fn patterns_are_bounded() {
        let long = "a".repeat(PATTERN_MAX + 1);
        assert!(page(&format!("page=1&use_regex=true&name={long}")).is_err());
        assert!(page("page=1&use_regex=true&name=(a{999}){999}").is_err());
    }

    #[test]
    fn names_are_compared_without_case() {
        let takes = |query: &str, name: &str| page(query).is_ok_and(|page| page.takes(name));
        assert!(takes("page=1&name=EU", "orders-eu"));
        assert!(!takes("page=1&name=o.*eu", "orders-eu"));
        assert!(takes("page=1&name=O.*eu$&use_regex=true", "orders-EU"));
        assert!(takes("page=1&name=", "anything"));
    }

    #[test]
    fn a_page_beyond_the_end_does_not_exist_but_the_first_always_does() {
        let second = page("page=2&page_size=10").expect("a page");
        assert_eq!(second.range(15).ok(), Some(10..15));
        assert!(second.range(10).is_err());
        assert_eq!(page("page=1").expect("a page").range(0).ok(), Some(0..0));
        assert!(
            page(&format!("page={}&page_size=500", i64::MAX))
                .expect("a page")
                .range(5)
                .is_err()
        );
    }
}
