//! A table in Markdown.

use polysketch::text::printable;

/// A table; its cells may hold anything.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut text = line(head.iter().map(|text| cell(text)).collect());
    text += &line(head.iter().map(|_| "---".to_string()).collect());
    rows.iter().for_each(|row| text += &line(row.iter().map(|text| cell(text)).collect()));
    text
}

/// A text as a cell: neither marks of Markdown, nor HTML, nor the end of the cell.
fn cell(text: &str) -> String {
    let mut cell = String::new();
    for c in printable(text).chars() {
        match c {
            '&' => cell.push_str("&amp;"),
            '<' => cell.push_str("&lt;"),
            '>' => cell.push_str("&gt;"),
            '\\' | '|' | '`' | '*' | '_' | '[' | ']' | '~' => cell.extend(['\\', c]),
            _ => cell.push(c),
        }
    }
    cell
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stay_cells() {
        let rows = [vec!["a|b".to_string(), "<img>\n[x](y) n^1.02".into()]];
        assert_eq!(
            table(&["device", "kind"], &rows),
            "| device | kind |\n| --- | --- |\n| a\\|b | &lt;img&gt;\\\\n\\[x\\](y) n^1.02 |\n"
        );
    }
}
