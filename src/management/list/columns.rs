//! `columns=a,b.c`: which parts of an object are shown.

use serde_json::{Map, Value};

use crate::management::path::Query;

/// Nested names: what is below an empty node is shown whole.
#[derive(Debug, Default)]
pub(super) struct Columns(Vec<(String, Columns)>);

impl Columns {
    /// None when all are wanted.
    pub(super) fn parse(query: &Query) -> Option<Columns> {
        let text = query.get("columns").filter(|text| !text.is_empty())?;
        let mut columns = Columns::default();
        for column in text.split(',') {
            columns.add(&mut column.trim().split('.'));
        }
        Some(columns)
    }

    fn add<'a>(&mut self, path: &mut impl Iterator<Item = &'a str>) {
        let Some(name) = path.next() else { return };
        let place = self.0.iter().position(|(own, _)| own == name);
        let place = place.unwrap_or_else(|| {
            self.0.push((name.to_owned(), Columns::default()));
            self.0.len() - 1
        });
        self.0[place].1.add(path);
    }

    /// What of `value` is shown. Objects in lists are cut too.
    pub(super) fn of(&self, value: Value) -> Value {
        match value {
            Value::Object(fields) => Value::Object(self.of_fields(fields)),
            Value::Array(items) => items.into_iter().map(|item| self.of(item)).collect(),
            other => other,
        }
    }

    fn of_fields(&self, mut fields: Map<String, Value>) -> Map<String, Value> {
        let mut shown = Map::new();
        for (name, below) in &self.0 {
            let Some(value) = fields.remove(name) else {
                continue;
            };
            match (below.0.is_empty(), value) {
                (true, value) => {
                    shown.insert(name.clone(), value);
                }
                (false, value @ (Value::Object(_) | Value::Array(_))) => {
                    shown.insert(name.clone(), below.of(value));
                }
                // There is nothing below a number or a text.
                (false, _) => {}
            }
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cut(columns: &str, value: Value) -> Value {
        let query = Query::parse(&format!("columns={columns}"));
        Columns::parse(&query).expect("columns").of(value)
    }

    #[test]
    fn a_path_descends_into_objects_and_lists() {
        let value = json!({"l": [{"a": 1, "b": 2}, {"b": 3}], "n": 1});
        assert_eq!(cut("l.a,n.x", value.clone()), json!({"l": [{"a": 1}, {}]}));
        assert_eq!(
            cut("l", value.clone()),
            json!({"l": [{"a": 1, "b": 2}, {"b": 3}]})
        );
        assert_eq!(cut("n,n", value), json!({"n": 1}));
    }

    #[test]
    fn no_columns_are_all_columns() {
        assert!(Columns::parse(&Query::parse("columns=")).is_none());
        assert!(Columns::parse(&Query::parse("")).is_none());
    }
}
