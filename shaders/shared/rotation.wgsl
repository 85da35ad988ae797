// Angles position * frequency from a table of digits: table[(digit * 256 + value) * frequencies + i] holds
// (cos, sin) of value * 256^digit * frequency_i, computed on the host in f64. The digits of a position are
// composed by angle addition, so that position 1 000 000 is as exact as position 1, which sin() of a
// large f32 is not.
fn rotation(position: u32, i: u32, frequencies: u32) -> vec2<f32> {
    var turn = rotations[(position & 255u) * frequencies + i];
    var rest = position >> 8u;
    var digit = 1u;
    while rest > 0u {
        let more = rotations[(digit * 256u + (rest & 255u)) * frequencies + i];
        turn = vec2<f32>(turn.x * more.x - turn.y * more.y, turn.y * more.x + turn.x * more.y);
        rest = rest >> 8u;
        digit += 1u;
    }
    return turn;
}
