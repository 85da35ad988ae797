//! Pieces of a page: headings, tables, plots.

use plotters::chart::SeriesLabelPosition;
use plotters::style::RGBColor;
use polysketch::Result;
use polysketch::text::printable;

use crate::cli::panels::{self, Curve, Panel, Stroke, has_decades, power_of_ten};

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

/// A piece of a page. Text that is not of this program gets in through [`Html::text`] alone, which escapes
/// it: rows come from anywhere.
#[derive(Clone, Debug, Default)]
pub struct Html(String);

impl Html {
    /// Text, whatever it holds.
    pub fn text(text: &str) -> Self {
        let escaped = printable(text)
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('"', "&quot;")
            .replace('\'', "&#39;");
        Self(escaped)
    }

    /// An element with attributes and what is inside.
    pub fn element(tag: &'static str, attributes: &[(&'static str, &str)], inside: Self) -> Self {
        let mut html = format!("<{tag}");
        for (name, value) in attributes {
            html += &format!(" {name}=\"{}\"", Self::text(value).0);
        }
        html += &format!(">{}</{tag}>", inside.0);
        Self(html)
    }

    /// A plot, in the page's colours.
    pub fn plot(panel: &Panel) -> Result<Self> {
        panels::inline(panel, PLOT).map(Self)
    }

    /// Appends a piece.
    pub fn push(&mut self, piece: Self) {
        self.0.push_str(&piece.0);
    }

    /// The page of this body: `template` with it in place of `BODY`.
    pub fn page(&self, template: &'static str) -> String {
        template.replacen("BODY", &self.0, 1)
    }
}

impl FromIterator<Html> for Html {
    fn from_iter<I: IntoIterator<Item = Html>>(pieces: I) -> Self {
        Self(pieces.into_iter().map(|piece| piece.0).collect())
    }
}

pub fn heading(page: &mut Html, text: &str) {
    page.push(Html::element("h2", &[], Html::text(text)));
}

pub fn paragraph(page: &mut Html, text: &str) {
    page.push(Html::element("p", &[], Html::text(text)));
}

/// A cell: words, a number, a note, or a piece of a page.
pub enum Cell {
    Words(String),
    Number(String),
    Note(String),
    Html(Html),
}

impl Cell {
    fn html(&self) -> Html {
        let (class, inside) = match self {
            Cell::Words(text) => ("", Html::text(text)),
            Cell::Number(text) => ("number", Html::text(text)),
            Cell::Note(text) => ("text", Html::text(text)),
            Cell::Html(html) => ("", html.clone()),
        };
        classed("td", class, inside)
    }
}

fn classed(tag: &'static str, class: &str, inside: Html) -> Html {
    if class.is_empty() {
        Html::element(tag, &[], inside)
    } else {
        Html::element(tag, &[("class", class)], inside)
    }
}

pub fn table(page: &mut Html, head: &[&str], rows: &[Vec<Cell>]) {
    let numeric = |column: usize| {
        rows.first().and_then(|row| row.get(column)).is_some_and(|cell| matches!(cell, Cell::Number(_)))
    };
    let line = |cells: Html| Html::element("tr", &[], cells);
    let names = head
        .iter()
        .enumerate()
        .map(|(column, text)| classed("th", if numeric(column) { "number" } else { "" }, Html::text(text)));
    let mut lines = line(names.collect());
    rows.iter().for_each(|row| lines.push(line(row.iter().map(Cell::html).collect())));
    page.push(card(Html::element("table", &[], lines)));
}

/// A piece on a ground of its own.
pub fn card(inside: Html) -> Html {
    Html::element("div", &[("class", "card")], inside)
}

/// Pieces beside each other.
pub fn beside(inside: Html) -> Html {
    Html::element("div", &[("class", "plots")], inside)
}

pub fn plots(page: &mut Html, panels: &[Panel]) -> Result<()> {
    let drawn = panels.iter().filter(|panel| panel.curves.iter().any(|curve| !curve.points.is_empty()));
    page.push(beside(drawn.map(|panel| Html::plot(panel).map(card)).collect::<Result<Html>>()?));
    Ok(())
}

pub fn curve(label: String, color: usize, stroke: Stroke, points: Vec<(f64, f64)>) -> Curve {
    // Rows may hold anything, plots only numbers.
    let points = points.into_iter().filter(|(x, y)| x.is_finite() && has_decades(*y)).collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_text_wherever_it_stands() {
        let evil = "<img src=x onerror='a'>\" & \u{1b}[31m";
        let html = Html::element("td", &[("title", evil)], Html::text(evil)).page("BODY");
        let escaped = r"&lt;img src=x onerror=&#39;a&#39;&gt;&quot; &amp; \u{1b}[31m";
        assert_eq!(html, format!("<td title=\"{escaped}\">{escaped}</td>"));
        for cell in [Cell::Words(evil.into()), Cell::Number(evil.into()), Cell::Note(evil.into())] {
            assert!(!cell.html().page("BODY").contains("<img"));
        }
        // The body may hold the word for its place.
        assert_eq!(Html::text("BODY").page("<p>BODY</p>"), "<p>BODY</p>");
    }
}
