//! The cost model: what a dispatch would take on a device that nobody measured it on. The sum of
//!
//! * an empty dispatch,
//! * a subgroup's own pace: every instruction of the shader once, at [`PACE`] cycles; and
//! * the work, which is the larger of
//!   * arithmetic: operations / (peak × share × filling). The share is that of multiply-adds among the
//!     instructions of the inner loop, or less where the load unit gives fewer words than they need (a buffer's
//!     word counts [`FAR`]). The filling is the share of processors that have a workgroup, over all rounds of
//!     them, times the share of a busy processor's invocations that are resident (by registers, workgroup
//!     memory, and what there is to do);
//!   * memory: every argument once / (bandwidth × what the processors that work can draw, each [`DRAW`] times
//!     its share).
//!
//! The constants were fitted to the H100's rows (docs/GAUGE.md). It knows nothing of latency that nothing
//! hides, of caches, or of bank conflicts.

use super::vendor::{Built, Machine};

/// What one dispatch has to do.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Work {
    /// f32 operations.
    pub flops: f64,
    /// Bytes of its arguments.
    pub bytes: f64,
    /// Workgroups.
    pub workgroups: usize,
    /// Invocations of one.
    pub invocations: usize,
    /// Bytes of workgroup memory of one.
    pub workgroup_memory: usize,
}

/// Multiply-adds an instruction of a kernel that has none in its loop: its operations are other instructions,
/// and addresses go with them.
const LEAST_SHARE: f64 = 1.0 / 8.0;
/// How many times its share of the bandwidth a processor can draw.
const DRAW: f64 = 6.0;
/// Cycles of an instruction of a subgroup that is alone.
const PACE: f64 = 6.0;
/// What a word of a buffer costs the load unit, in words of workgroup memory.
const FAR: f64 = 2.0;

/// Seconds of a dispatch.
pub fn seconds(machine: &Machine, built: &Built, work: &Work) -> f64 {
    let arithmetic = work.flops / (machine.flops * share(machine, built) * filling(machine, built, work));
    let drawn = (DRAW * work.workgroups as f64 / machine.processors as f64).min(1.0);
    let memory = work.bytes / (machine.bandwidth * drawn.max(f64::MIN_POSITIVE));
    let pace = PACE * built.instructions as f64 / machine.clock;
    machine.dispatch + pace + arithmetic.max(memory)
}

/// The share of the peak that the inner loop allows a processor that is busy.
fn share(machine: &Machine, built: &Built) -> f64 {
    let count = &built.hot.count;
    let words = (f64::from(count.near) + FAR * f64::from(count.far)) / f64::from(count.multiply_adds.max(1));
    let loads = machine.words / words.max(f64::MIN_POSITIVE);
    // Loads of a loop that multiplies nothing say nothing of its operations.
    let loads = if count.multiply_adds == 0 { 1.0 } else { loads };
    built.hot.multiply_adds().max(LEAST_SHARE).min(loads)
}

/// The share of a device that a dispatch keeps at work.
pub fn filling(machine: &Machine, built: &Built, work: &Work) -> f64 {
    let (processors, workgroups) = (machine.processors, work.workgroups.max(1));
    let rounds = workgroups.div_ceil(processors);
    let busy = workgroups as f64 / (rounds * processors) as f64;
    let held = resident(machine, built, work).min(rounds * work.invocations.max(1));
    busy * (held as f64 / machine.full as f64).min(1.0)
}

/// Invocations of this shader that one processor holds: whole workgroups, at least one.
fn resident(machine: &Machine, built: &Built, work: &Work) -> usize {
    let invocations = work.invocations.max(1);
    let by_registers = built.resident.min(machine.resident) / invocations;
    let by_memory = machine.workgroup_memory / work.workgroup_memory.max(1);
    by_registers.min(by_memory).max(1) * invocations
}

#[cfg(test)]
mod tests {
    use super::super::isa::{Count, Share};
    use super::super::vendor::MACHINES;
    use super::*;

    fn built(multiply_adds: u32) -> Built {
        let count = Count { instructions: 100, multiply_adds, ..Count::default() };
        Built { resident: 2048, hot: Share { count, looped: true }, ..Built::default() }
    }

    #[test]
    fn the_larger_of_arithmetic_and_memory_counts() {
        let machine = &MACHINES[0];
        let work = Work { flops: 61.1e6, workgroups: 132, invocations: 256, ..Work::default() };
        let microseconds =
            |share, work: &Work| 1e6 * (seconds(machine, &built(share), work) - machine.dispatch);
        let near = |got: f64, want: f64| assert!((got - want).abs() < 1e-6 * want, "{got} for {want}");
        near(microseconds(100, &work), 1.0);
        near(microseconds(50, &work), 2.0);
        near(microseconds(0, &work), 8.0);
        // One workgroup more takes a round more.
        near(microseconds(100, &Work { workgroups: 133, ..work }), 2.0 * 132.0 / 133.0);
        near(microseconds(100, &Work { workgroups: 1, ..work }), 132.0);
        near(microseconds(100, &Work { invocations: 64, ..work }), 4.0);
        let copy = Work { bytes: 17.7e6, workgroups: 11, flops: 0.0, ..work };
        near(microseconds(100, &copy), 20.0);
        near(microseconds(100, &Work { workgroups: 66, ..copy }), 10.0);
    }

    #[test]
    fn loads_and_a_subgroups_own_pace_count() {
        let machine = &MACHINES[0];
        let with = |near, far| {
            let mut built = built(80);
            (built.hot.count.near, built.hot.count.far) = (near, far);
            share(machine, &built)
        };
        // A quarter of a word for a multiply-add is what the load unit gives, at most.
        assert_eq!([with(0, 0), with(20, 0), with(40, 0), with(0, 40)], [0.8, 0.8, 0.5, 0.25]);
        let long = Built { instructions: 1755, ..built(80) };
        let nothing = Work { workgroups: 1, invocations: 32, ..Work::default() };
        assert!((seconds(machine, &long, &nothing) - machine.dispatch - 6e-6).abs() < 1e-12);
    }

    #[test]
    fn registers_and_workgroup_memory_bound_what_is_resident() {
        let machine = &MACHINES[0];
        let work = Work { workgroups: 1000, invocations: 64, ..Work::default() };
        let held = |resident, workgroup_memory| {
            super::resident(machine, &Built { resident, ..built(1) }, &Work { workgroup_memory, ..work })
        };
        assert_eq!(
            [held(384, 0), held(384, 100 << 10), held(384, 300 << 10), held(32, 0)],
            [384, 128, 64, 64]
        );
    }
}
