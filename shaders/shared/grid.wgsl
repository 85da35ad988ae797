// Workgroup number in a grid folded into two dimensions (kernels::Dispatch::linear).
fn grid_index(id: vec3<u32>, count: vec3<u32>) -> u32 { return id.y * count.x + id.x; }
