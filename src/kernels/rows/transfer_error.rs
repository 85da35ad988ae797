//! How far the outputs of a student lie from a teacher's, row by row.

use crate::error::Result;
use crate::kernels::heads::layout::lane;
use crate::kernels::shader::transfer_error as shader;
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Real, Variant, cpu, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// Arguments: student's y and teacher's t `[rows, width]`, lane table → errors `[rows, 2]`: `|y - t|²` and `|t|²`,
/// both 0 at positions before `first`, which are exact and count for nothing.
#[derive(Clone, Debug)]
pub struct TransferError {
    /// Columns.
    pub width: usize,
    /// First position that counts.
    pub first: usize,
}

impl Kernel for TransferError {
    fn stem(&self) -> &'static str {
        "transfer_error"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let rows = shape![Unit::Rows, self.width];
        if inputs.len() != 3 || inputs[..2].iter().any(|t| t.shape != rows) {
            return Err(shape_error(self.stem(), inputs, format_args!("needs rows of {}", self.width)));
        }
        Ok(vec![TensorType::f32(shape![Unit::Rows, 2])])
    }

    fn variant(&self, _: &DeviceTraits, _: &Capacity) -> Variant {
        shader::Overrides { width: self.width, first: self.first }.variant()
    }

    fn dispatches(&self, _: &Variant, call: &Call) -> Vec<Dispatch> {
        let rows = call.unit(Unit::Rows);
        let params = shader::Params {
            rows: rows as u32,
            tokens: call.tokens as u32,
            lane_base: call.lane_base as u32,
        };
        Dispatch::once(&params, Dispatch::linear(rows.div_ceil(shader::INVOCATIONS)))
    }

    twins!(shader);
}

impl TransferError {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        const ROWS: usize = 16;
        let shader::Args { y, t, lanes, errors, .. } = args;
        cpu::parallel_chunks(&mut errors[..2 * call.unit(Unit::Rows)], 2 * ROWS, |task, errors| {
            cpu::with_scratch(self.width, |difference: &mut [R]| {
                for (row, errors) in (task * ROWS..).zip(errors.chunks_exact_mut(2)) {
                    let own = row * self.width..(row + 1) * self.width;
                    let (y, t) = (&y[own.clone()], &t[own]);
                    difference.iter_mut().zip(y).zip(t).for_each(|((d, y), t)| *d = *y - *t);
                    let position = lane(lanes, call.lane_base + row / call.tokens).position;
                    let counts = position + row % call.tokens >= self.first;
                    let weight = if counts { R::ONE } else { R::ZERO };
                    errors[0] = weight * cpu::dot(difference, difference);
                    errors[1] = weight * cpu::dot(t, t);
                }
            });
        });
    }
}
