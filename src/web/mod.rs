//! The browser (SPEC §4): what a page may ask for, and the raw face that JavaScript calls.
//!
//! | file | what |
//! |---|---|
//! | `raw/` | the face, of JavaScript's values: in a browser only |
//! | `options.rs` | options of a call, plain data |
//! | `declared.rs` | holds them against `web/src/types.ts` |

#[cfg(test)]
mod declared;
mod options;
#[cfg(target_arch = "wasm32")]
mod raw;

#[cfg(target_arch = "wasm32")]
pub use raw::{Engine, Model, Session, Trainer, shaders};
