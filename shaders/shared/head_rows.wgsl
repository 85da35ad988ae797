// Rows of queries [x | s] and of keys [x | s | v | gate sum (4)], a head after the other
// (kernels/heads/layout.rs).
override HEADS: u32;
override HEAD: u32;            // columns of v
override QUERY_WIDTH: u32;     // columns of a query row
override KEY_WIDTH: u32;       // columns of a key row
override V_OFFSET: u32;        // column of v in a key row, HEAD columns before the gate sum
override GATED: u32;           // 1: key rows have a gate sum
