//! From options to a loaded model.

use std::path::Path;

use pollster::block_on;
use polysketch::Result;
use polysketch::model::{Engine, Model, ModelSource};

use super::failure::warn;
use super::hub::locate;
use super::options::{Common, ModelOptions};
use super::progress::{Progress, Unit};

/// Chooses where to run.
pub fn engine(common: &Common) -> Result<Engine> {
    let _spinner = Progress::spinner(common, "looking for adapters");
    block_on(Engine::create(&common.request()))
}

/// Opens a model, wherever it is, or the built-in one.
pub fn source(common: &Common, model: Option<&Path>) -> Result<ModelSource> {
    model.map_or_else(builtin, |model| ModelSource::open(&locate(common, model)?))
}

/// The built-in model.
#[cfg(feature = "builtin-model")]
pub fn builtin() -> Result<ModelSource> {
    ModelSource::builtin()
}

/// There is no built-in model.
#[cfg(not(feature = "builtin-model"))]
pub fn builtin() -> Result<ModelSource> {
    Err(polysketch::Error::new(polysketch::ErrorKind::Input, "this program was built without a model")
        .help("give one: --model DIR"))
}

/// Loads a model for one text at a time, and tells what is odd about it.
pub fn load(common: &Common, options: &ModelOptions) -> Result<Model> {
    let source = source(common, options.dir())?;
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
