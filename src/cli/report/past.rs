//! `report past`: what a longer past is worth to a model.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use plotters::chart::SeriesLabelPosition;
use pollster::block_on;
use polysketch::report::past::{self, BUCKETS, Estimate, Group, Past, PastOptions, Position};
use polysketch::{Error, ErrorKind, Result};
use serde::Serialize;

use super::cells::{WIDTH, named, strings};
use super::folder::Folder;
use crate::cli::failure::{Outcome, catch_interrupt, interrupted};
use crate::cli::input::read_text;
use crate::cli::model;
use crate::cli::options::{Common, ModelOptions, count};
use crate::cli::output::{plural, table, thousands, wrap};
use crate::cli::panels::{self, COLORS, Curve, Panel, Stroke, plain_power, power_of_two};
use crate::cli::progress::{Progress, Unit};

/// What `report past` takes.
#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    folder: Folder,
    #[command(flatten)]
    model: ModelOptions,
    /// Texts with people in them, UTF-8; `<|endoftext|>` separates documents, of which each lends its names to the
    /// others
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Least tokens since a name occurred, of each group
    #[arg(long, value_name = "N", num_args = 1.., default_values = ["256", "1k", "4k", "16k"], value_parser = count)]
    distances: Vec<usize>,
    /// Names of each group and document
    #[arg(long, value_name = "N", default_value = "100", value_parser = count)]
    sites: usize,
    /// Tokens of the short past
    #[arg(long, value_name = "N", default_value = "256", value_parser = count)]
    short: usize,
    /// Only the first N tokens of each document
    #[arg(long, value_name = "N", value_parser = count)]
    max_tokens: Option<usize>,
}

#[derive(Debug, Serialize)]
struct PastReport {
    model: String,
    device: String,
    documents: usize,
    tokens: usize,
    short: usize,
    groups: Vec<Row>,
    nll_by_position: Vec<Position>,
    seconds: f64,
}

/// A group in numbers: nats a sentence, from the name on.
#[derive(Debug, Serialize)]
struct Row {
    /// Least tokens since the name occurred; none where it did not.
    least: Option<usize>,
    /// Where the next group begins.
    end: Option<usize>,
    sites: usize,
    /// By which another name costs more, after the whole past.
    whole: Estimate,
    /// After the short past.
    short: Estimate,
    /// The difference.
    worth: Estimate,
    /// Nats of the name itself, after the whole past and after the short one.
    name: [Estimate; 2],
}

impl Row {
    fn of(group: &Group) -> Self {
        let (least, end, sites, name) = (group.least, group.end, group.sites, group.names());
        Self { least, end, sites, whole: group.whole(), short: group.short(), worth: group.worth(), name }
    }

    fn title(&self) -> String {
        match (self.least, self.end) {
            (None, _) => "never".into(),
            (Some(least), None) => format!("{} and more", thousands(least)),
            (Some(least), Some(end)) => format!("{} to {}", thousands(least), thousands(end)),
        }
    }
}

/// Runs the command.
pub fn run(common: &Common, options: &Options) -> Outcome {
    let (folder, began) = (&options.folder, Instant::now());
    folder.prepare(common, "past")?;
    let mut distances = options.distances.clone();
    distances.sort_unstable();
    distances.dedup();
    if distances[0] < options.short || options.short < 2 {
        let text = format!("a short past of {} tokens, and distances from {}", options.short, distances[0]);
        let help = "the short past must not hold the name: use a --short of 2 to the least of --distances";
        return Err(Error::new(ErrorKind::Input, text).help(help).into());
    }
    let text = read_text(common, &options.data, "the text")?;
    let model = model::load(common, &options.model)?;
    let documents = model.tokenizer()?.documents(&text);
    let most = options.max_tokens.unwrap_or(usize::MAX);
    let (sites, most) =
        if folder.quick { (options.sites.min(5), most.min(4096)) } else { (options.sites, most) };
    let how = PastOptions { distances, sites, short: options.short, tokens: most };
    catch_interrupt();
    let mut tokens = 0;
    let measured = {
        // Four bytes a token, or so: how many there are is known when all have been read.
        let bytes = text.len().min(documents.len().saturating_mul(most).saturating_mul(4));
        let bar = Progress::bar(common, "reading", bytes as u64 / 4, Unit::Tokens);
        block_on(past::past(&model, &documents, &how, &mut |done| {
            tokens = done;
            bar.set(done);
            if interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }))?
    };
    let Past { groups, positions } = measured;
    let report = PastReport {
        model: common.named(&options.model),
        device: model.executor().name(),
        documents: documents.len(),
        tokens,
        short: options.short,
        groups: groups.iter().map(Row::of).collect(),
        nll_by_position: positions,
        seconds: began.elapsed().as_secs_f64(),
    };
    folder.finish(common, "past", &report, |columns| report.text(columns), |path| report.draw(path))
}

impl PastReport {
    fn text(&self, columns: Option<usize>) -> Vec<String> {
        let about = format!(
            "{}: names that occurred before, by the tokens since then, in {} of {} tokens together. Nats by which the \
             sentence with another text's name in its place costs more, from the name on: after the whole past, and \
             after its last {} tokens alone, which do not hold the name. The difference is what the longer past is \
             worth; where a name never occurred it should be nothing. With the standard error of each mean.",
            self.model,
            plural(self.documents, "text"),
            thousands(self.tokens),
            thousands(self.short)
        );
        let mut lines = wrap(&about, 0, Some(WIDTH));
        let head = ["occurred", "names", "whole past", "short past", "worth", "the name itself", "short"];
        let mut rows = vec![strings(head)];
        let with = |x: &Estimate| match x.error {
            Some(error) => format!("{:.2} ± {error:.2}", x.mean),
            None => format!("{:.2}", x.mean),
        };
        for row in self.groups.iter().filter(|row| row.sites > 0) {
            let sites = thousands(row.sites);
            let numbers = [&row.whole, &row.short, &row.worth, &row.name[0], &row.name[1]].map(with);
            rows.push([&[row.title(), sites][..], &numbers].concat());
        }
        lines.extend(table(&named::<7>(), 0, &rows, columns));
        lines.push(String::new());
        let mut rows = vec![strings(["position", "tokens", "nats a token"])];
        for (i, position) in self.nll_by_position.iter().enumerate().filter(|(_, p)| p.tokens > 0) {
            let range = BUCKETS.range(i);
            let cells = [
                format!("{}-{}", range.start, range.end),
                thousands(position.tokens),
                format!("{:.4}", position.nll),
            ];
            rows.push(cells.to_vec());
        }
        lines.extend(table(&named::<3>(), 0, &rows, columns));
        lines
    }

    fn draw(&self, path: &Path) -> Result<()> {
        let panel = |title: &str, x, y, curves: Vec<Curve>| Panel {
            title: title.into(),
            x,
            y,
            x_name: power_of_two,
            y_name: plain_power,
            legend: (curves.len() > 1).then_some(SeriesLabelPosition::UpperLeft),
            curves,
            labels: Vec::new(),
        };
        let curve = |at: usize, label: Option<&str>, points| Curve {
            label: label.map(String::from),
            color: COLORS[at],
            strength: 1.0,
            stroke: Stroke::Solid,
            points,
        };
        let at = |least: usize| (least.max(1) as f64).log2();
        let names = |which: usize, label: &str| {
            let rows = self.groups.iter().filter(|row| row.sites > 0);
            let points = rows.filter_map(|row| Some((at(row.least?), row.name[which].mean)));
            curve(which, Some(label), points.collect())
        };
        let scored = self.nll_by_position.iter().enumerate().filter(|(_, p)| p.tokens > 0);
        let perplexity = scored.map(|(i, p)| (at(BUCKETS.range(i).start), p.nll.exp())).collect();
        let rows = vec![vec![
            panel(
                "Names that occurred before",
                "tokens since then",
                "nats a name",
                vec![names(0, "after the whole past"), names(1, "after the short past")],
            ),
            panel("By position", "position", "perplexity", vec![curve(0, None, perplexity)]),
        ]];
        let about =
            format!("{} of {} tokens together", plural(self.documents, "text"), thousands(self.tokens));
        panels::draw(path, &format!("{}: what a longer past is worth", self.model), &about, &rows)
    }
}
