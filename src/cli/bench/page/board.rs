//! Shares of the peak by kernel, devices side by side by vendor.

use polysketch::bench::board::{Board, Cell, Column, Line};
use polysketch::bench::compare::Set;

use super::super::rows::duration;
use super::devices::bus;
use super::html::{Html, card, heading, paragraph};
use crate::cli::output::percent;

/// The section.
pub fn section(page: &mut Html, sets: &[Set]) {
    let board = Board::new(sets);
    if board.lines.is_empty() {
        return;
    }
    heading(page, "Share of peak by kernel and vendor");
    paragraph(
        page,
        "Of what a device's own roofline allows, as it was measured in the same run: the lower of its \
         multiply-adds and, for the bytes moved, its bandwidth. Steps of one kernel count by their time. Below: \
         the bound, and the time, of the sizes that a device's column names; in mixed precision only the bandwidth \
         is a roof. est.: what the cost model says of the code that a vendor's compiler makes of \
         the same work, with these peaks. An estimate is measured by nobody.",
    );
    let mut table = makers(&board.columns);
    table.push(devices(&board.columns, sets));
    let mut plan = "";
    for line in &board.lines {
        if line.plan != plan {
            plan = &line.plan;
            let columns = (board.columns.len() + 1).to_string();
            let name = Html::element("th", &[("colspan", &columns), ("scope", "rowgroup")], Html::text(plan));
            table.push(Html::element("tr", &[("class", "plan")], name));
        }
        table.push(row(line, &board.columns));
    }
    page.push(card(Html::element("table", &[("class", "board")], table)));
}

fn makers(columns: &[Column]) -> Html {
    let mut cells = Html::element("th", &[], Html::default());
    for group in columns.chunk_by(|a, b| a.maker == b.maker) {
        let span = group.len().to_string();
        cells.push(Html::element(
            "th",
            &[("colspan", &span), ("scope", "colgroup"), ("class", "maker")],
            Html::text(group[0].maker),
        ));
    }
    Html::element("tr", &[], cells)
}

fn small(text: &str) -> Html {
    Html::element("small", &[], Html::text(text))
}

fn devices(columns: &[Column], sets: &[Set]) -> Html {
    let mut cells = Html::element("th", &[("scope", "col")], Html::text("kernel"));
    for c in columns {
        let which = sets.get(c.set).map_or(String::new(), |set| bus(set, sets));
        let mut name = Html::text(&format!("{}{which}", c.device));
        if c.software {
            name.push(Html::element("span", &[("class", "tag")], Html::text("software")));
        }
        for line in [&c.about, &c.driver, &c.build, &c.sizes, &c.note] {
            if !line.is_empty() {
                name.push(small(line));
            }
        }
        cells.push(Html::element("th", &[("scope", "col"), ("class", "device")], name));
    }
    Html::element("tr", &[], cells)
}

fn row(line: &Line, columns: &[Column]) -> Html {
    let mut cells = Html::element("th", &[("scope", "row")], Html::text(&line.kernel));
    for (cell, column) in line.cells.iter().zip(columns) {
        cells.push(match cell {
            Some(cell) => share(cell, column),
            None => Html::element("td", &[], Html::text("–")),
        });
    }
    Html::element("tr", &[], cells)
}

fn share(cell: &Cell, column: &Column) -> Html {
    let part = format!("--part:{:.1}%", 100.0 * cell.share.unwrap_or(0.0).clamp(0.0, 1.0));
    let bound = if cell.share.is_some() { format!("{} ", cell.bound) } else { String::new() };
    let mut below = format!("{bound}{}", duration(cell.ns));
    if let Some(ns) = cell.estimate_ns {
        below += &format!(", est. {}", duration(ns));
    }
    let of = cell.estimate_of.as_ref().map_or(String::new(), |of| format!("; estimate: {of}"));
    let steps =
        if cell.steps > 1 { format!("; {} steps of different shape", cell.steps) } else { String::new() };
    let title = format!("{}{steps}{of}", column.device);
    // What is faster than memory and multiplies nothing has no roof here.
    let mut inside = Html::text(&match cell.share {
        Some(share) if share < 0.01 => "< 1 %".into(),
        Some(share) => percent(share),
        None => "cached".to_string(),
    });
    inside.push(small(&below));
    Html::element("td", &[("class", "part"), ("style", &part), ("title", &title)], inside)
}
