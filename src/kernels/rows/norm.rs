//! LayerNorm or RMSNorm over the last dimension.

use crate::error::Result;
use crate::kernels::cpu::Norm;
use crate::kernels::shader::norm as shader;
use crate::kernels::shader::shared::RowMoments;
use crate::kernels::{DeviceTraits, Dispatch, Gradient, Kernel, Real, Variant, cpu, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// Arguments: x `[rows, width]`, norm `[2, width]` (weight, bias) → y `[rows, width]`.
#[derive(Debug)]
pub struct Normalize {
    /// Columns.
    pub width: usize,
    /// What counts the rows: all rows of the call, or its lanes.
    pub rows: Unit,
    /// Which norm.
    pub norm: Norm,
}

impl Kernel for Normalize {
    fn stem(&self) -> &'static str {
        "norm"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        if inputs.len() != 2
            || inputs[0].shape != shape![self.rows, self.width]
            || inputs[1].shape != shape![2, self.width]
        {
            return Err(shape_error(
                self.stem(),
                inputs,
                format_args!("needs x [{:?}, {}] and norm [2, {}]", self.rows, self.width, self.width),
            ));
        }
        Ok(vec![inputs[0].clone()])
    }

    fn variant(&self, _: &DeviceTraits, _: &Capacity) -> Variant {
        shader::Overrides { width: self.width, row_moments: moments(self.norm) }.variant()
    }

    fn dispatches(&self, _: &Variant, call: &Call) -> Vec<Dispatch> {
        let rows = call.unit(self.rows);
        Dispatch::once(&shader::Params { rows: rows as u32 }, Dispatch::linear(rows))
    }

    fn flops(&self, call: &Call) -> u64 {
        (8 * call.unit(self.rows) * self.width) as u64
    }

    fn gradient(&self) -> Option<&dyn Gradient> {
        Some(self)
    }

    twins!(shader);
}

impl Normalize {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        let shader::Args { x, norm, y, .. } = args;
        let rows = call.unit(self.rows);
        normalize(self.norm, x, norm, &mut y[..rows * self.width], self.width);
    }
}

/// The norm of every row, several rows a task; `weights` are those of weight and bias.
pub(in crate::kernels) fn normalize<R: Real>(norm: Norm, x: &[R], weights: &[R], y: &mut [R], width: usize) {
    const ROWS: usize = 32;
    let (weight, bias) = weights.split_at(width);
    cpu::parallel_chunks(y, ROWS * width, |task, y| {
        norm.apply(&x[task * ROWS * width..][..y.len()], weight, bias, y);
    });
}

/// The values of `shared/row_moments.wgsl`.
pub(in crate::kernels) fn moments(norm: Norm) -> RowMoments {
    RowMoments { centred: norm.centred, eps: norm.eps }
}
