//! Zeros.

use super::{Args, DeviceTraits, Dispatch, Kernel, Real, Variant, shader, shape_error};
use crate::error::Result;
use crate::tensor::{Call, Capacity, TensorType};
use crate::twins;

/// Arguments: a float tensor, zeroed in place as a whole, whatever the size of the call.
#[derive(Debug)]
pub struct Clear {
    /// Its type.
    pub ty: TensorType,
}

impl Kernel for Clear {
    fn stem(&self) -> &'static str {
        "clear"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        if inputs.is_empty() { Ok(vec![]) } else { Err(shape_error(self.stem(), inputs, "reads nothing")) }
    }

    fn variant(&self, _: &DeviceTraits, capacity: &Capacity) -> Variant {
        Variant::new("clear", &[]).size("ELEMENTS", self.ty.shape.elements(capacity))
    }

    fn dispatch(&self, variant: &Variant, _: &Call) -> Dispatch {
        Dispatch::new(&shader::params::Clear::default(), Dispatch::linear(variant.get("ELEMENTS").div_ceil(64)))
    }

    twins!();
}

impl Clear {
    fn twin<R: Real>(&self, args: &mut Args<'_, R>, _: &Call) {
        args.real_mut(0).fill(R::ZERO);
    }
}
