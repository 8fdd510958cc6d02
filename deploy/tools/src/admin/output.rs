//! Tables for people, JSON for programs.

use std::io::Write;

use serde::Serialize;

pub(super) struct Output<'a> {
    json: bool,
    writer: &'a mut dyn Write,
}

impl<'a> Output<'a> {
    pub(super) fn new(json: bool, writer: &'a mut dyn Write) -> Self {
        Self { json, writer }
    }

    /// Many of a kind: a row each.
    pub(super) fn list<T: Serialize>(
        &mut self,
        records: &[T],
        headings: &[&str],
        row: impl Fn(&T) -> Vec<String>,
    ) -> anyhow::Result<()> {
        if self.json {
            return self.json(records);
        }
        let mut rows = vec![headings.iter().map(|&heading| heading.to_owned()).collect()];
        rows.extend(records.iter().map(row));
        Ok(self.writer.write_all(table(&rows).as_bytes())?)
    }

    /// One, with all it has: a line a field.
    pub(super) fn show<T: Serialize>(&mut self, record: &T) -> anyhow::Result<()> {
        let value = serde_json::to_value(record)?;
        if self.json {
            return self.json(&value);
        }
        let mut rows = Vec::new();
        fields("", &value, &mut rows);
        Ok(self.writer.write_all(table(&rows).as_bytes())?)
    }

    /// What was done: a sentence, or the record of it.
    pub(super) fn message<T: Serialize>(&mut self, record: &T, sentence: &str) -> anyhow::Result<()> {
        if self.json {
            return self.json(record);
        }
        Ok(writeln!(self.writer, "{sentence}")?)
    }

    /// Text that is the same for people and programs.
    pub(super) fn raw(&mut self, text: &[u8]) -> anyhow::Result<()> {
        Ok(self.writer.write_all(text)?)
    }

    fn json<T: Serialize + ?Sized>(&mut self, record: &T) -> anyhow::Result<()> {
        Ok(writeln!(
            self.writer,
            "{}",
            serde_json::to_string_pretty(record)?
        )?)
    }
}

fn fields(prefix: &str, value: &serde_json::Value, rows: &mut Vec<Vec<String>>) {
    use serde_json::Value;
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let name = if prefix.is_empty() {
                    key.clone()
                } else {
                    format!("{prefix}.{key}")
                };
                fields(&name, value, rows);
            }
        }
        Value::Null => rows.push(vec![prefix.to_owned(), String::new()]),
        Value::String(text) => rows.push(vec![prefix.to_owned(), text.clone()]),
        Value::Array(items) => {
            let items = items
                .iter()
                .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned));
            rows.push(vec![prefix.to_owned(), items.collect::<Vec<_>>().join(", ")]);
        }
        other => rows.push(vec![prefix.to_owned(), other.to_string()]),
    }
}

/// Columns two spaces apart, nothing after the last.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            let gap = width + 2 - cell.chars().count();
            line.extend(std::iter::repeat_n(' ', gap));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [["a", "long one"], ["äöü", "b"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(table(&rows), "a    long one\näöü  b\n");
    }
}
