//! `y = x Wᵀ`, with what a decoding step fuses into it: a norm before, bias, residual or gated activation after, and
//! what an adapter adds.
//! Two shaders: `linear.wgsl` for many rows, `linear_rows.wgsl` for few.

use std::sync::Arc;

use crate::error::Result;
use crate::kernels::cpu::{Activation, Mat, MatMut, Norm};
use crate::kernels::linear::few_bits;
use crate::kernels::rows::activate::Activate;
use crate::kernels::rows::norm::{moments, normalize};
use crate::kernels::shader::{linear, linear_rows, shared};
use crate::kernels::tiles::matrix_tile::{Mixed, workgroups};
use crate::kernels::{
    DeviceTraits, Dispatch, Fused, Gradient, Kernel, Real, Tile, Variant, Views, Weights, cpu, shape_error,
};
use crate::shape;
use crate::tensor::{Call, Capacity, DType, Shape, TensorType, Unit};

/// Up to so many rows the row kernel runs, and the lowering fuses.
pub const FEW_ROWS: usize = 32;

/// What a linear layer adds to its product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addend {
    /// Nothing.
    None,
    /// A bias `[outputs]`.
    Bias,
    /// A residual of the output's shape.
    Residual,
    /// A bias, and a residual after it.
    Both,
}

impl Addend {
    /// Of a bias, a residual.
    pub fn of(bias: bool, residual: bool) -> Self {
        match (bias, residual) {
            (false, false) => Self::None,
            (true, false) => Self::Bias,
            (false, true) => Self::Residual,
            (true, true) => Self::Both,
        }
    }

    /// Whether there is a bias.
    pub fn bias(self) -> bool {
        matches!(self, Self::Bias | Self::Both)
    }

    /// Whether there is a residual.
    pub fn residual(self) -> bool {
        matches!(self, Self::Residual | Self::Both)
    }
}

/// Arguments: x `[rows, inputs]`, w `[outputs, inputs]` (`[2 outputs, inputs]` with `gated`), (norm `[2, inputs]`),
/// (bias), (residual), (low `[rows, rank]` and B `[outputs, rank]`, with `update`) → y `[rows, outputs]`. A shard
/// (`first > 0` or fewer `shard` than `outputs`) writes its columns of y; all but the first update y in place.
#[derive(Clone, Debug)]
pub struct Linear {
    /// Inner size.
    pub inputs: usize,
    /// Columns of y.
    pub outputs: usize,
    /// First column this shard of w computes.
    pub first: usize,
    /// Columns this shard of w computes.
    pub shard: usize,
    /// What counts the rows.
    pub rows: Unit,
    /// Type of w in memory.
    pub dtype: DType,
    /// What is added.
    pub addend: Addend,
    /// The norm of x that is fused (few rows only).
    pub norm: Option<Norm>,
    /// The gated activation that is fused (few rows only).
    pub gated: Option<Activation>,
    /// The rank of the update `low Bᵀ` that is fused (few rows only): what an adapter adds.
    pub update: Option<usize>,
}

impl Linear {
    /// A plain product over all rows of a call, f32 weights.
    pub fn new(inputs: usize, outputs: usize) -> Self {
        Self {
            inputs,
            outputs,
            first: 0,
            shard: outputs,
            rows: Unit::Rows,
            dtype: DType::F32,
            addend: Addend::None,
            norm: None,
            gated: None,
            update: None,
        }
    }

    /// Rows of w.
    fn columns(&self) -> usize {
        self.shard * if self.gated.is_some() { 2 } else { 1 }
    }

    fn few(&self, capacity: &Capacity) -> bool {
        let fused = self.norm.is_some() || self.gated.is_some() || self.update.is_some();
        fused || capacity.unit(self.rows) <= FEW_ROWS
    }

    pub(super) fn input_count(&self) -> usize {
        let optional = [self.norm.is_some(), self.addend.bias(), self.addend.residual()];
        2 + optional.map(usize::from).iter().sum::<usize>() + if self.update.is_some() { 2 } else { 0 }
    }
}

impl Kernel for Linear {
    fn stem(&self) -> &'static str {
        "linear"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let weights = shape![self.columns(), self.inputs];
        if inputs.len() != self.input_count()
            || inputs[0].shape != shape![self.rows, self.inputs]
            || inputs[1].shape != weights
        {
            return Err(shape_error(
                self.stem(),
                inputs,
                format_args!("needs x [{:?}, {}] and w {weights}", self.rows, self.inputs),
            ));
        }
        let bias = self.addend.bias().then(|| shape![self.outputs]);
        let residual = self.addend.residual().then(|| shape![self.rows, self.outputs]);
        let update = self.update.map(|rank| [shape![self.rows, rank], shape![self.outputs, rank]]);
        let added: Vec<Shape> =
            bias.into_iter().chain(residual).chain(update.into_iter().flatten()).collect();
        if !inputs[inputs.len() - added.len()..].iter().map(|t| &t.shape).eq(&added) {
            let want: Vec<String> = added.iter().map(Shape::to_string).collect();
            return Err(shape_error(
                self.stem(),
                inputs,
                format_args!("what is added must be {}", want.join(" and ")),
            ));
        }
        Ok(if self.first == 0 { vec![TensorType::f32(shape![self.rows, self.outputs])] } else { vec![] })
    }

    fn variant(&self, device: &DeviceTraits, capacity: &Capacity) -> Variant {
        let (f16, few_bits) = (self.dtype == DType::F16, few_bits::overrides(self.dtype));
        let [q4, q8] = [4, 8].map(|bits| few_bits::has(self.dtype, bits));
        let (bias, residual) = (self.addend.bias(), self.addend.residual());
        let (k, n, stride) = (self.inputs, self.shard, self.outputs);
        if self.few(capacity) {
            let (norm, glu) = (self.norm.is_some(), self.gated.is_some());
            let update = self.update.is_some();
            let flags = linear_rows::Flags { f16, q4, q8, norm, bias, update, glu, residual };
            let rows = capacity.unit(self.rows).min(4);
            let row_moments = self.norm.map(moments);
            let activation = self.gated.map(|a| shared::Activation { activation: a.code() });
            return linear_rows::Overrides {
                k,
                n,
                stride,
                rows,
                width: k,
                rank: self.update.unwrap_or(0),
                few_bits,
                row_moments,
                activation,
            }
            .variant(flags);
        }
        let rows = capacity.unit(self.rows);
        let mixed = Mixed::choose(device, rows, self.shard);
        let side = |n| mixed.is_some_and(|mixed| mixed.side == n);
        let flags = linear::Flags {
            f16,
            q4,
            q8,
            bias,
            residual,
            mixed: mixed.is_some(),
            side8: side(8),
            side16: side(16),
        };
        let in_f32 = || Tile::choose(device, rows, self.shard).overrides();
        let matrix_tile = mixed.map_or_else(in_f32, |mixed| mixed.tile);
        let cooperative_tile = mixed.map(|mixed| mixed.patches);
        linear::Overrides { k, n, stride, few_bits, matrix_tile, cooperative_tile }.variant(flags)
    }

    fn dispatches(&self, variant: &Variant, call: &Call) -> Vec<Dispatch> {
        let rows = call.unit(self.rows);
        if linear_rows::is(variant) {
            let at_once = linear_rows::Overrides::of(variant).rows;
            let params = linear_rows::Params { rows: rows as u32, first_column: self.first as u32 };
            return Dispatch::once(
                &params,
                [self.shard.div_ceil(linear_rows::COLUMNS), rows.div_ceil(at_once), 1],
            );
        }
        let tile = linear::Overrides::of(variant).matrix_tile;
        let params = linear::Params { rows: rows as u32, first_column: self.first as u32 };
        Dispatch::once(&params, workgroups(&tile, rows, self.shard))
    }

    fn magnitudes(&self, views: &mut Views<'_, f64>, call: &Call) {
        let Operands { x, w, y, .. } = Operands::bind(views);
        let x: Vec<f64> = x.iter().map(|x| x.abs()).collect();
        let mut wide = vec![0.0; self.columns() * self.inputs];
        w.widen(0..wide.len(), &mut wide);
        wide.iter_mut().for_each(|w| *w = w.abs());
        y.fill(0.0);
        let (w, [norm, bias, residual], update) = (Weights::Real(&wide), [None; 3], None);
        let plain = Self { addend: Addend::None, ..self.clone() };
        plain.twin(Operands { x: &x, w, norm, bias, residual, update, y }, call);
    }

    fn flops(&self, call: &Call) -> u64 {
        let of_update = self.update.map_or(0, |rank| rank * self.shard);
        (2 * call.unit(self.rows) * (self.inputs * self.columns() + of_update)) as u64
    }

    fn gradient(&self) -> Option<&dyn Gradient> {
        Some(self)
    }

    fn fuse_after(&self, i: usize, before: &dyn Kernel, capacity: &Capacity) -> Option<Fused> {
        self.fused_after(i, before, capacity)
    }

    fn fuse_before(&self, after: &dyn Kernel, capacity: &Capacity) -> Option<Arc<dyn Kernel>> {
        self.fused_before(after, capacity)
    }

    fn twin_f32(&self, views: &mut Views<'_, f32>, call: &Call) {
        self.twin(Operands::bind(views), call);
    }

    fn twin_f64(&self, views: &mut Views<'_, f64>, call: &Call) {
        self.twin(Operands::bind(views), call);
    }
}

/// What both shaders read and write.
struct Operands<'a, R> {
    x: &'a [R],
    w: Weights<'a, R>,
    norm: Option<&'a [R]>,
    bias: Option<&'a [R]>,
    residual: Option<&'a [R]>,
    /// What an adapter adds: low, B.
    update: Option<(&'a [R], &'a [R])>,
    y: &'a mut [R],
}

impl<'a, R: Real> Operands<'a, R> {
    fn bind(views: &mut Views<'a, R>) -> Self {
        if let Some(args) = linear_rows::Args::try_bind(views) {
            let linear_rows::Args { x, w, norm, bias, residual, low, update, y, .. } = args;
            return Self { x, w, norm, bias, residual, update: low.zip(update), y };
        }
        let linear::Args { x, w, bias, residual, y, .. } = linear::Args::bind(views);
        Self { x, w, norm: None, bias, residual, update: None, y }
    }
}

impl Linear {
    fn twin<R: Real>(&self, operands: Operands<'_, R>, call: &Call) {
        /// Rows that a thread takes at once.
        const ROWS_AT_ONCE: usize = 64;
        let rows = call.unit(self.rows);
        let Operands { x, w, norm, bias, residual, update, y } = operands;
        let (x, y) = (&x[..rows * self.inputs], &mut y[..rows * self.outputs]);
        cpu::with_scratch(if self.norm.is_some() { x.len() } else { 0 }, |normed: &mut [R]| {
            let x = match self.norm.zip(norm) {
                Some((norm, weights)) => {
                    normalize(norm, x, weights, normed, self.inputs);
                    &*normed
                }
                None => x,
            };
            let columns = self.columns();
            let x = Mat::new(x, rows, self.inputs);
            if let Some(activation) = self.gated {
                cpu::with_scratch(rows * columns, |both: &mut [R]| {
                    multiply(MatMut::new(both, rows, columns), x, w, false);
                    Activate { width: self.outputs, activation, gated: true }.apply(both, y);
                });
                return;
            }
            // What is added is put in place first, and the product accumulates onto it.
            if let Some(first) = bias.or(residual) {
                let columns = self.first..self.first + self.shard;
                cpu::parallel_chunks(y, ROWS_AT_ONCE * self.outputs, |part, y| {
                    for (row, y) in y.chunks_exact_mut(self.outputs).enumerate() {
                        let of_row = (part * ROWS_AT_ONCE + row) * self.outputs;
                        let y = &mut y[columns.clone()];
                        match (bias, residual) {
                            (None, Some(residual)) => y.copy_from_slice(&residual[of_row..][columns.clone()]),
                            _ => y.copy_from_slice(&first[columns.clone()]),
                        }
                        if let (Some(_), Some(residual)) = (bias, residual) {
                            let residual = &residual[of_row..][columns.clone()];
                            y.iter_mut().zip(residual).for_each(|(y, r)| *y += *r);
                        }
                    }
                });
            }
            let out = MatMut::strided(&mut y[self.first..], rows, self.shard, self.outputs);
            multiply(out, x, w, self.addend != Addend::None);
        });
        if let Some(((low, b), rank)) = update.zip(self.update) {
            let low = Mat::new(&low[..rows * rank], rows, rank);
            cpu::matmul_parallel(
                MatMut::new(y, rows, self.outputs),
                low,
                Mat::new(b, self.outputs, rank).t(),
                true,
            );
        }
    }
}

/// `y (+)= x Wᵀ`, W `[y.cols, x.cols]`. Halves are widened on the way: for one row in registers, for few some at a
/// time in the first cache, so that memory is read once and as halves; for many as a whole, which their product
/// repays.
fn multiply<R: Real>(y: MatMut<'_, R>, x: Mat<'_, R>, w: Weights<'_, R>, accumulate: bool) {
    /// Columns of y of one part: a task of some microseconds.
    const PART: usize = 64;
    /// Numbers that are widened at a time: half of a first cache of 32 KiB.
    const WIDE: usize = 4096;
    let (rows, columns, inputs) = (y.rows, y.cols, x.cols);
    let halves = match w {
        Weights::Real(w) => {
            return cpu::matmul_parallel(y, x, Mat::new(w, columns, inputs).t(), accumulate);
        }
        Weights::Panels(panels) => return panels.multiply(y, x, accumulate),
        Weights::Half(v) => v,
    };
    if rows > FEW_ROWS {
        return cpu::with_scratch(columns * inputs, |wide: &mut [R]| {
            cpu::parallel_chunks(wide, PART * inputs, |part, out| {
                w.widen(part * PART * inputs..part * PART * inputs + out.len(), out);
            });
            cpu::matmul_parallel(y, x, Mat::new(wide, columns, inputs).t(), accumulate);
        });
    }
    let parts = columns.div_ceil(PART);
    // Eight columns fill the registers of a dot product of one row.
    let at_once = (WIDE / inputs.max(1)).next_multiple_of(8).min(PART);
    let mut out = cpu::blocks(y.data, y.row_stride, [parts, PART], |row, part| part * rows + row);
    cpu::parallel_each(out.chunks_mut(rows), |part, out| {
        let (first, n) = (part * PART, PART.min(columns - part * PART));
        if let [y] = out
            && x.col_stride == 1
            && cpu::half_dots(&x.data[..inputs], &halves[first * inputs..][..n * inputs], y, accumulate)
        {
            return;
        }
        cpu::with_scratch(at_once * inputs + rows * at_once, |scratch: &mut [R]| {
            let (wide, sums) = scratch.split_at_mut(at_once * inputs);
            for at in (0..n).step_by(at_once) {
                let n = at_once.min(n - at);
                let (wide, sums) = (&mut wide[..n * inputs], &mut sums[..rows * n]);
                w.widen((first + at) * inputs..(first + at + n) * inputs, wide);
                cpu::matmul(MatMut::new(sums, rows, n), x, Mat::new(wide, n, inputs).t(), false);
                for (y, sums) in out.iter_mut().zip(sums.chunks_exact(n)) {
                    let y = y[at..at + n].iter_mut();
                    y.zip(sums).for_each(|(y, s)| *y = if accumulate { *y + *s } else { *s });
                }
            }
        });
    });
}
