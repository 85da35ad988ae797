// sum += coefficients * values of the tile of keys that begins at `start`. The importing shader gives
// value_$(first, key, vector); keys from `end` on have no coefficient, the last one is read for them.
fn add_$(first: u32, start: u32, end: u32) {
    var a = array<vec4<f32>, 8>(); // [ROWS]
    for (var k = 0u; k < KEYS; k++) {
        for (var x = 0u; x < GROUP_X; x++) {
            let key = start + 4u * GROUP_X * k + x;
            let k0 = min(key, end - 1u);
            let k1 = min(key + GROUP_X, end - 1u);
            let k2 = min(key + 2u * GROUP_X, end - 1u);
            let k3 = min(key + 3u * GROUP_X, end - 1u);
            for (var r = 0u; r < ROWS; r++) {
                a[r] = coefficients[coefficient_at(row_of(r), k * GROUP_X + x)];
            }
            for (var c = 0u; c < VECTORS; c++) {
                let vector = min(here.x + c * GROUP_X, HEAD / 4u - 1u);
                let b0 = value_$(first, k0, vector);
                let b1 = value_$(first, k1, vector);
                let b2 = value_$(first, k2, vector);
                let b3 = value_$(first, k3, vector);
                // The sum comes first, so that all four are fused multiply-adds.
                for (var r = 0u; r < ROWS; r++) {
                    sum[r * VECTORS + c] =
                        sum[r * VECTORS + c] + a[r].x * b0 + a[r].y * b1 + a[r].z * b2 + a[r].w * b3;
                }
            }
        }
    }
}
