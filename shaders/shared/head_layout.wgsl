// How the projections of a token lie, and the rows of its queries and keys (kernels/heads/layout.rs):
//   projections [q | k | v | gate logits], of q, k and v HEADS vectors each
//   a head's query row [x | s], key row [x | s | v | gate sum]
override HEADS: u32;
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
