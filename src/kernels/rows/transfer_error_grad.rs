//! The gradient of the relative error of a student's outputs.

use crate::error::Result;
use crate::kernels::heads::layout::lane;
use crate::kernels::rows::transfer_error::TransferError;
use crate::kernels::shader::transfer_error_grad as shader;
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Real, Variant, cpu, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// Of `L = Σ |y - t|² / Σ |t|²` over all rows of a call that count: `dy = 2 (y - t) / Σ |t|²`.
///
/// Arguments: y and t `[rows, width]`, errors `[rows, 2]` ([`TransferError`]), lane table → dy `[rows, width]`.
#[derive(Debug)]
pub struct TransferErrorGrad(pub TransferError);

impl Kernel for TransferErrorGrad {
    fn stem(&self) -> &'static str {
        "transfer_error_grad"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let rows = shape![Unit::Rows, self.0.width];
        if inputs.len() != 4 || inputs[..2].iter().any(|t| t.shape != rows) {
            return Err(shape_error(self.stem(), inputs, format_args!("needs rows of {}", self.0.width)));
        }
        Ok(vec![TensorType::f32(rows)])
    }

    fn variant(&self, _: &DeviceTraits, _: &Capacity) -> Variant {
        shader::Overrides { width: self.0.width, first: self.0.first }.variant()
    }

    fn dispatches(&self, _: &Variant, call: &Call) -> Vec<Dispatch> {
        let rows = call.unit(Unit::Rows);
        let params = shader::Params {
            rows: rows as u32,
            tokens: call.tokens as u32,
            lane_base: call.lane_base as u32,
        };
        Dispatch::once(&params, Dispatch::linear(rows.div_ceil(shader::ROWS)))
    }

    twins!(shader);
}

impl TransferErrorGrad {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        let shader::Args { y, t, errors, lanes, dy, .. } = args;
        let (rows, width) = (call.unit(Unit::Rows), self.0.width);
        let norm: R = errors[..2 * rows].chunks_exact(2).map(|row| row[1]).sum();
        let factor = if norm > R::ZERO { R::of(2.0) / norm } else { R::ZERO };
        cpu::parallel_chunks(&mut dy[..rows * width], width, |row, dy| {
            let position = lane(lanes, call.lane_base + row / call.tokens).position;
            let counts = position + row % call.tokens >= self.0.first;
            let factor = if counts { factor } else { R::ZERO };
            let own = row * width..(row + 1) * width;
            for ((dy, y), t) in dy.iter_mut().zip(&y[own.clone()]).zip(&t[own]) {
                *dy = factor * (*y - *t);
            }
        });
    }
}
