//! From options to a loaded model.

use std::path::{Path, PathBuf};

use pollster::block_on;
use polysketch::Result;
use polysketch::model::{Engine, Model, ModelSource};

use super::failure::warn;
use super::options::{Common, ModelName, ModelOptions};
use super::progress::{Progress, Unit};

/// Chooses where to run.
pub fn engine(common: &Common) -> Result<Engine> {
    let _spinner = Progress::spinner(common, "looking for adapters");
    block_on(Engine::create(&common.request()))
}

/// Where the model is that --model names: what is on the hub is fetched. None is the built-in model.
pub fn place(common: &Common, model: Option<&ModelName>) -> Result<Option<PathBuf>> {
    let find = |model: &ModelName| match model.on_hub() {
        Some(name) => fetch(common, name),
        None => Ok(model.given().to_path_buf()),
    };
    model.map(find).transpose()
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
    Err(polysketch::Error::new(
        polysketch::ErrorKind::Input,
        format!("{name}: this program was built without the hub"),
    )
    .help("give a folder or a .gguf file, or build it with the feature hub"))
}

/// Opens the model at a path, or the built-in model.
pub fn open(place: Option<&Path>) -> Result<ModelSource> {
    place.map_or_else(builtin, ModelSource::open)
}

/// Opens the model that --model names, or the built-in model.
pub fn source(common: &Common, model: Option<&ModelName>) -> Result<ModelSource> {
    open(place(common, model)?.as_deref())
}

#[cfg(feature = "builtin-model")]
fn builtin() -> Result<ModelSource> {
    ModelSource::builtin()
}

#[cfg(not(feature = "builtin-model"))]
fn builtin() -> Result<ModelSource> {
    Err(polysketch::Error::new(polysketch::ErrorKind::Input, "this program was built without a model")
        .help("give one: --model MODEL"))
}

/// Loads a model for one text at a time, and tells what is odd about it.
pub fn load(common: &Common, options: &ModelOptions) -> Result<Model> {
    let source = source(common, options.model.as_ref())?;
    let engine = engine(common)?;
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
