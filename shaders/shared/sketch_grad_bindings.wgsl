// What the gradient of the random sketch takes.
#import lanes
struct Params { vectors: u32, lanes: u32, tokens: u32, lane_base: u32, slabs: u32, first_tile: u32 }
override TILES: u32;           // of a slab that a dispatch takes at most, from its first_tile on
// Numbers in a slab: sums of gradients (of weights that are trained, then of norms [4, HEAD]), then the tile.
override SLAB: u32;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;              // [rows, QKV_WIDTH]
@group(0) @binding(2) var<storage, read> lanes: array<Lane>;           // [lanes]
@group(0) @binding(3) var<storage, read> norms: array<f32>;            // [4, HEAD]
@group(0) @binding(4) var<storage, read> rotations: array<vec2<f32>>;  // [4 * 256, HEAD / 2]
@group(0) @binding(5) var<storage, read> w: array<f32>;                // as the sketch has them
@group(0) @binding(6) var<storage, read> dsketch: array<f32>;          // [vectors, SIZE]
@group(0) @binding(7) var<storage, read_write> slabs: array<f32>;      // [slabs, SLAB]
@group(0) @binding(8) var<storage, read_write> dqkv: array<f32>;       // [rows, QKV_WIDTH]
