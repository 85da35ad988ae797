//! Gradient of learned positions.

use crate::error::Result;
use crate::kernels::heads::layout::lane;
use crate::kernels::shader::position_grad as shader;
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Real, Variant, cpu, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// Arguments: lane table, dx `[rows, width]` → the gradient of the table of positions `[n, width]` in place.
#[derive(Debug)]
pub struct PositionGrad {
    /// Columns.
    pub width: usize,
}

impl PositionGrad {
    /// The positions that a call has tokens at, and those between.
    fn positions(call: &Call) -> std::ops::Range<usize> {
        let first = call.lanes.iter().map(|lane| lane.position).min().unwrap_or(0);
        let last = call.lanes.iter().map(|lane| lane.position).max().unwrap_or(0);
        first..last + call.tokens
    }
}

impl Kernel for PositionGrad {
    fn stem(&self) -> &'static str {
        "position_grad"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let dx = shape![Unit::Rows, self.width];
        if inputs.len() != 2 || inputs[1].shape != dx {
            return Err(shape_error(self.stem(), inputs, format_args!("needs lanes and dx {dx}")));
        }
        Ok(vec![])
    }

    fn variant(&self, _: &DeviceTraits, _: &Capacity) -> Variant {
        shader::Overrides { width: self.width }.variant()
    }

    fn dispatches(&self, _: &Variant, call: &Call) -> Vec<Dispatch> {
        let positions = Self::positions(call);
        let params = shader::Params {
            lanes: call.lanes.len() as u32,
            tokens: call.tokens as u32,
            lane_base: call.lane_base as u32,
            first: positions.start as u32,
            count: positions.len() as u32,
        };
        Dispatch::once(&params, Dispatch::linear(positions.len()))
    }

    twins!(shader);
}

impl PositionGrad {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        let shader::Args { lanes, dx, table, .. } = args;
        let width = self.width;
        for at in 0..call.lanes.len() {
            let first = lane(lanes, call.lane_base + at).position * width;
            let dx = &dx[at * call.tokens * width..][..call.tokens * width];
            cpu::axpy(R::ONE, dx, &mut table[first..first + dx.len()]);
        }
    }
}
