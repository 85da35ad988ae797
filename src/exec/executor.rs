//! Where plans run.

use super::cpu::CpuExecutor;
use super::wgpu::GpuExecutor;
use crate::error::Result;
use crate::graph::Plan;
use crate::kernels::DeviceTraits;

/// Where plans run. Cheap to clone.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Executor {
    /// The CPU twins in f32.
    Cpu(CpuExecutor<f32>),
    /// The CPU twins in f64: the oracle of the tests.
    Oracle(CpuExecutor<f64>),
    /// The shaders.
    Gpu(GpuExecutor),
}

impl Executor {
    /// What kernels may know of the device.
    pub fn traits(&self) -> DeviceTraits {
        match self {
            Executor::Cpu(_) | Executor::Oracle(_) => DeviceTraits::cpu(),
            Executor::Gpu(gpu) => gpu.context().traits(),
        }
    }

    /// Name for people: the adapter, or the CPU.
    pub fn name(&self) -> String {
        match self {
            Executor::Cpu(_) => match crate::kernels::cpu::threads() {
                1 => "CPU (1 thread)".to_string(),
                threads => format!("CPU ({threads} threads)"),
            },
            Executor::Oracle(_) => "CPU in f64".to_string(),
            Executor::Gpu(gpu) => gpu.context().report().label(),
        }
    }

    /// Compiles the shaders of plans ahead of their first run. `progress` is told the dispatches that can
    /// run, and how many there are.
    ///
    /// # Errors
    /// Those of the device.
    pub async fn warm_up(&self, plans: &[&Plan], progress: &mut dyn FnMut(usize, usize)) -> Result<()> {
        let Executor::Gpu(gpu) = self else { return Ok(()) };
        let total = plans.iter().map(|plan| plan.steps.len()).sum();
        let mut done = 0;
        for plan in plans {
            gpu.compile(plan, &mut |compiled| progress(done + compiled, total)).await?;
            done += plan.steps.len();
        }
        Ok(())
    }

    /// Waits until everything submitted so far is done.
    ///
    /// # Errors
    /// Those of the device.
    pub async fn finish(&self) -> Result<()> {
        match self {
            Executor::Gpu(gpu) => gpu.context().submitted_work_done().await,
            Executor::Cpu(_) | Executor::Oracle(_) => Ok(()),
        }
    }
}
