//! Runs a plan by the CPU twins of its kernels.

use std::marker::PhantomData;

use super::location::{Location, Reach, Versions, is_own};
use super::profile::nanoseconds;
use super::stored::{Element, Stored, Tensors};
use crate::error::Result;
use crate::graph::Plan;
use crate::kernels::{View, Views};
use crate::tensor::{Call, DType};

/// The CPU executor, computing in `R`: f32 for users, f64 as the oracle of the tests.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuExecutor<R>(PhantomData<R>);

/// Where the arguments of a plan's steps lie, as long as the memories have these versions.
pub(super) type Located = (Versions, Vec<Vec<Location>>);

/// What a run works on.
pub(super) struct Places<'a> {
    pub memory: &'a mut Tensors,
    pub base: Option<&'a Tensors>,
    /// The plan's own, by plan buffer.
    pub own: &'a mut Vec<Stored>,
}

/// A plan's own memory, zeroed, by plan buffer; empty for what lies in a memory.
pub(super) fn buffers<R: Element>(plan: &Plan) -> Result<Vec<Stored>> {
    let buffers = plan.buffers.iter().enumerate().map(|(i, buffer)| {
        if !is_own(&buffer.role) {
            return Ok(Stored::U32(Vec::new()));
        }
        let ids =
            plan.tensors.iter().any(|t| t.bytes > 0 && t.buffer.0 == i && t.tensor.ty.dtype == DType::U32);
        Stored::zeros::<R>(&buffer.name, if ids { DType::U32 } else { DType::F32 }, buffer.bytes / 4)
    });
    buffers.collect()
}

/// Runs the plan for one call; `times` collects (step, nanoseconds).
pub(super) fn run<R: Element>(
    plan: &Plan,
    places: Places<'_>,
    located: &mut Option<Located>,
    call: &Call,
    mut times: Option<&mut Vec<(usize, f64)>>,
) -> Result<()> {
    let Places { memory, base, own } = places;
    let reach = Reach { memory, base };
    let locations = match located.take() {
        Some((versions, locations)) if versions == reach.versions() => locations,
        _ => reach.arguments(plan)?,
    };
    let versions = reach.versions();
    let steps = plan.steps.iter().zip(&locations).enumerate();
    for (at, (step, locations)) in steps.filter(|(_, (step, _))| step.kernel.runs(call)) {
        // What is written is taken out of its place while the twin runs, what is read stays.
        let written = || step.args.iter().zip(locations).filter(|(arg, _)| arg.written).map(|(_, l)| *l);
        let mut taken: Vec<Stored> =
            written().map(|l| std::mem::replace(view_mut(l, memory, own), Stored::U32(Vec::new()))).collect();
        let mut writes = taken.iter_mut();
        let views = step.args.iter().zip(locations).map(|(arg, location)| {
            if arg.written {
                return match writes.next().expect("one for each argument that is written") {
                    Stored::U32(v) => View::IdsMut(v),
                    other => View::RealMut(R::view_mut(other).expect(OF_ONE_TYPE)),
                };
            }
            match view(*location, memory, base, own) {
                Stored::U32(v) => View::Ids(v),
                Stored::F16(v) => View::Half(v),
                Stored::Panels(v) => View::Panels(v),
                other => View::Real(R::view(other).expect(OF_ONE_TYPE)),
            }
        });
        let mut args = Views { views: views.collect(), permutation: step.variant.permutation() };
        match &mut times {
            None => R::twin(step, &mut args, call),
            Some(times) => times.push((at, nanoseconds(|| R::twin(step, &mut args, call)))),
        }
        drop(args);
        for (location, stored) in written().zip(taken) {
            *view_mut(location, memory, own) = stored;
        }
    }
    *located = Some((versions, locations));
    Ok(())
}

/// Why another type is never met: a memory is filled by its one executor.
const OF_ONE_TYPE: &str = "a CPU's memory holds floats of its own type";

fn view<'a>(
    location: Location,
    memory: &'a Tensors,
    base: Option<&'a Tensors>,
    buffers: &'a [Stored],
) -> &'a Stored {
    match location {
        Location::Base(i) => base.expect("what was located in it").at(i),
        Location::Memory(i) => memory.at(i),
        Location::Plan(i) => &buffers[i],
    }
}

fn view_mut<'a>(location: Location, memory: &'a mut Tensors, buffers: &'a mut [Stored]) -> &'a mut Stored {
    match location {
        Location::Base(_) => unreachable!("locating refuses steps that write what is shared"),
        Location::Memory(i) => memory.at_mut(i),
        Location::Plan(i) => &mut buffers[i],
    }
}
