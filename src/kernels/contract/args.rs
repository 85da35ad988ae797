//! The arguments of a CPU twin.

use super::permutation::Permutation;
use crate::kernels::cpu::{self, Panels, Real};

/// A tensor as a CPU twin sees it.
#[derive(Debug)]
pub enum View<'a, R> {
    /// Floats, read.
    Real(&'a [R]),
    /// Integers, read.
    Ids(&'a [u32]),
    /// Half floats, read (the CPU executor in f32 keeps large matrices so: decoding reads all of them for
    /// each token).
    Half(&'a [u16]),
    /// Integers of few bits, read (the same).
    Panels(&'a Panels),
    /// Floats, written.
    RealMut(&'a mut [R]),
    /// Integers, written.
    IdsMut(&'a mut [u32]),
    /// Taken out by the twin.
    Taken,
}

/// A large matrix as a CPU twin sees it.
#[derive(Clone, Copy, Debug)]
pub enum Weights<'a, R> {
    /// Floats.
    Real(&'a [R]),
    /// Half floats.
    Half(&'a [u16]),
    /// Integers of few bits.
    Panels(&'a Panels),
}

impl<R: Real> Weights<'_, R> {
    /// Elements `range` as floats, in `out`; whole rows of integers of few bits.
    pub fn widen(&self, range: std::ops::Range<usize>, out: &mut [R]) {
        match self {
            Weights::Real(v) => out.copy_from_slice(&v[range]),
            Weights::Half(v) => cpu::widen(&v[range], out),
            Weights::Panels(v) => {
                let columns = v.quant().columns();
                let rows = range.start / columns..;
                out.chunks_exact_mut(columns).zip(rows).for_each(|(out, row)| v.row(row, out));
            }
        }
    }
}

/// The tensors of one step, in binding order. Our kernels take them by name (`shader::STEM::Args`), a kernel
/// of the caller's own by number.
#[derive(Debug)]
pub struct Views<'a, R> {
    /// The tensors.
    pub views: Vec<View<'a, R>>,
    /// The step's shader, where it is one of ours.
    pub permutation: Option<&'static Permutation>,
}

impl<'a, R> Views<'a, R> {
    /// Which permutation of the shader `stem` the step is, if it is of that shader.
    pub(crate) fn index(&self, stem: &str) -> Option<usize> {
        self.permutation.filter(|permutation| permutation.stem == stem).map(|permutation| permutation.index)
    }

    /// Float argument `i`, for reading.
    pub fn real(&mut self, i: usize) -> &'a [R] {
        match self.views[i] {
            View::Real(v) => v,
            ref other => panic!("argument {i} is not a float input but {}", other.what()),
        }
    }

    /// Weight argument `i`, for reading: floats, or what the twin widens.
    pub fn weights(&mut self, i: usize) -> Weights<'a, R> {
        match self.views[i] {
            View::Half(v) => Weights::Half(v),
            View::Panels(v) => Weights::Panels(v),
            View::Real(v) => Weights::Real(v),
            ref other => panic!("argument {i} is not a weight but {}", other.what()),
        }
    }

    /// Integer argument `i`, for reading.
    pub fn ids(&mut self, i: usize) -> &'a [u32] {
        match self.views[i] {
            View::Ids(v) => v,
            ref other => panic!("argument {i} is not an integer input but {}", other.what()),
        }
    }

    /// Float argument `i`, for writing; can be taken once.
    pub fn real_mut(&mut self, i: usize) -> &'a mut [R] {
        match std::mem::replace(&mut self.views[i], View::Taken) {
            View::RealMut(v) => v,
            other => panic!("argument {i} is not a float output but {}", other.what()),
        }
    }

    /// Integer argument `i`, for writing; can be taken once.
    pub fn ids_mut(&mut self, i: usize) -> &'a mut [u32] {
        match std::mem::replace(&mut self.views[i], View::Taken) {
            View::IdsMut(v) => v,
            other => panic!("argument {i} is not an integer output but {}", other.what()),
        }
    }
}

impl<R> View<'_, R> {
    fn what(&self) -> &'static str {
        match self {
            View::Real(_) => "a float input",
            View::Ids(_) => "an integer input",
            View::Half(_) => "a half float input",
            View::Panels(_) => "an input in few bits",
            View::RealMut(_) => "a float output",
            View::IdsMut(_) => "an integer output",
            View::Taken => "already taken",
        }
    }
}
