//! From options to a loaded model.

use std::path::Path;

use pollster::block_on;
use polysketch::Result;
use polysketch::model::{Engine, Model, ModelSource};

use super::failure::warn;
use super::options::{Common, ModelOptions};
use super::progress::{Progress, Unit};

/// Chooses where to run.
pub fn engine(common: &Common) -> Result<Engine> {
    let _spinner = Progress::spinner(common, "looking for adapters");
    block_on(Engine::create(&common.request()))
}

/// Opens a model folder, or the built-in model.
pub fn source(dir: Option<&Path>) -> Result<ModelSource> {
    dir.map_or_else(builtin, ModelSource::open)
}

#[cfg(feature = "builtin-model")]
fn builtin() -> Result<ModelSource> {
    ModelSource::builtin()
}

#[cfg(not(feature = "builtin-model"))]
fn builtin() -> Result<ModelSource> {
    Err(polysketch::Error::new(polysketch::ErrorKind::Input, "this program was built without a model")
        .help("give one: --model DIR"))
}

/// Loads a model for one text at a time, and tells what is odd about it.
pub fn load(common: &Common, options: &ModelOptions) -> Result<Model> {
    let source = source(options.dir())?;
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
