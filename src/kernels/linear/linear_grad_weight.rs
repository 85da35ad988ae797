//! Gradient of a linear layer's weights: `dW += dyᵀ x`.

use crate::error::Result;
use crate::kernels::Tile;
use crate::kernels::cpu::{Mat, MatMut};
use crate::kernels::rows::sum_partials::SumPartials;
use crate::kernels::shader::linear_grad_weight as shader;
use crate::kernels::tiles::matrix_tile::{DEPTH, workgroups};
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Real, Split, Variant, cpu, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};
use std::sync::Arc;

/// Arguments: dy `[rows, outputs]`, x `[rows, inputs]` → dW `[shard, inputs]` in place, which gains the
/// product over all rows; or, in parts, → partial products `[parts, shard · inputs]`. Of dy a shard reads its
/// columns `first .. first + shard`.
#[derive(Clone, Debug)]
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
    /// The most parts into which the rows are cut, each with a partial product of its own; none: one, added to dW.
    pub parts: Option<usize>,
}

/// Rows of a part at least: they outweigh the sum of its product.
const LEAST_ROWS: usize = 256;
/// Workgroups that keep a large device busy: four for each of 132 processors, nearly.
const ENOUGH: usize = 512;
/// Parts at most.
const MOST_PARTS: usize = 16;

impl LinearGradWeight {
    fn parts(&self) -> Option<Unit> {
        self.parts.map(|most| Unit::Shares { rows: LEAST_ROWS, most })
    }

    fn partial(&self) -> Option<TensorType> {
        Some(TensorType::f32(shape![self.parts()?, self.shard * self.inputs]))
    }

    /// Rows of each of the parts of a call.
    fn share(&self, call: &Call) -> usize {
        let rows = call.unit(self.rows);
        self.parts().map_or(rows, |parts| rows.div_ceil(call.unit(parts).max(1)).next_multiple_of(DEPTH))
    }
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
        Ok(self.partial().into_iter().collect())
    }

    /// Where dW has fewer tiles than would keep a large device busy, the rows are cut too: for every device in the
    /// same way, so that their plans have the same steps.
    fn split(&self, capacity: &Capacity) -> Option<Split> {
        let tile = Tile::default_for(self.shard, self.inputs);
        let [across, down, _] = workgroups(&tile.overrides(), self.shard, self.inputs);
        let tiles = across * down;
        // From half as many on, the sum costs what the parts gain.
        let parts = if tiles < ENOUGH / 2 { (ENOUGH / tiles).min(MOST_PARTS) } else { 1 };
        let rows = self.rows == Unit::Rows && self.parts.is_none();
        if !rows || parts.min(capacity.unit(self.rows) / LEAST_ROWS) < 2 {
            return None;
        }
        let split = Self { parts: Some(parts), ..self.clone() };
        let ty = split.partial()?;
        let sum = SumPartials { ty: ty.clone(), offset: 0, width: self.shard * self.inputs };
        Some(Split { parts: Arc::new(split), ty, sum: Arc::new(sum) })
    }

    fn variant(&self, device: &DeviceTraits, _: &Capacity) -> Variant {
        let tile = Tile::choose(device, self.shard, self.inputs);
        shader::Overrides {
            m: self.shard,
            n: self.inputs,
            stride: self.outputs,
            matrix_tile: tile.overrides(),
        }
        .variant(shader::Flags { parts: self.parts.is_some() })
    }

    fn dispatches(&self, variant: &Variant, call: &Call) -> Vec<Dispatch> {
        let params = shader::Params {
            rows: call.unit(self.rows) as u32,
            first_column: self.first as u32,
            share: self.share(call) as u32,
        };
        let tile = shader::Overrides::of(variant).matrix_tile;
        let [across, down, _] = workgroups(&tile, self.shard, self.inputs);
        Dispatch::once(&params, [across, down, self.parts().map_or(1, |parts| call.unit(parts))])
    }

    fn flops(&self, call: &Call) -> u64 {
        (2 * call.unit(self.rows) * self.inputs * self.shard) as u64
    }

    twins!(shader);
}

impl LinearGradWeight {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        let (rows, share) = (call.unit(self.rows), self.share(call));
        let shader::Args { dy, x, dw, .. } = args;
        let parts = self.parts().map_or(1, |parts| call.unit(parts));
        for (part, dw) in dw.chunks_exact_mut((self.shard * self.inputs).max(1)).take(parts).enumerate() {
            let from = rows.min(part * share);
            let n = share.min(rows - from);
            let dy = Mat::strided(&dy[from * self.outputs + self.first..], n, self.shard, self.outputs);
            cpu::matmul_parallel(
                MatMut::new(dw, self.shard, self.inputs),
                dy.t(),
                Mat::new(&x[from * self.inputs..], n, self.inputs),
                self.parts.is_none(),
            );
        }
    }
}
