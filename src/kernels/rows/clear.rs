//! Zeros.

use std::ops::Range;

use crate::error::Result;
use crate::kernels::shader::clear as shader;
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Real, Variant, shape_error};
use crate::tensor::{Call, Capacity, TensorType};
use crate::twins;

/// Arguments: a float tensor, zeroed in place, whatever the size of the call.
#[derive(Debug)]
pub struct Clear {
    /// Its type.
    pub ty: TensorType,
    /// Which elements; none: all.
    pub range: Option<Range<usize>>,
}

impl Kernel for Clear {
    fn stem(&self) -> &'static str {
        "clear"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        if inputs.is_empty() { Ok(vec![]) } else { Err(shape_error(self.stem(), inputs, "reads nothing")) }
    }

    fn variant(&self, _: &DeviceTraits, capacity: &Capacity) -> Variant {
        let range = self.range.clone().unwrap_or(0..self.ty.shape.elements(capacity));
        shader::Overrides { first: range.start, elements: range.len() }.variant()
    }

    // Rows without padding have nothing to clear behind their gates.
    fn runs(&self, _: &Call) -> bool {
        self.range.as_ref().is_none_or(|range| !range.is_empty())
    }

    fn dispatches(&self, variant: &Variant, _: &Call) -> Vec<Dispatch> {
        let elements = shader::Overrides::of(variant).elements;
        Dispatch::once(&shader::Params::default(), Dispatch::linear(elements.div_ceil(shader::INVOCATIONS)))
    }

    twins!(shader);
}

impl Clear {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, _: &Call) {
        let shader::Args { tensor, .. } = args;
        let range = self.range.clone().unwrap_or(0..tensor.len());
        tensor[range].fill(R::ZERO);
    }
}
