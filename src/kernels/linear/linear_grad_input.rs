//! Gradient of a linear layer's input: `dx (+)= dy W`.

use crate::error::Result;
use crate::kernels::Tile;
use crate::kernels::cpu::{Mat, MatMut};
use crate::kernels::shader::linear_grad_input as shader;
use crate::kernels::tiles::matrix_tile::workgroups;
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Real, Variant, cpu, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// Arguments: dy `[rows, outputs]`, w `[shard, inputs]` → dx `[rows, inputs]`, afresh or added in place. Of
/// dy a shard reads its columns `first .. first + shard`.
#[derive(Debug)]
pub struct LinearGradInput {
    /// Columns of dx.
    pub inputs: usize,
    /// Columns of dy.
    pub outputs: usize,
    /// First column of dy that this shard of w computed.
    pub first: usize,
    /// Columns of dy that this shard of w computed: the inner size.
    pub shard: usize,
    /// What counts the rows.
    pub rows: Unit,
    /// dx is added to.
    pub accumulate: bool,
}

impl Kernel for LinearGradInput {
    fn stem(&self) -> &'static str {
        "linear_grad_input"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let (dy, w) = (shape![self.rows, self.outputs], shape![self.shard, self.inputs]);
        if inputs.len() != 2
            || inputs[0].shape != dy
            || inputs[1].shape != w
            || self.first + self.shard > self.outputs
        {
            return Err(shape_error(self.stem(), inputs, format_args!("needs dy {dy} and w {w}")));
        }
        Ok(if self.accumulate { vec![] } else { vec![TensorType::f32(shape![self.rows, self.inputs])] })
    }

    fn variant(&self, device: &DeviceTraits, capacity: &Capacity) -> Variant {
        let tile = Tile::choose(device, capacity.unit(self.rows), self.inputs);
        shader::Overrides {
            k: self.shard,
            n: self.inputs,
            stride: self.outputs,
            accumulate: usize::from(self.accumulate),
            matrix_tile: tile.overrides(),
        }
        .variant()
    }

    fn dispatches(&self, variant: &Variant, call: &Call) -> Vec<Dispatch> {
        let rows = call.unit(self.rows);
        let params = shader::Params { rows: rows as u32, first_column: self.first as u32 };
        Dispatch::once(&params, workgroups(&shader::Overrides::of(variant).matrix_tile, rows, self.inputs))
    }

    fn flops(&self, call: &Call) -> u64 {
        (2 * call.unit(self.rows) * self.inputs * self.shard) as u64
    }

    twins!(shader);
}

impl LinearGradInput {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        let rows = call.unit(self.rows);
        let shader::Args { dy, w, dx, .. } = args;
        let dy = Mat::strided(&dy[self.first..], rows, self.shard, self.outputs);
        cpu::matmul_parallel(
            MatMut::new(dx, rows, self.inputs),
            dy,
            Mat::new(w, self.shard, self.inputs),
            self.accumulate,
        );
    }
}
