// permutations: [SOFTMAX|TAYLOR]
// dx_j = Σ_i dt_ij x_i and dv̂_j = Σ_i e^{g_i - g_j} w_ij dN_i over the pairs of key j with the queries from
// it on, of its block (the scan), of the text (the dense kinds), or those that it is near, all for a sink;
// dG_j = ⟨dN_j, N_j⟩ - ⟨dv̂_j, v̂_j⟩, where affinities have gates.
//
// Ladder. Reference: kernels/pairs/attention_grad_keys.rs. Here: a workgroup owns ROW_TILE keys; affinities
// and dt of TILE queries are built in workgroup memory, then multiplied with their dN and x from registers.
// Nothing of size n x n is in memory.
#import head_layout
#import pair_tile
struct Params { tokens: u32, stride: u32, span: u32, first: u32 }
override VALUE_ITEMS: u32;     // vectors of dv an invocation holds, at most 8

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> queries: array<vec4<f32>>; // [lanes, HEADS, tokens, GROUP, QUERY_WIDTH]
@group(0) @binding(2) var<storage, read> keys: array<vec4<f32>>; // [lanes, HEADS, stride, KEY_WIDTH]
@group(0) @binding(3) var<storage, read> drows: array<vec4<f32>>; // [lanes, HEADS, tokens, GROUP, HEAD + 4]
@group(0) @binding(4) var<storage, read_write> dkeys: array<vec4<f32>>; // as keys

var<workgroup> x: array<vec4<f32>, STAGED>;
var<workgroup> v: array<vec4<f32>, STAGED_VALUES>;
var<workgroup> gate: array<vec2<f32>, ROW_TILE>;
var<workgroup> dt: array<f32, TILE_PAIRS>;
var<workgroup> affinities: array<f32, TILE_PAIRS>;
#import attention_pair

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let base = group.y * params.span;
    let end = min(base + params.span, params.tokens);
    let first = base + group.x * ROW_TILE;
    if first >= end || first * GROUP + params.first >= end * GROUP { return; }
    let rows = min(ROW_TILE, end - first);
    // Queries are counted as their rows lie, GROUP a token; so is params.first.
    let query = group.z * params.tokens * GROUP;           // row of the first query
    let queries_first = first * GROUP;
    let queries_of_span = end * GROUP;
    let key = group.z * params.stride + first;             // row of the first of these keys
    for (var i = local; i < ROW_TILE * (LOCAL / 4u); i += THREADS) {
        let row = i / (LOCAL / 4u);
        let c = i % (LOCAL / 4u);
        var value = vec4<f32>();
        if row < rows { value = keys[((key + row) * KEY_WIDTH + LOCAL_OFFSET) / 4u + c]; }
        x[i] = value;
    }
    for (var i = local; i < ROW_TILE * (HEAD / 4u); i += THREADS) {
        let row = i / (HEAD / 4u);
        var value = vec4<f32>();
        if row < rows { value = keys[((key + row) * KEY_WIDTH + V_OFFSET) / 4u + i % (HEAD / 4u)]; }
        v[i] = value;
    }
    if GATED && local < ROW_TILE {
        gate[local] = vec2<f32>();
        if local < rows { gate[local] = keys[((key + local) * KEY_WIDTH + G_OFFSET) / 4u].xy; }
    }
    workgroupBarrier();
    // This invocation computes the pairs of one query with rows own, own + apart, ..
    let own = local / TILE;
    let apart = THREADS / TILE;
    var queries_end = min(queries_of_span, queries_first + params.first + AT_ONCE);
    if REACH == NEAR_KEYS && first >= SINKS {
        // From there on these keys are no longer near.
        queries_end = min(queries_end, ((first + rows - 1u) / BLOCK + NEAR) * BLOCK * GROUP);
    }
    var dx = array<vec4<f32>, 8>();
    var dv = array<vec4<f32>, 8>();
    var gate_sum = array<f32, 8>();                        // ⟨dv̂_j, v̂_j⟩, of this invocation's pairs
    for (var start = queries_first + params.first; REACH != NO_KEYS && start < queries_end; start += TILE) {
        let i = start + local % TILE;
        var t = array<f32, 8>();
        var dw = array<f32, 8>();
        var known = vec4<f32>();
        if i < queries_of_span {
            let x_i = ((query + i) * QUERY_WIDTH + LOCAL_OFFSET) / 4u;
            for (var c = 0u; c < LOCAL / 4u; c++) {
                let x_c = queries[x_i + c];
                for (var k = 0u; k < PAIRS; k++) {
                    t[k] += dot(x[(own + k * apart) * (LOCAL / 4u) + c], x_c);
                }
            }
            let dn_i = (query + i) * (HEAD / 4u + 1u);
            for (var c = 0u; c < HEAD / 4u; c++) {
                let dn_c = drows[dn_i + c];
                for (var k = 0u; k < PAIRS; k++) {
                    dw[k] += dot(v[(own + k * apart) * (HEAD / 4u) + c], dn_c);
                }
            }
            known = drows[dn_i + HEAD / 4u];
        }
        for (var k = 0u; k < PAIRS; k++) {
            let row = own + k * apart;
            var pair = vec2<f32>();
            if i / GROUP >= first + row && i < queries_of_span && is_near(first + row, i / GROUP) {
                pair = attention_pair(t[k], dw[k] + known.x, known.zw, gate[row]);
                gate_sum[k] += pair.x * (dw[k] + known.x);
            }
            affinities[row * TILE + local % TILE] = pair.x;
            dt[row * TILE + local % TILE] = pair.y;
        }
        workgroupBarrier();
        for (var ii = 0u; ii < min(TILE, queries_of_span - start); ii++) {
            let x_i = ((query + start + ii) * QUERY_WIDTH + LOCAL_OFFSET) / 4u;
            let dn_i = (query + start + ii) * (HEAD / 4u + 1u);
            for (var k = 0u; k < ITEMS; k++) {
                let item = local + k * THREADS;
                let dt_i = dt[(item / (LOCAL / 4u)) % ROW_TILE * TILE + ii];
                dx[k] += dt_i * queries[x_i + item % (LOCAL / 4u)];
            }
            for (var k = 0u; k < VALUE_ITEMS; k++) {
                let item = local + k * THREADS;
                let w_i = affinities[(item / (HEAD / 4u)) % ROW_TILE * TILE + ii];
                dv[k] += w_i * drows[dn_i + item % (HEAD / 4u)];
            }
        }
        workgroupBarrier();
    }
    for (var k = 0u; k < ITEMS; k++) {
        let item = local + k * THREADS;
        let row = item / (LOCAL / 4u);
        if row < rows {
            let out = ((key + row) * KEY_WIDTH + LOCAL_OFFSET) / 4u + item % (LOCAL / 4u);
            if params.first > 0u { dx[k] += dkeys[out]; }
            dkeys[out] = dx[k];
        }
    }
    for (var k = 0u; k < VALUE_ITEMS; k++) {
        let item = local + k * THREADS;
        let row = item / (HEAD / 4u);
        if row < rows {
            let out = ((key + row) * KEY_WIDTH + V_OFFSET) / 4u + item % (HEAD / 4u);
            if params.first > 0u { dv[k] += dkeys[out]; }
            dkeys[out] = dv[k];
        }
    }
    // Columns that no affinity reads.
    for (var i = local; i < rows * (V_OFFSET / 4u); i += THREADS) {
        let c = i % (V_OFFSET / 4u);
        if c < LOCAL_OFFSET / 4u || c >= (LOCAL_OFFSET + LOCAL) / 4u {
            dkeys[(key + i / (V_OFFSET / 4u)) * (KEY_WIDTH / 4u) + c] = vec4<f32>();
        }
    }
#ifdef SOFTMAX
    if GATED && local < rows { dkeys[((key + local) * KEY_WIDTH + G_OFFSET) / 4u] = vec4<f32>(); }
#else
    if GATED {
        for (var k = 0u; k < PAIRS; k++) {
            affinities[(own + k * apart) * TILE + local % TILE] = gate_sum[k];
        }
        workgroupBarrier();
        if local < rows {
            let out = ((key + local) * KEY_WIDTH + G_OFFSET) / 4u;
            var value = 0.0;
            if params.first > 0u {
                value = dkeys[out].x;
            } else {
                for (var g = 0u; g < GROUP; g++) {
                    let own_row = query + (first + local) * GROUP + g;
                    value += drows[own_row * (HEAD / 4u + 1u) + HEAD / 4u].y;
                }
            }
            for (var ii = 0u; ii < TILE; ii++) { value -= affinities[local * TILE + ii]; }
            dkeys[out] = vec4<f32>(value, 0.0, 0.0, 0.0);
        }
    }
#endif
}
