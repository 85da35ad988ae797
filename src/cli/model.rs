//! From options to a loaded model.

use std::path::Path;

use pollster::block_on;
use polysketch::gpu::AdapterKind;
use polysketch::model::{Engine, MemoryPlan, Model, ModelSource};
use polysketch::{Error, ErrorKind, Result};

use super::failure::warn;
use super::options::{Common, ModelOptions};
use super::output;
use super::progress::{Progress, Unit};

/// Chooses where to run.
pub fn engine(common: &Common) -> Result<Engine> {
    let _spinner = Progress::spinner(common, "looking for adapters");
    block_on(Engine::create(&common.request()))
}

/// Opens a model folder, or the built-in model.
pub fn source(dir: Option<&Path>) -> Result<ModelSource> {
    dir.map_or_else(ModelSource::builtin, ModelSource::open)
}

/// Loads a model for one text at a time, and tells what is odd about it.
pub fn load(common: &Common, options: &ModelOptions) -> Result<Model> {
    let source = source(options.dir())?;
    let engine = engine(common)?;
    let load = options.load.options(1);
    check_fits(&engine, &engine.blueprint(&source.config, source.stored(), &load)?.memory())?;
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

/// Refuses a plan that needs more than this machine has, before anything is allocated: where memory is promised freely,
/// the system would end the program instead.
///
/// # Errors
/// [`ErrorKind::Limit`]. A card's own memory is not known; there the driver's refusal is the error.
pub fn check_fits(engine: &Engine, plan: &MemoryPlan) -> Result<()> {
    let need = plan.weights.saturating_add(plan.state).saturating_add(plan.scratch);
    match system_memory().filter(|have| shares_memory(engine) && need > *have) {
        None => Ok(()),
        Some(have) => {
            Err(Error::new(ErrorKind::Limit, format!("the model needs {} of memory, this machine has {}", output::bytes(need), output::bytes(have)))
                .help("use a smaller model, or a smaller --segment, --max-context or --slots"))
        }
    }
}

/// Whether plans lie in the memory of this machine.
fn shares_memory(engine: &Engine) -> bool {
    engine.adapter().is_none_or(|a| matches!(a.kind, AdapterKind::Software | AdapterKind::Integrated))
}

/// Bytes that a benchmark may use without harm to what else runs here; none where the system, or a card, does not tell.
pub fn free_memory(engine: &Engine) -> Option<u64> {
    let free = memory(&["MemAvailable:"]).filter(|_| shares_memory(engine))?;
    Some(free / 4 * 3)
}

/// Bytes of memory of this machine, swap included; none where the system does not tell.
fn system_memory() -> Option<u64> {
    memory(&["MemTotal:", "SwapTotal:"])
}

/// Bytes of these kinds of memory, together; the first must be told.
fn memory(names: &[&str]) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let kib = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_end_matches("kB").trim().parse().ok()
    };
    let (first, others) = names.split_first()?;
    Some((kib(first)? + others.iter().filter_map(|name| kib(name)).sum::<u64>()) << 10)
}
