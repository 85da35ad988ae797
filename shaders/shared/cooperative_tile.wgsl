// Mixed precision: both operands of a step as halves, whose products are summed in f32 by cooperative matrices of
// $ x $ (shared/cooperative_product.wgsl); a tile is cut as in shared/matrix_tile.wgsl. A subgroup owns a patch of
// it. There may be more subgroups than patches: a device that knows subgroups of several sizes may run smaller ones
// than the cut was made for (kernels/tiles/mixed.rs). What is beyond a patch only stages.
const SIDE: u32 = $u;
alias LeftPart = coop_mat$x$<f16, A>;
alias RightPart = coop_mat$x$<f16, B>;
alias SumPart = coop_mat$x$<f32, C>;
// A workgroup is of one dimension: naga numbers subgroups in no other.
override INVOCATIONS: u32;     // GROUP_X * GROUP_Y
override PATCHES_DOWN: u32;    // patches of a tile along rows: GROUP_Y * ROWS is a multiple of SIDE times these
override PATCHES_ACROSS: u32;  // and along columns
override HALF_LEFT: u32;       // 2 * GROUP_Y * ROWS * (DEPTH / 4 + 2), DEPTH a multiple of SIDE
override HALF_RIGHT: u32;      // 2 * GROUP_X * COLUMNS * (DEPTH / 4 + 2)
// A row's inner indices lie side by side, as matrices of the hardware want them, and two vectors of nothing keep rows
// out of each other's banks.
var<workgroup> half_left: array<vec4<f16>, HALF_LEFT>;   // [2, GROUP_Y * ROWS, pitch()]
var<workgroup> half_right: array<vec4<f16>, HALF_RIGHT>; // [2, GROUP_X * COLUMNS, pitch()]
var<private> subgroup: u32;    // this one's number in the workgroup
fn pitch() -> u32 { return DEPTH / 4u + 2u; }

// Which block of 4 x 4 an invocation stages, as rows (or columns) in fours and inner indices in fours: neighbours take
// neighbours in memory, which are inner indices where those lie side by side there, else rows.
fn inner_first(z: u32) -> vec2<u32> { return vec2<u32>(z / (DEPTH / 4u), z % (DEPTH / 4u)); }
fn outer_first(z: u32, fours: u32) -> vec2<u32> { return vec2<u32>(z % fours, z / fours); }

// Halves have few exponents, so operands are brought near one by powers of two, which cost no bits: the least that
// is above a number, and its inverse. Numbers below 2^-20 are taken for it, so that powers of these stay finite.
fn power_above(x: f32) -> f32 {
    return bitcast<f32>((bitcast<u32>(max(x, 9.5367432e-7)) & 0x7f800000u) + 0x00800000u);
}
fn inverse_power(power: f32) -> f32 { return bitcast<f32>(0x7f000000u - bitcast<u32>(power)); }
