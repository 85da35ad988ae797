// Loads what a sketch sees of vectors first .. first + ROWS into `vector` (subgroup_vectors). Needs
// head_vector, vector_place and INPUT_NORMED. Only the invocation that has the row may write single numbers
// of its vectors.
fn put(row: u32, c: u32, value: f32) { vector[row * (vector_columns / 4u) + c / 4u][c % 4u] = value; }

// Each invocation its rows: finding a vector takes six divisions.
fn load_vectors(first: u32, lane: u32) {
    for (var row = lane; row < ROWS; row += LANES) {
        let at = vector_place(min(first + row, params.vectors - 1u));
        var moments = vec2<f32>();
        if INPUT_NORMED == 1u { moments = head_moments(at.x, at.z); }
        for (var i = 0u; i < HEAD / 2u; i++) {
            var pair = vec2<f32>();
            if INPUT_NORMED == 1u { pair = normed_pair(at.x, moments, at.y, at.z, i); } else { pair = raw_pair(at.x, at.z, i); }
            put(row, i, pair.x);
            put(row, i + HEAD / 2u, pair.y);
        }
    }
}
