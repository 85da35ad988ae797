// Weights of a row with keys j .. j + 3, from the inner products. Needs local_weight, gate_decay,
// gate_of_key(j), row_gate and GATED.
fn weights_of(t: vec4<f32>, row: u32, j: u32) -> vec4<f32> {
    let w = vec4<f32>(local_weight(t.x), local_weight(t.y), local_weight(t.z), local_weight(t.w));
    if GATED == 0u { return w; }
    let gate = row_gate[row];
    return w * vec4<f32>(
        gate_decay(gate, gate_of_key(j)),
        gate_decay(gate, gate_of_key(j + 1u)),
        gate_decay(gate, gate_of_key(j + 2u)),
        gate_decay(gate, gate_of_key(j + 3u))
    );
}
