//! Rows in columns, as wide as they have to be.
//!
//! Owns: nothing but that. Widths are characters.

/// A table that grows by rows.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
    right: &'static [usize],
}

impl Table {
    /// With these heads; the columns in `right` are numbers.
    pub(super) fn new(heads: &[&str], right: &'static [usize]) -> Self {
        Self { rows: vec![heads.iter().map(|&head| head.to_owned()).collect()], right }
    }

    pub(super) fn row(&mut self, cells: impl Into<Vec<String>>) {
        self.rows.push(cells.into());
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                let gap = if column == 0 { "" } else { "  " };
                line.push_str(gap);
                let padding = " ".repeat(width - cell.chars().count());
                let (before, after) =
                    if self.right.contains(&column) { (&*padding, "") } else { ("", &*padding) };
                line.extend([before, cell, after]);
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_cells() {
        let mut table = Table::new(&["backend", "rate"], &[1]);
        table.row(["sip:a".to_owned(), "10.5".to_owned()]);
        table.row(["sip:long-name".to_owned(), "1".to_owned()]);
        assert_eq!(
            table.to_string(),
            "backend        rate\nsip:a          10.5\nsip:long-name     1\n"
        );
    }
}
