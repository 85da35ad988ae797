//! Gradients of LayerNorm.

use crate::error::Result;
use crate::kernels::cpu::SharedMut;
use crate::kernels::rows::column_sums::Parts;
use crate::kernels::rows::sum_partials::partials;
use crate::kernels::{Args, DeviceTraits, Dispatch, Kernel, Real, Variant, cpu, shader, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// Arguments: x `[rows, width]`, norm `[2, width]`, dy `[rows, width]` → partial sums of the norm's gradient,
/// [`partials`] of `2 width` (weight `Σ dy · x̂`, bias `Σ dy`); dx `[rows, width]`, afresh or added in place.
#[derive(Debug)]
pub struct LayerNormGrad {
    /// Columns.
    pub width: usize,
    /// What counts the rows: all rows of the call, or its lanes.
    pub rows: Unit,
    /// dx is added to.
    pub accumulate: bool,
}

impl Kernel for LayerNormGrad {
    fn stem(&self) -> &'static str {
        "layer_norm_grad"
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
        Variant::new("layer_norm_grad", &[])
            .size("WIDTH", self.width)
            .size("ACCUMULATE", usize::from(self.accumulate))
    }

    fn dispatches(&self, _: &Variant, call: &Call) -> Vec<Dispatch> {
        let Parts { tokens, parts, total } = Parts::of(self.rows, call);
        let params = shader::layer_norm_grad::Params {
            tokens: tokens as u32,
            parts: parts as u32,
            total: total as u32,
        };
        Dispatch::once(&params, Dispatch::linear(total))
    }

    fn flops(&self, call: &Call) -> u64 {
        (16 * call.unit(self.rows) * self.width) as u64
    }

    twins!();
}

impl LayerNormGrad {
    fn twin<R: Real>(&self, args: &mut Args<'_, R>, call: &Call) {
        let (width, parts) = (self.width, Parts::of(self.rows, call));
        let (x, norm, dy) = (args.real(0), args.real(1), args.real(2));
        let (out, dx) = (args.real_mut(3), SharedMut::new(args.real_mut(4)));
        cpu::parallel_chunks(&mut out[..parts.total * 2 * width], 2 * width, |part, out| {
            out.fill(R::ZERO);
            let (dweight, dbias) = out.split_at_mut(width);
            let rows = parts.rows(part);
            let columns = rows.start * width..rows.end * width;
            // SAFETY: every part has its own rows.
            let dx = unsafe { dx.slice(columns.start, columns.len()) };
            if !self.accumulate {
                dx.fill(R::ZERO);
            }
            cpu::layer_norm_backward(&x[columns.clone()], &norm[..width], &dy[columns], dx, dweight, dbias);
        });
    }
}
