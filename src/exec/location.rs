//! Where the tensors of a plan lie when it runs.

use super::stored::Tensors;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Plan, Role, TensorId};

/// Where a tensor of a plan lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Location {
    /// In the memory that the program's own stands on, by its place there: read only.
    Base(usize),
    /// In the program's memory, by its place there.
    Memory(usize),
    /// In a buffer of the plan.
    Plan(usize),
}

/// A program's memory, and the one it stands on.
#[derive(Clone, Copy)]
pub(super) struct Reach<'a> {
    pub memory: &'a Tensors,
    pub base: Option<&'a Tensors>,
}

/// Versions of a program's memory and of the one it stands on: what was located holds as long as they stay.
pub(super) type Versions = (u64, Option<u64>);

impl Reach<'_> {
    pub fn versions(&self) -> Versions {
        (self.memory.version(), self.base.map(Tensors::version))
    }

    /// Where a tensor of a plan lies.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for one that nobody stored.
    pub fn locate(&self, plan: &Plan, id: TensorId) -> Result<Location> {
        let t = &plan.tensors[id.0];
        if is_own(&t.tensor.role) {
            return Ok(Location::Plan(t.buffer.0));
        }
        let name = &t.tensor.name;
        let stored = self.memory.index(name).map(Location::Memory);
        stored.or_else(|| self.base?.index(name).map(Location::Base)).ok_or_else(|| {
            Error::new(ErrorKind::Shape, format!("plan {}: {name} is not in memory", plan.name))
        })
    }

    /// Where the arguments of each step lie.
    ///
    /// # Errors
    /// As [`Reach::locate`], and for a step that writes what is shared or fixed.
    pub fn arguments(&self, plan: &Plan) -> Result<Vec<Vec<Location>>> {
        let of_step = |step: &crate::graph::Step| {
            let located = step.args.iter().map(|arg| {
                let location = self.locate(plan, arg.tensor)?;
                let t = &plan.tensors[arg.tensor.0].tensor;
                let fixed = matches!(t.role, Role::Parameter | Role::Constant(_));
                if arg.written && (fixed || matches!(location, Location::Base(_))) {
                    let text = format!("{} writes {}, which is not its own", step.label, t.name);
                    return Err(Error::new(ErrorKind::Shape, text));
                }
                Ok(location)
            });
            located.collect()
        };
        plan.steps.iter().map(of_step).collect()
    }
}

/// Whether tensors of that role lie in a plan's own buffers.
pub(super) fn is_own(role: &Role) -> bool {
    matches!(role, Role::Scratch | Role::Input | Role::Lanes | Role::Output)
}
