//! Sum of two tensors.

use crate::error::Result;
use crate::kernels::shader::add as shader;
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Real, Variant, cpu, shape_error};
use crate::tensor::{Call, Capacity, TensorType};
use crate::twins;

/// Arguments: a, b → a + b; in place: a → b += a. All of one type.
#[derive(Debug)]
pub struct Add {
    /// Type of all of them.
    pub ty: TensorType,
    /// The second is updated.
    pub in_place: bool,
}

impl Kernel for Add {
    fn stem(&self) -> &'static str {
        "add"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        if inputs.len() != 2 - usize::from(self.in_place) || inputs.iter().any(|t| **t != self.ty) {
            return Err(shape_error(self.stem(), inputs, format_args!("needs tensors of {}", self.ty)));
        }
        Ok(if self.in_place { vec![] } else { vec![self.ty.clone()] })
    }

    fn variant(&self, _: &DeviceTraits, _: &Capacity) -> Variant {
        shader::variant(shader::Flags { in_place: self.in_place })
    }

    fn dispatches(&self, _: &Variant, call: &Call) -> Vec<Dispatch> {
        let elements = self.ty.shape.elements_in(call);
        Dispatch::once(
            &shader::Params { elements: elements as u32 },
            Dispatch::linear(elements.div_ceil(shader::ELEMENTS)),
        )
    }

    twins!(shader);
}

impl Add {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        const PART: usize = 16384;
        let n = self.ty.shape.elements_in(call);
        let shader::Args { a, b, b_mut, c, .. } = args;
        if let Some(b) = b_mut {
            cpu::parallel_chunks(&mut b[..n], PART, |part, b| {
                b.iter_mut().zip(&a[part * PART..]).for_each(|(b, a)| *b += *a);
            });
        }
        if let (Some(b), Some(c)) = (b, c) {
            cpu::parallel_chunks(&mut c[..n], PART, |part, c| {
                for ((c, a), b) in c.iter_mut().zip(&a[part * PART..]).zip(&b[part * PART..]) {
                    *c = *a + *b;
                }
            });
        }
    }
}
