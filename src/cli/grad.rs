//! `grad`: the mean next-token cross-entropy of given token ids, and its gradients, in a file.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use pollster::block_on;
use polysketch::files::check_room;
use polysketch::files::source_name;
use polysketch::kernels::rows::nll::UNSCORED;
use polysketch::model::tensor_file::{TensorData, write_safetensors};
use polysketch::train::{Batch, Learner, LearnerOptions};
use polysketch::{Error, ErrorKind, Result};
use serde_json::json;

use super::failure::{Outcome, catch_interrupt, interrupted, tell, warn};
use super::logits::Tokens;
use super::options::{Common, Gradients, ModelName, Precise};
use super::output::{bytes, check_place, plural, print_json, rate, seconds};
use super::progress::{Progress, Unit};

/// What `grad` takes.
#[derive(Debug, Args)]
pub struct Options {
    /// Model: a folder, a .gguf file, or hf:OWNER/NAME[@REVISION][:FILE.gguf] [default: the built-in model]
    #[arg(long, value_name = "MODEL")]
    model: Option<ModelName>,
    /// File with the tensor `tokens`, i32 [B, n]; -: stdin
    #[arg(long, value_name = "FILE.safetensors")]
    tokens: PathBuf,
    /// File to write, with the tensors `loss` [1] and `grad.PARAMETER`, f32; -: stdout
    #[arg(long, value_name = "FILE.safetensors")]
    out: PathBuf,
    #[command(flatten)]
    gradients: Gradients,
    #[command(flatten)]
    precise: Precise,
}

/// Tokens of a call.
const AT_ONCE: usize = 8 << 10;

/// Runs the command.
pub fn run(common: &Common, options: &Options) -> Outcome {
    let tokens = Tokens::read(common, &options.tokens)?;
    if tokens.n < 2 {
        let message =
            format!("{}: tensor tokens has shape [{}, 1]", source_name(&options.tokens), tokens.batch);
        return Err(Error::new(ErrorKind::Input, message)
            .help("a loss needs sequences of at least 2 tokens")
            .into());
    }
    check_place(common, &options.out)?;
    let source = super::model::source(common, options.model.as_ref())?;
    tokens.check(source.config.vocab_size)?;
    let size = source.config.parameter_count().saturating_mul(4);
    check_room(&options.out, size, size)?;
    if common.talks() {
        source.warnings.iter().for_each(|text| warn(text));
    }
    let engine = super::model::precise_engine(common, options.precise)?;
    let context = tokens.n - 1;
    let lanes = (AT_ONCE / context).clamp(1, tokens.batch);
    let how = LearnerOptions {
        lanes,
        context,
        segment: options.gradients.segment,
        recompute: options.gradients.again.recompute.unwrap_or_default(),
    };
    catch_interrupt();
    let spinner = Progress::spinner(common, "compiling shaders");
    let mut learner = block_on(Learner::new(&engine, &source, &how))?;
    drop(spinner);
    let began = Instant::now();
    let loss = accumulate(common, &mut learner, &tokens, lanes)?;
    let norm = block_on(learner.gradient_norm())?;
    let gradients = block_on(learner.gradients())?;
    let loss = [loss as f32];
    let mut tensors = vec![TensorData::f32("loss", &[1], &loss)];
    tensors.extend(
        gradients.iter().map(|(name, shape, values)| TensorData::f32(format!("grad.{name}"), shape, values)),
    );
    write_safetensors(&options.out, &tensors, &[])?;
    let (took, size) =
        (began.elapsed().as_secs_f64(), tensors.iter().map(|t| t.bytes.len() as u64).sum::<u64>());
    if common.json {
        return print_json(&json!({
            "device": engine.name(), "out": options.out.display().to_string(), "loss": loss[0], "gradient_norm": norm,
            "tensors": tensors.len(), "bytes": size,
            "seconds": took,
        }));
    }
    if common.talks() {
        let gradients = plural(gradients.len(), "gradient");
        tell(format_args!(
            "{}: loss {:.6} and {gradients} of norm {norm:.4}, {}",
            options.out.display(),
            loss[0],
            bytes(size)
        ));
        let n = tokens.batch * context;
        tell(format_args!(
            "{} in {}, {} tokens/s on {}",
            plural(n, "token"),
            seconds(took),
            rate(n, took),
            engine.name()
        ));
    }
    Ok(())
}

/// The mean loss; its gradients are in the learner.
fn accumulate(common: &Common, learner: &mut Learner, tokens: &Tokens, lanes: usize) -> Result<f64> {
    let (n, context) = (tokens.n, tokens.n - 1);
    let scored = tokens.batch * context;
    let bar = Progress::bar(common, "computing", scored as u64, Unit::Tokens);
    let (mut sum, mut done) = (0.0, 0);
    for sequences in tokens.ids.chunks(lanes * n) {
        if interrupted() {
            let message = format!("interrupted after {done} of {scored} tokens; nothing was written");
            return Err(Error::new(ErrorKind::Cancelled, message));
        }
        let mut batch = Batch { context, tokens: Vec::new(), targets: Vec::new() };
        for sequence in sequences.chunks(n) {
            batch.tokens.extend_from_slice(&sequence[..context]);
            batch.targets.extend_from_slice(&sequence[1..]);
        }
        let done_before = done;
        done += batch.tokens.len();
        batch.tokens.resize(lanes * context, 0);
        batch.targets.resize(lanes * context, UNSCORED);
        let nll = block_on(learner.accumulate(&batch, 1.0 / scored as f32))?;
        if let Some(i) = nll.iter().position(|x| !x.is_finite()) {
            let (sequence, token) = (done_before / context + i / context, i % context + 1);
            let text =
                format!("sequence {sequence}, token {token}: the loss is {}; nothing was written", nll[i]);
            return Err(Error::new(ErrorKind::Numeric, text)
                .help("the weights are damaged, or too large: try another copy of the model"));
        }
        sum += nll.iter().map(|x| f64::from(*x)).sum::<f64>();
        bar.set(done);
    }
    Ok(sum / scored as f64)
}
