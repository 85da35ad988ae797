// (base in qkv, part, position) of a vector: first come those of queries [lanes, HEADS, tokens, GROUP], then
// those of keys [lanes, HEADS, tokens].
fn vector_place(v: u32) -> vec3<u32> {
    let queries = params.lanes * HEADS * params.tokens * GROUP;
    let part = select(1u, 0u, v < queries);
    let of_token = select(v - queries, v / GROUP, part == 0u);
    let token = of_token % params.tokens;
    var head = of_token / params.tokens % HEADS;
    if part == 0u { head = head * GROUP + v % GROUP; }
    let lane = of_token / (params.tokens * HEADS);
    let position = lanes[params.lane_base + lane].position + token;
    return vec3<u32>(head_base(lane * params.tokens + token, part, head), part, position);
}
