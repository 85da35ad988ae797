//! Gradient of a linear layer's weights: `dW += dyᵀ x`.

use crate::error::Result;
use crate::kernels::Tile;
use crate::kernels::cpu::{Mat, MatMut};
use crate::kernels::shader::linear_grad_weight as shader;
use crate::kernels::tiles::matrix_tile::workgroups;
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Real, Variant, cpu, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// Arguments: dy `[rows, outputs]`, x `[rows, inputs]` → dW `[shard, inputs]` in place, which gains the
/// product over all rows. Of dy a shard reads its columns `first .. first + shard`.
#[derive(Debug)]
pub struct LinearGradWeight {
    /// Columns of x.
    pub inputs: usize,
    /// Columns of dy.
    pub outputs: usize,
    /// First column of dy that belongs to this shard.
    pub first: usize,
    /// Rows of dW.
    pub shard: usize,
    /// What counts the rows of dy and x: the inner size.
    pub rows: Unit,
}

impl Kernel for LinearGradWeight {
    fn stem(&self) -> &'static str {
        "linear_grad_weight"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let (dy, x) = (shape![self.rows, self.outputs], shape![self.rows, self.inputs]);
        if inputs.len() != 2
            || inputs[0].shape != dy
            || inputs[1].shape != x
            || self.first + self.shard > self.outputs
        {
            return Err(shape_error(self.stem(), inputs, format_args!("needs dy {dy} and x {x}")));
        }
        Ok(vec![])
    }

    fn variant(&self, device: &DeviceTraits, _: &Capacity) -> Variant {
        let tile = Tile::choose(device, self.shard, self.inputs);
        shader::Overrides {
            m: self.shard,
            n: self.inputs,
            stride: self.outputs,
            matrix_tile: tile.overrides(),
        }
        .variant()
    }

    fn dispatches(&self, variant: &Variant, call: &Call) -> Vec<Dispatch> {
        let params = shader::Params { rows: call.unit(self.rows) as u32, first_column: self.first as u32 };
        Dispatch::once(
            &params,
            workgroups(&shader::Overrides::of(variant).matrix_tile, self.shard, self.inputs),
        )
    }

    fn flops(&self, call: &Call) -> u64 {
        (2 * call.unit(self.rows) * self.inputs * self.shard) as u64
    }

    twins!(shader);
}

impl LinearGradWeight {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        let rows = call.unit(self.rows);
        let shader::Args { dy, x, dw, .. } = args;
        let dy = Mat::strided(&dy[self.first..], rows, self.shard, self.outputs);
        cpu::matmul_parallel(
            MatMut::new(dw, self.shard, self.inputs),
            dy.t(),
            Mat::new(x, rows, self.inputs),
            true,
        );
    }
}
