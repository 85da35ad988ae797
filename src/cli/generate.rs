//! `generate`: continues a text, piece by piece.

use std::io::{IsTerminal as _, stdout};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use pollster::block_on;
use polysketch::files::{atomic_write, check_room, is_standard, source_name};
use polysketch::model::transformer;
use polysketch::model::{
    EncodeOptions, GenerateOptions, Generated, Model, Session, StopReason, StopStrings, read_state,
};
use polysketch::{Error, ErrorKind, Result};
use serde_json::json;

use super::failure::{Outcome, Stop, catch_interrupt, interrupted, tell};
use super::input::waiting;
use super::options::{Common, ModelOptions, natural};
use super::output::{bytes, check_place, plural, print, print_json, print_text, rate, seconds};
use super::progress::{Progress, Unit};
use super::prompt::{self, OPENING, Prompt};
use super::sampling::Sampling;

/// What `generate` takes.
#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    model: ModelOptions,
    #[command(flatten)]
    prompt: prompt::Options,
    /// Most tokens to generate
    #[arg(long, short = 'n', value_name = "N", default_value = "256", value_parser = natural)]
    max_tokens: usize,
    /// Text that ends generation and is not part of it, with escapes as in --prompt (\n: at the end of a
    /// line); may be given several times
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
    /// Continue a text that --state-out saved; -: stdin
    #[arg(long, value_name = "FILE")]
    state_in: Option<PathBuf>,
    /// Save the text's state at the end, to be continued
    #[arg(long, value_name = "FILE")]
    state_out: Option<PathBuf>,
    #[command(flatten)]
    sampling: Sampling,
}

impl Options {
    /// Refuses what cannot be, before a model is loaded.
    fn check(&self) -> Result<Vec<String>> {
        self.sampling.check()?;
        let stop = self.stop.iter().map(|text| self.prompt.unescape("--stop", text));
        let stop = stop.collect::<Result<_>>()?;
        StopStrings::new(&stop)?;
        Ok(stop)
    }
}

/// Times and sizes of a run.
#[derive(Debug, Default)]
struct Statistics {
    prompt_tokens: usize,
    prefill: f64,
    first: Option<f64>,
    generated: usize,
    decode: f64,
    position: usize,
    state_bytes: usize,
}

/// Runs the command.
pub fn run(common: &Common, options: &Options) -> Outcome {
    let stop = options.check()?;
    let (text, opening) = match prompt::read(common, &options.prompt)? {
        Prompt::Given(text) => (text, false),
        Prompt::None if options.state_in.is_some() => (String::new(), false),
        Prompt::None => (OPENING.to_string(), true),
    };
    let state_in = options
        .state_in
        .as_deref()
        .map(|path| Ok::<_, Error>((waiting(common, path, "the state", || read_state(path))?, path)))
        .transpose()?;
    if let Some(path) = &options.state_out {
        if is_standard(path) {
            return Err(Error::new(ErrorKind::Input, "--state-out -: stdout takes the text")
                .help("give the name of a file")
                .into());
        }
        check_place(common, path)?;
    }
    let model = super::model::load(common, &options.model)?;
    let usual = GenerateOptions { max_tokens: options.max_tokens, stop, ..GenerateOptions::default() };
    let sampling = options.sampling.over(&model.conventions().sampling, usual);
    // Where a text goes on, its continuation has no head.
    let goes_on = state_in.is_some();
    let how = EncodeOptions { continues: goes_on, begins: !goes_on, ..options.prompt.special.how() };
    let ids = encode(common, &model, &text, how)?;
    catch_interrupt();
    let mut session = start(common, &model)?;
    if let Some((bytes, path)) = state_in {
        block_on(session.load(0, &bytes, &source_name(path)))?;
    }
    if let Some(path) = &options.state_out {
        let tokens = session.position(0).saturating_add(ids.len()).saturating_add(options.max_tokens);
        let size = session.saved_bytes(tokens) as u64;
        check_room(path, size, size)?;
    }
    if opening && !common.json {
        print_text(&text)?;
    }

    let mut statistics =
        Statistics { prompt_tokens: ids.len(), state_bytes: session.state_bytes(), ..Statistics::default() };
    let began = Instant::now();
    let mut outcome = prefill(common, &mut session, &ids);
    statistics.prefill = began.elapsed().as_secs_f64();
    let mut done = Generated { text: String::new(), ids: Vec::new(), reason: StopReason::MaxTokens };
    if outcome.is_ok() && options.max_tokens > 0 {
        (done, outcome) = decode(common, &mut session, &sampling, began, &mut statistics);
    }
    statistics.position = session.position(0);
    // A text that is not kept ends here.
    if options.state_out.is_none() {
        let rest = session.finish_text(0);
        done.text.push_str(&rest);
        if outcome.is_ok() && !common.json && !rest.is_empty() {
            outcome = print(&rest);
        }
    }
    // Whatever happened, what was read and written so far is worth keeping, as long as it is made of numbers.
    let broken = matches!(&outcome, Err(Stop::Failed(error)) if error.kind() == ErrorKind::Numeric);
    if let Some(path) = &options.state_out
        && statistics.position > 0
        && !broken
    {
        save(&session, path)?;
        outcome = outcome.map_err(|stop| saved(stop, path, statistics.position));
    }
    if !common.json && stdout().is_terminal() {
        print("\n").or_else(|stop| if matches!(outcome, Ok(())) { Err(stop) } else { Ok(()) })?;
    }
    outcome?;
    if common.json {
        let name = common.named(&options.model);
        return print_json(&as_json(&name, &model, &sampling, opening.then_some(&text), &done, &statistics));
    }
    if common.talks() {
        summary(options, &model, &sampling, &done, &statistics);
    }
    Ok(())
}

/// A session, its shaders compiled.
pub fn start(common: &Common, model: &Model) -> Result<Session> {
    let _spinner = Progress::spinner(common, "compiling shaders");
    block_on(Session::new(model))
}

fn encode(common: &Common, model: &Model, text: &str, how: EncodeOptions) -> Result<Vec<u32>> {
    let bar = Progress::bar(common, "cutting into tokens", text.len() as u64, Unit::Bytes);
    model.tokenizer()?.encode_as(text, how, &mut |done| bar.set(done))
}

fn prefill(common: &Common, session: &mut Session, ids: &[u32]) -> Outcome {
    let bar = Progress::bar(common, "reading", ids.len() as u64, Unit::Tokens);
    let go_on = |done| {
        bar.set(done);
        if interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let mut go_on = go_on;
    Ok(block_on(session.prefill(0, ids, &mut go_on))?)
}

/// Generates and streams the text. A closed or full stdout ends it; the state is good all the same.
fn decode(
    common: &Common,
    session: &mut Session,
    sampling: &GenerateOptions,
    began: Instant,
    statistics: &mut Statistics,
) -> (Generated, Outcome) {
    // A text ends where the model can take no more of it.
    let room = session.room(0).unwrap_or(usize::MAX);
    let sampling = &GenerateOptions { max_tokens: sampling.max_tokens.min(room), ..sampling.clone() };
    // On a terminal the text itself shows the progress.
    let bar = (!stdout().is_terminal()).then(|| Progress::spinner(common, "writing"));
    let decoding = Instant::now();
    let mut outcome = Ok(());
    let generated = block_on(session.generate(0, sampling, &mut |piece| {
        statistics.first.get_or_insert_with(|| began.elapsed().as_secs_f64());
        if !common.json {
            outcome = print_text(piece);
        }
        if outcome.is_err() || interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }));
    drop(bar);
    statistics.decode = decoding.elapsed().as_secs_f64();
    match generated {
        Ok(done) => {
            statistics.generated = done.ids.len();
            (done, outcome)
        }
        Err(error) => (
            Generated { text: String::new(), ids: Vec::new(), reason: StopReason::Cancelled },
            Err(error.into()),
        ),
    }
}

/// Whoever reads that reading was stopped wants to know what is left.
fn saved(stop: Stop, path: &Path, position: usize) -> Stop {
    let Stop::Failed(error) = stop else { return stop };
    let tokens = plural(position, "token");
    let message = format!("{}; the state after {tokens} is saved in {}", error.message(), path.display());
    let named = Error::new(error.kind(), message);
    Stop::Failed(error.advice().map_or(named.clone(), |help| named.help(help)))
}

fn save(session: &Session, path: &Path) -> Result<()> {
    let bytes = block_on(session.save(0))?;
    atomic_write(path, |w| w.write_all(&bytes))
}

/// Why a text ended, as JSON says it.
pub fn reason(reason: StopReason) -> &'static str {
    match reason {
        StopReason::MaxTokens => "max-tokens",
        StopReason::EndOfText => "end-of-text",
        StopReason::StopString => "stop-string",
        StopReason::Cancelled => "interrupted",
        _ => "other",
    }
}

fn as_json(
    name: &str,
    model: &Model,
    sampling: &GenerateOptions,
    opening: Option<&String>,
    done: &Generated,
    s: &Statistics,
) -> serde_json::Value {
    let per_second =
        |n: usize, seconds: f64| if n > 0 && seconds > 0.0 { Some(n as f64 / seconds) } else { None };
    json!({
        "model": name,
        "device": model.executor().name(),
        "prompt": opening,
        "text": done.text,
        "ids": done.ids,
        "stop_reason": reason(done.reason),
        "seed": sampling.seed,
        "statistics": {
            "prompt_tokens": s.prompt_tokens,
            "generated_tokens": s.generated,
            "position": s.position,
            "prefill_seconds": s.prefill,
            "prefill_tokens_per_second": per_second(s.prompt_tokens, s.prefill),
            "decode_seconds": s.decode,
            "decode_tokens_per_second": per_second(s.generated, s.decode),
            "seconds_to_first_token": s.first,
            "state_bytes": s.state_bytes,
        },
    })
}

/// The statistics, on stderr.
fn summary(options: &Options, model: &Model, sampling: &GenerateOptions, done: &Generated, s: &Statistics) {
    let mut lines = Vec::new();
    if s.prompt_tokens > 0 {
        let rate = rate(s.prompt_tokens, s.prefill);
        lines.push(format!(
            "read     {} in {}, {rate} tokens/s",
            plural(s.prompt_tokens, "token"),
            seconds(s.prefill)
        ));
    }
    if s.generated > 0 {
        let why = match done.reason {
            StopReason::MaxTokens if s.generated < options.max_tokens => {
                "the model takes no more (--max-context, or its positions)"
            }
            StopReason::MaxTokens => "--max-tokens reached",
            StopReason::EndOfText => "the text is at its end",
            StopReason::StopString => "stop string found",
            StopReason::Cancelled => "interrupted",
            _ => "ended",
        };
        let rate = rate(s.generated, s.decode);
        lines.push(format!(
            "written  {} in {}, {rate} tokens/s; {why}",
            plural(s.generated, "token"),
            seconds(s.decode)
        ));
        if let Some(first) = s.first {
            lines.push(format!("first    after {}", seconds(first)));
        }
        if sampling.temperature > 0.0 {
            lines.push(format!("seed     {}", sampling.seed));
        }
    }
    let length = if transformer::has_cache(model.config()) {
        "with its key-value cache"
    } else {
        "the same at any length"
    };
    let saved =
        options.state_out.as_deref().map(|path| format!(", saved in {}", path.display())).unwrap_or_default();
    lines.push(format!(
        "state    {} after {}, {length}{saved}",
        bytes(s.state_bytes as u64),
        plural(s.position, "token")
    ));
    lines.push(format!("on       {}", model.executor().name()));
    // A blank line keeps the statistics apart from the text on a terminal.
    tell(format_args!("\n{}", lines.join("\n")));
}
