// Gradients of features for ROW_TILE rows: dφ = scale (values stateᵀ + weight totals), of GROUP_X COLUMNS
// features at a time, as sums of a tile product. From the registers they go, a step at a time, through the
// left operand's place (shared/matrix_tile.wgsl), from where the product rule takes them to the columns they
// are made of: an invocation has a row and every COPIES-th feature of a step, and adds to columns of its own,
// so that nobody searches for features and nothing is added by two.
//
// The importing shader gives, for rows of the tile, source_at(row, vector), the features' vectors;
// value_at(row, vector); weight_at(row); and scales_at(f), of four features; state_at(vector), four numbers of
// the buffer in which the state begins at number `state`.
#import features
#import matrix_tile
#import outer_products sum
#import tile_product slopes
override ROW_TILE: u32;        // GROUP_Y * ROWS
override COPIES: u32;          // of the gradients, at most GROUP_X * GROUP_Y / ROW_TILE
override FACTORS_SIZE: u32;    // ROW_TILE / 4 * SOURCE; EXTENDED: a row more
override SLOPES_SIZE: u32;     // COPIES * SOURCE * ROW_TILE

// The features' vectors, [SOURCE, ROW_TILE / 4], four rows side by side; EXTENDED: then ones.
var<workgroup> factors: array<vec4<f32>, FACTORS_SIZE>;
var<workgroup> slopes: array<f32, SLOPES_SIZE>;          // their gradients, [COPIES, SOURCE, ROW_TILE]
var<private> state: u32;
var<private> first_feature: u32;               // of the tile

fn factor(row: u32, index: u32) -> f32 { return factors[index * (ROW_TILE / 4u) + row / 4u][row % 4u]; }
fn four_factors(four: u32, index: u32) -> vec4<f32> { return factors[index * (ROW_TILE / 4u) + four]; }
// A feature of rows 4 four .. 4 four + 3.
fn four_features(four: u32, packed: u32) -> vec4<f32> {
    var value = four_factors(four, packed & 255u);
    if ORDER > 1u { value *= four_factors(four, (packed >> 8u) & 255u); }
    if ORDER > 2u { value *= four_factors(four, (packed >> 16u) & 255u); }
    if ORDER > 3u { value *= four_factors(four, packed >> 24u); }
    return value;
}

fn load_factors() {
    let blocks = ROW_TILE / 4u * (SOURCE / 4u);
    // A bound that compilers know.
    for (var first = 0u; first < blocks; first += GROUP_X * GROUP_Y) {
        let i = first + here.z;
        if i >= blocks { continue; }
        let four = i % (ROW_TILE / 4u);
        let vector = i / (ROW_TILE / 4u);
        var block = mat4x4<f32>();
        for (var j = 0u; j < 4u; j++) { block[j] = source_at(4u * four + j, vector); }
        block = transpose(block);
        for (var j = 0u; j < 4u; j++) { factors[(4u * vector + j) * (ROW_TILE / 4u) + four] = block[j]; }
    }
    if EXTENDED && here.z < ROW_TILE / 4u { factors[SOURCE * (ROW_TILE / 4u) + here.z] = vec4<f32>(1.0); }
    workgroupBarrier();
}

fn left_of_sum(k: u32, r: u32) -> vec4<f32> { return staged_left(k, r); }
fn clear_sum() {
    for (var i = 0u; i < ROWS * (COLUMNS / 4u); i++) { sum[i] = vec4<f32>(); }
}

fn vectors_slopes() -> u32 { return vectors_sum(); }
fn multiply_slopes() { multiply_sum(); }
fn left_slopes(row: u32, k: u32) -> mat4x4<f32> {
    if k >= HEAD { return mat4x4<f32>(); }
    var block = mat4x4<f32>();
    for (var j = 0u; j < 4u; j++) { block[j] = value_at(row + j, k / 4u); }
    return transpose(block);
}
// Features beyond the last are computed like it, and count nothing.
fn right_slopes(vector: u32, k: u32) -> mat4x4<f32> {
    if k >= HEAD { return mat4x4<f32>(); }
    let f = min(first_feature + 4u * vector, FEATURES - 4u);
    var block = mat4x4<f32>();
    for (var j = 0u; j < 4u; j++) { block[j] = state_at((state + (f + j) * HEAD + k) / 4u); }
    return transpose(block);
}
fn totals_at(f: u32) -> vec4<f32> { return state_at((state + FEATURES * HEAD + f) / 4u); }

// Features k .. k + DEPTH - 1 of the tile into the place of the left operand, by those who hold them.
fn keep_features(k: u32) {
    let across = ROW_TILE / 4u;
    let wide = vectors_sum();
    for (var c = 0u; c < COLUMNS / 4u; c++) {
        let x = vector_of(c) - k / 4u;
        for (var r = 0u; r < ROWS / 4u; r++) {
            let at = 4u * r * wide + c;
            let columns =
                transpose(mat4x4<f32>(sum[at], sum[at + wide], sum[at + 2u * wide], sum[at + 3u * wide]));
            let to = buffer * (LEFT_SIZE / 2u) + 4u * x * across + here.y + r * GROUP_Y;
            for (var j = 0u; j < 4u; j++) {
                if x < DEPTH / 4u { tile_left[to + j * across] = columns[j]; }
            }
        }
    }
}

// The product rule. Features side by side mostly have the same first factor, whose gradient waits in a
// register.
fn pull_back(k: u32) {
    let row = here.z % ROW_TILE;
    let copy = here.z / ROW_TILE;
    let of_step = min(DEPTH, FEATURES - min(first_feature + k, FEATURES));
    if copy >= min(COPIES, of_step) { return; }
    let columns = copy * SOURCE * ROW_TILE + row;
    var first = table[first_feature + k + copy] & 255u;
    var gathered = 0.0;
    for (var i = copy; i < of_step; i += COPIES) {
        let packed = table[first_feature + k + i];
        let slope = tile_left[buffer * (LEFT_SIZE / 2u) + i * (ROW_TILE / 4u) + row / 4u][row % 4u];
        if (packed & 255u) != first {
            give(columns, first, gathered);
            first = packed & 255u;
            gathered = 0.0;
        }
        gathered += slope * others(row, packed, 0u);
        for (var n = 1u; n < ORDER; n++) {
            give(columns, (packed >> (8u * n)) & 255u, slope * others(row, packed, n));
        }
    }
    give(columns, first, gathered);
}
fn others(row: u32, packed: u32, n: u32) -> f32 {
    var product = 1.0;
    for (var m = 0u; m < ORDER; m++) {
        if m != n { product *= factor(row, (packed >> (8u * m)) & 255u); }
    }
    return product;
}
fn give(columns: u32, index: u32, slope: f32) {
    if !EXTENDED || index < SOURCE { slopes[columns + index * ROW_TILE] += slope; }
}

// slopes = what all features give.
fn find_slopes() {
    for (var i = here.z; i < SLOPES_SIZE; i += GROUP_X * GROUP_Y) { slopes[i] = 0.0; }
    for (var start = 0u; start < FEATURES; start += GROUP_X * COLUMNS) {
        first_feature = start;
        clear_sum();
        add_slopes(HEAD);
        for (var c = 0u; c < COLUMNS / 4u; c++) {
            let f = min(start + 4u * vector_of(c), FEATURES - 4u);
            let totals = totals_at(f);
            let scales = scales_at(f);
            for (var r = 0u; r < ROWS; r++) {
                let at = r * (COLUMNS / 4u) + c;
                sum[at] = scales * (sum[at] + weight_at(row_of(r)) * totals);
            }
        }
        for (var k = 0u; k < GROUP_X * COLUMNS; k += DEPTH) {
            buffer = 1u - buffer;
            keep_features(k);
            workgroupBarrier();
            pull_back(k);
        }
    }
    workgroupBarrier();
}
fn slopes_at(row: u32, vector: u32) -> vec4<f32> {
    var value = vec4<f32>();
    for (var copy = 0u; copy < COPIES; copy++) {
        let at = (copy * SOURCE + 4u * vector) * ROW_TILE + row;
        for (var j = 0u; j < 4u; j++) { value[j] += slopes[at + j * ROW_TILE]; }
    }
    return value;
}
