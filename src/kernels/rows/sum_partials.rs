//! Partial sums of a parameter's gradient, one for each part of a call, added up.

use crate::error::Result;
use crate::kernels::shader::{norm_grad, sum_partials as shader};
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Real, Variant, cpu, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// Tokens of one lane that one partial sum covers.
pub const PARTIAL_ROWS: usize = norm_grad::PART;

/// Partial sums of `width` numbers, one for every [`PARTIAL_ROWS`] tokens of a lane: `[lanes, blocks,
/// width]`.
pub fn partials(width: usize) -> TensorType {
    TensorType::f32(shape![Unit::Lanes, Unit::Blocks(PARTIAL_ROWS), width])
}

/// Arguments: partial sums `[…, total]` → gradient `[width]` in place: it gains the sum over all of
/// `partial[offset .. offset + width]`.
#[derive(Debug)]
pub struct SumPartials {
    /// Type of the partial sums.
    pub ty: TensorType,
    /// First column.
    pub offset: usize,
    /// Columns.
    pub width: usize,
}

impl SumPartials {
    fn total(&self) -> usize {
        self.ty.shape.last().unwrap_or(0)
    }
}

impl Kernel for SumPartials {
    fn stem(&self) -> &'static str {
        "sum_partials"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        if inputs.len() != 1 || *inputs[0] != self.ty || self.offset + self.width > self.total() {
            return Err(shape_error(
                self.stem(),
                inputs,
                format_args!("needs {} with {} columns", self.ty, self.offset + self.width),
            ));
        }
        Ok(vec![])
    }

    fn variant(&self, _: &DeviceTraits, _: &Capacity) -> Variant {
        shader::Overrides { total: self.total(), offset: self.offset, width: self.width }.variant()
    }

    fn dispatches(&self, _: &Variant, call: &Call) -> Vec<Dispatch> {
        let parts = self.ty.shape.elements_in(call) / self.total();
        Dispatch::once(
            &shader::Params { parts: parts as u32 },
            Dispatch::linear(self.width.div_ceil(shader::INVOCATIONS)),
        )
    }

    twins!(shader);
}

impl SumPartials {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        const PART: usize = 4096;
        let shader::Args { partial, gradient, .. } = args;
        let partial = &partial[..self.ty.shape.elements_in(call)];
        cpu::parallel_chunks(&mut gradient[..self.width], PART, |part, sums| {
            for row in partial.chunks_exact(self.total()) {
                sums.iter_mut().zip(&row[self.offset + part * PART..]).for_each(|(sum, p)| *sum += *p);
            }
        });
    }
}
