// The tree of the random sketch (kernels/sketch/sketch_random.rs).
override SIZE: u32;            // r
override LEAVES: u32;          // degree / 4
override GAIN: f32;
override INPUT_NORMED: bool;   // it sees the normed vector (not the raw projection)
