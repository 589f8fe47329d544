//! Counters as tables.

use std::io::{self, Write};

use speadway::recv::StreamStats;

/// Counters with names, one column for each stream.
#[derive(Default)]
pub(crate) struct Table {
    columns: Vec<String>,
    rows: Vec<(String, Vec<u64>)>,
}

impl Table {
    /// Adds a stream. All streams have the same counters in the same order.
    pub(crate) fn add(&mut self, name: impl Into<String>, stats: &StreamStats) {
        self.columns.push(name.into());
        let counters = stats.counters();
        if self.rows.is_empty() {
            self.rows = counters.into_iter().map(|(name, value)| (name, vec![value])).collect();
        } else {
            for ((_, row), (_, value)) in self.rows.iter_mut().zip(counters) {
                row.push(value);
            }
        }
    }

    /// Drops the rows for which `keep` says no.
    pub(crate) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.rows.retain(|(name, _)| keep(name));
    }

    /// Whether every counter is zero.
    pub(crate) fn is_zero(&self) -> bool {
        self.rows.iter().all(|(_, row)| row.iter().all(|&value| value == 0))
    }

    /// The counters over all streams, without those that are zero.
    pub(crate) fn totals(&self) -> impl Iterator<Item = (&str, u64)> {
        let totals = self.rows.iter().map(|(name, row)| (name.as_str(), total(name, row)));
        totals.filter(|&(_, value)| value != 0)
    }

    /// Writes every counter that is not zero, with a total if there are several streams.
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let several = self.columns.len() > 1;
        let total = several.then_some("total").into_iter();
        let heads: Vec<&str> = total.chain(self.columns.iter().map(String::as_str)).collect();
        let rows: Vec<(&str, Vec<String>)> = self
            .rows
            .iter()
            .filter(|(_, row)| row.iter().any(|&value| value != 0))
            .map(|(name, row)| (name.as_str(), cells(name, row, several)))
            .collect();
        let first = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let width = |at: usize| {
            let cells = rows.iter().map(|(_, row)| row[at].len());
            cells.chain([heads[at].len()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..heads.len()).map(width).collect();
        let line = |out: &mut dyn Write, name: &str, cells: &[&str]| {
            write!(out, "  {name:<first$}")?;
            for (cell, &width) in cells.iter().zip(&widths) {
                write!(out, "  {cell:>width$}")?;
            }
            writeln!(out)
        };
        line(out, "", &heads)?;
        for (name, row) in &rows {
            line(out, name, &row.iter().map(String::as_str).collect::<Vec<_>>())?;
        }
        Ok(())
    }
}

/// Writes counters in one line, without those that are zero; nothing if all are.
pub(crate) fn write_row(
    out: &mut impl Write,
    name: &str,
    counters: &[(&str, u64)],
) -> io::Result<()> {
    let counters: Vec<_> = counters.iter().filter(|&&(_, value)| value != 0).collect();
    if counters.is_empty() {
        return Ok(());
    }
    write!(out, "  {name}:")?;
    for (name, value) in counters {
        write!(out, "  {name} {value}")?;
    }
    writeln!(out)
}

fn cells(name: &str, row: &[u64], several: bool) -> Vec<String> {
    let total = several.then(|| total(name, row)).into_iter();
    total.chain(row.iter().copied()).map(|value| value.to_string()).collect()
}

/// The counter over all streams: their sum, but for a maximum, which is no amount.
fn total(name: &str, row: &[u64]) -> u64 {
    if name == "max_batch" {
        row.iter().copied().max().unwrap_or(0)
    } else {
        row.iter().fold(0, |sum, &value| sum.saturating_add(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_left_out_and_totals_added() {
        let row = |name: &str, values: &[u64]| (name.to_owned(), values.to_vec());
        let table = Table {
            columns: vec!["a".into(), "b".into()],
            rows: vec![row("heaps", &[10, 5]), row("none", &[0, 0]), row("max_batch", &[3, 4])],
        };
        let mut out = Vec::new();
        table.write(&mut out).unwrap();
        let lines: Vec<Vec<&str>> = std::str::from_utf8(&out)
            .unwrap()
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        let expected: [&[&str]; 3] =
            [&["total", "a", "b"], &["heaps", "15", "10", "5"], &["max_batch", "4", "3", "4"]];
        assert_eq!(lines, expected);
        assert!(!table.is_zero());
    }
}
