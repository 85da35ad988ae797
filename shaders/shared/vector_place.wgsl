// (base in qkv, part, position) of a vector.
fn vector_place(v: u32) -> vec3<u32> {
    let token = v % params.tokens;
    let head = v / params.tokens % HEADS;
    let lane = v / (params.tokens * HEADS) % params.lanes;
    let part = v / (params.tokens * HEADS * params.lanes);
    let position = lanes[params.lane_base + lane].position + token;
    return vec3<u32>(head_base(lane * params.tokens + token, part, head), part, position);
}
