//! Gradients of LayerNorm and RMSNorm.

use crate::error::Result;
use crate::kernels::cpu::Norm;
use crate::kernels::rows::column_sums::Parts;
use crate::kernels::rows::sum_partials::partials;
use crate::kernels::shader::norm_grad as shader;
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Real, Variant, cpu, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// Arguments: x `[rows, width]`, norm `[2, width]`, dy `[rows, width]` → partial sums of the norm's gradient,
/// [`partials`] of `2 width` (weight `Σ dy · x̂`, bias `Σ dy`); dx `[rows, width]`, afresh or added in place.
#[derive(Debug)]
pub struct NormalizeGrad {
    /// Columns.
    pub width: usize,
    /// What counts the rows: all rows of the call, or its lanes.
    pub rows: Unit,
    /// dx is added to.
    pub accumulate: bool,
    /// Which norm.
    pub norm: Norm,
}

impl Kernel for NormalizeGrad {
    fn stem(&self) -> &'static str {
        "norm_grad"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let (x, norm) = (shape![self.rows, self.width], shape![2, self.width]);
        let fits =
            inputs.len() == 3 && inputs[0].shape == x && inputs[1].shape == norm && inputs[2].shape == x;
        if !fits || !matches!(self.rows, Unit::Rows | Unit::Lanes) {
            return Err(shape_error(
                self.stem(),
                inputs,
                format_args!("needs x {x}, norm {norm} and dy {x}"),
            ));
        }
        let mut outputs = vec![partials(2 * self.width)];
        if !self.accumulate {
            outputs.push(inputs[0].clone());
        }
        Ok(outputs)
    }

    fn variant(&self, _: &DeviceTraits, _: &Capacity) -> Variant {
        let Norm { centred, eps } = self.norm;
        shader::Overrides { width: self.width, accumulate: self.accumulate, centred, eps }.variant()
    }

    fn dispatches(&self, _: &Variant, call: &Call) -> Vec<Dispatch> {
        let Parts { tokens, parts, total } = Parts::of(self.rows, call);
        let params = shader::Params { tokens: tokens as u32, parts: parts as u32, total: total as u32 };
        Dispatch::once(&params, Dispatch::linear(total))
    }

    fn flops(&self, call: &Call) -> u64 {
        (16 * call.unit(self.rows) * self.width) as u64
    }

    twins!(shader);
}

impl NormalizeGrad {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        let (width, parts) = (self.width, Parts::of(self.rows, call));
        let shader::Args { x, norm, dy, partial, dx, .. } = args;
        let elements = |part: usize| {
            let rows = parts.rows(part);
            rows.start * width..rows.end * width
        };
        let sums = partial[..parts.total * 2 * width].chunks_mut(2 * width);
        let dx = cpu::ranges(dx, (0..parts.total).map(elements));
        cpu::parallel_each(sums.zip(dx), |part, (sums, dx)| {
            sums.fill(R::ZERO);
            let (dweight, dbias) = sums.split_at_mut(width);
            let columns = elements(part);
            if !self.accumulate {
                dx.fill(R::ZERO);
            }
            self.norm.backward(&x[columns.clone()], &norm[..width], &dy[columns], dx, dweight, dbias);
        });
    }
}
