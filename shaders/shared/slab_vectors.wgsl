// The slabs (sketch_vectors.wgsl) bound as vectors: all that begins in them is a multiple of 4 numbers.
fn slab(at: u32) -> f32 { return slabs[at / 4u][at % 4u]; }
fn put_slab(at: u32, value: f32) { slabs[at / 4u][at % 4u] = value; }
fn add_slab(at: u32, value: f32) { slabs[at / 4u][at % 4u] += value; }
