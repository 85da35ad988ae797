//! Finds the first step of a plan whose shader and CPU twin disagree: runs the first k steps on one executor
//! and compares what step k wrote on both, from the same inputs.

use std::sync::Arc;

use super::cpu::CpuExecutor;
use super::executor::Executor;
use super::memory::Memory;
use super::program::Program;
use super::submission::Submission;
use super::wgpu::GpuExecutor;
use crate::error::Result;
use crate::graph::{Plan, TensorId};
use crate::tensor::{Call, DType};

/// How far the outputs of one step lie apart.
#[derive(Clone, Debug)]
pub struct Difference {
    /// Number of the step.
    pub step: usize,
    /// Its label and shader.
    pub label: String,
    /// The tensor compared.
    pub tensor: String,
    /// Largest difference over the largest magnitude.
    pub relative: f64,
}

/// Runs one call step by step on the GPU and on the CPU; before each step the CPU gets the GPU's tensors, so
/// that every difference is of that step alone. Parameters, states and inputs are given as words by name; the
/// lane table is that of the call.
///
/// # Errors
/// As [`Program::run`], on either side.
pub async fn bisect(
    gpu: &GpuExecutor,
    plan: Plan,
    tensors: &[(String, DType, Vec<u32>)],
    call: &Call,
    inputs: &[(&str, &[u32])],
) -> Result<Vec<Difference>> {
    let plan = Arc::new(plan);
    let mut device = side(&Executor::Gpu(gpu.clone()), &plan, tensors).await?;
    let mut cpu = side(&Executor::Cpu(CpuExecutor::default()), &plan, tensors).await?;
    let inputs: Vec<(TensorId, &[u32])> =
        inputs.iter().map(|(name, words)| Ok((device.tensor(name)?, *words))).collect::<Result<_>>()?;
    let calls = std::slice::from_ref(call);
    device.check(&Submission { calls, inputs: &inputs, reads: &[] })?;
    device.give(calls, &inputs).await?;
    cpu.give(calls, &inputs).await?;
    let mut differences = Vec::new();
    for (at, step) in plan.steps.iter().enumerate().filter(|(_, step)| step.kernel.runs(call)) {
        device.step(call, at).await?;
        cpu.step(call, at).await?;
        for arg in step.args.iter().filter(|a| a.written) {
            let t = &plan.tensors[arg.tensor.0].tensor;
            let elements = t.ty.shape.elements(&plan.capacity);
            let words = device.read(arg.tensor, 0..elements).await?;
            let mine = cpu.read(arg.tensor, 0..elements).await?;
            differences.push(Difference {
                step: at,
                label: format!("{} ({})", step.label, step.variant.name()),
                tensor: t.name.clone(),
                relative: compare(t.ty.dtype, &words, &mine),
            });
            // The CPU goes on from the GPU's result.
            cpu.write(arg.tensor, 0, &words).await?;
        }
    }
    Ok(differences)
}

/// The plan on one executor, with its own copy of everything.
async fn side(
    executor: &Executor,
    plan: &Arc<Plan>,
    tensors: &[(String, DType, Vec<u32>)],
) -> Result<Program> {
    let memory = Memory::new(executor);
    for (name, dtype, words) in tensors {
        memory.store(name, *dtype, words).await?;
    }
    Program::new(plan.clone(), &memory).await
}

/// Largest difference over the largest magnitude; for integers, the share that differs.
fn compare(dtype: DType, a: &[u32], b: &[u32]) -> f64 {
    if dtype == DType::U32 {
        return a.iter().zip(b).filter(|(a, b)| a != b).count() as f64 / a.len().max(1) as f64;
    }
    let values = |w: &u32| f64::from(f32::from_bits(*w));
    let largest = b.iter().map(values).fold(0.0, |m: f64, x| m.max(x.abs())).max(1e-30);
    a.iter().zip(b).map(|(a, b)| (values(a) - values(b)).abs()).fold(0.0, f64::max) / largest
}
