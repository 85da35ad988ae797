//! Column sums of a matrix, in parts: the gradient of a bias before
//! [`SumPartials`](crate::kernels::rows::sum_partials::SumPartials).

use crate::error::Result;
use crate::kernels::rows::sum_partials::{PARTIAL_ROWS, partials};
use crate::kernels::shader::column_sums as shader;
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Real, Variant, cpu, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// Arguments: dy `[rows, width]` → partial sums over the rows, [`partials`] of `width`.
#[derive(Debug)]
pub struct ColumnSums {
    /// Columns.
    pub width: usize,
    /// What counts the rows: all rows of the call, or its lanes.
    pub rows: Unit,
}

/// How the rows of a call fall into the parts of [`partials`].
#[derive(Clone, Copy, Debug)]
pub(in crate::kernels) struct Parts {
    /// Rows of a lane.
    pub tokens: usize,
    /// Parts of a lane; the last ones may be empty.
    pub parts: usize,
    /// Parts of all lanes.
    pub total: usize,
}

impl Parts {
    pub fn of(rows: Unit, call: &Call) -> Self {
        let parts = call.unit(Unit::Blocks(PARTIAL_ROWS));
        Self { tokens: call.unit(rows) / call.lanes.len(), parts, total: call.lanes.len() * parts }
    }

    /// The rows of part `i`.
    pub fn rows(&self, i: usize) -> std::ops::Range<usize> {
        let (lane, part) = (i / self.parts, i % self.parts);
        let row = |n: usize| lane * self.tokens + n.min(self.tokens);
        row(part * PARTIAL_ROWS)..row((part + 1) * PARTIAL_ROWS)
    }
}

impl Kernel for ColumnSums {
    fn stem(&self) -> &'static str {
        "column_sums"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        if inputs.len() != 1
            || inputs[0].shape != shape![self.rows, self.width]
            || !matches!(self.rows, Unit::Rows | Unit::Lanes)
        {
            return Err(shape_error(
                self.stem(),
                inputs,
                format_args!("needs [rows or lanes, {}]", self.width),
            ));
        }
        Ok(vec![partials(self.width)])
    }

    fn variant(&self, _: &DeviceTraits, _: &Capacity) -> Variant {
        shader::Overrides { width: self.width, part: PARTIAL_ROWS }.variant()
    }

    fn dispatches(&self, _: &Variant, call: &Call) -> Vec<Dispatch> {
        let Parts { tokens, parts, total } = Parts::of(self.rows, call);
        let params = shader::Params { tokens: tokens as u32, parts: parts as u32, total: total as u32 };
        Dispatch::once(&params, Dispatch::linear((total * self.width).div_ceil(shader::INVOCATIONS)))
    }

    twins!(shader);
}

impl ColumnSums {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        let (width, parts) = (self.width, Parts::of(self.rows, call));
        let shader::Args { dy, partial, .. } = args;
        cpu::parallel_chunks(&mut partial[..parts.total * width], width, |part, out| {
            out.fill(R::ZERO);
            for row in parts.rows(part) {
                cpu::axpy(R::ONE, &dy[row * width..(row + 1) * width], out);
            }
        });
    }
}
