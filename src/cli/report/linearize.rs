//! `report linearize`: what a linearised model is worth beside its teacher.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use plotters::chart::SeriesLabelPosition;
use pollster::block_on;
use polysketch::model::{Adapter, LoadOptions, Model};
use polysketch::report::linearize::{self, Answers, Cost, PROMPTS, Positions, Prediction, Recall};
use polysketch::{Error, ErrorKind, Result};
use serde::Serialize;

use super::cells::{WIDTH, named, strings};
use super::folder::Folder;
use crate::cli::failure::Outcome;
use crate::cli::input::read_text;
use crate::cli::model::{self, Place};
use crate::cli::options::{Common, ModelName, count, natural};
use crate::cli::output::{bytes, percent, table, thousands, wrap};
use crate::cli::panels::{self, COLORS, Curve, Panel, Stroke, plain_power, power_of_two};
use crate::cli::progress::{Progress, Unit};

/// What `report linearize` takes.
#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    folder: Folder,
    /// The softmax model; --adapter makes its student
    #[arg(long, value_name = "MODEL")]
    model: ModelName,
    /// Texts that neither was trained on, as NAME=FILE
    #[arg(long, value_name = "NAME=FILE", num_args = 1.., required = true, value_parser = text)]
    data: Vec<(String, PathBuf)>,
    /// Texts of each
    #[arg(long, value_name = "N", default_value = "3", value_parser = count)]
    texts: usize,
    /// Tokens of a text
    #[arg(long, value_name = "N", default_value = "2k", value_parser = count)]
    tokens: usize,
    /// Recall at these distances, in tokens
    #[arg(long, value_name = "N", num_args = 0.., default_values = ["256", "512", "1k", "2k"], value_parser = count)]
    recall: Vec<usize>,
    /// Numbers asked for at each distance
    #[arg(long, value_name = "N", default_value = "20", value_parser = count)]
    trials: usize,
    /// State and speed at these lengths, in tokens
    #[arg(long, value_name = "N", num_args = 0.., default_values = ["1k", "8k"], value_parser = count)]
    lengths: Vec<usize>,
    /// Prompts that both answer, of 20
    #[arg(long, value_name = "N", default_value = "20", value_parser = natural)]
    answers: usize,
}

fn text(given: &str) -> std::result::Result<(String, PathBuf), String> {
    let (name, path) = given.split_once('=').ok_or("must be a name and a file, such as novels=valid.txt")?;
    Ok((name.into(), path.into()))
}

/// Who is measured.
const WHO: [&str; 3] = ["teacher", "near keys alone", "student"];

#[derive(Debug, Serialize)]
struct Kind {
    name: String,
    /// Of teacher, near keys alone, student.
    positions: Vec<Positions>,
}

#[derive(Debug, Serialize)]
struct LinearizeReport {
    model: String,
    adapter: String,
    texts: usize,
    tokens: usize,
    kinds: Vec<Kind>,
    /// Of teacher, near keys alone, student.
    recall: Vec<Vec<Recall>>,
    /// Of teacher and student.
    costs: Vec<Vec<Cost>>,
    answers: Vec<Answers>,
    seconds: f64,
}

/// Runs the command.
pub fn run(common: &Common, options: &Options) -> Outcome {
    let (folder, began) = (&options.folder, Instant::now());
    folder.prepare(common, "linearize")?;
    let place = model::place(common, Some(&options.model))?;
    let Some(path) = place.adapter.clone() else {
        return Err(Error::new(ErrorKind::Input, "report linearize compares a model with its student")
            .help("give what makes it linear: --adapter FILE")
            .into());
    };
    if options.tokens < 2 {
        return Err(Error::new(ErrorKind::Input, "--tokens 1: the first token is not predicted")
            .help("use at least 2")
            .into());
    }
    // Those that a quick look has no time for.
    let few = |all: &[usize]| -> Vec<usize> {
        let mut all: Vec<usize> = all.iter().copied().filter(|n| !folder.quick || *n <= 1024).collect();
        all.sort_unstable();
        all.dedup();
        all
    };
    let (distances, lengths) = (few(&options.recall), few(&options.lengths));
    let (texts, tokens, trials, prompts) = match folder.quick {
        true => (1, options.tokens.min(512), 2, options.answers.min(1)),
        false => (options.texts, options.tokens, options.trials, options.answers),
    };
    let longest = lengths.iter().chain(&distances).copied().max().unwrap_or(0).max(tokens);
    let models = models(common, &place, &path, longest + 256)?;
    let [teacher, near, student] = &models;
    let all = [teacher, near, student];
    let mut read = Vec::new();
    for (name, path) in &options.data {
        let ids = teacher.tokenizer()?.encode(&read_text(common, path, "text")?)?;
        if ids.len() < tokens + 1 {
            let what = format!("{}: has {} tokens, {tokens} are needed", path.display(), ids.len());
            return Err(Error::new(ErrorKind::Input, what).help("use fewer --tokens").into());
        }
        read.push((name.clone(), ids));
    }
    let filler = &read[0].1;
    if filler.len() < longest {
        let what =
            format!("{}: has {} tokens, {longest} are needed", options.data[0].1.display(), filler.len());
        return Err(Error::new(ErrorKind::Input, what)
            .help("put a longer text first, or use fewer --lengths and --recall")
            .into());
    }
    let mut kinds = Vec::new();
    for (name, ids) in &read {
        let bar = Progress::bar(common, name, (texts * tokens) as u64, Unit::Tokens);
        let first = |i: usize| (2 * i + 1) * (ids.len() - tokens - 1) / (2 * texts);
        let parts: Vec<Vec<u32>> = (0..texts).map(|i| ids[first(i)..first(i) + tokens].to_vec()).collect();
        let positions = block_on(linearize::predictions(&all, &parts, &mut |done| bar.set(done)))?;
        kinds.push(Kind { name: name.clone(), positions });
    }
    let mut recall = Vec::new();
    for model in all {
        let _spinner = Progress::spinner(common, "recall");
        let of = |distance: &usize| block_on(linearize::recall(model, filler, *distance, trials));
        recall.push(distances.iter().map(of).collect::<Result<Vec<_>>>()?);
    }
    let mut costs = Vec::new();
    for model in [teacher, student] {
        let _spinner = Progress::spinner(common, "state and speed");
        costs.push(block_on(linearize::costs(model, filler, &lengths))?);
    }
    let answers = {
        let _spinner = Progress::spinner(common, "answers");
        block_on(linearize::answers(&[teacher, student], prompts.min(PROMPTS.len()), 80))?
    };
    let report = LinearizeReport {
        model: options.model.name(),
        adapter: path.display().to_string(),
        texts,
        tokens,
        kinds,
        recall,
        costs,
        answers,
        seconds: began.elapsed().as_secs_f64(),
    };
    folder.finish(common, "linearize", &report, |columns| report.text(columns), |path| report.draw(path))
}

/// Teacher, near keys alone, student.
fn models(common: &Common, place: &Place, adapter: &Path, context: usize) -> Result<[Model; 3]> {
    let engine = model::engine(common)?;
    let options = LoadOptions { max_context: context, ..LoadOptions::default() };
    let bare = Place { adapter: None, ..place.clone() };
    let load = |source| block_on(engine.load(source, &options, &mut |_, _| {}));
    let _spinner = Progress::spinner(common, "loading teacher and student");
    let teacher = model::open(&bare)?;
    let adapter = Adapter::open(adapter)?;
    let silent = Adapter::silent(&adapter.linearized, adapter.base, &teacher)?;
    let near = block_on(model::open(&bare)?.adapt(silent))?;
    Ok([load(teacher)?, load(near)?, load(model::open(place)?)?])
}

impl LinearizeReport {
    /// What is worse than the teacher, first.
    fn verdict(&self) -> String {
        let of_kind = |kind: &Kind| {
            let [teacher, _, student] = &kind.positions[..] else { return String::new() };
            let (teacher, student) = (teacher.all(), student.all());
            let more = student.perplexity() / teacher.perplexity() - 1.0;
            format!("{} {:+.1} % perplexity (KL {:.3})", kind.name, 100.0 * more, student.kl())
        };
        let kinds: Vec<String> = self.kinds.iter().map(of_kind).collect();
        let recall = match (self.recall.first(), self.recall.last()) {
            (Some(teacher), Some(student)) if !teacher.is_empty() => {
                let pairs = teacher.iter().zip(student);
                let one = |(t, s): (&Recall, &Recall)| {
                    format!("{} of {} at {}", percent(s.first), percent(t.first), thousands(t.distance))
                };
                format!("; of told digits it ranks first {}", pairs.map(one).collect::<Vec<_>>().join(", "))
            }
            _ => String::new(),
        };
        format!("{} with {} beside its teacher: {}{recall}.", self.model, self.adapter, kinds.join(", "))
    }

    fn text(&self, columns: Option<usize>) -> Vec<String> {
        let mut lines = wrap(&self.verdict(), 0, Some(WIDTH));
        for kind in &self.kinds {
            lines.push(String::new());
            let about = format!(
                "{}: perplexity by position, KL to the teacher in nats a token, share of tokens whose likeliest is \
                 the teacher's; {} texts of {} tokens.",
                kind.name,
                self.texts,
                thousands(self.tokens)
            );
            lines.extend(wrap(&about, 0, Some(WIDTH)));
            let mut rows =
                vec![strings(["positions", "teacher", "near alone", "KL", "student", "KL", "same"])];
            let buckets = kind.positions[0].0.len();
            for bucket in 0..=buckets {
                let of = |who: usize| match bucket {
                    n if n < buckets => kind.positions[who].0[n],
                    _ => kind.positions[who].all(),
                };
                let name = match bucket {
                    n if n < buckets => {
                        let [from, to] = Positions::range(n);
                        format!("{} to {}", thousands(from), thousands(to.min(self.tokens)))
                    }
                    _ => "all".into(),
                };
                let [teacher, near, student] = [of(0), of(1), of(2)];
                let number = |x: f64| format!("{x:.2}");
                rows.push(vec![
                    name,
                    number(teacher.perplexity()),
                    number(near.perplexity()),
                    format!("{:.3}", near.kl()),
                    number(student.perplexity()),
                    format!("{:.3}", student.kl()),
                    percent(student.same_token()),
                ]);
            }
            lines.extend(table(&named::<7>(), 0, &rows, columns));
        }
        if self.recall.iter().any(|of| !of.is_empty()) {
            lines.push(String::new());
            let about = "Recall: a number of four digits told at the start and asked for after other text; share of its \
                         digits ranked first, and their mean log-probability.";
            lines.extend(wrap(about, 0, Some(WIDTH)));
            let mut rows = vec![[vec!["tokens between".into()], WHO.map(String::from).to_vec()].concat()];
            for (i, first) in self.recall[0].iter().enumerate() {
                let mut row = vec![thousands(first.distance)];
                row.extend(
                    self.recall
                        .iter()
                        .map(|of| format!("{} ({:.2})", percent(of[i].first), of[i].log_probability)),
                );
                rows.push(row);
            }
            lines.extend(table(&named::<4>(), 0, &rows, columns));
        }
        if let [teacher, student] = &self.costs[..]
            && !teacher.is_empty()
        {
            lines.push(String::new());
            let about = "What a text costs: bytes kept of it, reading from its start in tokens/s, writing a token at its \
                         end in ms.";
            lines.extend(wrap(about, 0, Some(WIDTH)));
            let head = ["tokens", "cache", "reads", "writes", "state", "reads", "writes"];
            let mut rows = vec![strings(head)];
            for (t, s) in teacher.iter().zip(student) {
                let mut row = vec![thousands(t.tokens)];
                for cost in [t, s] {
                    row.extend([
                        bytes(cost.bytes as u64),
                        format!("{:.0}", cost.reading),
                        format!("{:.1}", 1e3 * cost.writing),
                    ]);
                }
                rows.push(row);
            }
            lines.extend(table(&named::<7>(), 0, &rows, columns));
        }
        for Answers { prompt, answers } in &self.answers {
            lines.push(String::new());
            lines.extend(wrap(&format!("> {prompt}"), 2, columns));
            for (who, answer) in [WHO[0], WHO[2]].iter().zip(answers) {
                lines.extend(wrap(&format!("{who}: {}", answer.trim().replace('\n', " ")), 2, columns));
            }
        }
        lines
    }

    fn draw(&self, path: &Path) -> Result<()> {
        let panel = |kind: &Kind, title: String, y, of: fn(&Prediction) -> f64, who: &[usize]| {
            let curve = |&who: &usize| {
                let of_bucket = |(bucket, part): (usize, &Prediction)| {
                    let [from, to] = Positions::range(bucket);
                    (0.5 * ((from * to.min(self.tokens)) as f64).log2(), of(part))
                };
                Curve {
                    label: Some(WHO[who].into()),
                    color: COLORS[who],
                    strength: 1.0,
                    stroke: Stroke::Solid,
                    // Where all is exact, there is no KL to draw.
                    points: kind.positions[who]
                        .0
                        .iter()
                        .enumerate()
                        .map(of_bucket)
                        .filter(|(_, value)| *value > 1e-6)
                        .collect(),
                }
            };
            Panel {
                title,
                x: "position",
                y,
                x_name: power_of_two,
                y_name: plain_power,
                curves: who.iter().map(curve).collect(),
                legend: Some(SeriesLabelPosition::UpperRight),
                labels: Vec::new(),
            }
        };
        let perplexity =
            |kind| panel(kind, kind.name.clone(), "perplexity", Prediction::perplexity, &[0, 1, 2]);
        let title = |kind: &Kind| format!("{}: KL to the teacher", kind.name);
        let kl = |kind| panel(kind, title(kind), "nats a token", Prediction::kl, &[1, 2]);
        let rows =
            vec![self.kinds.iter().map(perplexity).collect(), self.kinds.iter().map(kl).collect::<Vec<_>>()];
        let about = format!("{} texts of {} tokens of each kind", self.texts, thousands(self.tokens));
        panels::draw(path, &format!("{} made linear", self.model), &about, &rows)
    }
}
