// The learned sketch of the few vectors of a workgroup (sketch_learned.wgsl has the ladder).
override ROWS: u32;            // vectors of a workgroup, at most 4
override BRANCH: u32;          // numbers of a branch in w
override SPLITS: u32;          // invocations that share an output's units; a divisor of HIDDEN / 4
override VECTOR_SIZE: u32;     // 2 ROWS max(HEAD, SIZE)
override HIDDEN_SIZE: u32;     // 2 ROWS HIDDEN
override PARTIAL_SIZE: u32;    // 2 ROWS SIZE SPLITS
override VECTORS: u32;         // 2 ROWS
#import head_vector
#import vector_place
#import gelu
#import dot_add

// [2, ROWS, max(HEAD, SIZE)]: input of the level of both branches, normed in place.
var<workgroup> vector: array<f32, VECTOR_SIZE>;
var<workgroup> moments: array<vec2<f32>, VECTORS>;
var<workgroup> hidden: array<f32, HIDDEN_SIZE>;     // [2, ROWS, HIDDEN]
var<workgroup> partial: array<f32, PARTIAL_SIZE>;   // [SPLITS, 2, ROWS, SIZE]
// Invocations take numbers so many times: loops over these have bounds that compilers know.
fn rounds(numbers: u32) -> u32 { return (numbers + THREADS - 1u) / THREADS; }
fn vector_at(v: u32, c: u32) -> u32 { return v * max(HEAD, SIZE) + c; }
fn four_of_vector(at: u32) -> vec4<f32> {
    return vec4<f32>(vector[at], vector[at + 1u], vector[at + 2u], vector[at + 3u]);
}
fn four_of_hidden(at: u32) -> vec4<f32> {
    return vec4<f32>(hidden[at], hidden[at + 1u], hidden[at + 2u], hidden[at + 3u]);
}

// Mean (RMSNorm: none) and reciprocal deviation of each vector, counted from its first number: no number is
// further from the mean than sqrt(width - 1) deviations, so the difference of squares loses little.
fn find_moments(width: u32, centred: bool, eps: f32, local: u32) {
    if local < VECTORS {
        let at = vector_at(local, 0u);
        let start = select(0.0, vector[at], centred);
        var sum = vec4<f32>();
        var square = vec4<f32>();
        for (var c = 0u; c < width; c += 4u) {
            let d = four_of_vector(at + c) - start;
            sum += d;
            square += d * d;
        }
        let one = vec4<f32>(1.0 / f32(width));
        let mean = select(0.0, dot(sum, one), centred);
        moments[local] = vec2<f32>(start + mean, inverseSqrt(max(dot(square, one) - mean * mean, 0.0) + eps));
    }
    workgroupBarrier();
}

// The vectors from `first` on as the sketch sees them, for both branches; those beyond the last are computed
// like it, and not stored.
fn load_vectors(first: u32, local: u32) {
    for (var round = 0u; round < rounds(ROWS * (HEAD / 2u)); round++) {
        let i = local + round * THREADS;
        if i >= ROWS * (HEAD / 2u) { continue; }
        let row = i / (HEAD / 2u);
        let c = i % (HEAD / 2u);
        let place = vector_place(min(first + row, params.vectors - 1u));
        let pair = raw_pair(place.x, place.z, c);
        let to = pair_places(c);
        for (var v = row; v < VECTORS; v += ROWS) {
            vector[vector_at(v, to.x)] = pair.x;
            vector[vector_at(v, to.y)] = pair.y;
        }
    }
    workgroupBarrier();
    if !INPUT_NORMED { return; }
    find_moments(HEAD, NORM_CENTRED, NORM_EPS, local);
    let keys = params.lanes * HEADS * params.tokens * GROUP;       // the first of them
    for (var round = 0u; round < rounds(VECTORS * HEAD); round++) {
        let i = local + round * THREADS;
        if i >= VECTORS * HEAD { continue; }
        let v = i / HEAD;
        let c = i % HEAD;
        let part = select(0u, 1u, min(first + v % ROWS, params.vectors - 1u) >= keys);
        vector[vector_at(v, c)] = normed(vector[vector_at(v, c)], moments[v], part, c);
    }
    workgroupBarrier();
}

fn weight(at: u32) -> f32 { return w[at / 4u][at % 4u]; }
fn normalize(width: u32, level: u32, local: u32) {
    find_moments(width, true, 1e-5, local);
    for (var round = 0u; round < rounds(VECTORS * width); round++) {
        let i = local + round * THREADS;
        if i >= VECTORS * width { continue; }
        let v = i / width;
        let c = i % width;
        let norm = v / ROWS * BRANCH + level + c;
        let value = (vector[vector_at(v, c)] - moments[v].x) * moments[v].y;
        vector[vector_at(v, c)] = value * weight(norm) + weight(norm + width);
    }
    workgroupBarrier();
}

// The hidden units of both branches from the normed inputs; their matrix begins at `up` of a branch.
fn find_hidden(width: u32, up: u32, local: u32) {
    for (var round = 0u; round < rounds(2u * HIDDEN); round++) {
        let i = local + round * THREADS;
        if i >= 2u * HIDDEN { continue; }
        let branch = i / HIDDEN;
        let unit = i % HIDDEN;
        let row = (branch * BRANCH + up + unit * width) / 4u;
        var units = array<f32, 4>(); // [ROWS]
        for (var c = 0u; c < width / 4u; c++) {
            for (var r = 0u; r < ROWS; r++) {
                let value = four_of_vector(vector_at(branch * ROWS + r, 4u * c));
                units[r] = dot_add(units[r], w[row + c], value);
            }
        }
        for (var r = 0u; r < ROWS; r++) { hidden[(branch * ROWS + r) * HIDDEN + unit] = gelu(units[r]); }
    }
    workgroupBarrier();
}

// The outputs of both branches, which are the next level's inputs; their matrix begins at `down`. Neighbours
// have the same output.
fn find_outputs(down: u32, local: u32) {
    for (var round = 0u; round < rounds(2u * SIZE * SPLITS); round++) {
        let i = local + round * THREADS;
        if i >= 2u * SIZE * SPLITS { continue; }
        let branch = i / SPLITS / SIZE;
        let output = i / SPLITS % SIZE;
        let row = (branch * BRANCH + down + output * HIDDEN) / 4u;
        var outputs = array<f32, 4>(); // [ROWS]
        for (var k = 0u; k < HIDDEN / 4u / SPLITS; k++) {
            let c = k * SPLITS + i % SPLITS;
            for (var r = 0u; r < ROWS; r++) {
                let value = four_of_hidden((branch * ROWS + r) * HIDDEN + 4u * c);
                outputs[r] = dot_add(outputs[r], w[row + c], value);
            }
        }
        for (var r = 0u; r < ROWS; r++) {
            partial[(i % SPLITS * VECTORS + branch * ROWS + r) * SIZE + output] = outputs[r];
        }
    }
    workgroupBarrier();
    for (var round = 0u; round < rounds(VECTORS * SIZE); round++) {
        let i = local + round * THREADS;
        if i >= VECTORS * SIZE { continue; }
        var sum = 0.0;
        for (var split = 0u; split < SPLITS; split++) { sum += partial[split * VECTORS * SIZE + i]; }
        vector[vector_at(i / SIZE, i % SIZE)] = sum;
    }
    workgroupBarrier();
}

// Both branches of the vectors from `first` on, [2, ROWS, SIZE] in `vector`.
fn run_net(first: u32, local: u32) {
    load_vectors(first, local);
    var width = HEAD;
    var at = 0u; // of the level in a branch
    for (var level = 0u; level < LEVELS; level++) {
        normalize(width, at, local);
        let up = at + 2u * width;
        let down = up + HIDDEN * width;
        find_hidden(width, up, local);
        find_outputs(down, local);
        at = down + SIZE * HIDDEN;
        width = SIZE;
    }
}

// Number i of the sketch of the workgroup's vector `row`.
fn sketched(row: u32, i: u32) -> f32 {
    let root = sqrt(f32(SIZE));
    let product = vector[vector_at(row, i)] * vector[vector_at(ROWS + row, i)];
    return root * tanh(clamp(product / root, -15.0, 15.0));
}
