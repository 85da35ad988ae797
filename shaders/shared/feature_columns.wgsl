// Gradients of features: a workgroup of THREADS owns ROW_TILE rows and takes TILE features at a time. The
// features' vectors and their gradients lie as columns [SOURCE, ROW_TILE]: where invocations have different
// rows and the same feature, they read different banks. kernels/scan/features.rs chooses the numbers.
#import features
const THREADS: u32 = 128u;
const TILE: u32 = 32u;
const PITCH: u32 = 33u;         // between the rows of a tile, odd for the banks of workgroup memory
override ROW_TILE: u32;
override GROUPS: u32;          // invocations a row: THREADS / ROW_TILE
override TILE_FEATURES: u32;   // ROW_TILE * PITCH
override SHARE: u32;           // features of a tile an invocation computes, at most 8
override COLUMNS: u32;         // ROW_TILE * SOURCE
override STAGED_VALUES: u32;   // ROW_TILE * HEAD / 4
var<workgroup> factors: array<f32, COLUMNS>;
var<workgroup> dfactors: array<f32, COLUMNS>;

fn factor(row: u32, index: u32) -> f32 {
    if EXTENDED && index == SOURCE { return 1.0; }
    return factors[index * ROW_TILE + row];
}

// The product rule: what dφ gives to the columns of one of the GROUPS, which nobody else writes.
fn pull_back(row: u32, group: u32, packed: u32, dphi: f32) {
    for (var k = 0u; k < ORDER; k++) {
        let index = (packed >> (8u * k)) & 255u;
        if index % GROUPS != group || (EXTENDED && index == SOURCE) { continue; }
        var product = dphi;
        for (var m = 0u; m < ORDER; m++) {
            if m != k { product *= factor(row, (packed >> (8u * m)) & 255u); }
        }
        dfactors[index * ROW_TILE + row] += product;
    }
}
