// The affine sketch's net (kernels/sketch/sketch_affine.rs): its sizes, and where its weights lie. Of each
// side of each key head mean [HEAD], c [SIZE], W [SIZE, HEAD], A [HIDDEN, HEAD], B [SIZE, HIDDEN], u [m,
// HEAD], level [m], padded.
override SIZE: u32;            // outputs, r
override HIDDEN: u32;          // rows of A
override MOST_GAIN: f32;       // the log gain's bound, either way
override QUERY_WEIGHTS: u32;   // numbers of one key head's queries
override KEY_WEIGHTS: u32;     // and of its keys

struct Net { mean: u32, base: u32, linear: u32, up: u32, down: u32, tilt: u32, level: u32, gains: u32 }

fn net_of(side: u32, head: u32) -> Net {
    var net = Net();
    net.gains = select(1u, GROUP, side == 0u);
    net.mean = select(HEADS * QUERY_WEIGHTS + head * KEY_WEIGHTS, head * QUERY_WEIGHTS, side == 0u);
    net.base = net.mean + HEAD;
    net.linear = net.base + SIZE;
    net.up = net.linear + SIZE * HEAD;
    net.down = net.up + HIDDEN * HEAD;
    net.tilt = net.down + SIZE * HIDDEN;
    net.level = net.tilt + net.gains * HEAD;
    return net;
}
