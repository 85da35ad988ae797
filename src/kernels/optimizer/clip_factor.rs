//! The global norm of all gradients, and by how much it is too long.

use crate::error::Result;
use crate::kernels::optimizer::settings::SETTINGS;
use crate::kernels::optimizer::square_sums::norms;
use crate::kernels::shader::clip_factor as shader;
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Real, Variant, shape_error};
use crate::tensor::{Call, Capacity, TensorType};
use crate::{shape, twins};

/// Words of the result: the norm, the factor, and two that are free.
pub const CLIP: usize = 4;

/// Arguments: norms ([`norms`]), settings ([`Settings`](crate::kernels::optimizer::settings::Settings)) →
/// result `[4]` in place: the global norm; the factor `min(1, clip / norm)` that brings it down to `clip` (1
/// where `clip` is not positive), or 0 if the norm is not finite.
#[derive(Debug)]
pub struct ClipFactor {
    /// Rows of the norms.
    pub parameters: usize,
}

impl Kernel for ClipFactor {
    fn stem(&self) -> &'static str {
        "clip_factor"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        if inputs.len() != 2
            || *inputs[0] != norms(self.parameters)
            || *inputs[1] != TensorType::f32(shape![SETTINGS])
        {
            return Err(shape_error(
                self.stem(),
                inputs,
                format_args!("needs {} and settings [{SETTINGS}]", norms(self.parameters)),
            ));
        }
        Ok(vec![])
    }

    fn variant(&self, _: &DeviceTraits, _: &Capacity) -> Variant {
        shader::variant()
    }

    fn dispatches(&self, _: &Variant, call: &Call) -> Vec<Dispatch> {
        let sums = norms(self.parameters).shape.elements_in(call);
        Dispatch::once(&shader::Params { sums: sums as u32 }, [1, 1, 1])
    }

    twins!(shader);
}

impl ClipFactor {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        let shader::Args { norms: squares, settings, result, .. } = args;
        let squares = &squares[..norms(self.parameters).shape.elements_in(call)];
        let norm = squares.iter().copied().sum::<R>().sqrt();
        let &[.., clip] = settings.first_chunk::<SETTINGS>().expect("a step has eight settings");
        result[0] = norm;
        result[1] = match norm.is_finite() {
            false => R::ZERO,
            true if clip > R::ZERO && norm > clip => clip / norm,
            true => R::ONE,
        };
    }
}
