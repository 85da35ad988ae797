//! `convert`: a model in other files, with its adapter as a part of it where one is given.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use polysketch::model::{Conversion, WeightType, Written};
use serde_json::json;

use super::failure::{Outcome, catch_interrupt, interrupted, tell, warn};
use super::model;
use super::options::{Common, ModelName, dtype, model_name};
use super::output::{bytes, plural, print_json, seconds};
use super::progress::{Progress, Unit};

/// What `convert` takes.
#[derive(Debug, Args)]
pub struct Options {
    /// Model: a folder, a .gguf file, or hf:OWNER/NAME[@REVISION][:FILE.gguf] [default: the built-in model]
    #[arg(long, value_name = "MODEL")]
    model: Option<ModelName>,
    /// What to write: a GGUF file if the name ends with .gguf, else a folder; nothing is replaced
    #[arg(long, value_name = "DIR|FILE.gguf")]
    out: PathBuf,
    /// Type of the large matrices [default: f16; what a .gguf file has in blocks stays so in another one]
    #[arg(long, value_name = "TYPE", value_parser = dtype())]
    weights: Option<WeightType>,
}

/// Runs the command.
pub fn run(common: &Common, options: &Options) -> Outcome {
    Conversion::check(&options.out, options.weights)?;
    common.no_device_adapter()?;
    let from = model::place(common, options.model.as_ref())?;
    if from.adapter.is_some() {
        Conversion::check_adapted(&options.out)?;
    }
    let source = model::open(&from)?;
    if common.talks() {
        source.warnings.iter().for_each(|text| warn(text));
    }
    let name = model_name(options.model.as_ref());
    let folder = from.model.as_deref().filter(|path| path.is_dir());
    let conversion = Conversion { source: &source, name: &name, folder, weights: options.weights };
    // From here on something is half written.
    catch_interrupt();
    let began = Instant::now();
    let bar = Progress::bar(common, "writing", 0, Unit::Bytes);
    let written = conversion.write(&options.out, &mut |done, total| {
        bar.total(total);
        bar.set(done as usize);
        if interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    drop(bar);
    let written = written?;
    report(common, options, &name, &written, began.elapsed().as_secs_f64())
}

fn report(common: &Common, options: &Options, name: &str, written: &Written, took: f64) -> Outcome {
    let Written { family, files, types, copied, notes } = written;
    let format = if Conversion::is_gguf(&options.out) { "gguf" } else { "folder" };
    if common.json {
        let files: Vec<_> = files
            .iter()
            .map(|(name, bytes)| {
                let path = if name.is_empty() { options.out.clone() } else { options.out.join(name) };
                json!({ "path": path.display().to_string(), "bytes": bytes })
            })
            .collect();
        return print_json(&json!({
            "model": name, "out": options.out.display().to_string(), "format": format,
            "family": family.as_str(), "files": files, "bytes": written.bytes(), "types": types,
            "copied": copied, "notes": notes, "seconds": took,
        }));
    }
    if common.talks() {
        notes.iter().for_each(|text| warn(text));
        let list: Vec<String> = types.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
        let tensors = plural(types.values().sum(), "tensor");
        tell(format_args!(
            "{}: {family} model, {tensors} ({}), {} in {}",
            options.out.display(),
            list.join(", "),
            bytes(written.bytes()),
            seconds(took)
        ));
        if *copied > 0 {
            tell(format_args!("{} as they were, bit by bit", plural(*copied, "tensor")));
        }
    }
    Ok(())
}
