//! Finds the first step of a plan whose shader and CPU twin disagree: runs the first k steps on one executor
//! and compares what step k wrote on both, from the same inputs.

use super::cpu::{self, CpuExecutor};
use super::{Compiled, Executor, GpuExecutor, Memory, Own, Run, Stored};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Plan, Role};
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

/// One side: an executor with its own copy of everything.
struct Side {
    executor: Executor,
    compiled: Compiled,
    parameters: Memory,
    state: Memory,
}

/// Runs one call step by step on the GPU and on the CPU; before each step the CPU gets the GPU's tensors, so
/// that every difference is of that step alone. Parameters and state are given as words by name.
pub async fn bisect(
    gpu: &GpuExecutor,
    plan: Plan,
    tensors: &[(String, DType, Vec<u32>)],
    call: &Call,
    inputs: &[(&str, &[u32])],
) -> Result<Vec<Difference>> {
    let mut sides = Vec::new();
    for executor in [Executor::Gpu(gpu.clone()), Executor::Cpu(CpuExecutor::default())] {
        let (mut parameters, mut state) = (Memory::new(), Memory::new());
        for (name, dtype, words) in tensors {
            let role = plan.find(name).map(|id| &plan.tensors[id.0].tensor.role);
            let memory = if matches!(role, Some(Role::State(_))) { &mut state } else { &mut parameters };
            executor.store(memory, name, *dtype, words).await?;
        }
        executor.reserve_state(&plan, &mut state).await?;
        executor.store_constants(&plan, &mut parameters).await?;
        let compiled = executor.compile(&plan).await?;
        sides.push(Side { executor, compiled, parameters, state });
    }
    let (Some(mut cpu), Some(mut device)) = (sides.pop(), sides.pop()) else { return Ok(Vec::new()) };
    call.check(&plan.capacity)?;
    let run = Run { calls: &[], inputs, reads: &[] };
    device.executor.run(&mut device.compiled, &device.parameters, &mut device.state, run.clone()).await?;
    let Executor::Cpu(executor) = cpu.executor.clone() else {
        return Err(Error::new(ErrorKind::Device, "bisect needs the CPU executor"));
    };
    executor.prepare(&mut cpu.compiled, &cpu.parameters, &cpu.state, &run)?;

    let mut differences = Vec::new();
    for (at, step) in plan.steps.iter().enumerate() {
        gpu.steps(&mut device.compiled, &device.parameters, &device.state, call, at..at + 1).await?;
        executor.steps(&mut cpu.compiled, &cpu.parameters, &mut cpu.state, call, at..at + 1, None)?;
        if !step.kernel.runs(call) {
            continue;
        }
        for arg in step.args.iter().filter(|a| a.written) {
            let t = &plan.tensors[arg.tensor.0];
            let buffer = gpu.tensor(&device.compiled, &device.parameters, &device.state, arg.tensor)?;
            let words: Vec<u32> = gpu.context().read_pod(buffer, 0..t.bytes as u64).await?;
            let mine = cpu::read(&cpu.compiled, &cpu.parameters, &cpu.state, &t.tensor.name, words.len())?;
            differences.push(Difference {
                step: at,
                label: format!("{} ({})", step.label, step.variant.name()),
                tensor: t.tensor.name.clone(),
                relative: compare(t.tensor.ty.dtype, &words, &mine),
            });
            // The CPU goes on from the GPU's result.
            let target = match t.tensor.role {
                Role::State(_) => {
                    let i = cpu.state.index(&t.tensor.name)?;
                    &mut cpu.state.tensors[i]
                }
                _ => {
                    let Own::Cpu(scratch) = &mut cpu.compiled.own else { continue };
                    scratch.buffer(t.buffer.0)
                }
            };
            if !matches!(target, Stored::Gpu(_)) {
                cpu::write_words(target, 0, &words)?;
            }
        }
    }
    Ok(differences)
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
