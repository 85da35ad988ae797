// Loads what a sketch sees of vectors first .. first + ROW_TILE into vector, element c of a row at
// vector_at(row, c). Vectors are numbered as vector_place has them. Needs INPUT_NORMED and
// moments [ROW_TILE], at most THREADS.
#import head_vector
#import vector_place
fn load_sketch_input(first: u32, local: u32) {
    if local < ROW_TILE && INPUT_NORMED {
        let at = vector_place(min(first + local, params.vectors - 1u));
        moments[local] = head_moments(at.x, at.z);
    }
    workgroupBarrier();
    for (var i = local; i < ROW_TILE * (HEAD / 2u); i += THREADS) {
        let row = i / (HEAD / 2u);
        let c = i % (HEAD / 2u);
        let at = vector_place(min(first + row, params.vectors - 1u));
        var pair = vec2<f32>();
        if INPUT_NORMED {
            pair = normed_pair(at.x, moments[row], at.y, at.z, c);
        } else {
            pair = raw_pair(at.x, at.z, c);
        }
        let to = pair_places(c);
        vector[vector_at(row, to.x)] = pair.x;
        vector[vector_at(row, to.y)] = pair.y;
    }
    workgroupBarrier();
}
