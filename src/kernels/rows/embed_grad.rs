//! Gradient of the token embedding: rows of dx added to the rows of the table they came from, always in the
//! same order.

use crate::error::Result;
use crate::kernels::shader::embed_grad as shader;
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Real, Variant, cpu, shape_error};
use crate::tensor::{Call, Capacity, TensorType, Unit};
use crate::{shape, twins};

/// Arguments: order `u32 [rows]` ([`order`] of the ids), ids `u32 [rows]`, dx `[rows, width]` → table
/// gradient `[shard, width]` in place.
#[derive(Debug)]
pub struct EmbedGrad {
    /// Columns.
    pub width: usize,
    /// First token id of this shard of the table.
    pub first: usize,
    /// Token ids in this shard.
    pub rows: usize,
}

/// The numbers of the rows, stably sorted by token id: what the caller writes into the input `order`.
pub fn order(ids: &[u32]) -> Vec<u32> {
    let mut rows: Vec<u32> = (0..ids.len() as u32).collect();
    rows.sort_by_key(|row| ids[*row as usize]);
    rows
}

impl Kernel for EmbedGrad {
    fn stem(&self) -> &'static str {
        "embed_grad"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let (rows, dx) = (shape![Unit::Rows], shape![Unit::Rows, self.width]);
        if inputs.len() != 3 || inputs[0].shape != rows || inputs[1].shape != rows || inputs[2].shape != dx {
            return Err(shape_error(
                self.stem(),
                inputs,
                format_args!("needs order [rows], ids [rows] and dx {dx}"),
            ));
        }
        Ok(vec![])
    }

    fn variant(&self, _: &DeviceTraits, _: &Capacity) -> Variant {
        shader::Overrides { width: self.width }.variant()
    }

    fn dispatches(&self, _: &Variant, call: &Call) -> Vec<Dispatch> {
        let rows = call.unit(Unit::Rows);
        let params = shader::Params {
            rows: rows as u32,
            shard_first: self.first as u32,
            shard_rows: self.rows as u32,
        };
        Dispatch::once(&params, Dispatch::linear(rows))
    }

    twins!(shader);
}

impl EmbedGrad {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, call: &Call) {
        let shader::Args { order, ids, dx, table, .. } = args;
        let width = self.width;
        let id = |row: &u32| ids[*row as usize] as usize;
        // Runs of rows with one id, and so with one row of the table; ids ascend.
        let runs = order[..call.unit(Unit::Rows)].chunk_by(|a, b| id(a) == id(b));
        let here = |run: &&[u32]| (self.first..self.first + self.rows).contains(&id(&run[0]));
        let runs: Vec<&[u32]> = runs.filter(here).collect();
        let of_run = |run: &&[u32]| {
            let first = (id(&run[0]) - self.first) * width;
            first..first + width
        };
        cpu::parallel_each(runs.iter().zip(cpu::ranges(table, runs.iter().map(of_run))), |_, (run, sum)| {
            for &row in *run {
                cpu::axpy(R::ONE, &dx[row as usize * width..][..width], sum);
            }
        });
    }
}
