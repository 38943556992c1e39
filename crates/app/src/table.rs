//! Rows of text under headings, in columns as wide as they need to be.

/// The lines of a table, the headings first. A row shorter than the headings ends early.
pub(crate) fn lines(headings: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        let heading = headings.get(column).map_or(0, |heading| heading.chars().count());
        cells.max().unwrap_or_default().max(heading)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded: Vec<String> =
            cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(headings.to_vec())];
    lines.extend(rows.iter().map(|row| line(row.iter().map(String::as_str).collect())));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows =
            [vec!["n1".to_owned(), "x".to_owned()], vec!["node-10".to_owned(), "-".to_owned()]];
        assert_eq!(lines(&["ID", "ROLE"], &rows), ["ID       ROLE", "n1       x", "node-10  -"]);
        assert_eq!(lines(&["ID"], &[]), ["ID"]);
    }
}
