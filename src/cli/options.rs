//! Options that several commands share, and how their values are read.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use polysketch::gpu::{AdapterRequest, Backend};
use polysketch::graph::Recompute;
use polysketch::kernels::Precision;
use polysketch::model::adapter::ADAPTER;
use polysketch::model::{LoadOptions, WeightType};
use polysketch::{Error, ErrorKind, Result};

/// Options of every command.
#[derive(Debug, Args)]
pub struct Common {
    /// Where to run: the best real GPU or else the CPU, a GPU, or the CPU
    #[arg(long, global = true, value_name = "WHERE", default_value = "auto", value_parser = backend())]
    #[arg(help_heading = "Common options")]
    pub backend: Backend,
    /// Which adapter of this machine: its number in `devices`, its PCI bus, or a part of its name, with #2 for the
    /// second of that name. Or what makes the model linear: a file that `linearize` wrote, or its folder. Both may
    /// be given
    #[arg(long, global = true, value_name = "INDEX|NAME|FILE", help_heading = "Common options")]
    pub adapter: Vec<String>,
    /// Nothing on stderr but errors
    #[arg(long, short, global = true, help_heading = "Common options")]
    pub quiet: bool,
    /// The result as one JSON object on stdout
    #[arg(long, global = true, help_heading = "Common options")]
    pub json: bool,
}

impl Common {
    /// What to run on.
    pub fn request(&self) -> AdapterRequest {
        let adapter = self.adapter.iter().rfind(|text| !is_file(text)).cloned();
        AdapterRequest { backend: self.backend, adapter }
    }

    /// The file that makes the model linear.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] for more than one.
    pub fn model_adapter(&self) -> Result<Option<PathBuf>> {
        let mut files = self.adapter.iter().filter(|text| is_file(text)).map(PathBuf::from);
        let (first, more) = (files.next(), files.next());
        if let (Some(first), Some(more)) = (&first, more) {
            let text = format!("--adapter {} and --adapter {}", first.display(), more.display());
            return Err(Error::new(ErrorKind::Input, text).help("a model has one such file"));
        }
        Ok(first.map(adapter_file))
    }

    /// Refuses `--adapter` of a device, for commands that run on none: what is no file is a mistake there.
    ///
    /// # Errors
    /// [`ErrorKind::Input`].
    pub fn no_device_adapter(&self) -> Result<()> {
        match self.adapter.iter().find(|text| !is_file(text)) {
            None => Ok(()),
            Some(text) => {
                Err(Error::new(ErrorKind::Input, format!("--adapter {text}: there is no such file"))
                    .help("give what makes the model linear: a file that `linearize` wrote, or its folder"))
            }
        }
    }

    /// A model's name for people, with what makes it linear.
    pub fn named(&self, model: &ModelOptions) -> String {
        let name = model.name();
        match self.model_adapter() {
            Ok(Some(file)) => {
                let of_folder = file.parent().filter(|_| file.ends_with(ADAPTER)).map(folder_name);
                let adapter = of_folder.filter(|name| !name.is_empty()).unwrap_or_else(|| folder_name(&file));
                format!("{name} with {adapter}")
            }
            _ => name,
        }
    }

    /// Whether statistics and warnings are wanted on stderr.
    pub fn talks(&self) -> bool {
        !self.quiet && !self.json
    }
}

/// The adapter that a path names: itself, or in a folder.
pub fn adapter_file(path: PathBuf) -> PathBuf {
    if path.is_dir() { path.join(ADAPTER) } else { path }
}

/// Whether --adapter names a file, and not an adapter of the machine: those are numbers and parts of names.
fn is_file(text: &str) -> bool {
    let path = Path::new(text);
    let number = text.bytes().all(|b| b.is_ascii_digit());
    !number && (text.ends_with(".safetensors") || text.contains('/') || path.is_file() || path.is_dir())
}

fn backend() -> impl TypedValueParser<Value = Backend> {
    PossibleValuesParser::new(["auto", "gpu", "cpu"]).map(|word| word.parse().unwrap_or_default())
}

/// Which model, and how it is loaded.
#[derive(Debug, Args)]
pub struct ModelOptions {
    /// Model: a folder, a .gguf file, or hf:OWNER/NAME[@REVISION][:FILE.gguf] [default: the built-in model]
    #[arg(long, value_name = "MODEL")]
    pub model: Option<ModelName>,
    #[command(flatten)]
    pub load: Load,
    #[command(flatten)]
    pub precise: Precise,
}

/// In what numbers a command computes.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct Precise {
    /// Numbers of products: f32, or mixed: halves in cooperative matrices, summed in f32, where the device has them
    #[arg(long, value_name = "PRECISION", default_value = "f32", value_parser = precision())]
    #[arg(help_heading = "Common options")]
    pub precision: Precision,
}

fn precision() -> impl TypedValueParser<Value = Precision> {
    PossibleValuesParser::new(Precision::ALL.map(Precision::as_str))
        .map(|word| word.parse().unwrap_or_default())
}

/// How a model is loaded.
#[derive(Debug, Args)]
pub struct Load {
    /// Type of the large matrices in memory [default: as stored]
    #[arg(long, value_name = "TYPE", value_parser = dtype(), help_heading = "Memory")]
    pub weights: Option<WeightType>,
    /// Most tokens of one prefill call [default: what fits, at most 1k, on large GPUs 4k]
    #[arg(long, value_name = "N", value_parser = count, help_heading = "Memory")]
    pub segment: Option<usize>,
    /// Tokens of the key-value cache, for the kinds of attention that have one
    #[arg(long, value_name = "N", default_value = "8k", value_parser = count, help_heading = "Memory")]
    pub max_context: usize,
}

impl Load {
    /// For so many texts at once.
    pub fn options(&self, slots: usize) -> LoadOptions {
        LoadOptions {
            weights: self.weights,
            slots,
            segment: self.segment,
            max_context: self.max_context,
            ..LoadOptions::default()
        }
    }
}

/// How gradients are computed.
#[derive(Debug, Args)]
pub struct Gradients {
    /// Tokens of a sequence computed at a time: less memory, the same result [default: all]
    #[arg(long, value_name = "N", value_parser = count, help_heading = "Memory")]
    pub segment: Option<usize>,
    #[command(flatten)]
    pub again: Again,
}

/// What gradients compute twice.
#[derive(Debug, Args)]
pub struct Again {
    /// What the backward pass computes again instead of keeping it: less memory, more time [default: nothing]
    #[arg(long, value_name = "WHAT", value_parser = recompute(), help_heading = "Memory")]
    pub recompute: Option<Recompute>,
}

fn recompute() -> impl TypedValueParser<Value = Recompute> {
    PossibleValuesParser::new(["nothing", "layers"])
        .map(|word| if word == "layers" { Recompute::Sections } else { Recompute::Nothing })
}

/// What --model says: a folder, a GGUF file, or a name on the hub.
#[derive(Clone, Debug)]
pub struct ModelName(PathBuf);

impl From<OsString> for ModelName {
    fn from(given: OsString) -> Self {
        Self(given.into())
    }
}

impl ModelName {
    /// As it was given.
    pub fn given(&self) -> &Path {
        &self.0
    }

    /// Whether it is a name on the hub; what is there under this name comes first.
    pub fn on_hub(&self) -> Option<&str> {
        self.0.to_str().filter(|text| text.starts_with("hf:") && !self.0.exists())
    }

    /// For people.
    pub fn name(&self) -> String {
        self.on_hub().map_or_else(|| folder_name(&self.0), |text| text.trim_start_matches("hf:").into())
    }
}

impl ModelOptions {
    /// The model's name for people.
    pub fn name(&self) -> String {
        model_name(self.model.as_ref())
    }
}

/// The built-in model's name.
pub const BUILT_IN: &str = "novels-2m";

/// A model's name for people.
pub fn model_name(model: Option<&ModelName>) -> String {
    model.map_or_else(|| format!("{BUILT_IN} (built in)"), ModelName::name)
}

/// A folder's own name, or its whole path where it has none.
pub fn folder_name(dir: &Path) -> String {
    dir.file_name().unwrap_or(dir.as_os_str()).to_string_lossy().into_owned()
}

/// A type of weights.
pub fn dtype() -> impl TypedValueParser<Value = WeightType> {
    PossibleValuesParser::new(WeightType::ALL.map(|(name, _)| name)).map(|word| {
        WeightType::ALL.into_iter().find(|(name, _)| *name == word).map_or(WeightType::F32, |(_, kind)| kind)
    })
}

/// A number of things, at least 1; `k` and `M` stand for 1024 and 1024².
pub fn count(text: &str) -> std::result::Result<usize, String> {
    match natural(text)? {
        0 => Err("must be at least 1".into()),
        n => Ok(n),
    }
}

/// A number of things; `k` and `M` stand for 1024 and 1024².
pub fn natural(text: &str) -> std::result::Result<usize, String> {
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1 << 10),
        Some(b'M') => (&text[..text.len() - 1], 1 << 20),
        _ => (text, 1),
    };
    let n: usize = digits.parse().map_err(|_| "must be a whole number, such as 1000, 32k or 1M")?;
    n.checked_mul(unit).ok_or_else(|| "is too large".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts() {
        assert_eq!(
            (count("7"), count("32k"), count("2M"), natural("0")),
            (Ok(7), Ok(32 << 10), Ok(2 << 20), Ok(0))
        );
        for bad in ["", "k", "0", "-1", "1.5", "3kk", "1kM", "99999999999999999999", "99999999999999M", "é"]
        {
            assert!(count(bad).is_err(), "{bad}");
        }
    }
}
