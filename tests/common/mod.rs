//! What the integration tests share: golden models, and every executor of this machine.
#![allow(dead_code)]

use std::path::PathBuf;

use polysketch::exec::{CpuExecutor, Executor, GpuExecutor};
use polysketch::gpu::{self, GpuContext, Needs};
use polysketch::model::tensor_file::{TensorFile, read_tensors};
use polysketch::model::{Engine, LoadOptions, Model, ModelSource};

/// The folder of golden models.
pub fn golden_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Names of the golden models.
pub fn golden_names() -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(golden_folder()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).filter(|n| !n.starts_with('.')).collect();
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
    let mut list = vec![("cpu".to_string(), Executor::Cpu(CpuExecutor::default())), ("oracle".to_string(), Executor::Oracle(CpuExecutor::default()))];
    list.extend(gpu_executors());
    list
}

/// Every usable adapter as an executor.
pub fn gpu_executors() -> Vec<(String, Executor)> {
    let adapters = pollster::block_on(gpu::enumerate());
    let mut list = Vec::new();
    for adapter in &adapters {
        let name = adapter.report.label();
        if let Err(reason) = adapter.report.usable() {
            println!("skipped {name}: {reason}");
            continue;
        }
        let context = pollster::block_on(GpuContext::create(adapter, Needs::default())).unwrap();
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
    got.iter().zip(want).map(|(g, w)| if g.is_finite() { (f64::from(*g) - w).abs() } else { f64::INFINITY }).fold(0.0, f64::max) / largest
}
