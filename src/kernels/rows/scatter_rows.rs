//! Rows of a call to the slots of its lanes.

use crate::error::Result;
use crate::kernels::heads::layout::lane;
use crate::kernels::shader::scatter_rows as shader;
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Real, Variant, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// Arguments: x `[lanes, width]`, lane table; in place: y `[slots, width]`, `y[slot(lane)] = x[lane]`.
#[derive(Debug)]
pub struct ScatterRows {
    /// Columns.
    pub width: usize,
}

impl Kernel for ScatterRows {
    fn stem(&self) -> &'static str {
        "scatter_rows"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        if inputs.len() != 2 || inputs[0].shape != shape![Unit::Lanes, self.width] {
            return Err(shape_error(
                self.stem(),
                inputs,
                format_args!("needs x [lanes, {}] and the lane table", self.width),
            ));
        }
        Ok(vec![])
    }

    fn variant(&self, _: &DeviceTraits, _: &Capacity) -> Variant {
        shader::Overrides { width: self.width }.variant()
    }

    fn dispatches(&self, _: &Variant, call: &Call) -> Vec<Dispatch> {
        let params = shader::Params { lane_base: call.lane_base as u32 };
        Dispatch::once(&params, [self.width.div_ceil(shader::INVOCATIONS), call.lanes.len(), 1])
    }

    twins!(shader);
}

impl ScatterRows {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        let shader::Args { x, lanes, y, .. } = args;
        for (at, x) in x.chunks_exact(self.width).take(call.lanes.len()).enumerate() {
            let slot = lane(lanes, call.lane_base + at).slot;
            y[slot * self.width..(slot + 1) * self.width].copy_from_slice(x);
        }
    }
}
