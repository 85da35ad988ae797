// How a workgroup cuts the output of a product of matrices; kernels/tiles/matrix_tile.rs chooses.
override GROUP_X: u32;      // invocations along columns
override GROUP_Y: u32;      // invocations along rows
override ROWS: u32;         // rows an invocation owns, at most 8
override COLUMNS: u32;      // columns an invocation owns, GROUP_X apart, at most 8
override TILE_X: u32;       // vectors staged of the left operand, GROUP_Y * ROWS * STEP
override TILE_W: u32;       // vectors staged of the right one, (GROUP_X * COLUMNS + 1) * STEP: with one more, those stored together lie in different banks
const STEP: u32 = 4u;       // vectors along k staged at once
