//! LayerNorm over the last dimension.

use crate::error::Result;
use crate::kernels::shader::layer_norm as shader;
use crate::kernels::{DeviceTraits, Dispatch, Gradient, Kernel, Real, Variant, cpu, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// Arguments: x `[rows, width]`, norm `[2, width]` (weight, bias) → y `[rows, width]`. eps is 1e-5 (SPEC §2).
#[derive(Debug)]
pub struct LayerNorm {
    /// Columns.
    pub width: usize,
    /// What counts the rows: all rows of the call, or its lanes.
    pub rows: Unit,
}

impl Kernel for LayerNorm {
    fn stem(&self) -> &'static str {
        "layer_norm"
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
        shader::Overrides { width: self.width }.variant()
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

impl LayerNorm {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        let shader::Args { x, norm, y, .. } = args;
        let rows = call.unit(self.rows);
        normalize(x, norm, &mut y[..rows * self.width], self.width);
    }
}

/// LayerNorm of every row, several rows a task.
pub(in crate::kernels) fn normalize<R: Real>(x: &[R], norm: &[R], y: &mut [R], width: usize) {
    const ROWS: usize = 32;
    let (weight, bias) = norm.split_at(width);
    cpu::parallel_chunks(y, ROWS * width, |task, y| {
        cpu::layer_norm(&x[task * ROWS * width..][..y.len()], weight, bias, y);
    });
}
