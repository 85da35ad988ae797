// How the projections of a token lie, and the rows of its queries and keys (kernels/heads/layout.rs):
//   projections [q | k | v | gate logits], HEADS * GROUP vectors of q, HEADS of k and of v, HEADS gate logits
//   query rows [lanes, HEADS, tokens, GROUP, QUERY_WIDTH], each [x | s]
//   key rows [lanes, HEADS, tokens, KEY_WIDTH], each [x | s | v | gate sum]
override HEADS: u32;           // key heads
override GROUP: u32;           // query heads of a key head
override HEAD: u32;            // columns of x and of v
override BLOCK: u32;           // tokens
override QKV_WIDTH: u32;       // columns of the projections
override GATE_OFFSET: u32;     // column of the first gate logit there
override QUERY_WIDTH: u32;     // columns of a query row
override KEY_WIDTH: u32;       // columns of a key row
override S_OFFSET: u32;        // column of s in query and key rows; 0: rows carry no x
override V_OFFSET: u32;        // column of v in key rows
override G_OFFSET: u32;        // column of the gate sum in key rows
override GATED: bool;          // rows carry a gate sum
override NEAR: u32;            // blocks that a query sees exactly, its own among them; a ring holds as many
override SINKS: u32;           // first tokens of a text that every query sees exactly
override SINK_REACH: u32;      // tokens from which on a block is no further from the sinks; 0: as far as it is
override LEAD: u32;            // blocks of a window before the one that the ring is filling
