//! What the integration tests share: golden models, and every executor of this machine.
#![allow(dead_code)]

pub mod dense;
pub mod episode;
pub mod gradient;
pub mod lowered;
pub mod random_model;
pub mod row_cases;
pub mod scene;

use std::path::PathBuf;

use polysketch::attention::Mode;
use polysketch::exec::{CpuExecutor, Executor, GpuExecutor, Memory, Program, Submission};
use polysketch::gpu::{self, GpuContext, Needs};
use polysketch::graph::Plan;
use polysketch::kernels::DeviceTraits;
use polysketch::model::tensor_file::{TensorFile, read_tensors};
use polysketch::model::transformer::{self, AllLogits, Build, Ending, Handles};
use polysketch::model::{Engine, LoadOptions, Model, ModelSource, weights};
use polysketch::tensor::{Call, Capacity, DType, Lane};

/// The folder of golden models.
pub fn golden_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Names of the golden models.
pub fn golden_names() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(golden_folder())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|n| !n.starts_with('.'))
        .collect();
    names.sort();
    assert!(names.len() >= 12, "the golden models are missing");
    names
}

/// A golden model and what it should compute.
pub fn golden(name: &str) -> (ModelSource, TensorFile) {
    let dir = golden_folder().join(name);
    (ModelSource::open(&dir).unwrap(), read_tensors(&dir.join("golden.safetensors")).unwrap())
}

/// The CPU, the f64 oracle, and every adapter, each with its name.
pub fn executors() -> Vec<(String, Executor)> {
    let mut list = cpu_executors();
    list.extend(gpu_executors());
    list
}

/// The CPU, and the f64 oracle.
pub fn cpu_executors() -> Vec<(String, Executor)> {
    vec![
        ("cpu".to_string(), Executor::Cpu(CpuExecutor::default())),
        ("oracle".to_string(), Executor::Oracle(CpuExecutor::default())),
    ]
}

/// Every usable adapter as an executor.
pub fn gpu_executors() -> Vec<(String, Executor)> {
    gpu_executors_with(Needs::default())
}

/// Every usable adapter as an executor, with a device for these needs.
pub fn gpu_executors_with(needs: Needs) -> Vec<(String, Executor)> {
    let adapters = pollster::block_on(gpu::enumerate());
    let mut list = Vec::new();
    for adapter in &adapters {
        let name = adapter.report.label();
        if let Err(reason) = adapter.report.usable() {
            println!("skipped {name}: {reason}");
            continue;
        }
        let context = pollster::block_on(GpuContext::create(adapter, needs)).unwrap();
        list.push((name, Executor::Gpu(pollster::block_on(GpuExecutor::new(context)))));
    }
    list
}

/// Loads a model on an executor.
pub fn load(executor: &Executor, source: ModelSource, options: LoadOptions) -> Model {
    pollster::block_on(Engine::on(executor.clone()).load(source, &options, &mut |_, _| {})).unwrap()
}

/// Largest difference over the largest magnitude of the reference.
pub fn max_error(got: &[f32], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    let largest = want.iter().fold(0.0f64, |m, x| m.max(x.abs()));
    got.iter()
        .zip(want)
        .map(|(g, w)| if g.is_finite() { (f64::from(*g) - w).abs() } else { f64::INFINITY })
        .fold(0.0, f64::max)
        / largest
}

/// A plan on an executor, with these tensors in its memory, as words.
pub fn program(executor: &Executor, plan: Plan, tensors: &[(String, DType, Vec<u32>)]) -> Program {
    let memory = Memory::new(executor);
    pollster::block_on(async {
        for (name, dtype, words) in tensors {
            memory.store(name, *dtype, words).await.unwrap();
        }
        Program::new(plan, &memory).await.unwrap()
    })
}

/// A model below the session: parameters and one plan, for tests that choose positions, capacities or devices
/// themselves.
pub struct Bare {
    program: Program,
    handles: Handles,
    vocabulary: usize,
}

impl Bare {
    /// The prefill plan with all logits, for a device of the given traits.
    pub fn new(
        executor: &Executor,
        source: &ModelSource,
        traits: &DeviceTraits,
        large: DType,
        tokens: usize,
    ) -> Self {
        let config = &source.config;
        let build = Build { large, max_binding: traits.max_binding, slots: 1, context: 256 };
        let capacity = Capacity {
            lanes: 1,
            tokens,
            slots: 1,
            context: if transformer::attention(config).has_cache() { 256 } else { 0 },
        };
        let decoder = transformer::build(config, Mode::Prefill, Ending::All, &build).unwrap();
        let plan = decoder.lower("bare", traits, capacity).unwrap();
        let attention = transformer::attention(config);
        let tensors: Vec<_> = weights::packed(config, &attention, large, traits.max_binding)
            .into_iter()
            .map(|packed| {
                let words = packed.words(&source.checkpoint).unwrap();
                (packed.name, packed.dtype, words)
            })
            .collect();
        let program = program(executor, plan, &tensors);
        Self { program, handles: decoder.handles, vocabulary: config.vocab_size }
    }

    /// All logits of one call.
    pub fn logits(&mut self, ids: &[u32], position: usize, ring: usize) -> Vec<f32> {
        let calls = [Call { lanes: vec![Lane { slot: 0, position, ring }], tokens: ids.len(), lane_base: 0 }];
        let Some(AllLogits { logits, .. }) = self.handles.all else { unreachable!() };
        let submission = Submission {
            calls: &calls,
            inputs: &[(self.handles.ids, ids)],
            reads: &[(logits, ids.len() * self.vocabulary)],
        };
        let read = pollster::block_on(self.program.run(submission)).unwrap();
        read[0].iter().map(|w| f32::from_bits(*w)).collect()
    }
}
