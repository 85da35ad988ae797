//! A kernel of a scene on a device, with all its numbers.

use serde::Serialize;

use super::scenes::{Part, Scene};
use super::vendor::{Built, Machine};
use crate::bench::estimate::cost::{self, Work};
use crate::bench::estimate::{Code, key};
use crate::bench::steps::variant;

/// What a run found.
#[derive(Clone, Debug)]
pub struct Report {
    /// Version of the compilers.
    pub compilers: String,
    /// All rows.
    pub rows: Vec<Row>,
}

/// A kernel of a scene on a device.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The device's word.
    pub vendor: &'static str,
    /// The scene's word.
    pub scene: String,
    /// What the scene is.
    pub about: String,
    /// What the first of these steps does.
    pub step: String,
    /// Steps of this kernel, variant and sizes.
    pub times: usize,
    /// The shader: `stem+FLAG`.
    pub kernel: String,
    /// The same with its `override` values.
    pub variant: String,
    /// Why there is no code: refused, died, took too long.
    pub failed: Option<String>,
    /// Registers of an invocation, as the driver counts them.
    pub registers: u64,
    /// What is resident, as the driver counts it.
    pub occupancy: u64,
    /// Registers kept in memory: stores and loads of them.
    pub spills: u64,
    /// Instructions in all.
    pub instructions: u64,
    /// Cycles of a subgroup by the compiler's own count.
    pub cycles: Option<u64>,
    /// Multiply-adds an instruction of the inner loop.
    pub multiply_adds: f64,
    /// Words read in it for a multiply-add.
    pub words: f64,
    /// Invocations of a workgroup.
    pub invocations: usize,
    /// Workgroup memory, bytes.
    pub workgroup_memory: usize,
    /// Workgroups of its largest dispatch.
    pub workgroups: usize,
    /// Workgroups of it for each processor.
    pub workgroups_a_processor: f64,
    /// Dispatches in all calls.
    pub dispatches: f64,
    /// Bytes of all arguments, in all calls.
    pub bytes: f64,
    /// f32 operations in all calls.
    pub flops: f64,
    /// Estimate of all these steps in all calls, seconds.
    pub seconds: f64,
    /// What the cost model knows of its code, and what that was made from.
    #[serde(skip)]
    pub code: Option<(u64, Code)>,
}

impl Row {
    pub(super) fn new(
        machine: &'static Machine,
        scene: &Scene,
        part: &Part<'_>,
        built: Result<Built, String>,
    ) -> Self {
        let of = &part.step.variant;
        let (invocations, workgroup_memory) = (of.invocations(), of.workgroup_bytes());
        let mut row = Self::empty(machine, scene);
        row.step = part.step.label.split_whitespace().collect::<Vec<_>>().join("_");
        row.times = part.times;
        row.kernel = of.name().to_string();
        row.variant = variant(of);
        (row.invocations, row.workgroup_memory) = (invocations, workgroup_memory);
        row.workgroups = part.dispatches.iter().map(|d| d.workgroups).max().unwrap_or(0);
        row.workgroups_a_processor = row.workgroups as f64 / machine.chip.processors as f64;
        let sum = |of: fn(&super::scenes::Dispatched) -> f64| {
            part.dispatches.iter().map(|d| of(d) * d.weight).sum::<f64>()
        };
        row.dispatches = sum(|_| 1.0);
        row.bytes = sum(|d| d.bytes);
        row.flops = sum(|d| d.flops);
        match built {
            Err(why) => row.failed = Some(why),
            Ok(built) => {
                row.registers = built.registers;
                row.occupancy = built.occupancy;
                row.spills = built.spills;
                row.instructions = built.instructions;
                row.cycles = built.cycles;
                row.multiply_adds = built.hot.multiply_adds();
                row.words = built.hot.words();
                let code = built.code(machine.chip);
                row.code = key(of).map(|key| (key, code));
                row.seconds = part
                    .dispatches
                    .iter()
                    .map(|d| {
                        let &super::scenes::Dispatched { flops, bytes, workgroups, weight } = d;
                        let work = Work { flops, bytes, workgroups, invocations, workgroup_memory };
                        weight * cost::seconds(machine.chip, &code, &work)
                    })
                    .sum();
            }
        }
        row
    }

    /// A scene that has no plan on a device.
    pub(super) fn without_plan(machine: &'static Machine, scene: &Scene, why: &str) -> Self {
        let mut row = Self::empty(machine, scene);
        row.step = "-".into();
        row.kernel = "-".into();
        row.failed = Some(why.to_string());
        row
    }

    fn empty(machine: &'static Machine, scene: &Scene) -> Self {
        Self {
            vendor: machine.chip.word,
            scene: scene.name.clone(),
            about: scene.about.clone(),
            step: String::new(),
            times: 0,
            kernel: String::new(),
            variant: String::new(),
            failed: None,
            registers: 0,
            occupancy: 0,
            spills: 0,
            instructions: 0,
            cycles: None,
            multiply_adds: 0.0,
            words: 0.0,
            invocations: 0,
            workgroup_memory: 0,
            workgroups: 0,
            workgroups_a_processor: 0.0,
            dispatches: 0.0,
            bytes: 0.0,
            flops: 0.0,
            seconds: 0.0,
            code: None,
        }
    }

    /// What is the same on every device: scene and step.
    pub fn key(&self) -> String {
        format!("{} {}", self.scene, self.step)
    }
}

/// Scenes in the order of their rows.
pub fn scenes_of(rows: &[Row]) -> Vec<&str> {
    let mut scenes: Vec<&str> = Vec::new();
    for row in rows {
        if !scenes.contains(&row.scene.as_str()) {
            scenes.push(&row.scene);
        }
    }
    scenes
}
