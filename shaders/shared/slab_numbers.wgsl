// The slabs (sketch_vectors.wgsl) bound as numbers.
fn slab(at: u32) -> f32 { return slabs[at]; }
fn put_slab(at: u32, value: f32) { slabs[at] = value; }
fn add_slab(at: u32, value: f32) { slabs[at] += value; }
