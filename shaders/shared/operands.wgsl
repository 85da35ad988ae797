// Operands of products on a tile in a slab, of which the right one may be in w; the result goes to the slab.
struct Operand { at: u32, row: u32, column: u32 } // offset, distance of rows, distance of columns
var<private> left: Operand;
var<private> right: Operand;
var<private> result: u32;      // first row of the result
