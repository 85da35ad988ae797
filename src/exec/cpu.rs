//! Runs a plan by the CPU twins of its kernels.

use std::marker::PhantomData;

use super::{Compiled, Memory, Own, Place, Resolved, Run, Stored, place};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Plan, Role, Step};
use crate::kernels::{Real, View, Views};
use crate::tensor::{Call, DType};

/// The CPU executor, computing in `R`: f32 for users, f64 as the oracle of the tests.
#[derive(Clone, Debug, Default)]
pub struct CpuExecutor<R>(PhantomData<R>);

/// A number type that tensors can be stored in and twins run in.
pub trait Element: Real {
    /// Whether half floats stay halves in memory.
    const KEEPS_HALVES: bool;
    /// Stores a vector.
    fn wrap(values: Vec<Self>) -> Stored;
    /// The vector, if this type is stored.
    fn view(stored: &Stored) -> Option<&[Self]>;
    /// The vector, if this type is stored.
    fn view_mut(stored: &mut Stored) -> Option<&mut [Self]>;
    /// Runs the kernel's twin in this type.
    fn twin(step: &Step, args: &mut Views<'_, Self>, call: &Call);
}

macro_rules! element {
    ($real:ty, $variant:ident, $twin:ident, $halves:expr) => {
        impl Element for $real {
            const KEEPS_HALVES: bool = $halves;
            fn wrap(values: Vec<Self>) -> Stored {
                Stored::$variant(values)
            }
            fn view(stored: &Stored) -> Option<&[Self]> {
                if let Stored::$variant(v) = stored { Some(v) } else { None }
            }
            fn view_mut(stored: &mut Stored) -> Option<&mut [Self]> {
                if let Stored::$variant(v) = stored { Some(v) } else { None }
            }
            fn twin(step: &Step, args: &mut Views<'_, Self>, call: &Call) {
                step.kernel.$twin(args, call)
            }
        }
    };
}
// Without an instruction that widens halves (wasm), it is done once.
element!(f32, F32, twin_f32, cfg!(not(target_arch = "wasm32")));
element!(f64, F64, twin_f64, false);

/// A plan's own memory, by [`Plan`] buffer.
#[derive(Debug)]
pub(super) struct Scratch {
    buffers: Vec<Stored>,
}

impl Scratch {
    pub fn new<R: Element>(plan: &Plan) -> Result<Self> {
        let buffers = plan.buffers.iter().enumerate().map(|(i, buffer)| {
            if !matches!(buffer.role, Role::Scratch | Role::Input | Role::Output) {
                return Ok(Stored::U32(Vec::new()));
            }
            let ids = plan
                .tensors
                .iter()
                .any(|t| t.bytes > 0 && t.buffer.0 == i && t.tensor.ty.dtype == DType::U32);
            zeros::<R>(&buffer.name, if ids { DType::U32 } else { DType::F32 }, buffer.bytes / 4)
        });
        Ok(Self { buffers: buffers.collect::<Result<_>>()? })
    }
}

/// A tensor of zeros.
pub(super) fn zeros<R: Element>(name: &str, dtype: DType, elements: usize) -> Result<Stored> {
    use super::available::zeros;
    Ok(if dtype == DType::U32 {
        Stored::U32(zeros(name, elements)?)
    } else {
        R::wrap(zeros(name, elements)?)
    })
}

/// Words as a tensor of the executor; halves become floats.
pub(super) fn from_words<R: Element>(dtype: DType, words: &[u32]) -> Stored {
    match dtype {
        DType::U32 => Stored::U32(words.to_vec()),
        DType::F32 => R::wrap(words.iter().map(|w| R::from_f32(f32::from_bits(*w))).collect()),
        DType::F16 => {
            let halves: Vec<u16> = words.iter().flat_map(|w| [*w as u16, (*w >> 16) as u16]).collect();
            if R::KEEPS_HALVES {
                return Stored::F16(halves);
            }
            let mut wide = vec![R::ZERO; halves.len()];
            crate::kernels::cpu::widen(&halves, &mut wide);
            R::wrap(wide)
        }
    }
}

pub(super) fn write_words(stored: &mut Stored, offset: usize, words: &[u32]) -> Result<()> {
    let len = match stored {
        Stored::F32(v) => v.len(),
        Stored::F64(v) => v.len(),
        Stored::U32(v) => v.len(),
        Stored::F16(_) => {
            return Err(Error::new(ErrorKind::Shape, "half floats are weights, which nobody writes"));
        }
        Stored::Gpu(_) => return Err(Error::new(ErrorKind::Device, "the tensor lies on another executor")),
    };
    if offset.checked_add(words.len()).is_none_or(|end| end > len) {
        return Err(Error::new(
            ErrorKind::Shape,
            format!("{} words do not fit at {offset} of a tensor of {len}", words.len()),
        ));
    }
    let range = offset..offset + words.len();
    match stored {
        Stored::F32(v) => v[range].iter_mut().zip(words).for_each(|(x, w)| *x = f32::from_bits(*w)),
        Stored::F64(v) => {
            v[range].iter_mut().zip(words).for_each(|(x, w)| *x = f64::from(f32::from_bits(*w)));
        }
        Stored::U32(v) => v[range].copy_from_slice(words),
        Stored::F16(_) | Stored::Gpu(_) => {}
    }
    Ok(())
}

pub(super) fn to_words(name: &str, stored: &Stored, range: std::ops::Range<usize>) -> Result<Vec<u32>> {
    let at = range.clone();
    let words = match stored {
        Stored::F32(v) => v.get(at).map(|v| v.iter().map(|x| x.to_bits()).collect()),
        Stored::F64(v) => v.get(at).map(|v| v.iter().map(|x| (*x as f32).to_bits()).collect()),
        Stored::U32(v) => v.get(at).map(<[u32]>::to_vec),
        Stored::F16(v) => {
            v.get(at).map(|v| v.iter().map(|h| half::f16::from_bits(*h).to_f32().to_bits()).collect())
        }
        Stored::Gpu(_) => {
            return Err(Error::new(ErrorKind::Device, format!("{name} lies on another executor")));
        }
    };
    words.ok_or_else(|| Error::new(ErrorKind::Shape, format!("{name} has no elements {range:?}")))
}

impl<R: Element> CpuExecutor<R> {
    /// Runs a submission; `times` collects the nanoseconds of each dispatch as (step, ns).
    pub(super) fn run(
        &self,
        compiled: &mut Compiled,
        parameters: &Memory,
        state: &mut Memory,
        run: &Run<'_>,
        mut times: Option<&mut Vec<(usize, f64)>>,
    ) -> Result<Vec<Vec<u32>>> {
        self.prepare(compiled, parameters, state, run)?;
        let steps = compiled.plan.steps.len();
        for call in run.calls {
            self.steps(compiled, parameters, state, call, 0..steps, times.as_deref_mut())?;
        }
        run.reads.iter().map(|(name, elements)| read(compiled, parameters, state, name, *elements)).collect()
    }

    /// Resolves the arguments for these memories and writes the inputs.
    pub(super) fn prepare(
        &self,
        compiled: &mut Compiled,
        parameters: &Memory,
        state: &Memory,
        run: &Run<'_>,
    ) -> Result<()> {
        let key = (parameters.id, state.id);
        if compiled.resolved.as_ref().is_none_or(|(k, _)| *k != key) {
            let plan = compiled.plan.clone();
            let places = plan
                .steps
                .iter()
                .map(|step| step.args.iter().map(|a| place(&plan, a.tensor, parameters, state)).collect());
            compiled.resolved = Some((key, Resolved::Cpu(places.collect::<Result<_>>()?)));
        }
        for (name, words) in run.inputs {
            let Some(id) = compiled.plan.find(name) else { continue };
            let Own::Cpu(scratch) = &mut compiled.own else { continue };
            write_words(&mut scratch.buffers[compiled.plan.tensors[id.0].buffer.0], 0, words)?;
        }
        Ok(())
    }

    /// Runs a range of the plan's steps for one call.
    pub(super) fn steps(
        &self,
        compiled: &mut Compiled,
        parameters: &Memory,
        state: &mut Memory,
        call: &Call,
        range: std::ops::Range<usize>,
        mut times: Option<&mut Vec<(usize, f64)>>,
    ) -> Result<()> {
        let plan = compiled.plan.clone();
        let (Own::Cpu(scratch), Some((_, Resolved::Cpu(places)))) = (&mut compiled.own, &compiled.resolved)
        else {
            return Err(Error::new(ErrorKind::Device, "the plan was compiled on another executor"));
        };
        for at in range {
            let (step, places) = (&plan.steps[at], &places[at]);
            if !step.kernel.runs(call) {
                continue;
            }
            // What is written is taken out of its store while the twin runs, what is read stays.
            let mut taken: Vec<Stored> = Vec::new();
            for (arg, place) in step.args.iter().zip(places) {
                if arg.written {
                    let slot = match *place {
                        Place::State(i) => &mut state.tensors[i],
                        Place::Own(i) => &mut scratch.buffers[i],
                        Place::Parameter(_) => {
                            return Err(Error::new(
                                ErrorKind::Shape,
                                format!("{} writes a parameter", step.label),
                            ));
                        }
                    };
                    taken.push(std::mem::replace(slot, Stored::U32(Vec::new())));
                }
            }
            let mut writes = taken.iter_mut();
            let views = step.args.iter().zip(places).map(|(arg, place)| {
                if arg.written {
                    return match writes.next() {
                        Some(Stored::U32(v)) => View::IdsMut(v),
                        Some(other) => R::view_mut(other).map_or(View::Taken, View::RealMut),
                        None => View::Taken,
                    };
                }
                let stored = match *place {
                    Place::Parameter(i) => &parameters.tensors[i],
                    Place::State(i) => &state.tensors[i],
                    Place::Own(i) => &scratch.buffers[i],
                };
                match stored {
                    Stored::U32(v) => View::Ids(v),
                    Stored::F16(v) => View::Half(v),
                    other => R::view(other).map_or(View::Taken, View::Real),
                }
            });
            let mut args = Views { views: views.collect(), permutation: step.variant.permutation() };
            match &mut times {
                None => R::twin(step, &mut args, call),
                Some(times) => {
                    times.push((at, super::profile::nanoseconds(|| R::twin(step, &mut args, call))));
                }
            }
            drop(args);
            for ((_, place), stored) in step.args.iter().zip(places).filter(|(a, _)| a.written).zip(taken) {
                match *place {
                    Place::State(i) => state.tensors[i] = stored,
                    Place::Own(i) => scratch.buffers[i] = stored,
                    Place::Parameter(_) => {}
                }
            }
        }
        Ok(())
    }
}

/// A tensor of the plan, wherever it lies, as words.
pub(super) fn read(
    compiled: &Compiled,
    parameters: &Memory,
    state: &Memory,
    name: &str,
    elements: usize,
) -> Result<Vec<u32>> {
    let id = compiled.plan.find(name).ok_or_else(|| {
        Error::new(ErrorKind::Shape, format!("plan {} has no tensor {name}", compiled.plan.name))
    })?;
    let Own::Cpu(scratch) = &compiled.own else { return Ok(Vec::new()) };
    let stored = match place(&compiled.plan, id, parameters, state)? {
        Place::Parameter(i) => &parameters.tensors[i],
        Place::State(i) => &state.tensors[i],
        Place::Own(i) => &scratch.buffers[i],
    };
    to_words(name, stored, 0..elements)
}
