//! Zeros.

use std::ops::Range;

use crate::error::Result;
use crate::kernels::{Args, DeviceTraits, Dispatch, Kernel, Real, Variant, shader, shape_error};
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
        Variant::new("clear", &[]).size("FIRST", range.start).size("ELEMENTS", range.len())
    }

    fn dispatches(&self, variant: &Variant, _: &Call) -> Vec<Dispatch> {
        Dispatch::once(
            &shader::clear::Params::default(),
            Dispatch::linear(variant.get("ELEMENTS").div_ceil(64)),
        )
    }

    twins!();
}

impl Clear {
    fn twin<R: Real>(&self, args: &mut Args<'_, R>, _: &Call) {
        let tensor = args.real_mut(0);
        let range = self.range.clone().unwrap_or(0..tensor.len());
        tensor[range].fill(R::ZERO);
    }
}
