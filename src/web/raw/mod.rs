//! The JavaScript face (SPEC §4), raw: [`Engine`] → [`Model`] → [`Session`], every call asynchronous, and
//! every call short, so that a worker hears a cancellation between two of them. `web/src` wraps it into the
//! package: iterators, cancellation, downloads, types.
//!
//! | file | what |
//! |---|---|
//! | `engine.rs` | where to run; planning, loading |
//! | `files.rs` | the files of a model, some of them read range by range |
//! | `model.rs` | tokens, logits, what is known of a model |
//! | `session.rs` | reading, writing, conversations, saved states |
//! | `train.rs` | a small model learns a task |
//! | `bench.rs` | the benchmark's suites |
//! | `convert.rs` | values and errors between the two languages |

#[cfg(feature = "bench")]
mod bench;
mod convert;
mod engine;
mod files;
mod model;
mod session;
#[cfg(feature = "train")]
mod train;

use js_sys::{Array, Object, Reflect};
use wasm_bindgen::prelude::*;

#[cfg(feature = "bench")]
pub use bench::results;
pub use engine::Engine;
pub use model::Model;
pub use session::Session;
#[cfg(feature = "train")]
pub use train::Trainer;

use crate::kernels::contract::shader::PERMUTATIONS;

/// A panic is a bug; at least the console then says where.
#[wasm_bindgen(start)]
fn start() {
    console_error_panic_hook::set_once();
}

/// Every shader permutation that a browser may get, preprocessed, as `[{ name, source }]`: for tests that pass
/// them to the browser's own compiler. Those in mixed precision are left out: WebGPU has no cooperative matrices.
#[wasm_bindgen]
pub fn shaders() -> Result<Array, JsValue> {
    let list = Array::new();
    for permutation in PERMUTATIONS.iter().filter(|permutation| !permutation.cooperative) {
        let shader = Object::new();
        Reflect::set(&shader, &"name".into(), &permutation.key.into())?;
        Reflect::set(&shader, &"source".into(), &permutation.source().map_err(convert::to_js)?.into())?;
        list.push(&shader);
    }
    Ok(list)
}
