//! `bench report`: rows as one page with plots, light or dark as its reader's system is, that needs nothing
//! but itself.
//!
//! | file | what |
//! |---|---|
//! | `html.rs` | the pieces of a page; curves in its colours |
//! | `markdown.rs` | a table in Markdown |
//! | `devices.rs`, `board.rs`, `attention.rs`, `kernels.rs`, `model.rs` | a section each |

mod attention;
mod board;
mod devices;
mod html;
mod kernels;
mod markdown;
mod model;

use std::path::{Path, PathBuf};

use clap::Args;
use polysketch::bench::Suite;
use polysketch::bench::compare::Set;
use polysketch::files::{atomic_write, is_standard};
use polysketch::{Error, ErrorKind, Result};

use super::rows::{duration, no_rows, note, rate, read};
use crate::cli::failure::{Outcome, tell};
use crate::cli::options::Common;
use crate::cli::output::{check_place, magnitude, percent, plural};
use crate::cli::panels::{self, Panel};
use devices::device;
use html::{Cell, Html, paragraph, table};

/// What `bench report` takes.
#[derive(Debug, Args)]
pub struct Options {
    /// Files of rows (bench --out); -: stdin
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The page to write, HTML; here and below, -: stdout
    #[arg(long, value_name = "FILE", default_value = "report.html")]
    out: PathBuf,
    /// Also its plots of time against length (attention) and against depth (model), SVG
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Also the table of attention alone, Markdown
    #[arg(long, value_name = "FILE")]
    table: Option<PathBuf>,
}

const TEMPLATE: &str = include_str!("page.html");

/// Runs the command.
pub fn run(common: &Common, options: &Options) -> Outcome {
    let sets: Vec<Set> = read(common, &options.files)?.into_iter().flat_map(Set::split).collect();
    let count = sets.iter().map(|set| set.rows.len()).sum();
    if count == 0 {
        return Err(no_rows(&options.files[0]).into());
    }
    let places = || [Some(&options.out), options.svg.as_ref(), options.table.as_ref()].into_iter().flatten();
    for path in places() {
        check_place(common, path)?;
    }
    if places().filter(|path| is_standard(path)).count() > 1 {
        return Err(Error::new(ErrorKind::Input, "two files are named -: stdout takes one")
            .help("give the other one a name")
            .into());
    }
    let page = body(&sets)?.page(TEMPLATE);
    atomic_write(&options.out, |w| w.write_all(page.as_bytes()))?;
    if let Some(path) = &options.svg {
        scaling_plot(path, &sets)?;
    }
    if let Some(path) = &options.table {
        atomic_write(path, |w| w.write_all(attention::scaling_table(&sets).as_bytes()))?;
    }
    if common.talks() {
        tell(format_args!("written: {}, {}", options.out.display(), plural(count, "row")));
    }
    Ok(())
}

fn body(sets: &[Set]) -> Result<Html> {
    let mut page = Html::element("h1", &[], Html::text("polysketch bench"));
    let dates = || sets.iter().flat_map(|set| &set.rows).map(|row| row.date.get(..10).unwrap_or_default());
    let (first, last) = (dates().min().unwrap_or_default(), dates().max().unwrap_or_default());
    let when = if first == last { first.to_string() } else { format!("{first} to {last}") };
    let count: usize = sets.iter().map(|set| set.rows.len()).sum();
    paragraph(
        &mut page,
        &format!(
            "{}, {}, {when}. Medians; every result was held against f64 in the same run.",
            plural(sets.len(), "run"),
            plural(count, "row")
        ),
    );
    devices::section(&mut page, sets);
    board::section(&mut page, sets);
    attention::section(&mut page, sets)?;
    kernels::roofline(&mut page, sets)?;
    kernels::shares(&mut page, sets);
    model::section(&mut page, sets)?;
    model::training(&mut page, sets)?;
    page.push(all_rows(sets));
    Ok(page)
}

/// The plots against length alone, of all devices where there are several; and those of a model against
/// depth, where it was measured.
fn scaling_plot(path: &Path, sets: &[Set]) -> Result<()> {
    let has = |suite| sets.iter().flat_map(|set| &set.rows).any(|row| row.suite == suite);
    let mut rows: Vec<Vec<Panel>> = Vec::new();
    if has(Suite::Attention) {
        rows.push(
            attention::PASSES
                .iter()
                .filter_map(|pass| attention::panels(sets, *pass).into_iter().next())
                .collect(),
        );
    }
    rows.extend(model::panels(sets).map(Vec::from));
    let title = if has(Suite::Attention) {
        "Attention: time against length"
    } else {
        "A text: time and memory against what was read of it"
    };
    panels::draw(path, title, "polysketch bench; medians, every result held against f64", &rows)
}

fn all_rows(sets: &[Set]) -> Html {
    let mut page = Html::element("summary", &[], Html::text("All rows"));
    for set in sets {
        page.push(Html::element("h3", &[], device(set, sets)));
        let cells = set.rows.iter().map(|row| {
            let s = row.statistics.as_ref();
            vec![
                Cell::Words(row.suite.to_string()),
                Cell::Words(row.name.clone()),
                Cell::Words(row.label()),
                Cell::Number(s.map_or(String::new(), |s| duration(s.median_ns))),
                Cell::Number(s.map_or(String::new(), |s| duration(s.min_ns))),
                Cell::Number(s.map_or(String::new(), |s| duration(s.p95_ns))),
                Cell::Number(s.map_or(String::new(), |s| s.n.to_string())),
                Cell::Number(rate(row)),
                Cell::Number(row.derived.share_of_peak.map_or(String::new(), percent)),
                Cell::Number(row.check.as_ref().map_or(String::new(), |check| magnitude(check.error))),
                Cell::Note(note(row)),
            ]
        });
        let cells: Vec<Vec<Cell>> = cells.collect();
        table(
            &mut page,
            &[
                "suite", "name", "workload", "median", "least", "p95", "samples", "rate", "of peak", "error",
                "",
            ],
            &cells,
        );
    }
    Html::element("details", &[], page)
}
