// The net of the learned sketch (kernels/sketch/sketch_learned.rs).
override SIZE: u32;            // r
override HIDDEN: u32;          // e r
override LEVELS: u32;
override INPUT_NORMED: bool;   // it sees the normed vector (not the raw projection)
