//! Gradients of the head vectors: from what the exact kernel or the sketch reads back to the projections and
//! the norms. CPU twin of `shaders/shared/head_vector_backward.wgsl`.

use crate::kernels::heads::layout::{HeadSource, Rotation};
use crate::kernels::{Real, cpu};

/// Which vector of a row: of the queries (0) or keys (1), of which head.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernels) struct Vector {
    pub row: usize,
    pub part: usize,
    pub head: usize,
}

impl<R: Real> HeadSource<'_, R> {
    /// Undoes the turn of [`HeadSource::turn_at`] on a gradient: a rotation's transpose is its inverse.
    fn turn_back(&self, dx: &mut [R], turn: &[R]) {
        let half = self.layout.rotated / 2;
        let (cos, sin) = turn[..2 * half].split_at(half);
        let dx = &mut dx[..2 * half];
        if self.layout.interleaved {
            return cpu::with_scratch(2 * half, |turned: &mut [R]| {
                turned.copy_from_slice(dx);
                for i in 0..half {
                    let (a, b) = (turned[i], turned[i + half]);
                    dx[2 * i] = a * cos[i] + b * sin[i];
                    dx[2 * i + 1] = b * cos[i] - a * sin[i];
                }
            });
        }
        cpu::vectorized(
            #[inline(always)]
            || {
                let (first, second) = dx.split_at_mut(half);
                for (((a, b), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
                    (*a, *b) = (*a * *cos + *b * *sin, *b * *cos - *a * *sin);
                }
            },
        );
    }

    fn raw_backward(&self, turn: &[R], dy: &mut [R], dx: &mut [R]) {
        if self.layout.rotation == Rotation::Raw {
            self.turn_back(dy, turn);
        }
        dx.iter_mut().zip(dy).for_each(|(dx, dy)| *dx += *dy);
    }

    fn normed_backward(&self, at: Vector, turn: &[R], dy: &mut [R], dx: &mut [R], dnorms: &mut [R]) {
        let h = self.layout.head;
        let Vector { row, part, head } = at;
        let norm = if self.layout.shared_norm { 0 } else { part * 2 * h };
        let weight = &self.norms[norm..norm + h];
        let (dweight, dbias) = dnorms[norm..norm + 2 * h].split_at_mut(h);
        if self.layout.rotation != Rotation::Raw {
            return self.layout.norm.backward(
                self.projection(row, part, head),
                weight,
                dy,
                dx,
                dweight,
                dbias,
            );
        }
        cpu::with_scratch(2 * h, |scratch: &mut [R]| {
            let (raw, draw) = scratch.split_at_mut(h);
            self.raw(row, part, head, turn, raw);
            draw.fill(R::ZERO);
            self.layout.norm.backward(raw, weight, dy, draw, dweight, dbias);
            self.raw_backward(turn, draw, dx);
        });
    }

    /// From the gradient dy of [`HeadSource::exact`] (used up): adds to the projection's dx `[h]` and to
    /// dnorms `[4, h]`.
    pub fn exact_backward(&self, at: Vector, turn: &[R], dy: &mut [R], dx: &mut [R], dnorms: &mut [R]) {
        if !self.layout.normed {
            return self.raw_backward(turn, dy, dx);
        }
        if self.layout.rotation == Rotation::Normed {
            self.turn_back(dy, turn);
        }
        self.normed_backward(at, turn, dy, dx, dnorms);
    }

    /// The same from the gradient of [`HeadSource::sketch_input`].
    pub fn sketch_input_backward(
        &self,
        at: Vector,
        turn: &[R],
        dy: &mut [R],
        dx: &mut [R],
        dnorms: &mut [R],
    ) {
        if self.layout.sketch_normed {
            self.normed_backward(at, turn, dy, dx, dnorms);
        } else {
            self.raw_backward(turn, dy, dx);
        }
    }
}
