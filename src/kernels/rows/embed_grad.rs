//! Gradient of the token embedding: rows of dx added to the rows of the table they came from, always in the
//! same order.

use crate::error::Result;
use crate::kernels::cpu::SharedMut;
use crate::kernels::{Args, DeviceTraits, Dispatch, Kernel, Real, Variant, cpu, shader, shape_error};
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
        Variant::new("embed_grad", &[]).size("WIDTH", self.width)
    }

    fn dispatches(&self, _: &Variant, call: &Call) -> Vec<Dispatch> {
        let rows = call.unit(Unit::Rows);
        let params = shader::embed_grad::Params {
            rows: rows as u32,
            shard_first: self.first as u32,
            shard_rows: self.rows as u32,
        };
        Dispatch::once(&params, Dispatch::linear(rows))
    }

    twins!();
}

impl EmbedGrad {
    fn twin<R: Real>(&self, args: &mut Args<'_, R>, call: &Call) {
        let (order, ids, dx) = (&args.ids(0)[..call.unit(Unit::Rows)], args.ids(1), args.real(2));
        let table = SharedMut::new(args.real_mut(3));
        let width = self.width;
        let runs: Vec<&[u32]> = order.chunk_by(|a, b| ids[*a as usize] == ids[*b as usize]).collect();
        cpu::parallel_for(runs.len(), |run| {
            let id = ids[runs[run][0] as usize] as usize;
            if !(self.first..self.first + self.rows).contains(&id) {
                return;
            }
            // SAFETY: every run has its own token id, and with it its own row.
            let sum = unsafe { table.slice((id - self.first) * width, width) };
            for &row in runs[run] {
                cpu::axpy(R::ONE, &dx[row as usize * width..][..width], sum);
            }
        });
    }
}
