// How the passes over pairs are cut: a workgroup of THREADS owns ROW_TILE rows (of queries, or of keys) and
// takes TILE of the other side at a time. kernels/pairs/pairs.rs chooses the numbers.
const THREADS: u32 = 128u;
const TILE: u32 = 32u;
override LOCAL: u32;           // width of the vector x that affinities read
override LOCAL_OFFSET: u32;    // its column in query and key rows
override ROW_TILE: u32;
override STAGED: u32;          // ROW_TILE * LOCAL / 4
override STAGED_VALUES: u32;   // ROW_TILE * HEAD / 4
override TILE_PAIRS: u32;      // ROW_TILE * TILE
override ITEMS: u32;           // vectors of dx an invocation holds, at most 8
override PAIRS: u32;           // pairs of a tile an invocation computes, at most 8
override REACH: u32;           // which keys: 0 of the text, 1 of the block, 2 near ones and sinks, 3 none
override AT_ONCE: u32;         // of the other side in a dispatch, from its `first` on; later ones add
const NEAR_KEYS: u32 = 2u;
const NO_KEYS: u32 = 3u;

// The first key, sinks apart, that a token is near.
fn first_near(token: u32) -> u32 { return (max(token / BLOCK + 1u, NEAR) - NEAR) * BLOCK; }
// Whether a token makes pairs with a key up to it, as far as REACH tells.
fn is_near(key: u32, token: u32) -> bool {
    return REACH != NEAR_KEYS || key >= first_near(token) || key < SINKS;
}
