//! The slabs of the sketches' gradients: partial sums of what is trained, and, of the shaders only, the tile
//! in work.

use crate::error::Result;
use crate::kernels::heads::layout::HeadLayout;
use crate::kernels::sketch::vectors::vector_count;
use crate::kernels::{Dispatch, shape_error};
use crate::shape;
use crate::tensor::{Call, TensorType, Unit};

/// Slabs, one for each workgroup: enough to keep a GPU busy, few enough to add up, and to be bound at once.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernels) struct Slabs {
    /// Numbers of a slab.
    pub numbers: usize,
    /// Slabs at most.
    pub most: usize,
}

impl Slabs {
    fn unit(self) -> Unit {
        /// Numbers of all slabs: 96 MiB.
        const NUMBERS: usize = 24 << 20;
        Unit::Shares { rows: 32, most: (NUMBERS / self.numbers).clamp(8, self.most) }
    }

    /// How many there are in a call.
    pub fn count(self, call: &Call) -> usize {
        call.unit(self.unit())
    }

    /// `[slabs, numbers]`
    pub fn ty(self) -> TensorType {
        TensorType::f32(shape![self.unit(), self.numbers])
    }

    /// The dispatches over all tiles of `rows` vectors, which the slabs take in turns, `at_once` each in a
    /// dispatch. `params` makes the parameters from the number of slabs and a slab's first tile.
    pub fn dispatches<P: bytemuck::Pod>(
        self,
        layout: &HeadLayout,
        [rows, at_once]: [usize; 2],
        call: &Call,
        params: impl Fn(usize, usize) -> P,
    ) -> Vec<Dispatch> {
        let slabs = self.count(call);
        let tiles = vector_count(layout, call).div_ceil(rows).div_ceil(slabs);
        let of_tile = |first: usize| Dispatch::new(&params(slabs, first), [slabs, 1, 1]);
        (0..tiles).step_by(at_once).map(of_tile).collect()
    }
}

/// What the gradients of both sketches check of their inputs, and the slabs they return.
pub(in crate::kernels) fn infer_gradient(
    stem: &str,
    layout: &HeadLayout,
    weights: usize,
    slabs: Slabs,
    inputs: &[&TensorType],
) -> Result<Vec<TensorType>> {
    let r = layout.sketch;
    if inputs.len() != 6 || inputs[4].shape != shape![weights] || inputs[5].shape.last() != Some(r) {
        return Err(shape_error(stem, inputs, format_args!("needs {weights} weights and rows of {r}")));
    }
    Ok(vec![slabs.ty()])
}
