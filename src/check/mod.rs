//! Kernels against their twins: every shader, one step at a time, from the same numbers as its CPU twin in
//! f64, on any device. The command `polysketch check` and the tests run the same cases.
//!
//! | file | what |
//! |---|---|
//! | `case.rs` | a case: one call of a small plan, with everything it reads |
//! | `model_cases.rs`, `attention_cases.rs`, `linearized_cases.rs`, `row_cases.rs`, `small_cases.rs` | the cases |
//! | `models.rs`, `random.rs` | random models of every kind; random numbers |
//! | `record.rs` | what each step of a case reads and writes by the twins; one step alone on a device |
//! | `compare.rs` | how far two tensors lie apart |
//! | `golden.rs` | models whose logits and gradients are known |
//! | `names.rs` | short names of adapters; names near a misspelt one |

pub mod attention_cases;
pub mod case;
mod compare;
pub mod golden;
pub mod linearized_cases;
pub mod model_cases;
pub mod models;
pub mod names;
pub mod random;
mod record;
pub mod row_cases;
pub mod small_cases;

use std::sync::Arc;

pub use case::{Case, slug};
pub use compare::{Difference, TOLERANCE};
pub use record::{OtherTwin, Record};

use serde::Serialize;

use crate::bench::BenchOptions;
use crate::bench::statistics::Statistics;
use crate::bench::steps::{moved, variant};
use crate::bench::timer::{Timer, in_turns};
use crate::error::Result;
use crate::exec::Executor;
use crate::graph::{Plan, Step};
use crate::kernels::{DeviceTraits, Precision};
use crate::model::{Engine, ModelSource};

/// All cases, those that software adapters run first.
///
/// # Errors
/// None, unless a kernel refuses what it should take.
pub fn cases() -> Result<Vec<Case>> {
    let mut list = small_cases::cases()?;
    list.extend(row_cases::cases()?);
    list.extend(attention_cases::cases()?);
    list.extend(linearized_cases::cases()?);
    list.extend(model_cases::cases()?);
    list.sort_by_key(|case| !case.core);
    Ok(list)
}

/// What mixed precision lowers for: devices with cooperative matrices of both sizes.
pub fn mixed_devices() -> [DeviceTraits; 2] {
    [(8, 8), (16, 32)].map(|(side, subgroup)| DeviceTraits {
        cooperative: Some(side),
        subgroups: Some([subgroup; 2]),
        precision: Precision::Mixed,
        workgroup_memory: 32 << 10,
        ..DeviceTraits::floor()
    })
}

/// A model's plans at the sizes of its work, for times that mean something.
///
/// # Errors
/// Whatever can go wrong with a model.
pub fn working_cases(
    name: &str,
    source: impl Fn() -> Result<ModelSource> + Send + Sync + 'static,
) -> Result<Vec<Case>> {
    model_cases::working(name, Arc::new(source))
}

/// The kernels of a case, in the order of its plan.
///
/// # Errors
/// None, unless a kernel refuses what it should take.
pub fn kernels(case: &Case) -> Result<Vec<&'static str>> {
    let mut list = Vec::new();
    for step in &case.plan(&DeviceTraits::cpu())?.steps {
        if !list.contains(&step.kernel.stem()) {
            list.push(step.kernel.stem());
        }
    }
    Ok(list)
}

/// What runs cases on an engine's device.
///
/// # Errors
/// [`ErrorKind::Device`](crate::ErrorKind::Device).
pub fn executor(engine: &Engine) -> Result<Executor> {
    // Cases are small.
    pollster::block_on(engine.executor(0))
}

/// How one step of a case went.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// Stem of the kernel.
    pub kernel: String,
    /// The case.
    pub case: String,
    /// The step's label.
    pub step: String,
    /// Shader and overrides.
    pub variant: String,
    /// Whether the shader is in mixed precision: its products are allowed what halves round away.
    pub mixed: bool,
    /// A line for each output.
    pub outputs: Vec<Difference>,
    /// How long it took, where that was asked for.
    pub time: Option<Time>,
}

/// How long a step took.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Time {
    /// Nanoseconds, the median.
    pub nanoseconds: f64,
    /// 10⁹ operations a second, for kernels that count them.
    pub gflops: Option<f64>,
    /// 10⁹ bytes a second, every argument once.
    pub gbps: f64,
}

impl Finding {
    /// The output that is furthest off.
    pub fn worst(&self) -> Option<&Difference> {
        let key = |d: &Difference| if d.error.is_nan() { f64::INFINITY } else { d.error };
        self.outputs.iter().max_by(|a, b| key(a).total_cmp(&key(b)))
    }

    /// Whether an output is off too far.
    pub fn wrong(&self) -> bool {
        self.outputs.iter().any(Difference::wrong)
    }
}

/// What is checked, and how.
#[derive(Clone, Debug)]
pub struct Check<'a> {
    /// Where.
    pub executor: &'a Executor,
    /// The devices whose variants run: the executor's own, and others that it can stand for. A variant that
    /// several have runs once.
    pub devices: &'a [DeviceTraits],
    /// Only this kernel.
    pub kernel: Option<&'a str>,
    /// Only variants whose name holds this.
    pub variant: Option<&'a str>,
    /// Takes times too.
    pub time: bool,
}

impl Check<'_> {
    /// Checks every step of a case that is asked for and differs from those before it.
    ///
    /// # Errors
    /// Whatever can go wrong on a device.
    pub fn run(&self, record: &Record) -> Result<Vec<Finding>> {
        let mut seen = Vec::new();
        let mut findings = Vec::new();
        for device in self.devices {
            let plan = record.case().plan(device)?;
            for (at, step) in plan.steps.iter().enumerate() {
                let name = variant(&step.variant);
                let key = (step.kernel.stem(), name.clone(), types(&plan, step));
                if self.kernel.is_some_and(|kernel| kernel != step.kernel.stem())
                    || self.variant.is_some_and(|part| !name.contains(part))
                    || seen.contains(&key)
                {
                    continue;
                }
                seen.push(key);
                let outputs = record.check(self.executor, &plan, at)?;
                if outputs.is_empty() {
                    continue;
                }
                findings.push(Finding {
                    kernel: step.kernel.stem().to_string(),
                    case: record.case().name.clone(),
                    step: step.label.clone(),
                    variant: name,
                    mixed: step.variant.is_mixed(),
                    outputs,
                    time: self.time.then(|| self.take(record, &plan, at)).transpose()?,
                });
            }
        }
        Ok(findings)
    }

    /// How long a step takes.
    fn take(&self, record: &Record, plan: &Plan, at: usize) -> Result<Time> {
        const SECONDS: f64 = 0.25;
        let options = BenchOptions { budget: SECONDS, samples: 9, ..BenchOptions::quick() };
        let (kernel, call) = (&plan.steps[at].kernel, &record.case().call);
        let mut alone = record.alone(self.executor, plan, at..at + 1)?;
        let nanoseconds = pollster::block_on(async {
            let timer = Timer::of(self.executor).await?;
            let subjects = std::slice::from_mut(&mut alone.subject);
            let samples = in_turns(subjects, &[], &options, &timer, true, async |subject, times| {
                subject.time(&timer, times).await
            })
            .await;
            let samples = samples.into_iter().collect::<Result<Vec<_>>>()?;
            let taken = samples.first().and_then(|samples| Statistics::of(&samples.nanoseconds));
            Ok::<f64, crate::Error>(taken.map_or(f64::NAN, |s| s.median_ns))
        })?;
        let flops = Some(kernel.flops(call)).filter(|flops| *flops > 0);
        Ok(Time {
            nanoseconds,
            gflops: flops.map(|flops| flops as f64 / nanoseconds),
            gbps: moved(plan, &plan.steps[at], call) as f64 / nanoseconds,
        })
    }
}

/// Types of a step's arguments.
fn types(plan: &Plan, step: &Step) -> Vec<String> {
    step.args.iter().map(|arg| plan.tensors[arg.tensor.0].tensor.ty.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::CpuExecutor;
    use crate::gpu::{AdapterRequest, Backend};
    use crate::kernels::contract::shader::PERMUTATIONS;

    /// In the variants for a real GPU with WebGPU's default limits, which every adapter runs, and in those
    /// for software adapters.
    #[test]
    fn every_shader_is_run_by_a_case_that_every_adapter_runs() {
        let mut used = Vec::new();
        let cases = cases().expect("cases");
        for case in cases.iter().filter(|case| case.core) {
            let devices = [false, true].map(|software| DeviceTraits { software, ..DeviceTraits::floor() });
            for device in devices.into_iter().chain(mixed_devices()) {
                let plan = case.plan(&device).expect("a plan");
                used.extend(plan.steps.iter().map(|step| step.variant.name().to_string()));
            }
        }
        // Matrices of 16 need larger tiles than these have; a shader differs from that of 8 by the number.
        let runs = |key: &str| used.iter().any(|name| name == key || *name == key.replace("SIDE16", "SIDE8"));
        let unused: Vec<&str> = PERMUTATIONS.iter().map(|p| p.key).filter(|key| !runs(key)).collect();
        assert!(unused.is_empty(), "no case runs {unused:?}");
    }

    fn judge(executor: &Executor, device: &DeviceTraits, case: Case) {
        let devices = std::slice::from_ref(device);
        let check = Check { executor, devices, kernel: None, variant: None, time: false };
        let name = case.name.clone();
        let findings = check.run(&Record::new(case).expect("a record")).expect("findings");
        let wrong: Vec<&Finding> = findings.iter().filter(|finding| finding.wrong()).collect();
        assert!(!findings.is_empty() && wrong.is_empty(), "{name}: {wrong:#?}");
    }

    /// tests/run builds unit tests with assertions: here every twin meets them, in both types.
    #[test]
    fn twins_in_f32_are_those_in_f64() {
        let executor = Executor::Cpu(CpuExecutor::default());
        for case in cases().expect("cases").into_iter().filter(|case| case.core) {
            judge(&executor, &DeviceTraits::cpu(), case);
        }
    }

    /// The same of an adapter's side.
    #[test]
    fn some_cases_on_the_first_adapter() {
        let request = AdapterRequest { backend: Backend::Gpu, adapter: None };
        let Ok(engine) = pollster::block_on(Engine::create(&request)) else {
            println!("skipped: no adapter");
            return;
        };
        let executor = executor(&engine).expect("a device");
        for case in cases().expect("cases").into_iter().filter(|case| case.core).step_by(6) {
            judge(&executor, &engine.traits(), case);
        }
    }

    #[test]
    fn names_of_cases_are_unique() {
        let mut names: Vec<String> = cases().expect("cases").into_iter().map(|case| case.name).collect();
        names.sort_unstable();
        let twice: Vec<&[String]> = names.windows(2).filter(|pair| pair[0] == pair[1]).collect();
        assert!(twice.is_empty(), "{twice:?}");
    }
}
