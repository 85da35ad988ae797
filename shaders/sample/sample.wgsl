// The next token of each lane from the logits of its slot: repetition penalty, temperature, top-k, min-p,
// top-p, then Gumbel-max with counter-based noise (seed, position, token), so that a draw depends on nothing
// but these: not on the batch, not on the order of a sum. Temperature 0: the largest logit, lowest id first.
//
// The cuts are found by bisection over the ordered bits of a logit: 32 passes over the vocabulary, no sort,
// and exact (ties at the cut stay in, as in Hugging Face's warpers). One workgroup a lane.
//
// Every setting in its range gives its limit: nothing here becomes infinite, because a device may take it that
// no number is. For the same reason logits that are none are found by their bits; the token is then NO_TOKEN.
#import lanes
struct Params { lane_base: u32, step: u32, slots: u32 }
override VOCABULARY: u32;
const THREADS: u32 = 256u;
// Stands in the result where a logit is no number.
const NO_TOKEN: u32 = 0xffffffffu;
// Marks in `seen`.
const OCCURRED: u32 = 1u;
const NEVER: u32 = 2u;
// Numbers beyond these are taken as these.
const LARGEST: f32 = 1e38;
// Below every logit, and far enough from the lowest number for a difference.
const BELOW: f32 = -2e38;
// Temperatures below are 0.
const COLDEST: f32 = 1e-30;
const HOTTEST: f32 = 1e30;
// Scores further below the highest have probability 0.
const FAR: f32 = 1e4;

struct Settings {
    temperature: f32,
    top_k: u32,
    top_p: f32,
    min_p: f32,
    penalty: f32,
    seed_low: u32,
    seed_high: u32,
    holes: u32, // 1: some tokens have NEVER
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> lanes: array<Lane>;               // [lanes]
@group(0) @binding(2) var<storage, read> settings: array<Settings>;        // [slots]
@group(0) @binding(3) var<storage, read> logits: array<f32>;               // [slots, VOCABULARY]
@group(0) @binding(4) var<storage, read_write> seen: array<u32>;           // [slots, VOCABULARY], marks
@group(0) @binding(5) var<storage, read_write> token: array<u32>;          // [slots] what the next step reads
@group(0) @binding(6) var<storage, read_write> sampled: array<u32>;        // [steps, slots]

var<workgroup> reals: array<f32, THREADS>;
var<workgroup> ids: array<u32, THREADS>;

fn no_number(slot: u32, id: u32) -> bool {
    return (bitcast<u32>(logits[slot * VOCABULARY + id]) & 0x7f800000u) == 0x7f800000u;
}
fn penalized(slot: u32, id: u32) -> f32 {
    let s = settings[slot];
    let value = clamp(logits[slot * VOCABULARY + id], -LARGEST, LARGEST);
    if s.penalty == 1.0 && s.holes == 0u { return value; }
    let marks = seen[slot * VOCABULARY + id];
    if s.holes != 0u && (marks & NEVER) != 0u { return BELOW; }
    if s.penalty == 1.0 || (marks & OCCURRED) == 0u { return value; }
    let penalty = clamp(s.penalty, 1e-20, 1e20);
    if value > 0.0 { return min(value, LARGEST * min(penalty, 1.0)) / penalty; }
    return max(value, -LARGEST / max(penalty, 1.0)) * penalty;
}
// Over the temperature, the highest at 0.
fn score(slot: u32, id: u32, highest: f32) -> f32 {
    let temperature = clamp(settings[slot].temperature, COLDEST, HOTTEST);
    return max(penalized(slot, id) - highest, -FAR * temperature) / temperature;
}
// Order-preserving map of a float to an unsigned integer.
fn ordered(value: f32) -> u32 {
    let bits = bitcast<u32>(value);
    return select(bits | 0x80000000u, ~bits, (bits & 0x80000000u) != 0u);
}
fn hash(seed: vec4<u32>) -> u32 {
    // PCG4D (Jarzynski and Olano 2020).
    var v = seed * 1664525u + 1013904223u;
    v.x += v.y * v.w; v.y += v.z * v.x; v.z += v.x * v.y; v.w += v.y * v.z;
    v = v ^ (v >> vec4<u32>(16u));
    v.x += v.y * v.w; v.y += v.z * v.x; v.z += v.x * v.y; v.w += v.y * v.z;
    return v.x;
}
fn sum_reals(value: f32, local: u32) -> f32 {
    workgroupBarrier();
    reals[local] = value;
    for (var step = THREADS / 2u; step > 0u; step = step / 2u) {
        workgroupBarrier();
        if local < step { reals[local] += reals[local + step]; }
    }
    workgroupBarrier();
    return reals[0];
}
// The best (value, id) of all invocations, lowest id among equals.
fn best(value: f32, id: u32, local: u32) -> u32 {
    workgroupBarrier();
    reals[local] = value;
    ids[local] = id;
    for (var step = THREADS / 2u; step > 0u; step = step / 2u) {
        workgroupBarrier();
        if local < step {
            let other = local + step;
            let equal = reals[other] == reals[local] && ids[other] < ids[local];
            if reals[other] > reals[local] || equal {
                reals[local] = reals[other];
                ids[local] = ids[other];
            }
        }
    }
    workgroupBarrier();
    return ids[0];
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let lane = lanes[params.lane_base + group.x];
    let slot = lane.slot;
    let s = settings[slot];
    var high = -3.4e38;
    var high_id = 0u;
    var broken = false;
    for (var id = local; id < VOCABULARY; id += THREADS) {
        broken = broken || no_number(slot, id);
        let value = penalized(slot, id);
        if value > high {
            high = value;
            high_id = id;
        }
    }
    // Higher than any number that a logit is taken as.
    if broken {
        high = 3.4e38;
        high_id = NO_TOKEN;
    }
    let first = best(high, high_id, local);
    var choice = select(first, 0u, first == NO_TOKEN);
    if s.temperature >= COLDEST && s.top_k != 1u {
        let highest = penalized(slot, choice);
        var cut = 0u;
        if s.top_k > 0u && s.top_k < VOCABULARY {
            // The largest cut that at least top_k logits reach.
            for (var bit = 32u; bit > 0u; bit--) {
                let trial = cut | (1u << (bit - 1u));
                var count = 0.0;
                for (var id = local; id < VOCABULARY; id += THREADS) {
                    count += f32(ordered(score(slot, id, highest)) >= trial);
                }
                if sum_reals(count, local) >= f32(s.top_k) { cut = trial; }
            }
        }
        if s.top_p < 1.0 {
            var mass = 0.0;
            for (var id = local; id < VOCABULARY; id += THREADS) {
                let value = score(slot, id, highest);
                if ordered(value) >= cut { mass += exp(value); }
            }
            let wanted = s.top_p * sum_reals(mass, local);
            var trial_cut = 0u;
            // The largest cut whose mass is still the wanted one.
            for (var bit = 32u; bit > 0u; bit--) {
                let trial = trial_cut | (1u << (bit - 1u));
                mass = 0.0;
                for (var id = local; id < VOCABULARY; id += THREADS) {
                    let value = score(slot, id, highest);
                    if ordered(value) >= max(trial, cut) { mass += exp(value); }
                }
                if sum_reals(mass, local) >= wanted { trial_cut = trial; }
            }
            cut = max(cut, min(trial_cut, ordered(0.0)));
        }
        if s.min_p > 0.0 { cut = max(cut, ordered(min(log(max(s.min_p, 1e-37)), 0.0))); }
        // Where rounding leaves nothing above a cut, the likeliest is chosen.
        high = -3.4e38;
        high_id = choice;
        for (var id = local; id < VOCABULARY; id += THREADS) {
            let value = score(slot, id, highest);
            if ordered(value) >= cut {
                let draw = hash(vec4<u32>(id, lane.position, s.seed_low, s.seed_high));
                let noise = (f32(draw >> 8u) + 0.5) / 16777216.0;
                let perturbed = value - log(-log(noise));
                if perturbed > high {
                    high = perturbed;
                    high_id = id;
                }
            }
        }
        choice = best(high, high_id, local);
    }
    if local == 0u {
        token[slot] = choice;
        // Of a number that is none, the next steps of the submission make something that is taken back.
        if first != NO_TOKEN { seen[slot * VOCABULARY + choice] |= OCCURRED; }
        let at = params.step * params.slots + slot;
        // A plan has room for so many steps; calls are numbered by the caller.
        if at < arrayLength(&sampled) { sampled[at] = select(choice, NO_TOKEN, first == NO_TOKEN); }
    }
}
