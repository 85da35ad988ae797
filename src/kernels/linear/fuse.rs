//! What a linear layer over few rows takes into its own dispatch: the norm before it, the gated activation
//! after it, and, where it is the second half of what an adapter adds, the projection that it is added to.

use std::any::Any;
use std::sync::Arc;

use super::linear::{Addend, FEW_ROWS, Linear};
use crate::kernels::rows::activate::Activate;
use crate::kernels::rows::norm::Normalize;
use crate::kernels::{Fused, Kernel, Operand};
use crate::tensor::{Capacity, DType};

impl Linear {
    pub(super) fn fused_after(&self, i: usize, before: &dyn Kernel, capacity: &Capacity) -> Option<Fused> {
        if let Some(projection) = of::<Self>(before) {
            return self.fused_into(i, projection, capacity);
        }
        // The row kernel has no permutation with a norm and a residual: no model asks for it.
        let fits = i == 0 && self.norm.is_none() && !self.addend.residual() && self.has_few_rows(capacity);
        let norm = of::<Normalize>(before).filter(|_| fits)?.norm;
        let mut inputs = vec![Operand::Before(0), Operand::Own(1), Operand::Before(1)];
        if self.addend == Addend::Bias {
            inputs.push(Operand::Own(2));
        }
        let kernel = Arc::new(Linear { norm: Some(norm), ..self.clone() });
        Some(Fused { kernel, inputs, repeats: true })
    }

    /// `y + low Bᵀ` with the projection that made y.
    fn fused_into(&self, i: usize, projection: &Self, capacity: &Capacity) -> Option<Fused> {
        let whole = |linear: &Self| linear.shard == linear.outputs && linear.gated.is_none();
        let adds =
            i == 2 && self.addend == Addend::Residual && self.norm.is_none() && self.dtype == DType::F32;
        // The permutations of the row kernel.
        let alone = if projection.norm.is_some() { Addend::Bias } else { Addend::Residual };
        let exists = projection.addend == alone;
        let fits = adds
            && exists
            && whole(self)
            && whole(projection)
            && self.update.or(projection.update).is_none()
            && self.inputs.is_multiple_of(4)
            && self.rows == projection.rows
            && self.has_few_rows(capacity);
        let mut inputs: Vec<Operand> = (0..projection.input_count()).map(Operand::Before).collect();
        inputs.extend([Operand::Own(0), Operand::Own(1)]);
        let kernel = Linear { update: Some(self.inputs), ..projection.clone() };
        fits.then(|| Fused { kernel: Arc::new(kernel), inputs, repeats: false })
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
