//! The browser (SPEC §4): what a page may ask for, and the raw face that JavaScript calls.
//!
//! | folder | what |
//! |---|---|
//! | `options/` | options of a call, plain data, held against `web/src/types.ts` by a test |
//! | `raw/` | the face, of JavaScript's values: in a browser only |

mod options;
#[cfg(target_arch = "wasm32")]
mod raw;

#[cfg(all(target_arch = "wasm32", feature = "train"))]
pub use raw::Trainer;
#[cfg(all(target_arch = "wasm32", feature = "bench"))]
pub use raw::results;
#[cfg(target_arch = "wasm32")]
pub use raw::{Engine, Model, Session, shaders};
