//! Estimates beside measured times: what the cost model makes of the very plan that is measured, from the code
//! that a vendor's compiler made of its kernels and from what this device reached in `peaks`. No compiler is needed
//! for that: what they made lies in the program.
//!
//! | file | what |
//! |---|---|
//! | `chip.rs` | the chips whose compilers are at hand |
//! | `codes.rs`, `codes.txt` | what the compilers made of each variant |
//! | `cost.rs` | the cost model |

mod chip;
mod codes;
pub mod cost;

pub use chip::{CHIPS, Chip};
pub use codes::{Code, Codes, key};

use super::roofline::Peaks;
use super::schema::Estimate;
use super::steps::moved;
use crate::gpu::AdapterReport;
use crate::graph::{Plan, Step};
use crate::kernels::Vendor;
use crate::tensor::Call;
use cost::Work;

/// Estimates for one device.
#[derive(Debug, Default)]
pub(super) struct Estimator {
    known: Option<Known>,
}

#[derive(Debug)]
struct Known {
    chip: Chip,
    of: String,
    codes: Codes,
}

impl Estimator {
    /// For an adapter that reached `peaks`. It has estimates where its vendor's compiler is at hand, its
    /// processors are known, and its shaders run as they were compiled: without checks.
    pub fn new(adapter: Option<&AdapterReport>, peaks: &Peaks) -> Self {
        let hardware = adapter.filter(|adapter| crate::gpu::unchecked(adapter.kind)).map(|a| &a.hardware);
        let known = hardware.and_then(|h| Known::new(h.vendor, h.processors? as usize, peaks, Codes::ours()));
        Self { known }
    }

    /// Of a plan's calls; none if the code of any of its kernels is unknown.
    pub fn of(&self, plan: &Plan, calls: &[Call]) -> Option<Estimate> {
        let known = self.known.as_ref()?;
        let steps = plan.steps.iter().map(|step| known.seconds(plan, step, calls));
        Some(Estimate { ns: 1e9 * steps.sum::<Option<f64>>()?, of: known.of.clone() })
    }
}

impl Known {
    fn new(vendor: Vendor, processors: usize, peaks: &Peaks, codes: Codes) -> Option<Self> {
        let assumed = CHIPS.iter().find(|chip| chip.vendor == vendor)?;
        let chip = Chip {
            processors,
            flops: 1e9 * peaks.gflops?,
            bandwidth: 1e9 * peaks.gbps?,
            dispatch: peaks.dispatch.unwrap_or(assumed.dispatch),
            ..assumed.clone()
        };
        let (also, rest) = match peaks.dispatch {
            Some(_) => (", dispatch", "the clock"),
            None => ("", "clock and dispatch"),
        };
        let of = format!(
            "{}, {}; peaks{also} as measured here, {processors} processors, {rest} of {}",
            assumed.compiler, codes.compilers, assumed.card
        );
        Some(Self { chip, of, codes })
    }

    fn seconds(&self, plan: &Plan, step: &Step, calls: &[Call]) -> Option<f64> {
        let of = &step.variant;
        let runs: Vec<&Call> = calls.iter().filter(|call| step.kernel.runs(call)).collect();
        if runs.is_empty() {
            return Some(0.0);
        }
        let code = self.codes.get(self.chip.vendor, of)?;
        let dispatch = |part: &Part| {
            let &Part { flops, bytes, workgroups } = part;
            let (invocations, workgroup_memory) = (of.invocations(), of.workgroup_bytes());
            cost::seconds(
                &self.chip,
                &code,
                &Work { flops, bytes, workgroups, invocations, workgroup_memory },
            )
        };
        Some(runs.into_iter().flat_map(|call| parts(plan, step, call)).map(|part| dispatch(&part)).sum())
    }
}

/// What one dispatch of a step has to do.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// f32 operations.
    pub flops: f64,
    /// Bytes of arguments.
    pub bytes: f64,
    /// Workgroups.
    pub workgroups: usize,
}

/// The dispatches of a step in a call; each has its workgroups' part of the work.
pub fn parts(plan: &Plan, step: &Step, call: &Call) -> Vec<Part> {
    let dispatches = step.kernel.dispatches(&step.variant, call);
    let list: Vec<usize> = dispatches.iter().map(|dispatch| dispatch.workgroups.iter().product()).collect();
    let sum = list.iter().sum::<usize>().max(1) as f64;
    let (flops, bytes) = (step.kernel.flops(call) as f64, moved(plan, step, call) as f64);
    let part = |workgroups: usize| {
        let share = workgroups as f64 / sum;
        Part { flops: flops * share, bytes: bytes * share, workgroups }
    };
    list.into_iter().map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::super::timer::kernel_graph;
    use super::*;
    use crate::kernels::DeviceTraits;
    use crate::kernels::linear::linear::Linear;
    use crate::shape;
    use crate::tensor::{Capacity, TensorType, Unit};

    const PEAKS: Peaks = Peaks { gflops: Some(30e3), gbps: Some(900.0), dispatch: None };

    fn product() -> Plan {
        let inputs = [TensorType::f32(shape![Unit::Rows, 512]), TensorType::f32(shape![512, 512])];
        let graph = kernel_graph(Linear::new(512, 512), &inputs).expect("a graph");
        let capacity = Capacity { lanes: 1, tokens: 512, slots: 1, context: 0 };
        let traits = DeviceTraits { vendor: Vendor::Nvidia, processors: Some(80), ..DeviceTraits::floor() };
        graph.lower("product", &traits, capacity).expect("a plan")
    }

    /// Codes of all steps of a plan.
    fn codes(plan: &Plan, share: f64) -> Codes {
        let mut codes = Codes::new("Mesa 26");
        for step in &plan.steps {
            let code = Code { instructions: 1000, resident: 1024, share };
            codes.insert(Vendor::Nvidia, key(&step.variant).expect("a shader"), code);
        }
        codes
    }

    #[test]
    fn an_estimate_is_of_this_device_and_says_what_was_assumed() {
        let (plan, calls) = (product(), [Call::start(512)]);
        let estimate = |peaks: &Peaks, share: f64| {
            let known = Known::new(Vendor::Nvidia, 80, peaks, codes(&plan, share));
            Estimator { known }.of(&plan, &calls).expect("an estimate")
        };
        let first = estimate(&PEAKS, 0.5);
        assert!(
            first.of.contains("NAK") && first.of.contains("Mesa 26") && first.of.contains("80"),
            "{first:?}"
        );
        assert!(first.of.ends_with("clock and dispatch of an H100 (measured)"), "{first:?}");
        // At least what the arithmetic takes at half the peak.
        assert!(first.ns > 2.0 * plan.flops(&calls[0]) as f64 / 30e3, "{first:?}");
        let faster = estimate(&Peaks { gflops: Some(60e3), gbps: Some(1800.0), dispatch: None }, 0.5);
        assert!(faster.ns < first.ns, "{faster:?}");
        let slow = estimate(&Peaks { dispatch: Some(1e-3), ..PEAKS }, 0.5);
        assert!(slow.ns > 1e6 && slow.of.contains("dispatch as measured here"), "{slow:?}");
        // Twice the calls, twice the time; none that is not the plan's.
        let known = Known::new(Vendor::Nvidia, 80, &PEAKS, codes(&plan, 0.5));
        let twice =
            Estimator { known }.of(&plan, &[calls[0].clone(), calls[0].clone()]).expect("an estimate");
        assert!((twice.ns - 2.0 * first.ns).abs() < 1e-6 * first.ns, "{twice:?}");
    }

    #[test]
    fn what_is_not_known_has_no_estimate() {
        let (plan, calls) = (product(), [Call::start(512)]);
        let none = |known: Option<Known>| Estimator { known }.of(&plan, &calls).is_none();
        let codes = || codes(&plan, 0.5);
        assert!(!none(Known::new(Vendor::Nvidia, 80, &PEAKS, codes())));
        assert!(none(Known::new(Vendor::Nvidia, 80, &PEAKS, Codes::new(""))));
        assert!(none(Known::new(Vendor::Amd, 80, &PEAKS, codes())));
        assert!(none(Known::new(Vendor::Intel, 80, &PEAKS, codes())));
        assert!(none(Known::new(Vendor::Nvidia, 80, &Peaks::default(), codes())));
        assert!(none(Estimator::new(None, &PEAKS).known));
    }

    /// What lies in the program is of its own shaders, and of the cuts that a real card has.
    #[cfg(feature = "builtin-model")]
    #[test]
    fn an_h100_has_estimates_of_the_built_in_models_kernels() {
        use crate::model::engine::Blueprint;
        use crate::model::{LoadOptions, ModelSource};

        let source = ModelSource::builtin().expect("the built-in model");
        // As NVIDIA's driver reports it.
        let traits = DeviceTraits {
            vendor: Vendor::Nvidia,
            subgroups: Some([32, 32]),
            processors: Some(132),
            registers: Some(65_536),
            max_binding: 2_147_483_644,
            max_buffer: 4_292_870_144,
            workgroup_memory: 48 << 10,
            max_invocations: 1024,
            ..DeviceTraits::floor()
        };
        let blueprint = Blueprint::new(&source.config, &source.stored(), traits, &LoadOptions::default());
        let blueprint = blueprint.expect("plans");
        let known = Known::new(Vendor::Nvidia, 132, &PEAKS, Codes::ours()).expect("a chip");
        for plan in [&blueprint.prefill, &blueprint.decode] {
            let calls = [Call::start(plan.capacity.tokens)];
            let unknown = |step: &&Step| known.seconds(plan, step, &calls).is_none();
            let lost: Vec<&str> = plan.steps.iter().filter(unknown).map(|step| step.variant.name()).collect();
            let most = plan.steps.len() / 4;
            assert!(lost.len() <= most, "polysketch gauge --update was not run: {lost:?}");
        }
    }
}
