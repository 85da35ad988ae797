//! The rules that give the gradients of this family.

use super::scan_output::{Leaves, ScanOutput};
use super::scan_prefix::ScanPrefix;
use super::scan_states::ScanStates;
use crate::error::{Error, ErrorKind, Result};
use crate::kernels::pairs::mask::Mask;
use crate::kernels::pairs::pair_affinity::PairAffinity;
use crate::kernels::pairs::pairs::{Pairs, Reach};
use crate::kernels::scan::scan_grad_keys::ScanGradKeys;
use crate::kernels::scan::scan_grad_queries::ScanGradQueries;
use crate::kernels::scan::scan_prefix::Prefix;
use crate::kernels::scan::scan_states::States;
use crate::kernels::scan::scan_suffix::ScanSuffix;
use crate::kernels::{Backward, BackwardExt, Gradient};
use crate::shape;
use crate::tensor::TensorType;
use crate::tensor::Unit;
use std::sync::Arc;

impl Gradient for ScanOutput {
    /// dQ and dK of the pairs inside a block and through the state before it, and the gradient of that state.
    /// What the keys of a block do to later blocks is the rule of [`ScanStates`].
    fn backward(&self, pass: &mut dyn Backward) -> Result<()> {
        if self.mask == Mask::Full || self.leaves == Leaves::Outputs {
            let what =
                if self.mask == Mask::Full { "with a full mask" } else { "without its normaliser kept" };
            return Err(Error::new(
                ErrorKind::Shape,
                format!("{}: attention {what} has no gradient", pass.label()),
            ));
        }
        let pairs = Pairs {
            layout: self.layout.clone(),
            affinity: PairAffinity::Kernel(self.local),
            offset: self.local_offset,
            width: self.local_width,
            reach: if self.leaves == Leaves::Far { Reach::Nothing } else { Reach::Block },
        };
        let wants = [pass.wants(0), pass.wants(1)];
        let (drows, dqueries, dkeys) = if self.leaves == Leaves::Far {
            // What joins the far rows gives their gradient as gradient rows.
            let drows = pass.gradient(0)?;
            let (dqueries, dkeys) = pairs.of_rows(pass, drows, wants)?;
            (drows, dqueries, dkeys)
        } else {
            pairs.backward(pass, self.bias, wants)?
        };
        let [queries, lanes, table, prefix] = [0, 2, 3, 4].map(|i| pass.input(i));
        let (layout, features, source_offset) =
            (self.layout.clone(), self.features.clone(), self.source_offset);
        if let Some(dqueries) = dqueries {
            let kernel =
                ScanGradQueries { layout: layout.clone(), features: features.clone(), source_offset };
            pass.append(
                "dqueries_far",
                Arc::new(kernel),
                &[queries, drows, lanes, table, prefix],
                &[dqueries],
            )?;
            pass.give(0, dqueries)?;
        }
        if let Some(dkeys) = dkeys {
            pass.give(1, dkeys)?;
        }
        if pass.wants(4) {
            let kernel = ScanStates { layout, features, source_offset, blocks: States::Queries };
            let dprefix = pass.apply1("dprefix", kernel, &[queries, drows, table])?;
            pass.give(4, dprefix)?;
        }
        Ok(())
    }
}

impl Gradient for ScanPrefix {
    /// dZ into dH, a suffix over blocks: `T_last` is what later segments of the text carry back, `T_{l-1} =
    /// dZ_l + e^{g_last(l)} T_l`. The gates get nothing here: see
    /// [`crate::kernels::pairs::attention_grad_keys`].
    fn backward(&self, pass: &mut dyn Backward) -> Result<()> {
        if self.prefix != Prefix::Resume {
            return Err(Error::new(
                ErrorKind::Shape,
                format!("{}: only the prefix of a training plan has a gradient", pass.label()),
            ));
        }
        let (dprefix, keys) = (pass.gradient(0)?, pass.input(1));
        let carry = pass.carry("carry", TensorType::f32(shape![Unit::Lanes, self.layout.heads, self.size]));
        let kernel = ScanSuffix { layout: self.layout.clone(), size: self.size };
        let dstates = pass.append("dstates", Arc::new(kernel), &[dprefix, keys], &[carry])?[0];
        pass.give(0, dstates)
    }
}

impl Gradient for ScanStates {
    /// dH into the keys, added to what their own queries gave.
    fn backward(&self, pass: &mut dyn Backward) -> Result<()> {
        let fail = |pass: &dyn Backward, what: &str| {
            Err(Error::new(ErrorKind::Shape, format!("{}: {what}", pass.label())))
        };
        if self.blocks != States::All {
            return fail(pass, "only the block states of a training plan have a gradient");
        }
        if !pass.wants(0) {
            return Ok(());
        }
        let Some(dkeys) = pass.accumulate_into(0) else {
            return fail(pass, "the outputs of the scan gave its keys no gradient");
        };
        let kernel = ScanGradKeys {
            layout: self.layout.clone(),
            features: self.features.clone(),
            source_offset: self.source_offset,
        };
        let (dstates, keys, table) = (pass.gradient(0)?, pass.input(0), pass.input(2));
        pass.append("dkeys", Arc::new(kernel), &[keys, dstates, table], &[dkeys]).map(drop)
    }
}
