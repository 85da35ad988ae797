//! What a linear layer over few rows takes into its own dispatch: the LayerNorm before it, the gated GELU
//! after it.

use std::any::Any;
use std::sync::Arc;

use super::linear::{Addend, FEW_ROWS, Linear};
use crate::kernels::rows::glu::Glu;
use crate::kernels::rows::layer_norm::LayerNorm;
use crate::kernels::{Fused, Kernel, Operand};
use crate::tensor::Capacity;

impl Linear {
    pub(super) fn fused_after(&self, i: usize, before: &dyn Kernel, capacity: &Capacity) -> Option<Fused> {
        // The row kernel has no permutation with a norm and a residual: no model asks for it.
        let fits = i == 0 && !self.norm && self.addend != Addend::Residual && self.has_few_rows(capacity);
        if !fits || !is::<LayerNorm>(before) {
            return None;
        }
        let mut inputs = vec![Operand::Before(0), Operand::Own(1), Operand::Before(1)];
        if self.addend == Addend::Bias {
            inputs.push(Operand::Own(2));
        }
        Some(Fused { kernel: Arc::new(Linear { norm: true, ..self.clone() }), inputs })
    }

    pub(super) fn fused_before(&self, after: &dyn Kernel, capacity: &Capacity) -> Option<Arc<dyn Kernel>> {
        // The row kernel has the gate only together with a norm: no model asks for it alone.
        let whole = self.norm && self.addend == Addend::None && self.shard == self.outputs && !self.glu;
        if !whole || !self.has_few_rows(capacity) || !is::<Glu>(after) {
            return None;
        }
        let (outputs, shard) = (self.outputs / 2, self.shard / 2);
        Some(Arc::new(Linear { glu: true, outputs, shard, ..self.clone() }))
    }

    fn has_few_rows(&self, capacity: &Capacity) -> bool {
        capacity.unit(self.rows) <= FEW_ROWS
    }
}

fn is<K: Kernel>(kernel: &dyn Kernel) -> bool {
    let kernel: &dyn Any = kernel;
    kernel.is::<K>()
}
