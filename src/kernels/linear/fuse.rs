//! What a linear layer over few rows takes into its own dispatch: the norm before it, the gated activation
//! after it.

use std::any::Any;
use std::sync::Arc;

use super::linear::{Addend, FEW_ROWS, Linear};
use crate::kernels::rows::activate::Activate;
use crate::kernels::rows::norm::Normalize;
use crate::kernels::{Fused, Kernel, Operand};
use crate::tensor::Capacity;

impl Linear {
    pub(super) fn fused_after(&self, i: usize, before: &dyn Kernel, capacity: &Capacity) -> Option<Fused> {
        // The row kernel has no permutation with a norm and a residual: no model asks for it.
        let fits = i == 0 && self.norm.is_none() && !self.addend.residual() && self.has_few_rows(capacity);
        let norm = of::<Normalize>(before).filter(|_| fits)?.norm;
        let mut inputs = vec![Operand::Before(0), Operand::Own(1), Operand::Before(1)];
        if self.addend == Addend::Bias {
            inputs.push(Operand::Own(2));
        }
        Some(Fused { kernel: Arc::new(Linear { norm: Some(norm), ..self.clone() }), inputs })
    }

    pub(super) fn fused_before(&self, after: &dyn Kernel, capacity: &Capacity) -> Option<Arc<dyn Kernel>> {
        // The row kernel has the gate only together with a norm: no model asks for it alone.
        let plain = self.addend == Addend::None && self.shard == self.outputs && self.gated.is_none();
        let fits = plain && self.norm.is_some() && self.has_few_rows(capacity);
        let gated = of::<Activate>(after).filter(|after| fits && after.gated)?;
        let (outputs, shard) = (self.outputs / 2, self.shard / 2);
        Some(Arc::new(Linear { gated: Some(gated.activation), outputs, shard, ..self.clone() }))
    }

    fn has_few_rows(&self, capacity: &Capacity) -> bool {
        capacity.unit(self.rows) <= FEW_ROWS
    }
}

fn of<K: Kernel>(kernel: &dyn Kernel) -> Option<&K> {
    let kernel: &dyn Any = kernel;
    kernel.downcast_ref()
}
