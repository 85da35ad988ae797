//! From a compiler's text to the loop in which a kernel spends its time, and what of it is multiply-adds.
//!
//! | file | what |
//! |---|---|
//! | `code.rs` | blocks, loops, counts: the same for all |
//! | `nvidia.rs`, `amd.rs`, `apple.rs`, `adreno.rs` | NAK's text, ACO's, AGX's, IR3's |
//!
//! Each reader cuts a text into blocks with what they count and where they go. Loops are found in that graph by
//! its backward edges, for all vendors alike.

mod adreno;
mod amd;
mod apple;
mod code;
mod nvidia;

pub use adreno::read as adreno;
pub use amd::read as amd;
pub use apple::read as apple;
pub use code::{Count, Share};
pub use nvidia::read as nvidia;
