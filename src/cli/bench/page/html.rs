//! Pieces of a page: headings, tables, plots.

use std::fmt::Write as _;

use plotters::chart::SeriesLabelPosition;
use plotters::style::RGBColor;
use polysketch::Result;

use crate::cli::panels::{self, Curve, Panel, Stroke, power_of_ten};

/// Width and height of a plot.
const PLOT: (u32, u32) = (560, 400);

/// Colours that are told apart on light and on dark.
pub const COLORS: [RGBColor; 8] = [
    RGBColor(0x8a, 0x97, 0xa8),
    RGBColor(0x31, 0x82, 0xce),
    RGBColor(0xdd, 0x6b, 0x20),
    RGBColor(0x38, 0xa1, 0x69),
    RGBColor(0xc0, 0x4a, 0x9a),
    RGBColor(0x0f, 0x9b, 0x9b),
    RGBColor(0xc9, 0x9a, 0x1c),
    RGBColor(0xd6, 0x45, 0x45),
];

pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

pub fn heading(page: &mut String, text: &str) {
    let _ = write!(page, "<h2>{}</h2>", escape(text));
}

pub fn paragraph(page: &mut String, text: &str) {
    let _ = write!(page, "<p>{}</p>", escape(text));
}

/// A cell: words, a number, a note, or ready HTML.
pub enum Cell {
    Words(String),
    Number(String),
    Note(String),
    Html(String),
}

pub fn table(page: &mut String, head: &[&str], rows: &[Vec<Cell>]) {
    let numeric = |column: usize| {
        rows.first().and_then(|row| row.get(column)).is_some_and(|cell| matches!(cell, Cell::Number(_)))
    };
    page.push_str("<div class=card><table><tr>");
    for (column, text) in head.iter().enumerate() {
        let _ =
            write!(page, "<th{}>{}</th>", if numeric(column) { " class=number" } else { "" }, escape(text));
    }
    page.push_str("</tr>");
    for row in rows {
        page.push_str("<tr>");
        for cell in row {
            let _ = match cell {
                Cell::Words(text) => write!(page, "<td>{}</td>", escape(text)),
                Cell::Number(text) => write!(page, "<td class=number>{}</td>", escape(text)),
                Cell::Note(text) => write!(page, "<td class=text>{}</td>", escape(text)),
                Cell::Html(html) => write!(page, "<td>{html}</td>"),
            };
        }
        page.push_str("</tr>");
    }
    page.push_str("</table></div>");
}

pub fn plots(page: &mut String, panels: &[Panel]) -> Result<()> {
    let drawn = panels.iter().filter(|panel| panel.curves.iter().any(|curve| !curve.points.is_empty()));
    page.push_str("<div class=plots>");
    for panel in drawn {
        let _ = write!(page, "<div class=card>{}</div>", panels::inline(panel, PLOT)?);
    }
    page.push_str("</div>");
    Ok(())
}

pub fn curve(label: String, color: usize, stroke: Stroke, points: Vec<(f64, f64)>) -> Curve {
    Curve { label: Some(label), color: COLORS[color % COLORS.len()], strength: 1.0, stroke, points }
}

pub fn panel(
    title: String,
    x: &'static str,
    y: &'static str,
    x_name: fn(i32) -> String,
    curves: Vec<Curve>,
) -> Panel {
    // A curve of nothing has no place in the legend.
    let curves = curves.into_iter().filter(|curve| !curve.points.is_empty()).collect();
    Panel {
        title,
        x,
        y,
        x_name,
        y_name: power_of_ten,
        curves,
        legend: Some(SeriesLabelPosition::UpperLeft),
        labels: Vec::new(),
    }
}
