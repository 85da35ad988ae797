//! A step of a plan: its variant for people, and the bytes that it moves in a call.

use crate::graph::{Plan, Role, Step};
use crate::kernels::Variant;
use crate::tensor::{Call, Extent, Shape, Unit};

/// `linear+SHARED (ROWS = 8, …)`.
pub(crate) fn variant(variant: &Variant) -> String {
    let constants: Vec<String> =
        variant.constants().map(|(name, value)| format!("{name} = {value}")).collect();
    if constants.is_empty() {
        variant.name().to_string()
    } else {
        format!("{} ({})", variant.name(), constants.join(", "))
    }
}

/// Bytes of a step's arguments in a call.
pub(crate) fn moved(plan: &Plan, step: &Step, call: &Call) -> u64 {
    let bytes = |at: usize| -> usize {
        let ty = &plan.tensors[at].tensor.ty;
        ty.dtype.bytes(ty.shape.elements_of(plan, call))
    };
    let looked_up = |at: usize| match step.kernel.stem() {
        "embed" => plan.tensors[at].tensor.role == Role::Parameter,
        "take_last" => true,
        _ => false,
    };
    let all = step.args.iter().map(|arg| arg.tensor.0);
    let written: usize = step.args.iter().filter(|arg| arg.written).map(|arg| bytes(arg.tensor.0)).sum();
    all.map(|at| if looked_up(at) { bytes(at).min(written) } else { bytes(at) } as u64).sum()
}

/// Elements that a call touches: of slots and caches those of its lanes and positions.
pub(super) trait ElementsOf {
    fn elements_of(&self, plan: &Plan, call: &Call) -> usize;
}

impl ElementsOf for Shape {
    fn elements_of(&self, plan: &Plan, call: &Call) -> usize {
        let count = |e: &Extent| match e.unit {
            Unit::Slots => call.lanes.len(),
            Unit::Context => call
                .lanes
                .iter()
                .map(|l| l.position + call.tokens)
                .max()
                .unwrap_or(0)
                .min(plan.capacity.context),
            unit => call.unit(unit),
        };
        self.0.iter().map(|e| e.factor * count(e)).product()
    }
}
