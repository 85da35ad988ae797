//! What the production compilers of four vendors make of the kernels, without a GPU: the engine's own plans
//! are lowered for each vendor's device, their shaders are translated as wgpu translates them, and Mesa's
//! drivers compile them on devices that are not there. From registers, occupancy, spills and the inner loop's
//! code follows an estimate by a short cost model (`bench/estimate`). `docs/GAUGE.md` says how to read it.
//!
//! | file | what |
//! |---|---|
//! | `vendor.rs` | the four devices: driver, budgets, the drivers' own words for statistics |
//! | `scenes.rs` | what is gauged: plans and their calls |
//! | `sources.rs`, `spirv.rs` | a variant's WGSL; to SPIR-V as wgpu writes it |
//! | `process.rs`, `protocol.rs` | a worker's process, and what is said to it |
//! | `compiler.rs` | the worker: a Vulkan device that compiles and tells |
//! | `isa/` | the inner loop in a compiler's text, and its multiply-adds |
//! | `row.rs` | a kernel of a scene on a device, with all its numbers |
//! | `table.rs` | rows as a text that can be compared |
//!
//! It needs Linux on x86-64, and `tests/gauge/setup`.

mod compiler;
pub mod isa;
mod process;
mod protocol;
mod row;
mod scenes;
mod sources;
mod spirv;
pub mod table;
mod vendor;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

pub use compiler::serve;
pub use process::Setting;
pub use row::{Report, Row, scenes_of};
pub use spirv::Checks;
pub use vendor::{Built, MACHINES, Machine};

use crate::bench::steps::variant;
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::{DeviceTraits, Variant};
use process::Compiler;
use protocol::{Compiled, Request};
use scenes::Scene;

/// What is gauged.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where compilers are.
    pub setting: Setting,
    /// Whose.
    pub machines: Vec<&'static Machine>,
    /// Only kernels whose stem or scene holds this.
    pub filter: Option<String>,
    /// Which checks shaders carry.
    pub checks: Checks,
    /// A folder of shaders in place of the program's own.
    pub shaders: Option<PathBuf>,
    /// A folder for the compilers' texts.
    pub isa: Option<PathBuf>,
}

/// Gauges everything asked for, vendors side by side; rows in the order of scenes, then steps, then vendors.
/// `tell` hears what is compiled.
///
/// # Errors
/// [`ErrorKind::Device`] where a compiler is missing or gives no device; [`ErrorKind::Input`] for a filter
/// that nothing meets. A shader that fails is a row with its reason.
pub fn run(options: &Options, tell: &(dyn Fn(&str) + Sync)) -> Result<Report> {
    options.machines.iter().try_for_each(|machine| options.setting.check(machine))?;
    if let Some(folder) = &options.isa {
        crate::files::create_folders(folder)?;
    }
    let of_machine = |machine: &'static Machine| {
        let gauge = Gauge::start(options, machine)?;
        let version = gauge.compiler.device.adapter.driver_info.clone();
        Ok((version, gauge.rows(tell)?))
    };
    let found: Vec<Result<(String, Vec<Row>)>> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            options.machines.iter().map(|machine| scope.spawn(|| of_machine(machine))).collect();
        let died = || Err(Error::new(ErrorKind::Device, "internal fault: a thread of the gauge died"));
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| died())).collect()
    });
    let (mut versions, rows): (Vec<_>, Vec<_>) =
        found.into_iter().collect::<Result<Vec<_>>>()?.into_iter().unzip();
    versions.dedup();
    let mut rows: Vec<Row> = rows.concat();
    if rows.is_empty() {
        let asked = options.filter.as_deref().unwrap_or_default();
        return Err(Error::new(ErrorKind::Input, format!("no kernel or scene is named like '{asked}'"))
            .help("give a part of a kernel's or a scene's name, or none for all"));
    }
    let mut order = Vec::new();
    for row in &rows {
        if !order.contains(&row.key()) {
            order.push(row.key());
        }
    }
    let place = |row: &Row| order.iter().position(|key| *key == row.key());
    let scenes: Vec<String> = scenes_of(&rows).into_iter().map(String::from).collect();
    let scene = |row: &Row| scenes.iter().position(|name| *name == row.scene);
    rows.sort_by_key(|row| (scene(row), place(row)));
    Ok(Report { compilers: versions.join(", "), rows })
}

/// One device, and what was compiled for it.
struct Gauge<'a> {
    options: &'a Options,
    machine: &'static Machine,
    compiler: Compiler,
    known: HashMap<String, std::result::Result<Built, String>>,
}

impl<'a> Gauge<'a> {
    fn start(options: &'a Options, machine: &'static Machine) -> Result<Self> {
        let compiler = Compiler::start(&options.setting, machine)?;
        Ok(Self { options, machine, compiler, known: HashMap::new() })
    }

    /// What kernels know of it: the driver's limits, and the chip.
    fn traits(&self) -> DeviceTraits {
        DeviceTraits {
            vendor: self.machine.chip.vendor,
            processors: Some(self.machine.chip.processors),
            registers: Some(self.machine.chip.registers),
            ..self.compiler.device.adapter.traits()
        }
    }

    fn rows(mut self, tell: &(dyn Fn(&str) + Sync)) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        for scene in scenes::scenes(&self.traits())? {
            rows.extend(self.of_scene(&scene, tell)?);
        }
        Ok(rows)
    }

    fn of_scene(&mut self, scene: &Scene, tell: &(dyn Fn(&str) + Sync)) -> Result<Vec<Row>> {
        let asked = |stem: &str| {
            let filter = self.options.filter.as_deref();
            filter.is_none_or(|part| stem.contains(part) || scene.name.contains(part))
        };
        if let Err(error) = &scene.plan {
            let asked = self.options.filter.is_none() || asked("");
            let row = Row::without_plan(self.machine, scene, error.message());
            return Ok(if asked { vec![row] } else { Vec::new() });
        }
        let parts: Vec<_> = scene.parts().into_iter().filter(|part| asked(part.step.kernel.stem())).collect();
        let mut rows = Vec::new();
        for part in parts {
            let key = variant(&part.step.variant);
            let built = match self.known.get(&key) {
                Some(known) => known.clone(),
                None => {
                    tell(&format!("{}: {}", self.machine.chip.word, part.step.variant.name()));
                    let built = self.build(&part.step.variant).map_err(|e| e.message().to_string());
                    self.known.insert(key, built.clone());
                    built
                }
            };
            rows.push(Row::new(self.machine, scene, &part, built));
        }
        Ok(rows)
    }

    fn build(&mut self, variant: &Variant) -> Result<Built> {
        let source = sources::source(variant, self.options.shaders.as_deref())?;
        let constants: Vec<(&str, f64)> = variant.constants().collect();
        let target = &self.compiler.device.target;
        let words = spirv::translate(variant.name(), &source, &constants, target, self.options.checks)?;
        let storage = variant.written().map_or(0, |written| written.len() as u32);
        let compiled = self.compiler.compile(&Request { words, storage, texts: true })?;
        if let Some(folder) = &self.options.isa {
            self.keep(folder, variant, &compiled)?;
        }
        Ok(self.machine.built(&compiled))
    }

    /// The compiler's texts, as `VENDOR-KERNEL-NUMBER.txt`: a kernel may have several cuts.
    fn keep(&self, folder: &Path, of: &Variant, compiled: &Compiled) -> Result<()> {
        let number = self.known.keys().filter(|key| key.split(' ').next() == Some(of.name())).count();
        let path = folder.join(format!("{}-{}-{number}.txt", self.machine.chip.word, of.name()));
        crate::files::atomic_write(&path, |file| {
            writeln!(file, "{}", variant(of))?;
            for (name, value) in &compiled.statistics {
                writeln!(file, "{name} = {value}")?;
            }
            compiled.texts.iter().try_for_each(|(name, text)| writeln!(file, "\n== {name}\n{text}"))
        })
    }
}
