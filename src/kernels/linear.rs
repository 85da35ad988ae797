//! `y = x Wᵀ`, with what a decoding step fuses into it: LayerNorm before, bias, residual or gated GELU after.
//! Two shaders: `linear.wgsl` for many rows, `linear_rows.wgsl` for few.

use std::sync::Arc;

use super::column_sums::ColumnSums;
use super::glu::gated;
use super::layer_norm::normalize;
use super::linear_grad_input::LinearGradInput;
use super::linear_grad_weight::LinearGradWeight;
use super::real::{Mat, MatMut, SharedMut};
use super::sum_partials::{SumPartials, partials};
use super::{
    Args, Backward, BackwardExt, DeviceTraits, Dispatch, Kernel, Real, Variant, Weights, real, shader,
    shape_error, subgroup,
};
use crate::error::{Error, ErrorKind, Result};
use crate::tensor::{Call, Capacity, DType, TensorType, Unit};
use crate::{shape, twins};

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
}

/// Arguments: x `[rows, inputs]`, w `[outputs, inputs]` (`[2 outputs, inputs]` with `glu`), (norm `[2,
/// inputs]`), (bias or residual) → y `[rows, outputs]`. A shard (`first > 0` or fewer `shard` than `outputs`)
/// writes its columns of y; all but the first update y in place.
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
    /// LayerNorm of x is fused (few rows only).
    pub norm: bool,
    /// The gated GELU is fused (few rows only).
    pub glu: bool,
}

/// How a product's output is cut: by the shader itself (`linear.wgsl`), or a subgroup a tile
/// (`linear_subgroup.wgsl`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Tile {
    /// Invocations of a subgroup that is a workgroup; 0: subgroups are not used.
    #[serde(default)]
    pub subgroup: usize,
    /// Operands are staged in workgroup memory.
    pub shared: bool,
    /// Rows of an invocation, at most 8 (exactly 8 unless `shared`).
    pub rows: usize,
    /// Columns of an invocation, at most 8 (exactly 8 unless `shared`).
    pub columns: usize,
    /// Invocations along columns and along rows.
    pub group: [usize; 2],
}

impl Tile {
    /// The tile for a product of so many rows and columns: the one that was measured best on the device, or
    /// else the default.
    pub fn choose(device: &DeviceTraits, rows: usize, columns: usize) -> Self {
        device.tuning.tile(device, rows, columns).unwrap_or_else(|| Self::default_for(device, rows, columns))
    }

    /// The tile by type of device; the figures are in the shader's ladder.
    pub fn default_for(device: &DeviceTraits, rows: usize, columns: usize) -> Self {
        if let Some(tile) = Self::of_subgroup(device) {
            return tile;
        }
        if device.software {
            // There loads cost most, and a few workgroups keep all cores busy: as many outputs a load as
            // registers allow.
            let group_y = [8, 4, 2].into_iter().find(|y| y * 8 <= rows.next_multiple_of(8)).unwrap_or(1);
            return Self { subgroup: 0, shared: false, rows: 8, columns: 8, group: [8, group_y] };
        }
        // The largest that still gives every part of the device something to do.
        const BUSY: usize = 64;
        let tiles = [(8, 4, 16), (4, 4, 16), (4, 4, 8)].map(|(rows, columns, group)| Self {
            subgroup: 0,
            shared: true,
            rows,
            columns,
            group: [group, group],
        });
        let busy =
            |t: &Self| rows.div_ceil(t.rows * t.group[1]) * columns.div_ceil(t.columns * t.group[0]) >= BUSY;
        tiles.into_iter().find(busy).unwrap_or(tiles[2])
    }

    /// The tile of the `*_subgroup` shaders, where a device can run them.
    pub fn of_subgroup(device: &DeviceTraits) -> Option<Self> {
        device.subgroup.map(|lanes| Self {
            subgroup: lanes,
            shared: false,
            rows: subgroup::ROWS,
            columns: 4,
            group: [lanes, 1],
        })
    }

    /// Tiles worth measuring on a device.
    pub fn candidates(device: &DeviceTraits) -> Vec<Self> {
        let sizes = [(4, 4), (8, 4), (4, 8), (8, 8)];
        let groups = [[8, 8], [16, 16], [8, 4]];
        let shared =
            [false, true].into_iter().flat_map(|shared| sizes.map(|(rows, columns)| (shared, rows, columns)));
        let all = shared.flat_map(|(shared, rows, columns)| {
            groups.map(|group| Self { subgroup: 0, shared, rows, columns, group })
        });
        all.chain(Self::of_subgroup(device)).filter(|tile| tile.fits(device)).collect()
    }

    /// Whether a device can run it.
    pub fn fits(&self, device: &DeviceTraits) -> bool {
        if self.subgroup > 0 {
            return Self::of_subgroup(device) == Some(*self);
        }
        // Four vectors of 16 bytes a row and a column are staged at once, and those of a column that nobody
        // reads.
        let staged = (self.rows * self.group[1] + self.columns * self.group[0] + 1) * 64;
        let sizes =
            (1..=8).contains(&self.rows) && (1..=8).contains(&self.columns) && !self.group.contains(&0);
        let whole = self.shared || self.rows * self.columns == 64;
        sizes
            && whole
            && self.group[0] * self.group[1] <= device.max_invocations
            && (!self.shared || staged <= device.workgroup_memory)
    }

    /// Its permutation of the shader `stem`, with `flags` and the tile's `override`s.
    pub fn variant(&self, stem: &str, flags: &[(&str, bool)]) -> Variant {
        if self.subgroup > 0 {
            return subgroup::sums(
                subgroup::variant(stem, self.subgroup, flags),
                ["tile_columns", "tile_size"],
                4 * self.subgroup,
            );
        }
        let variant = Variant::new(stem, &[flags, &[("SHARED", self.shared)]].concat());
        /// Vectors along k that the shader stages at once.
        const STEP: usize = 4;
        let [x, y] = self.group;
        variant
            .size("GROUP_X", x)
            .size("GROUP_Y", y)
            .size("ROWS", self.rows)
            .size("COLUMNS", self.columns)
            .size("TILE_X", y * self.rows * STEP)
            .size("TILE_W", (x * self.columns + 1) * STEP)
    }

    /// Workgroups of `variant`, one of [`Tile::variant`], for a result of so many rows and columns.
    pub fn workgroups(variant: &Variant, rows: usize, columns: usize) -> [usize; 3] {
        let (across, down) = match subgroup::lanes_of(variant) {
            Some(lanes) => (4 * lanes, subgroup::ROWS),
            None => (
                variant.get("GROUP_X") * variant.get("COLUMNS"),
                variant.get("GROUP_Y") * variant.get("ROWS"),
            ),
        };
        [columns.div_ceil(across), rows.div_ceil(down), 1]
    }
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
            norm: false,
            glu: false,
        }
    }

    fn few(&self, capacity: &Capacity) -> bool {
        self.norm || self.glu || capacity.unit(self.rows) <= FEW_ROWS
    }

    fn input_count(&self) -> usize {
        2 + usize::from(self.norm) + usize::from(self.addend != Addend::None)
    }
}

impl Kernel for Linear {
    fn stem(&self) -> &'static str {
        "linear"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let weights = shape![self.shard * if self.glu { 2 } else { 1 }, self.inputs];
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
        let addend = match self.addend {
            Addend::None => None,
            Addend::Bias => Some(shape![self.outputs]),
            Addend::Residual => Some(shape![self.rows, self.outputs]),
        };
        if let Some(want) = addend
            && inputs[inputs.len() - 1].shape != want
        {
            return Err(shape_error(self.stem(), inputs, format_args!("what is added must be {want}")));
        }
        Ok(if self.first == 0 { vec![TensorType::f32(shape![self.rows, self.outputs])] } else { vec![] })
    }

    fn variant(&self, device: &DeviceTraits, capacity: &Capacity) -> Variant {
        let half = self.dtype == DType::F16;
        let (bias, residual) = (self.addend == Addend::Bias, self.addend == Addend::Residual);
        let variant = if self.few(capacity) {
            let rows = capacity.unit(self.rows).min(4);
            let flags = [
                ("F16", half),
                ("NORM", self.norm),
                ("BIAS", bias),
                ("RESIDUAL", residual),
                ("GLU", self.glu),
            ];
            match subgroup::lanes(device, 0) {
                Some(lanes) => subgroup::variant("linear_rows", lanes, &flags).size("ROWS", rows),
                None => Variant::new("linear_rows", &flags).size("ROWS", rows).size("WIDTH", self.inputs),
            }
        } else {
            let tile = Tile::choose(device, capacity.unit(self.rows), self.shard);
            tile.variant("linear", &[("F16", half), ("BIAS", bias), ("RESIDUAL", residual)])
        };
        variant.size("K", self.inputs).size("N", self.shard).size("STRIDE", self.outputs)
    }

    fn dispatch(&self, variant: &Variant, call: &Call) -> Dispatch {
        let rows = call.unit(self.rows);
        if variant.shader.starts_with("linear_rows") {
            let params = shader::params::LinearRows { rows: rows as u32, first_column: self.first as u32 };
            let columns = subgroup::lanes_of(variant).map_or(8, |lanes| 4 * lanes);
            return Dispatch::new(
                &params,
                [self.shard.div_ceil(columns), rows.div_ceil(variant.get("ROWS")), 1],
            );
        }
        let params = shader::params::Linear { rows: rows as u32, first_column: self.first as u32 };
        Dispatch::new(&params, Tile::workgroups(variant, rows, self.shard))
    }

    fn flops(&self, call: &Call) -> u64 {
        (2 * call.unit(self.rows) * self.inputs * self.shard * if self.glu { 2 } else { 1 }) as u64
    }

    fn backward(&self, pass: &mut dyn Backward) -> Result<()> {
        let &Self { inputs, outputs, first, shard, rows, .. } = self;
        if self.norm || self.glu || self.dtype != DType::F32 {
            return Err(Error::new(
                ErrorKind::Shape,
                format!("{}: only a plain linear layer of f32 weights has a gradient", pass.label()),
            ));
        }
        let (x, w, dy) = (pass.input(0), pass.input(1), pass.gradient(0)?);
        pass.contribute(
            "grad_input",
            0,
            |accumulate| LinearGradInput { inputs, outputs, first, shard, rows, accumulate },
            &[dy, w],
        )?;
        if pass.wants(1) {
            let dw = pass.accumulator(1)?;
            pass.append(
                "grad_weight",
                Arc::new(LinearGradWeight { inputs, outputs, first, shard, rows }),
                &[dy, x],
                &[dw],
            )?;
        }
        // What is added belongs to all columns, so that one shard hands on for all of them.
        match self.addend {
            Addend::Residual if first == 0 => pass.give(2, dy),
            Addend::Bias if first == 0 && pass.wants(2) => {
                let sums = pass.apply1("column_sums", ColumnSums { width: outputs, rows }, &[dy])?;
                let db = pass.accumulator(2)?;
                pass.append(
                    "grad_bias",
                    Arc::new(SumPartials { ty: partials(outputs), offset: 0, width: outputs }),
                    &[sums],
                    &[db],
                )
                .map(drop)
            }
            _ => Ok(()),
        }
    }

    twins!();
}

impl Linear {
    fn twin<R: Real>(&self, args: &mut Args<'_, R>, call: &Call) {
        /// Rows that a thread takes at once.
        const ROWS_AT_ONCE: usize = 64;
        let rows = call.unit(self.rows);
        let (x, w) = (&args.real(0)[..rows * self.inputs], args.weights(1));
        let norm: Option<&[R]> = self.norm.then(|| args.real(2));
        let addend: &[R] = if self.addend == Addend::None { &[] } else { args.real(self.input_count() - 1) };
        let y = &mut args.real_mut(self.input_count())[..rows * self.outputs];
        real::with_scratch(if self.norm { x.len() } else { 0 }, |normed: &mut [R]| {
            let x = match norm {
                Some(norm) => {
                    normalize(x, norm, normed, self.inputs);
                    &*normed
                }
                None => x,
            };
            let columns = self.shard * if self.glu { 2 } else { 1 };
            let x = Mat::new(x, rows, self.inputs);
            if self.glu {
                real::with_scratch(rows * columns, |both: &mut [R]| {
                    multiply(MatMut::new(both, rows, columns), x, w, false);
                    gated(both, y, self.outputs);
                });
                return;
            }
            // What is added is put in place first, and the product accumulates onto it.
            if self.addend != Addend::None {
                let columns = self.first..self.first + self.shard;
                real::parallel_chunks(y, ROWS_AT_ONCE * self.outputs, |part, y| {
                    for (row, y) in y.chunks_exact_mut(self.outputs).enumerate() {
                        let of_row = (part * ROWS_AT_ONCE + row) * self.outputs;
                        let from = if self.addend == Addend::Residual { &addend[of_row..] } else { addend };
                        y[columns.clone()].copy_from_slice(&from[columns.clone()]);
                    }
                });
            }
            let out = MatMut::strided(&mut y[self.first..], rows, self.shard, self.outputs);
            multiply(out, x, w, self.addend != Addend::None);
        });
    }
}

/// `y (+)= x Wᵀ`, W `[y.cols, x.cols]`. Halves are widened on the way: for few rows part by part in the first
/// cache, so that memory is read once and as halves; for many rows as a whole, which their product repays.
fn multiply<R: Real>(y: MatMut<R>, x: Mat<R>, w: Weights<R>, accumulate: bool) {
    /// Columns of y of one part: a task of some microseconds.
    const PART: usize = 64;
    let (rows, columns, inputs) = (y.rows, y.cols, x.cols);
    if let Weights::Real(w) = w {
        return real::matmul_parallel(y, x, Mat::new(w, columns, inputs).t(), accumulate);
    }
    if rows > FEW_ROWS {
        return real::with_scratch(columns * inputs, |wide: &mut [R]| {
            real::parallel_chunks(wide, PART * inputs, |part, out| {
                w.widen(part * PART * inputs..part * PART * inputs + out.len(), out)
            });
            real::matmul_parallel(y, x, Mat::new(wide, columns, inputs).t(), accumulate);
        });
    }
    let stride = y.row_stride;
    let out = SharedMut::new(y.data);
    real::parallel_for(columns.div_ceil(PART), |part| {
        let (first, n) = (part * PART, PART.min(columns - part * PART));
        real::with_scratch(n * inputs + rows * n, |scratch: &mut [R]| {
            let (wide, sums) = scratch.split_at_mut(n * inputs);
            w.widen(first * inputs..(first + n) * inputs, wide);
            real::matmul(MatMut::new(sums, rows, n), x, Mat::new(wide, n, inputs).t(), false);
            for (row, sums) in sums.chunks_exact(n).enumerate() {
                // SAFETY: every part has its own columns.
                let y = unsafe { out.slice(row * stride + first, n) };
                y.iter_mut().zip(sums).for_each(|(y, s)| *y = if accumulate { *y + *s } else { *s });
            }
        });
    });
}
