//! Where the time goes: the times of dispatches, by kernel.

use crate::clock::{Instant, nanoseconds_since};
use crate::graph::Plan;
use crate::tensor::Call;

/// Time spent in one kernel.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct KernelTime {
    /// Stem of the kernel.
    pub kernel: String,
    /// Dispatches.
    pub dispatches: usize,
    /// Nanoseconds in all.
    pub nanoseconds: f64,
    /// f32 operations in all.
    pub flops: u64,
}

/// Sums the times of `Program::run_timed` by kernel, longest first. All calls
/// must have the sizes of `call`.
pub fn by_kernel(plan: &Plan, call: &Call, times: &[(usize, f64)]) -> Vec<KernelTime> {
    let mut list = Vec::new();
    add_by_kernel(&mut list, plan, call, times);
    list
}

/// Adds such times to those of other calls.
pub fn add_by_kernel(list: &mut Vec<KernelTime>, plan: &Plan, call: &Call, times: &[(usize, f64)]) {
    for (at, nanoseconds) in times {
        let kernel = &plan.steps[*at].kernel;
        let i = list.iter().position(|k| k.kernel == kernel.stem()).unwrap_or_else(|| {
            list.push(KernelTime {
                kernel: kernel.stem().to_string(),
                dispatches: 0,
                nanoseconds: 0.0,
                flops: 0,
            });
            list.len() - 1
        });
        list[i].dispatches += 1;
        list[i].nanoseconds += nanoseconds;
        list[i].flops +=
            kernel.flops(call) / kernel.dispatches(&plan.steps[*at].variant, call).len().max(1) as u64;
    }
    list.sort_by(|a, b| b.nanoseconds.total_cmp(&a.nanoseconds));
}

/// Nanoseconds a function takes.
pub(super) fn nanoseconds(f: impl FnOnce()) -> f64 {
    let start = Instant::now();
    f();
    nanoseconds_since(start)
}
