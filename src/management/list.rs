//! Lists as clients ask for them: columns, order, pages.
//!
//! Items stay small until the end: an item becomes JSON only when it is written, or for a moment
//! to be compared by a column, so that a page of a list of 100,000 queues costs one page of JSON.

mod columns;
mod order;
mod page;

use serde_json::{Value, json};

use self::columns::Columns;
use self::order::{Key, key};
use self::page::Page;
use super::path::Query;
use super::reply::{Refusal, Reply};

/// One object, reduced to the columns asked for.
pub(super) fn one(query: &Query, mut value: Value) -> Reply {
    if let Some(columns) = Columns::parse(query) {
        value = columns.of(value);
    }
    Reply::json(&value)
}

/// A list of items that stand in their default order.
pub(super) fn list<T>(
    query: &Query,
    items: Vec<T>,
    name: impl Fn(&T) -> String,
    show: impl Fn(&T) -> Value,
) -> Result<Reply, Refusal> {
    let page = Page::parse(query)?;
    let total = items.len();
    let fits = |item: &T| page.as_ref().is_none_or(|page| page.takes(&name(item)));
    let kept: Vec<T> = items.into_iter().filter(fits).collect();
    let kept = in_order(query, kept, &show);
    let columns = Columns::parse(query);
    let show = |item: &T| match &columns {
        Some(columns) => columns.of(show(item)),
        None => show(item),
    };
    let Some(page) = page else {
        return Ok(Reply::text(array(&kept, show)));
    };
    let filtered = kept.len();
    let range = page.range(filtered)?;
    let head = json!({
        "filtered_count": filtered,
        "item_count": range.len(),
        "page": page.number,
        "page_count": filtered.div_ceil(page.size),
        "page_size": page.size,
        "total_count": total,
    });
    let mut text = head.to_string().into_bytes();
    text.pop();
    text.extend_from_slice(b",\"items\":");
    text.append(&mut array(&kept[range], show));
    text.push(b'}');
    Ok(Reply::text(text))
}

/// Sorted by the column asked for; what is equal keeps its order.
fn in_order<T>(query: &Query, items: Vec<T>, show: impl Fn(&T) -> Value) -> Vec<T> {
    let mut items = match query.get("sort").filter(|column| !column.is_empty()) {
        None => items,
        Some(column) => {
            let path: Vec<&str> = column.split('.').collect();
            let mut keyed: Vec<(Key, T)> = items
                .into_iter()
                .map(|item| (key(&show(&item), &path), item))
                .collect();
            keyed.sort_by(|(a, _), (b, _)| a.cmp(b));
            keyed.into_iter().map(|(_, item)| item).collect()
        }
    };
    if query.flag("sort_reverse") {
        items.reverse();
    }
    items
}

fn array<T>(items: &[T], show: impl Fn(&T) -> Value) -> Vec<u8> {
    let mut text = vec![b'['];
    for item in items {
        if text.len() > 1 {
            text.push(b',');
        }
        text.extend_from_slice(show(item).to_string().as_bytes());
    }
    text.push(b']');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn listed(query: &str, items: Value) -> Value {
        let Value::Array(items) = items else {
            panic!("a list is wanted")
        };
        let name = |item: &Value| item["name"].as_str().unwrap_or_default().to_owned();
        let reply = list(&Query::parse(query), items, name, Clone::clone).expect("a good query");
        serde_json::from_slice(&reply.body.expect("a body")).expect("JSON")
    }

    fn four() -> Value {
        json!([
            {"name": "a", "n": 3, "x": {"y": 1}},
            {"name": "B", "n": "1"},
            {"name": "ab", "n": 10, "x": {}},
            {"name": "c"},
        ])
    }

    #[test]
    fn without_a_page_a_list_is_an_array_in_its_own_order() {
        assert_eq!(listed("", four()), four());
        assert_eq!(listed("name=a&pagination=true", four()), four());
        assert_eq!(listed("", json!([])), json!([]));
    }

    #[test]
    fn columns_are_cut_out_by_path() {
        let expected = json!([{"name": "a", "x": {"y": 1}}, {"name": "B"}, {"name": "ab", "x": {}}, {"name": "c"}]);
        assert_eq!(listed("columns=name,x.y,no.such", four()), expected);
    }

    #[test]
    fn numbers_come_before_texts_and_what_is_missing_counts_as_zero() {
        let sorted = listed("sort=n&columns=name", four());
        assert_eq!(
            sorted,
            json!([{"name": "c"}, {"name": "a"}, {"name": "ab"}, {"name": "B"}])
        );
        let reversed = listed("sort=n&sort_reverse=true&columns=name", four());
        assert_eq!(
            reversed,
            json!([{"name": "B"}, {"name": "ab"}, {"name": "a"}, {"name": "c"}])
        );
        let by_default = listed("sort_reverse=true&sort=&columns=name", four());
        assert_eq!(
            by_default,
            json!([{"name": "c"}, {"name": "ab"}, {"name": "B"}, {"name": "a"}])
        );
    }

    #[test]
    fn a_page_counts_what_the_name_filter_left() {
        let page = listed("page=2&page_size=1&name=A&columns=name", four());
        let expected = json!({
            "page": 2, "page_size": 1, "page_count": 2, "item_count": 1,
            "filtered_count": 2, "total_count": 4, "items": [{"name": "ab"}],
        });
        assert_eq!(page, expected);
    }

    #[test]
    fn the_first_page_of_nothing_is_there() {
        let page = listed("page=1&name=zz", four());
        assert_eq!(
            (&page["page_count"], &page["items"]),
            (&json!(0), &json!([]))
        );
    }
}
