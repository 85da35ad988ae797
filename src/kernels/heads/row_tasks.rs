//! Rows of tokens cut into tasks for the threads of the twins.

use std::ops::Range;

use super::layout::{HeadLayout, lane};
use crate::kernels::cpu;
use crate::tensor::Call;

/// The rows of one task.
pub(in crate::kernels) struct RowTask<'a, R> {
    /// Number of the (lane, key head).
    pub lane_head: usize,
    /// Rows of the span that the rows belong to.
    pub span: Range<usize>,
    /// These rows, counted from the head's first.
    pub rows: Range<usize>,
    /// The rows.
    pub out: &'a mut [R],
}

/// Cuts the call's rows, `per_token` a token, of rows `[lanes, heads, stride, width]` into spans, and those into
/// tiles of so many rows: a task each, in this order.
pub(in crate::kernels) fn row_tasks<'a, R>(
    rows: &'a mut [R],
    [heads, stride, width]: [usize; 3],
    per_token: usize,
    [span, tile]: [usize; 2],
    call: &Call,
) -> Vec<RowTask<'a, R>> {
    let mut tasks = Vec::new();
    for (lane_head, rows) in rows.chunks_mut(stride * width).take(call.lanes.len() * heads).enumerate() {
        let rows = &mut rows[..call.tokens * per_token * width];
        for (i, rows) in rows.chunks_mut(span * width).enumerate() {
            let span = i * span..i * span + rows.len() / width;
            for (i, out) in rows.chunks_mut(tile * width).enumerate() {
                let first = span.start + i * tile;
                tasks.push(RowTask {
                    lane_head,
                    span: span.clone(),
                    rows: first..first + out.len() / width,
                    out,
                });
            }
        }
    }
    tasks
}

/// Query rows of one block, of one (lane, key head).
pub(in crate::kernels) struct BlockTask {
    /// Number of the (lane, key head).
    pub lane_head: usize,
    /// Of the call: 0 is the block that the ring is filling.
    pub block: usize,
    /// First query row, counted from the first one of block 0.
    pub first: usize,
    /// First query row in the call.
    pub query: usize,
    /// Query rows.
    pub rows: usize,
}

/// Cuts the queries of a call by blocks and into tasks.
pub(in crate::kernels) fn block_tasks(layout: &HeadLayout, lanes: &[u32], call: &Call) -> Vec<BlockTask> {
    /// Queries of one task: few enough that the upper triangle a task computes in vain stays small.
    const ROWS: usize = 64;
    // In query rows.
    let (group, mut tasks) = (layout.group, Vec::new());
    let b = layout.block * group;
    for lane_head in 0..call.lanes.len() * layout.heads {
        let lane = lane(lanes, call.lane_base + lane_head / layout.heads);
        let (begin, end) = (lane.ring * group, (lane.ring + call.tokens) * group);
        for block in 0..end.div_ceil(b) {
            for tile in (block * b..block * b + b).step_by(ROWS) {
                let first = tile.max(begin);
                let rows = (tile + ROWS).min(block * b + b).min(end).saturating_sub(first);
                if rows > 0 {
                    tasks.push(BlockTask { lane_head, block, first, query: first - begin, rows });
                }
            }
        }
    }
    tasks
}

/// The vectors of outputs `[rows, H h]` of a call in the order of query rows `[lanes, G, tokens, M]`: those of a
/// (lane, key head) lie apart.
pub(in crate::kernels) fn by_head<'a, R>(
    outputs: &'a mut [R],
    layout: &HeadLayout,
    call: &Call,
) -> Vec<&'a mut [R]> {
    let (tokens, group, heads) = (call.tokens, layout.group, layout.heads);
    let outputs = &mut outputs[..call.lanes.len() * tokens * layout.width()];
    let place = |row: usize, head: usize| {
        ((row / tokens * heads + head / group) * tokens + row % tokens) * group + head % group
    };
    cpu::blocks(outputs, layout.width(), [layout.query_heads(), layout.head], place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_cover_the_rows_of_the_call() {
        // Two heads of five rows each, of which the call has four: spans of three tokens, tiles of two.
        let mut rows: Vec<usize> = (0..20).collect();
        let tasks = row_tasks(&mut rows, [2, 5, 2], 1, [3, 2], &Call::start(4));
        let seen: Vec<_> =
            tasks.iter().map(|t| (t.lane_head, t.span.clone(), t.rows.clone(), t.out[0])).collect();
        let of_head = |head: usize| {
            [(0..3, 0..2, 0), (0..3, 2..3, 4), (3..4, 3..4, 6)].map(|(s, t, at)| (head, s, t, at + 10 * head))
        };
        assert_eq!(seen, [of_head(0), of_head(1)].concat());
    }
}
