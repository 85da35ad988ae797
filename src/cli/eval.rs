//! `eval`: how well a model predicts a text (SPEC §3).

use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use pollster::block_on;
use polysketch::files::{is_standard, source_name};
use polysketch::model::Tokenizer;
use polysketch::model::buckets::Doubling;
use polysketch::{Error, ErrorKind};
use serde::{Serialize, Serializer};

use super::failure::{Outcome, catch_interrupt, interrupted, tell};
use super::input::read_text;
use super::options::{Common, ModelOptions, count};
use super::output::{self, Align, plural, print, print_json, rate, seconds, table, thousands};
use super::progress::{Progress, Unit};
use super::prompt::Special;

/// What `eval` takes.
#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    model: ModelOptions,
    /// Text, UTF-8; `<|endoftext|>`, or what ends a text for the model, separates documents; -: stdin
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Start from an empty state every N tokens [default: read each document in one go]
    #[arg(long, value_name = "N", value_parser = window)]
    context: Option<usize>,
    /// Only the first N tokens of each document
    #[arg(long, value_name = "N", value_parser = count)]
    max_tokens: Option<usize>,
    #[command(flatten)]
    special: Special,
}

fn window(text: &str) -> Result<usize, String> {
    match count(text)? {
        1 => Err("must be at least 2: the first token of each window is not scored".into()),
        n => Ok(n),
    }
}

/// Negative log-likelihoods, added up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Score {
    pub tokens: usize,
    pub nll: f64,
}

impl Score {
    fn add(&mut self, other: Score) {
        self.tokens += other.tokens;
        self.nll += other.nll;
    }

    /// None of no tokens.
    fn per_token(self) -> Option<f64> {
        (self.tokens > 0).then(|| self.nll / self.tokens as f64)
    }
}

/// By position in the window: bucket 0 is 1 to 127, bucket i is 64·2^i to 128·2^i - 1.
#[derive(Debug, Default)]
pub struct Positions(Vec<Score>);

impl Positions {
    const BUCKETS: Doubling = Doubling { first: 128 };

    /// Scores of the token at `position`, the first of the window being at 0.
    pub fn add(&mut self, position: usize, score: Score) {
        Self::BUCKETS.entry(&mut self.0, position).add(score);
    }

    /// Name, score and its mean of the buckets that have any.
    fn rows(&self) -> impl Iterator<Item = (String, Score, f64)> {
        self.0.iter().enumerate().filter_map(|(i, score)| {
            let Range { start, end } = Self::BUCKETS.range(i);
            Some((format!("{start}-{end}"), *score, score.per_token()?))
        })
    }

    /// A table.
    pub fn as_text(&self) -> String {
        let mut rows = vec![["position", "tokens", "nll/token", "perplexity"].map(String::from).to_vec()];
        rows.extend(self.rows().map(|(name, score, nll)| {
            vec![name, thousands(score.tokens as u64), format!("{nll:.4}"), cell(perplexity(nll), 2)]
        }));
        let lines =
            table(&[Align::Left, Align::Right, Align::Right, Align::Right], 0, &rows, output::columns());
        lines.into_iter().map(|line| line + "\n").collect()
    }
}

impl Serialize for Positions {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_map(self.rows().map(|(name, _, nll)| (name, nll)))
    }
}

/// One row of the result.
#[derive(Debug, Serialize)]
struct Row {
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    /// Tokens read.
    tokens: usize,
    scored_tokens: usize,
    /// Bytes of the tokens read, the unscored ones included.
    bytes: usize,
    /// None where nothing is scored.
    #[serde(skip_serializing_if = "Option::is_none")]
    nll_per_token: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    perplexity: Option<f64>,
    /// All nats of the text in bits, over all of its bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    bits_per_byte: Option<f64>,
}

/// None where it is too large for a number.
fn perplexity(nll: f64) -> Option<f64> {
    Some(nll.exp()).filter(|x| x.is_finite())
}

/// A number of a table; nothing where there is none.
fn cell(number: Option<f64>, digits: usize) -> String {
    number.map_or_else(String::new, |x| format!("{x:.digits$}"))
}

impl Row {
    fn new(title: Option<String>, tokens: usize, bytes: usize, score: Score) -> Self {
        let nll = score.per_token();
        let bits_per_byte =
            nll.filter(|_| bytes > 0).map(|_| score.nll / std::f64::consts::LN_2 / bytes as f64);
        Self {
            title,
            tokens,
            scored_tokens: score.tokens,
            bytes,
            nll_per_token: nll,
            perplexity: nll.and_then(perplexity),
            bits_per_byte,
        }
    }

    fn cells(&self) -> [String; 5] {
        [
            thousands(self.tokens as u64),
            thousands(self.bytes as u64),
            cell(self.nll_per_token, 4),
            cell(self.perplexity, 2),
            cell(self.bits_per_byte, 4),
        ]
    }
}

#[derive(Debug, Serialize)]
struct Report {
    model: String,
    device: String,
    data: String,
    context: Option<usize>,
    max_tokens: Option<usize>,
    #[serde(flatten)]
    all: Row,
    nll_by_position: Positions,
    documents: Vec<Row>,
    seconds: f64,
}

/// Runs the command.
pub fn run(common: &Common, options: &Options) -> Outcome {
    let text = read_text(common, &options.data, "the text")?;
    let model = super::model::load(common, &options.model)?;
    let tokenizer = model.tokenizer()?;
    let work = encode(common, tokenizer, &text, options)?;
    let total = work.iter().map(|document| document.ids.len()).sum::<usize>();
    let mut session = super::generate::start(common, &model)?;
    let bar = Progress::bar(common, "reading", total as u64, Unit::Tokens);
    let began = Instant::now();
    let (mut positions, mut sum, mut bytes, mut done) = (Positions::default(), Score::default(), 0, 0);
    let mut rows = Vec::new();
    catch_interrupt();
    for Document { text, title, mut ids, bytes: mut size } in work {
        let (mut score, before) = (Score::default(), done);
        for window in ids.chunks(options.context.unwrap_or(usize::MAX)) {
            session.reset(0);
            let (mut position, mut window_done) = (1, 0);
            let mut tell = |read: usize, nll: &[f32]| {
                for nll in nll.iter().map(|x| Score { tokens: 1, nll: f64::from(*x) }) {
                    positions.add(position, nll);
                    score.add(nll);
                    position += 1;
                }
                window_done = read;
                bar.set(done + read);
                if interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            let read = block_on(session.score(0, window, &mut tell));
            done += window_done;
            match read {
                Err(e) if e.kind() == ErrorKind::Cancelled => break,
                read => read?,
            }
            if interrupted() {
                break;
            }
        }
        if ids.len() > done - before {
            (ids, size) = tokenizer.encode_head(text, done - before, options.special.whole(), &mut |_| {})?;
        }
        (sum.tokens, sum.nll, bytes) = (sum.tokens + score.tokens, sum.nll + score.nll, bytes + size);
        rows.push(Row::new(Some(title), ids.len(), size, score));
        if interrupted() {
            break;
        }
    }
    drop(bar);
    if sum.tokens == 0 {
        let message = format!(
            "{}: {} of text have nothing to score",
            source_name(&options.data),
            plural(total, "token")
        );
        return Err(Error::new(ErrorKind::Input, message).help("give a text of at least 2 tokens").into());
    }
    let report = Report {
        model: common.named(&options.model),
        device: model.executor().name(),
        data: name(&options.data),
        context: options.context,
        max_tokens: options.max_tokens,
        all: Row::new(None, done, bytes, sum),
        nll_by_position: positions,
        documents: rows,
        seconds: began.elapsed().as_secs_f64(),
    };
    // The numbers so far are worth something, but are not those that were asked for.
    let outcome = if done < total {
        let what = format!("interrupted after {done} of {total} tokens; the numbers are of those");
        Err(Error::new(ErrorKind::Cancelled, what).into())
    } else {
        Ok(())
    };
    if common.json {
        return print_json(&report).and(outcome);
    }
    print(&as_text(&report))?;
    outcome?;
    if common.talks() {
        let speed = rate(total, report.seconds);
        tell(format_args!(
            "\n{} in {}, {speed} tokens/s on {}",
            plural(total, "token"),
            seconds(report.seconds),
            report.device
        ));
    }
    Ok(())
}

/// A document to be scored.
struct Document<'t> {
    text: &'t str,
    title: String,
    ids: Vec<u32>,
    /// Of the text that the ids stand for.
    bytes: usize,
}

fn encode<'t>(
    common: &Common,
    tokenizer: &Tokenizer,
    text: &'t str,
    options: &Options,
) -> Outcome<Vec<Document<'t>>> {
    let bar = Progress::bar(common, "cutting into tokens", text.len() as u64, Unit::Bytes);
    let most = options.max_tokens.unwrap_or(usize::MAX);
    let how = options.special.whole();
    let documents = if how.special_as_text { vec![text] } else { tokenizer.documents(text) };
    let mut before = 0;
    let mut work = Vec::new();
    for document in documents {
        let tell = &mut |done| bar.set(before + done);
        let (ids, bytes) = tokenizer.encode_head(document, most, how, tell)?;
        let title = document.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("(blank)");
        let title = title.chars().filter(|c| !c.is_control()).take(80).collect();
        work.push(Document { text: document, title, ids, bytes });
        before += document.len();
    }
    Ok(work)
}

fn name(path: &Path) -> String {
    let name = path.file_name().filter(|_| !is_standard(path));
    name.map_or_else(|| source_name(path), |name| name.to_string_lossy().into_owned())
}

fn as_text(report: &Report) -> String {
    let columns = output::columns();
    let how = match report.context {
        Some(n) => format!("afresh every {n} tokens"),
        None => "each document in one go".into(),
    };
    let mut text = format!("{} on {}, {how}\n\n", report.model, report.data);
    let mut rows = vec![
        ["document", "tokens", "bytes", "nll/token", "perplexity", "bits/byte"].map(String::from).to_vec(),
    ];
    let titled = |title: &str, row: &Row| [&[title.to_string()][..], &row.cells()].concat();
    rows.extend(
        report.documents.iter().map(|row| titled(&clip(row.title.as_deref().unwrap_or_default()), row)),
    );
    rows.push(titled("all", &report.all));
    let right = Align::Right;
    for line in table(&[Align::Left, right, right, right, right, right], 0, &rows, columns) {
        text += &(line + "\n");
    }
    text + "\n" + &report.nll_by_position.as_text()
}

fn clip(title: &str) -> String {
    console::truncate_str(title, 32, "…").into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_double() {
        let mut positions = Positions::default();
        (1..=1024).for_each(|position| positions.add(position, Score { tokens: 1, nll: position as f64 }));
        let rows: Vec<(String, usize)> =
            positions.rows().map(|(name, score, _)| (name, score.tokens)).collect();
        let want = [("1-128", 127), ("128-256", 128), ("256-512", 256), ("512-1024", 512), ("1024-2048", 1)];
        assert_eq!(rows, want.map(|(name, n)| (name.to_string(), n)));
    }
}
