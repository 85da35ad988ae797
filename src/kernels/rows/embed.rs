//! Token embedding, with sinusoidal positions where the model has them.

use crate::error::Result;
use crate::kernels::heads::layout::{lane, rotation};
use crate::kernels::linear::few_bits;
use crate::kernels::shader::embed as shader;
use crate::kernels::{DeviceTraits, Dispatch, Gradient, Kernel, Real, Variant, cpu, shape_error};
use crate::tensor::{Call, Capacity, DType, TensorType, Unit};
use crate::{shape, twins};

/// What an embedding adds to tell positions apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Positions {
    /// Nothing.
    None,
    /// Sines and cosines (SPEC §1).
    Sinusoidal,
    /// A table of so many rows, in f32.
    Learned(usize),
}

/// `x[row] = table[ids[row]] (+ position)`.
///
/// Arguments: ids `u32`, lane table, table `[shard, width]`, (rotation table, or learned positions
/// `[n, width]`) → x `[rows, width]`; with
/// `first > 0` the x of the first shard is updated in place.
#[derive(Debug)]
pub struct Embed {
    /// Columns.
    pub width: usize,
    /// First token id of this shard of the table.
    pub first: usize,
    /// Token ids in this shard.
    pub rows: usize,
    /// Type of the table in memory.
    pub dtype: DType,
    /// What is added.
    pub positions: Positions,
    /// `ids` is `[slots]`, what the sampler wrote, instead of `[rows]`.
    pub by_slot: bool,
}

impl Kernel for Embed {
    fn stem(&self) -> &'static str {
        "embed"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let learned = match self.positions {
            Positions::Learned(n) => Some(shape![n, self.width]),
            _ => None,
        };
        if inputs.len() != 3 + usize::from(self.positions != Positions::None)
            || inputs[2].shape != shape![self.rows, self.width]
            || learned.is_some_and(|shape| inputs[3].shape != shape)
        {
            return Err(shape_error(
                self.stem(),
                inputs,
                format_args!("the table must be [{}, {}]", self.rows, self.width),
            ));
        }
        Ok(if self.first == 0 { vec![TensorType::f32(shape![Unit::Rows, self.width])] } else { vec![] })
    }

    fn variant(&self, _: &DeviceTraits, _: &Capacity) -> Variant {
        let flags = shader::Flags {
            f16: self.dtype == DType::F16,
            q4: few_bits::has(self.dtype, 4),
            q8: few_bits::has(self.dtype, 8),
            sinusoidal: self.positions == Positions::Sinusoidal,
            learned: matches!(self.positions, Positions::Learned(_)),
        };
        let few_bits = few_bits::overrides(self.dtype);
        shader::Overrides { width: self.width, by_slot: self.by_slot, few_bits }.variant(flags)
    }

    fn dispatches(&self, _: &Variant, call: &Call) -> Vec<Dispatch> {
        let rows = call.unit(Unit::Rows);
        let params = shader::Params {
            rows: rows as u32,
            tokens: call.tokens as u32,
            lane_base: call.lane_base as u32,
            shard_first: self.first as u32,
            shard_rows: self.rows as u32,
        };
        Dispatch::once(&params, Dispatch::linear((rows * self.width / 4).div_ceil(shader::INVOCATIONS)))
    }

    fn gradient(&self) -> Option<&dyn Gradient> {
        Some(self)
    }

    twins!(shader);
}

impl Embed {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        let shader::Args { ids, lanes, table, rotations, positions, x, .. } = args;
        let width = self.width;
        cpu::parallel_chunks(&mut x[..call.unit(Unit::Rows) * width], width, |row, x| {
            let lane = lane(lanes, call.lane_base + row / call.tokens);
            let id = ids[if self.by_slot { lane.slot } else { row }] as usize;
            let here = (self.first..self.first + self.rows).contains(&id);
            if here {
                table.widen((id - self.first) * width..(id - self.first + 1) * width, x);
            } else if self.first == 0 {
                x.fill(R::ZERO);
            }
            if let Some(rotations) = rotations.filter(|_| here || self.first == 0) {
                for i in 0..width / 2 {
                    let [cos, sin] = rotation(rotations, lane.position + row % call.tokens, i, width / 2);
                    x[2 * i] += sin;
                    x[2 * i + 1] += cos;
                }
            }
            if let Some(positions) = positions.filter(|_| here || self.first == 0) {
                let position = lane.position + row % call.tokens;
                cpu::axpy(R::ONE, &positions[position * width..][..width], x);
            }
        });
    }
}
