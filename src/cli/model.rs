//! From options to a loaded model.

use std::path::{Path, PathBuf};

use pollster::block_on;
use polysketch::model::{Adapter, Engine, Model, ModelSource};
use polysketch::{Error, ErrorKind, Result};

use super::failure::warn;
use super::options::{Common, ModelName, ModelOptions, Precise};
use super::progress::{Progress, Unit};

/// Chooses where to run.
pub fn engine(common: &Common) -> Result<Engine> {
    let _spinner = Progress::spinner(common, "looking for adapters");
    block_on(Engine::create(&common.request()))
}

/// The same, for products in a given precision.
pub fn precise_engine(common: &Common, precise: Precise) -> Result<Engine> {
    engine(common)?.precise(precise.precision)
}

/// Where a model is.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its folder or file; none is the built-in model.
    pub model: Option<PathBuf>,
    /// What makes it linear.
    pub adapter: Option<PathBuf>,
}

/// Where the model is that --model names, and its --adapter: what is on the hub is fetched.
pub fn place(common: &Common, model: Option<&ModelName>) -> Result<Place> {
    Ok(Place { model: on_disk_or_hub(common, model)?, adapter: common.model_adapter()? })
}

fn on_disk_or_hub(common: &Common, model: Option<&ModelName>) -> Result<Option<PathBuf>> {
    let find = |model: &ModelName| match model.on_hub() {
        Some(name) => fetch(common, name),
        None => on_disk(model.given()),
    };
    model.map(find).transpose()
}

/// A path, unless nothing is there and it comes near to a name on the hub.
fn on_disk(path: &Path) -> Result<PathBuf> {
    let text = path.to_string_lossy();
    let (what, help) = match near(&text).filter(|_| !path.exists()) {
        Some(name) => (format!("; the hub's model is {name}"), format!("check the path, or give {name}")),
        None if text.contains("://") && !path.exists() => {
            (String::new(), "an address is not fetched: give a path, or hf:OWNER/NAME".into())
        }
        None => return Ok(path.to_path_buf()),
    };
    let text = format!("{text}: there is no such folder or file{what}");
    Err(Error::new(ErrorKind::Io, text).help(help))
}

#[cfg(feature = "hub")]
fn near(text: &str) -> Option<String> {
    polysketch::model::hub::HubName::near(text).map(|name| name.to_string())
}

#[cfg(not(feature = "hub"))]
fn near(_: &str) -> Option<String> {
    None
}

#[cfg(feature = "hub")]
fn fetch(common: &Common, name: &str) -> Result<PathBuf> {
    use polysketch::model::hub::{self, Event, HubName};
    let name = HubName::parse(name)?;
    let bar = Progress::bar(common, &format!("fetching {}", name.repository), 0, Unit::Bytes);
    let mut began = false;
    hub::fetch(&name, &mut |event| match event {
        Event::Bytes { done, total } => {
            bar.total(total);
            if std::mem::replace(&mut began, true) { bar.set(done as usize) } else { bar.begin_at(done) }
        }
        Event::Note(text) if common.talks() => bar.suspend(|| warn(text)),
        Event::Note(_) => {}
    })
}

#[cfg(not(feature = "hub"))]
fn fetch(_: &Common, name: &str) -> Result<PathBuf> {
    Err(Error::new(ErrorKind::Input, format!("{name}: this program was built without the hub"))
        .help("give a folder or a .gguf file, or build it with the feature hub"))
}

/// Opens a model, with its adapter.
pub fn open(place: &Place) -> Result<ModelSource> {
    let damaged = |path: &Path| ModelSource::open(path).map_err(|error| if_damaged(path, error));
    let source = place.model.as_deref().map_or_else(builtin, damaged)?;
    match &place.adapter {
        Some(path) => block_on(source.adapt(Adapter::open(path)?)),
        None => Ok(source),
    }
}

/// Adds to what is wrong with a model of the hub's how to fetch it anew.
pub fn if_damaged(path: &Path, error: Error) -> Error {
    let of_hub = |folder: &&Path| {
        folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with("models--"))
            && folder.join("snapshots").is_dir()
    };
    let damaged = match error.kind() {
        ErrorKind::ModelFormat | ErrorKind::Tokenizer => true,
        // Others are of a model that came as it is, and is not known.
        ErrorKind::Config => error.message().contains("not valid JSON"),
        _ => false,
    };
    match path.ancestors().find(of_hub).filter(|_| damaged) {
        Some(folder) => {
            let anew = format!("if it came damaged, remove {}: it is fetched anew then", folder.display());
            let help = error.advice().map_or_else(|| anew.clone(), |help| format!("{help}; {anew}"));
            error.help(help)
        }
        None => error,
    }
}

/// Opens the model that --model names, or the built-in model.
pub fn source(common: &Common, model: Option<&ModelName>) -> Result<ModelSource> {
    open(&place(common, model)?)
}

#[cfg(feature = "builtin-model")]
fn builtin() -> Result<ModelSource> {
    ModelSource::builtin()
}

#[cfg(not(feature = "builtin-model"))]
fn builtin() -> Result<ModelSource> {
    Err(Error::new(ErrorKind::Input, "this program was built without a model")
        .help("give one: --model MODEL"))
}

/// Loads a model for one text at a time, and tells what is odd about it.
pub fn load(common: &Common, options: &ModelOptions) -> Result<Model> {
    let source = source(common, options.model.as_ref())?;
    let engine = precise_engine(common, options.precise)?;
    let load = options.load.options(1);
    let bar = Progress::bar(common, "loading the model", 0, Unit::Bytes);
    let model = block_on(engine.load(source, &load, &mut |done, total| {
        bar.total(total);
        bar.set(done as usize);
    }))?;
    drop(bar);
    if common.talks() {
        model.warnings().iter().for_each(|text| warn(text));
    }
    Ok(model)
}
