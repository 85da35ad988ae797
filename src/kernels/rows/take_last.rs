//! The last row of each lane.

use crate::error::Result;
use crate::kernels::shader::take_last as shader;
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Real, Variant, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// Arguments: x `[rows, width]` → y `[lanes, width]`, the row of each lane's last token.
#[derive(Debug)]
pub struct TakeLast {
    /// Columns.
    pub width: usize,
}

impl Kernel for TakeLast {
    fn stem(&self) -> &'static str {
        "take_last"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        if inputs.len() != 1 || inputs[0].shape != shape![Unit::Rows, self.width] {
            return Err(shape_error(self.stem(), inputs, format_args!("needs [rows, {}]", self.width)));
        }
        Ok(vec![TensorType::f32(shape![Unit::Lanes, self.width])])
    }

    fn variant(&self, _: &DeviceTraits, _: &Capacity) -> Variant {
        shader::Overrides { width: self.width }.variant()
    }

    fn dispatches(&self, _: &Variant, call: &Call) -> Vec<Dispatch> {
        let params = shader::Params { lanes: call.lanes.len() as u32, tokens: call.tokens as u32 };
        Dispatch::once(&params, [(self.width / 4).div_ceil(shader::INVOCATIONS), call.lanes.len(), 1])
    }

    twins!(shader);
}

impl TakeLast {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        let shader::Args { x, y, .. } = args;
        for (lane, y) in y.chunks_exact_mut(self.width).take(call.lanes.len()).enumerate() {
            let row = (lane + 1) * call.tokens - 1;
            y.copy_from_slice(&x[row * self.width..(row + 1) * self.width]);
        }
    }
}
