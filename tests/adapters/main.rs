//! What must hold wherever models run: on the CPU, on its f64 twin (`oracle`), and on every adapter of this
//! machine. Tests are named `adapter::kernel::case`, or `adapter::suite::case` for whole models, and every
//! adapter runs the same list; software adapters, where shaders compile slowly, a shorter one.
//!
//! `cargo test --release --test adapters -- lavapipe::scan_output` runs those whose name holds the filter.
//!
//! | file | what |
//! |---|---|
//! | `places.rs` | the executors, by name; the list of tests |
//! | `kernels.rs` | every kernel against its twin, step by step |
//! | `steps.rs` | that a wrong step is found, and only it |
//! | `loops.rs` | how often loops go round, where a driver bounds them |
//! | `bounds` | that no index leaves its array, and nothing is divided by zero |
//! | `wrapped.rs` | shaders that watch themselves |
//! | `golden.rs` | golden models: logits, gradients |
//! | `rows.rs`, `finite_differences.rs` | gradients of row-wise operations; the optimiser |
//! | `invariants.rs`, `episode.rs` | any cut, fork, save and take-back changes nothing |
//! | `weak.rs` | devices with no more than WebGPU's default limits |
//! | `full_mask.rs`, `alone.rs` | attention with a full mask; attention alone on the caller's device |
//! | `sampling.rs` | the sampler |
//! | `sessions.rs` | sessions of one model: memory, neighbours |
//! | `smollm2.rs` | a real model in a GGUF file |
//! | `dense.rs` | the model of the specification in f64, written anew |

mod alone;
mod bounds;
mod dense;
mod episode;
mod finite_differences;
mod full_mask;
mod golden;
mod invariants;
mod kernels;
mod loops;
mod places;
mod rows;
mod sampling;
mod sessions;
mod smollm2;
mod steps;
mod weak;
mod wrapped;

use std::process::ExitCode;

use libtest_mimic::Arguments;

use places::Tests;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut tests = Tests::new();
    kernels::add(&mut tests);
    steps::add(&mut tests);
    loops::add(&mut tests);
    bounds::add(&mut tests);
    golden::add(&mut tests);
    rows::add(&mut tests);
    invariants::add(&mut tests);
    weak::add(&mut tests);
    full_mask::add(&mut tests);
    alone::add(&mut tests);
    sampling::add(&mut tests);
    sessions::add(&mut tests);
    smollm2::add(&mut tests);
    libtest_mimic::run(&arguments, tests.into_list()).exit_code()
}
