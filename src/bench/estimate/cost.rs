//! The cost model: what a dispatch would take on a device that nobody measured it on. The sum of
//!
//! * an empty dispatch,
//! * a subgroup's own pace: every instruction of the shader once, at `PACE` cycles; and
//! * the work, which is the larger of
//!   * arithmetic: operations / (peak × share × filling). The share is that of multiply-adds among the
//!     instructions of the inner loop, or less where the load unit gives fewer words than they need (a buffer's
//!     word counts `FAR`). The filling is the share of processors that have a workgroup, over all rounds of
//!     them, times the share of a busy processor's invocations that are resident (by registers, workgroup
//!     memory, and what there is to do);
//!   * memory: every argument once / (bandwidth × what the processors that work can draw, each `DRAW` times
//!     its share).
//!
//! The constants were fitted to the H100's rows (docs/GAUGE.md). It knows nothing of latency that nothing
//! hides, of caches, or of bank conflicts.

use super::chip::Chip;
use super::codes::Code;

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
pub fn seconds(chip: &Chip, code: &Code, work: &Work) -> f64 {
    let arithmetic = work.flops / (chip.flops * code.share * filling(chip, code, work));
    let drawn = (DRAW * work.workgroups as f64 / chip.processors as f64).min(1.0);
    let memory = work.bytes / (chip.bandwidth * drawn.max(f64::MIN_POSITIVE));
    let pace = PACE * code.instructions as f64 / chip.clock;
    chip.dispatch + pace + arithmetic.max(memory)
}

/// The share of the peak that an inner loop allows a processor that is busy: of its instructions and multiply-adds,
/// and the words it reads, from workgroup memory and from buffers.
pub fn share(chip: &Chip, instructions: u32, multiply_adds: u32, [near, far]: [u32; 2]) -> f64 {
    let words = (f64::from(near) + FAR * f64::from(far)) / f64::from(multiply_adds.max(1));
    let loads = chip.words / words.max(f64::MIN_POSITIVE);
    // Loads of a loop that multiplies nothing say nothing of its operations.
    let loads = if multiply_adds == 0 { 1.0 } else { loads };
    (f64::from(multiply_adds) / f64::from(instructions.max(1))).max(LEAST_SHARE).min(loads)
}

/// The share of a device that a dispatch keeps at work.
fn filling(chip: &Chip, code: &Code, work: &Work) -> f64 {
    let (processors, workgroups) = (chip.processors, work.workgroups.max(1));
    let rounds = workgroups.div_ceil(processors);
    let busy = workgroups as f64 / (rounds * processors) as f64;
    let held = resident(chip, code, work).min(rounds * work.invocations.max(1));
    busy * (held as f64 / chip.full as f64).min(1.0)
}

/// Invocations of this shader that one processor holds: whole workgroups, at least one.
fn resident(chip: &Chip, code: &Code, work: &Work) -> usize {
    let invocations = work.invocations.max(1);
    let by_registers = code.resident.min(chip.resident) / invocations;
    let by_memory = chip.workgroup_memory / work.workgroup_memory.max(1);
    by_registers.min(by_memory).max(1) * invocations
}

#[cfg(test)]
mod tests {
    use super::super::chip::CHIPS;
    use super::*;

    fn code(share: f64) -> Code {
        Code { instructions: 0, resident: 2048, share }
    }

    #[test]
    fn the_larger_of_arithmetic_and_memory_counts() {
        let chip = &CHIPS[0];
        let work = Work { flops: 61.1e6, workgroups: 132, invocations: 256, ..Work::default() };
        let microseconds = |share, work: &Work| 1e6 * (seconds(chip, &code(share), work) - chip.dispatch);
        let near = |got: f64, want: f64| assert!((got - want).abs() < 1e-6 * want, "{got} for {want}");
        near(microseconds(1.0, &work), 1.0);
        near(microseconds(0.5, &work), 2.0);
        // One workgroup more takes a round more.
        near(microseconds(1.0, &Work { workgroups: 133, ..work }), 2.0 * 132.0 / 133.0);
        near(microseconds(1.0, &Work { workgroups: 1, ..work }), 132.0);
        near(microseconds(1.0, &Work { invocations: 64, ..work }), 4.0);
        let copy = Work { bytes: 17.7e6, workgroups: 11, flops: 0.0, ..work };
        near(microseconds(1.0, &copy), 20.0);
        near(microseconds(1.0, &Work { workgroups: 66, ..copy }), 10.0);
    }

    #[test]
    fn loads_and_a_subgroups_own_pace_count() {
        let chip = &CHIPS[0];
        let with = |near, far| share(chip, 100, 80, [near, far]);
        // A quarter of a word for a multiply-add is what the load unit gives, at most.
        assert_eq!([with(0, 0), with(20, 0), with(40, 0), with(0, 40)], [0.8, 0.8, 0.5, 0.25]);
        // A loop that multiplies nothing still does something.
        assert_eq!(share(chip, 100, 0, [50, 50]), 0.125);
        let long = Code { instructions: 1755, ..code(0.8) };
        let nothing = Work { workgroups: 1, invocations: 32, ..Work::default() };
        assert!((seconds(chip, &long, &nothing) - chip.dispatch - 6e-6).abs() < 1e-12);
    }

    #[test]
    fn registers_and_workgroup_memory_bound_what_is_resident() {
        let work = Work { workgroups: 1000, invocations: 64, ..Work::default() };
        let held = |resident, workgroup_memory| {
            super::resident(&CHIPS[0], &Code { resident, ..code(0.01) }, &Work { workgroup_memory, ..work })
        };
        assert_eq!(
            [held(384, 0), held(384, 100 << 10), held(384, 300 << 10), held(32, 0)],
            [384, 128, 64, 64]
        );
    }
}
