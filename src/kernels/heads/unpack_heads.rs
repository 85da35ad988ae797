//! Takes the sketch and gate columns out of the gradients of query and key rows.

use crate::error::Result;
use crate::kernels::heads::layout::{HeadLayout, lane};
use crate::kernels::shader::unpack_heads as shader;
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Real, Variant, cpu, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// Which columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Columns {
    /// Those of s, of queries `[lanes, G, tokens, M, r]`, then of keys `[lanes, G, tokens, r]`.
    Sketch,
    /// The gate sum's gradient, of keys: `[lanes, G, tokens, 2]`; the second number is 0.
    Gate,
}

/// Arguments: lane table, dqueries `[lanes, G, tokens, M, query_width]`, dkeys `[lanes, G, window, key_width]` →
/// columns.
#[derive(Debug)]
pub struct UnpackHeads {
    /// Row layouts.
    pub layout: HeadLayout,
    /// Which columns.
    pub columns: Columns,
}

impl UnpackHeads {
    /// (parts, numbers of a row, first column in query rows, in key rows).
    fn shape(&self) -> (usize, usize, usize, usize) {
        let l = &self.layout;
        match self.columns {
            Columns::Sketch => (2, l.sketch, l.sketch_offset(), l.sketch_offset()),
            Columns::Gate => (1, 2, 0, l.sum_offset()),
        }
    }

    fn rows_of_token(&self) -> usize {
        if self.columns == Columns::Sketch { self.layout.vectors() } else { self.layout.heads }
    }
}

impl Kernel for UnpackHeads {
    fn stem(&self) -> &'static str {
        "unpack_heads"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let l = &self.layout;
        if inputs.len() != 3
            || inputs[1].shape.last() != Some(l.query_width())
            || inputs[2].shape.last() != Some(l.key_width())
        {
            return Err(shape_error(
                self.stem(),
                inputs,
                format_args!("needs rows of {} and {}", l.query_width(), l.key_width()),
            ));
        }
        Ok(vec![TensorType::f32(match self.columns {
            Columns::Sketch => l.sketch_shape(),
            Columns::Gate => shape![Unit::Lanes, l.heads, Unit::Tokens, 2],
        })])
    }

    fn variant(&self, _: &DeviceTraits, _: &Capacity) -> Variant {
        let (parts, width, query_offset, key_offset) = self.shape();
        let head_layout = self.layout.overrides();
        shader::Overrides { parts, width, query_offset, key_offset, head_layout }.variant()
    }

    fn dispatches(&self, _: &Variant, call: &Call) -> Vec<Dispatch> {
        let params = shader::Params {
            lanes: call.lanes.len() as u32,
            tokens: call.tokens as u32,
            lane_base: call.lane_base as u32,
            stride: call.unit(self.layout.window()) as u32,
        };
        let rows = self.rows_of_token() * call.unit(Unit::Rows);
        Dispatch::once(&params, Dispatch::linear(rows.div_ceil(shader::INVOCATIONS)))
    }

    twins!(shader);
}

impl UnpackHeads {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        let shader::Args { lanes, dqueries, dkeys, columns, .. } = args;
        let l = &self.layout;
        let (parts, width, query, key) = self.shape();
        let (tokens, stride) = (call.tokens, call.unit(l.window()));
        let lane_heads = call.lanes.len() * l.heads;
        // Tasks of queries come first: M times as many rows of each (lane, key head), as M tasks.
        let of_queries = if parts == 1 { 0 } else { lane_heads * l.group };
        let columns = &mut columns[..(of_queries + lane_heads) * tokens * width];
        cpu::parallel_chunks(columns, tokens * width, |task, out| {
            for (row, out) in out.chunks_exact_mut(width).enumerate() {
                let from = match task.checked_sub(of_queries) {
                    None => &dqueries[(task * tokens + row) * l.query_width() + query..],
                    Some(lane_head) => {
                        let ring = lane(lanes, call.lane_base + lane_head / l.heads).ring;
                        &dkeys[(lane_head * stride + ring + row) * l.key_width() + key..]
                    }
                };
                out.copy_from_slice(&from[..width]);
            }
        });
    }
}
