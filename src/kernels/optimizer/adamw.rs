//! The AdamW step of one parameter.

use std::ops::Range;

use crate::error::Result;
use crate::kernels::optimizer::clip_factor::CLIP;
use crate::kernels::optimizer::settings::SETTINGS;
use crate::kernels::optimizer::square_sums::fixed_elements;
use crate::kernels::shader::adamw as shader;
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Real, Variant, cpu, shape_error};
use crate::tensor::{Call, Capacity, TensorType};
use crate::twins;

/// Which elements the weight decay reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decay {
    /// All.
    All,
    /// None: biases, norms.
    None,
    /// All but so many ranges, listed in a table ([`ranges`]).
    Except(usize),
}

/// The table of [`Decay::Except`]: `u32 [n, 2]`, first element and the one after the last, in ascending
/// order.
pub fn ranges(ranges: &[Range<usize>]) -> Vec<u32> {
    ranges.iter().flat_map(|r| [r.start as u32, r.end as u32]).collect()
}

/// Arguments: settings `[8]` ([`Settings::at`](crate::kernels::optimizer::settings::Settings::at)), result
/// `[4]` of [`ClipFactor`](crate::kernels::optimizer::clip_factor::ClipFactor), (ranges `u32 [n, 2]`) →
/// parameter, first moment, second moment, gradient `[elements]` in place, in the order of PyTorch's AdamW:
/// decay, moments, step. The gradient is cleared. A clip factor of 0 (gradients that are not finite) skips
/// the step.
#[derive(Debug)]
pub struct AdamW {
    /// Elements of the parameter, whatever its shape.
    pub elements: usize,
    /// Which of them decay.
    pub decay: Decay,
}

impl Kernel for AdamW {
    fn stem(&self) -> &'static str {
        "adamw"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let mut want = vec![SETTINGS, CLIP];
        if let Decay::Except(n) = self.decay {
            want.push(2 * n);
        }
        if !inputs.iter().map(|t| fixed_elements(t)).eq(want.into_iter().map(Some)) {
            return Err(shape_error(
                self.stem(),
                inputs,
                format_args!("needs settings [{SETTINGS}], clip factor [{CLIP}], decay {:?}", self.decay),
            ));
        }
        Ok(vec![])
    }

    fn variant(&self, _: &DeviceTraits, _: &Capacity) -> Variant {
        let flags = shader::Flags { ranges: matches!(self.decay, Decay::Except(_)) };
        shader::Overrides { elements: self.elements, decayed: self.decay != Decay::None }.variant(flags)
    }

    fn dispatches(&self, _: &Variant, _: &Call) -> Vec<Dispatch> {
        let ranges = if let Decay::Except(n) = self.decay { n } else { 0 };
        Dispatch::once(
            &shader::Params { ranges: ranges as u32 },
            Dispatch::linear(self.elements.div_ceil(shader::INVOCATIONS)),
        )
    }

    twins!(shader);
}

impl AdamW {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, _: &Call) {
        const PART: usize = 4096;
        let shader::Args { settings, clip, ranges, parameter, first, second, gradient, .. } = args;
        let &[lr, beta1, beta2, eps, decay, gathered1, gathered2, _] =
            settings.first_chunk::<SETTINGS>().expect("a step has eight settings");
        let factor = clip[1];
        let kept = match (self.decay, ranges) {
            (Decay::Except(n), Some(ranges)) => &ranges[..2 * n],
            _ => &[],
        };
        let [p, m, v, g] = [parameter, first, second, gradient].map(|t| t[..self.elements].chunks_mut(PART));
        cpu::parallel_each(p.zip(m).zip(v).zip(g), |part, (((p, m), v), g)| {
            if factor == R::ZERO {
                return g.fill(R::ZERO);
            }
            let (start, len) = (part * PART, g.len());
            let mut shrink = |range: Range<usize>| {
                let within = |at: usize| at.clamp(start, start + len) - start;
                p[within(range.start)..within(range.end)].iter_mut().for_each(|p| *p *= R::ONE - lr * decay);
            };
            if self.decay != Decay::None {
                let mut from = 0;
                for range in kept.chunks_exact(2) {
                    shrink(from..range[0] as usize);
                    from = range[1] as usize;
                }
                shrink(from..self.elements);
            }
            cpu::vectorized(
                #[inline(always)]
                || {
                    for (((p, m), v), g) in p.iter_mut().zip(m).zip(v).zip(g) {
                        let gradient = *g * factor;
                        *m = beta1 * *m + (R::ONE - beta1) * gradient;
                        *v = beta2 * *v + (R::ONE - beta2) * gradient * gradient;
                        *p -= lr * (*m / gathered1) / ((*v / gathered2).sqrt() + eps);
                        *g = R::ZERO;
                    }
                },
            );
        });
    }
}
