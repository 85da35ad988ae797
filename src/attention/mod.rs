//! Attention of every kind of SPEC §1 as graph nodes: sketch, rows, block-causal scan with its state, or the
//! dense baselines with their key-value cache.

mod describe;
#[cfg(test)]
mod gradient_tests;
#[cfg(test)]
mod linearized_tests;
mod standalone;

use std::sync::Arc;

pub use standalone::{AttentionLayer, Buffers, LayerCapacity, Slices, Weights};

pub use crate::kernels::cpu::Norm;
pub use crate::kernels::heads::layout::{HeadLayout, RopeScaling, Rotation};
pub use crate::kernels::pairs::local_affinity::LocalAffinity;
pub use crate::kernels::pairs::mask::Mask;
pub use crate::kernels::scan::features::Features;

use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Graph, Purpose, TensorId};
use crate::kernels::dense::attention_dense::{AttentionDense, Keys};
use crate::kernels::dense::attention_dense_decode::AttentionDenseDecode;
use crate::kernels::dense::attention_dense_merge::AttentionDenseMerge;
use crate::kernels::heads::gate_prefix::{Carried, GatePrefix};
use crate::kernels::heads::layout::{DIGITS, rotation_table};
use crate::kernels::heads::pack_heads::{KeysAt, PackHeads};
use crate::kernels::heads::ring_copy::RingCopy;
use crate::kernels::pairs::pair_affinity::PairAffinity;
use crate::kernels::scan::scan_decode::ScanDecode;
use crate::kernels::scan::scan_output::{Leaves, ScanOutput};
use crate::kernels::scan::scan_prefix::{Prefix, ScanPrefix};
use crate::kernels::scan::scan_states::{ScanStates, States};
use crate::kernels::sketch::sketch_affine::SketchAffine;
use crate::kernels::sketch::sketch_learned::SketchLearned;
use crate::kernels::sketch::sketch_random::SketchRandom;
use crate::kernels::sketch::sketch_rows::SketchRows;
use crate::shape;
use crate::tensor::{TensorType, Unit};

/// Block size of the scan where the kind does not prescribe one.
pub const DEFAULT_BLOCK: usize = 64;

/// Largest degree of [`Kind::Taylor`] that has features.
pub const MOST_TAYLOR: usize = 4;

/// The kernel between a query and a key (SPEC §1).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Kind {
    /// The baseline.
    Softmax,
    /// `(scale ⟨q̄, k̄⟩)^degree`.
    Polynomial {
        /// p, even.
        degree: usize,
        /// c.
        scale: f64,
    },
    /// `Σ_{m <= degree} (scale ⟨q̄, k̄⟩)^m / m!`.
    Taylor {
        /// g. Up to [`MOST_TAYLOR`] a scan with features; above, every pair is computed (for measurements;
        /// models have no such degrees).
        degree: usize,
        /// c.
        scale: f64,
    },
    /// `⟨s(q), s(k)⟩²`, and the polynomial kernel inside a block where `local_exact`.
    Polysketch {
        /// p of the local kernel.
        degree: usize,
        /// c of the local kernel.
        scale: f64,
        /// Exact inside a block.
        local_exact: bool,
        /// s.
        sketch: Sketch,
    },
    /// Softmax over the near blocks and the sinks of the layout; every other key through an affine sketch of squared
    /// inner products, on one scale and with one normaliser (SPEC §10).
    Linearized {
        /// Units of the sketch's hidden layer.
        hidden: usize,
        /// Rotary pairs of a longer wavelength, in tokens, are not turned in what the sketch sees.
        turned: f64,
    },
}

/// A sketch `R^h → R^r` (SPEC §1, Sketches).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Sketch {
    /// Two branches of small networks.
    Learned {
        /// Levels of a branch.
        levels: usize,
        /// Hidden units per output.
        expansion: usize,
    },
    /// A tree of products of random projections.
    Random {
        /// Leaves, p / 4.
        leaves: usize,
        /// Factor of every node.
        gain: f64,
    },
}

/// One attention layer: everything that decides its operations.
#[derive(Clone, Debug, PartialEq)]
pub struct Attention {
    /// Row layouts.
    pub layout: HeadLayout,
    /// Kernel.
    pub kind: Kind,
    /// β.
    pub bias: f64,
    /// Base of the rotary frequencies.
    pub theta: f64,
    /// What becomes of them for long texts.
    pub scaling: RopeScaling,
    /// Which keys a query sees.
    pub mask: Mask,
}

/// What an attention layer is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Many tokens of each lane, on top of the slot's state; with a full mask without one.
    Prefill,
    /// One token of each lane, on top of the slot's state.
    Decode,
    /// The forward part of a plan that is differentiated: a call is a segment of a text, a multiple of the
    /// block unless it is the last one, on top of the slot's state, which stays as it is. Rings are empty.
    /// The dense kinds take a whole text at once, [`Kind::Linearized`] too.
    Train,
    /// [`Mode::Train`] of a [`Kind::Linearized`] of which only what belongs to the sketches is trained: near pairs
    /// have no gradient.
    Transfer,
    /// Over the segments of a text as [`Mode::Train`] cuts it, leaving the state after segment s of lane a of
    /// `lanes` in slot `(s + 1) * lanes + a`, where the next one starts from: what [`Mode::Train`] needs,
    /// last segment first.
    Forward,
}

/// The tensors an attention layer reads.
#[derive(Clone, Copy, Debug)]
pub struct Inputs {
    /// Projections `[rows, qkv_width]`.
    pub qkv: TensorId,
    /// Lane table `u32`.
    pub lanes: TensorId,
    /// `[4, h]`: query norm weight, bias, key norm weight, bias; none where nothing is normed.
    pub norms: Option<TensorId>,
    /// Packed weights of the sketch.
    pub sketch: Option<TensorId>,
}

/// What an attention layer appended to a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerHandles {
    /// o `[rows, H h]`.
    pub output: TensorId,
    /// Packed query rows `[lanes, G, tokens, M, query width]` ([`HeadLayout`]).
    pub queries: TensorId,
    /// Packed key rows of the window `[lanes, G, window, key width]`; the ring or the cache, where they are
    /// put there at once.
    pub keys: TensorId,
    /// State: the last block's key rows, from call to call ([`Mode::Prefill`] and [`Mode::Decode`] of a
    /// scan).
    pub ring: Option<TensorId>,
    /// State: everything before the last block (a scan with a memory).
    pub state: Option<TensorId>,
    /// State: every key row (the kinds without a scan, likewise).
    pub cache: Option<TensorId>,
}

impl LayerHandles {
    /// Of a layer without states.
    fn of([queries, keys]: [TensorId; 2], output: TensorId) -> Self {
        Self { output, queries, keys, ring: None, state: None, cache: None }
    }
}

impl Attention {
    /// Whether decoding needs a key-value cache that grows with the text.
    pub fn has_cache(&self) -> bool {
        self.features().is_none()
    }

    /// The finite features of the part before the block; none for the kinds with a cache.
    pub fn features(&self) -> Option<Features> {
        match self.kind {
            Kind::Softmax => None,
            Kind::Polynomial { degree: 2, scale } => {
                Some(Features::polynomial(self.layout.head, &[0.0, 0.0, scale * scale]))
            }
            Kind::Polynomial { .. } => None,
            Kind::Taylor { degree, .. } if degree > MOST_TAYLOR => None,
            Kind::Taylor { degree, scale } => {
                let mut term = 1.0;
                let coefficients: Vec<f64> = (0..=degree)
                    .map(|m| {
                        let this = term;
                        term *= scale / (m + 1) as f64;
                        this
                    })
                    .collect();
                Some(Features::polynomial(self.layout.head, &coefficients))
            }
            Kind::Polysketch { .. } | Kind::Linearized { .. } => {
                Some(Features::polynomial(self.layout.sketch, &[0.0, 0.0, 1.0]))
            }
        }
    }

    /// Numbers in the packed weights of the sketch.
    pub fn sketch_weights(&self) -> Option<usize> {
        match &self.kind {
            Kind::Polysketch { sketch: Sketch::Learned { levels, expansion }, .. } => Some(
                SketchLearned { layout: self.layout.clone(), levels: *levels, expansion: *expansion }
                    .weight_count(),
            ),
            Kind::Polysketch { sketch: Sketch::Random { leaves, gain }, .. } => Some(
                SketchRandom { layout: self.layout.clone(), leaves: *leaves, gain: *gain }.weight_count(),
            ),
            Kind::Linearized { hidden, .. } => {
                Some(SketchAffine { layout: self.layout.clone(), hidden: *hidden }.weight_count())
            }
            _ => None,
        }
    }

    /// Appends the layer's operations. States are named `label.ring`, `label.state`, `label.cache`.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for a mode that the kind does not have, or without the sketch's weights.
    pub fn build(
        &self,
        g: &mut Graph,
        label: &str,
        mode: Mode,
        inputs: Inputs,
        context: usize,
    ) -> Result<LayerHandles> {
        let l = &self.layout;
        if self.mask == Mask::Full && (l.gated || mode != Mode::Prefill) {
            let what = if l.gated { "a gate needs" } else { "states and gradients need" };
            return Err(Error::new(ErrorKind::Shape, format!("{label}: {what} a causal mask")));
        }
        let rotations = g.constant_f32(
            &format!("constant.rotations.{}.{}.{:?}", l.rotated, self.theta, self.scaling),
            shape![DIGITS * 256, l.rotated / 2, 2],
            &rotation_table(&self.scaling.frequencies(l.rotated, self.theta)),
        );
        let norms = match inputs.norms {
            Some(norms) => norms,
            None => g.constant_f32(
                &format!("constant.norms.{}", l.head),
                shape![4, l.head],
                &vec![0.0; 4 * l.head],
            ),
        };
        let rows = Rows { qkv: inputs.qkv, lanes: inputs.lanes, norms, rotations, sketch: inputs.sketch };
        match self.features() {
            Some(features) if matches!(self.kind, Kind::Linearized { .. }) => {
                let lead = if matches!(mode, Mode::Prefill | Mode::Decode) { l.near - 1 } else { 0 };
                let layout = HeadLayout { lead, ..l.clone() };
                Self { layout, ..self.clone() }.near_and_far(g, label, mode, rows, features)
            }
            Some(features) => self.scan(g, label, mode, rows, features),
            None => self.dense(g, label, mode, rows, context),
        }
    }

    /// Sketch, gate sums and packed rows: queries, and keys at `keys` (updated in place, or a fresh window).
    fn rows(
        &self,
        g: &mut Graph,
        label: &str,
        from: Rows,
        keys: KeysAt,
        place: Option<TensorId>,
        one_token: bool,
    ) -> Result<[TensorId; 2]> {
        let (l, rows_label) = (&self.layout, format!("{label}.rows"));
        let mut inputs = vec![from.qkv, from.lanes, from.norms, from.rotations];
        if let Kind::Linearized { hidden, turned } = self.kind {
            let weights = from
                .sketch
                .ok_or_else(|| Error::new(ErrorKind::Shape, format!("{label}: no sketch weights")))?;
            let rotations = g.constant_f32(
                &format!("constant.rotations.{}.{}.{:?}.{turned}", l.rotated, self.theta, self.scaling),
                shape![DIGITS * 256, l.rotated / 2, 2],
                &rotation_table(&self.sketch_frequencies()),
            );
            let arguments = [from.qkv, from.lanes, from.norms, rotations, weights];
            let kernel = SketchAffine { layout: l.clone(), hidden };
            inputs.push(g.apply1(&format!("{label}.sketch"), kernel, &arguments)?);
        }
        if let Kind::Polysketch { sketch, .. } = &self.kind {
            let weights = from
                .sketch
                .ok_or_else(|| Error::new(ErrorKind::Shape, format!("{label}: no sketch weights")))?;
            let arguments = [from.qkv, from.lanes, from.norms, from.rotations, weights];
            let label = format!("{label}.sketch");
            inputs.push(match *sketch {
                Sketch::Learned { levels, expansion } => {
                    let sketch = SketchLearned { layout: l.clone(), levels, expansion };
                    let both = SketchRows::new(&sketch).filter(|_| one_token && keys == KeysAt::Ring);
                    if let (Some(both), Some(ring)) = (both, place) {
                        let queries = g.apply(&rows_label, both, &arguments, &[ring])?;
                        return Ok([queries[0], ring]);
                    }
                    g.apply1(&label, sketch, &arguments)?
                }
                Sketch::Random { leaves, gain } => {
                    g.apply1(&label, SketchRandom { layout: l.clone(), leaves, gain }, &arguments)?
                }
            });
        }
        let sums = l.gated && !one_token;
        if sums {
            let carried = match keys {
                KeysAt::Cache(context) => Carried::Cache(context),
                _ if place.is_some() => Carried::Ring,
                _ => Carried::Nothing,
            };
            let kernel = GatePrefix { layout: l.clone(), carried, unbroken: self.has_cache() };
            let arguments: Vec<TensorId> =
                [Some(from.qkv), Some(from.lanes), place].into_iter().flatten().collect();
            inputs.push(g.apply1(&format!("{label}.gate"), kernel, &arguments)?);
        }
        let updates: Vec<TensorId> =
            if keys == KeysAt::Window { vec![] } else { place.into_iter().collect() };
        let kernel = PackHeads { layout: l.clone(), keys, sums };
        let packed = g.apply(&rows_label, kernel, &inputs, &updates)?;
        Ok([packed[0], packed.get(1).or(updates.first()).copied().unwrap_or(packed[0])])
    }

    fn scan(
        &self,
        g: &mut Graph,
        label: &str,
        mode: Mode,
        from: Rows,
        features: Features,
    ) -> Result<LayerHandles> {
        let l = &self.layout;
        let size = features.state(l.head);
        let table = g.constant_u32(
            &format!("constant.features.{}.{}.{:?}", features.source, features.order, self.kind_tag()),
            shape![2 * features.count],
            Arc::clone(&features.table),
        );
        let (local, local_offset, local_width, source_offset) = match self.kind {
            Kind::Polysketch { degree, scale, local_exact: true, .. } => {
                (LocalAffinity::Power { scale, degree }, 0, l.head, l.sketch_offset())
            }
            Kind::Polysketch { .. } => (
                LocalAffinity::Power { scale: 1.0, degree: 2 },
                l.sketch_offset(),
                l.sketch,
                l.sketch_offset(),
            ),
            Kind::Taylor { degree, scale } => (LocalAffinity::Taylor { scale, degree }, 0, l.head, 0),
            Kind::Polynomial { degree, scale } => (LocalAffinity::Power { scale, degree }, 0, l.head, 0),
            Kind::Softmax | Kind::Linearized { .. } => {
                return Err(Error::new(ErrorKind::Shape, format!("{label}: softmax has no scan")));
            }
        };
        let output = ScanOutput {
            layout: l.clone(),
            features: features.clone(),
            source_offset,
            local,
            local_offset,
            local_width,
            bias: self.bias,
            mask: self.mask,
            leaves: if mode == Mode::Train { Leaves::Normaliser } else { Leaves::Outputs },
        };
        let states =
            |blocks| ScanStates { layout: l.clone(), features: features.clone(), source_offset, blocks };
        let lanes = from.lanes;
        if self.mask == Mask::Full {
            let rows @ [queries, keys] = self.rows(g, label, from, KeysAt::Window, None, false)?;
            let blocks = g.apply1(&format!("{label}.states"), states(States::All), &[keys, lanes, table])?;
            let total = g.apply1(
                &format!("{label}.total"),
                ScanPrefix { layout: l.clone(), size, prefix: Prefix::Total },
                &[blocks, keys, lanes],
            )?;
            let o = g.apply1(&format!("{label}.output"), output, &[queries, keys, lanes, table, total])?;
            return Ok(LayerHandles::of(rows, o));
        }
        let state = |g: &mut Graph| {
            g.state(
                &format!("{label}.state"),
                Purpose::Scan,
                TensorType::f32(shape![Unit::Slots, l.heads, size]),
            )
        };
        if matches!(mode, Mode::Train | Mode::Forward) {
            let rows @ [queries, keys] = self.rows(g, label, from, KeysAt::Window, None, false)?;
            let blocks = g.apply1(&format!("{label}.states"), states(States::All), &[keys, lanes, table])?;
            let prefix = |prefix| ScanPrefix { layout: l.clone(), size, prefix };
            let state = state(g);
            let prefix = match mode {
                Mode::Train => g.apply1(
                    &format!("{label}.prefix"),
                    prefix(Prefix::Resume),
                    &[blocks, keys, lanes, state],
                )?,
                _ => g.apply(
                    &format!("{label}.prefix"),
                    prefix(Prefix::Keep),
                    &[blocks, keys, lanes],
                    &[state],
                )?[0],
            };
            let arguments = [queries, keys, lanes, table, prefix];
            let o = g.apply(&format!("{label}.output"), output, &arguments, &[])?[0];
            return Ok(LayerHandles { state: Some(state), ..LayerHandles::of(rows, o) });
        }
        let ring = g.state(
            &format!("{label}.ring"),
            Purpose::Ring,
            TensorType::f32(shape![Unit::Slots, l.heads, l.block, l.key_width()]),
        );
        let state = state(g);
        if mode == Mode::Decode {
            g.apply(&format!("{label}.fold"), states(States::Fold), &[ring, lanes, table], &[state])?;
            let rows @ [queries, _] = self.rows(g, label, from, KeysAt::Ring, Some(ring), true)?;
            let arguments = [queries, ring, lanes, table, state];
            let o = g.apply1(&format!("{label}.output"), ScanDecode(output), &arguments)?;
            return Ok(LayerHandles { ring: Some(ring), state: Some(state), ..LayerHandles::of(rows, o) });
        }
        let rows @ [queries, keys] = self.rows(g, label, from, KeysAt::Window, Some(ring), false)?;
        g.apply(
            &format!("{label}.ring_load"),
            RingCopy { layout: l.clone(), load: true },
            &[lanes, ring],
            &[keys],
        )?;
        let blocks = g.apply1(&format!("{label}.states"), states(States::Finished), &[keys, lanes, table])?;
        let prefix = ScanPrefix { layout: l.clone(), size, prefix: Prefix::Carry };
        let prefix = g.apply(&format!("{label}.prefix"), prefix, &[blocks, keys, lanes], &[state])?[0];
        let o = g.apply1(&format!("{label}.output"), output, &[queries, keys, lanes, table, prefix])?;
        g.apply(
            &format!("{label}.ring_store"),
            RingCopy { layout: l.clone(), load: false },
            &[lanes, keys],
            &[ring],
        )?;
        Ok(LayerHandles { ring: Some(ring), state: Some(state), ..LayerHandles::of(rows, o) })
    }

    /// Angle a token of each rotary pair, as the sketch of [`Kind::Linearized`] sees it: slow pairs do not turn.
    pub fn sketch_frequencies(&self) -> Vec<f64> {
        let turned = if let Kind::Linearized { turned, .. } = self.kind { turned } else { f64::INFINITY };
        let slow = |frequency: f64| std::f64::consts::TAU / frequency > turned;
        let mut frequencies = self.scaling.frequencies(self.layout.rotated, self.theta);
        frequencies.iter_mut().filter(|f| slow(**f)).for_each(|f| *f = 0.0);
        frequencies
    }

    /// What softmax gives of the rows that a layer of [`Mode::Transfer`] has packed `[rows, H h]`: its teacher's outputs.
    ///
    /// # Errors
    /// As [`Attention::build`].
    pub fn teacher(
        &self,
        g: &mut Graph,
        label: &str,
        lanes: TensorId,
        of: &LayerHandles,
    ) -> Result<TensorId> {
        let layout = HeadLayout { lead: 0, ..self.layout.clone() };
        let keys = Keys::Window(self.mask);
        let kernel = AttentionDense { layout, affinity: PairAffinity::Softmax, bias: 0.0, keys };
        Ok(g.apply(label, kernel, &[of.queries, of.keys, lanes], &[])?[0])
    }

    /// Softmax over projections of this layer's width: of a [`Kind::Linearized`], the teacher.
    #[must_use]
    pub fn as_softmax(&self) -> Self {
        let layout =
            HeadLayout { sketch: 0, near: 1, sinks: 0, sink_reach: 0, lead: 0, ..self.layout.clone() };
        Self { kind: Kind::Softmax, layout, ..self.clone() }
    }

    /// Near keys and sinks exactly, joined with the rows of what a state knows of all others.
    fn near_and_far(
        &self,
        g: &mut Graph,
        label: &str,
        mode: Mode,
        from: Rows,
        features: Features,
    ) -> Result<LayerHandles> {
        let l = &self.layout;
        let (size, source_offset, lanes) = (features.state(l.head), l.sketch_offset(), from.lanes);
        let name = format!("constant.features.{}.{}.{:?}", features.source, features.order, self.kind_tag());
        let table = g.constant_u32(&name, shape![2 * features.count], Arc::clone(&features.table));
        let far = ScanOutput {
            layout: l.clone(),
            features: features.clone(),
            source_offset,
            local: LocalAffinity::Power { scale: 1.0, degree: 2 },
            local_offset: source_offset,
            local_width: l.sketch,
            bias: 0.0,
            mask: self.mask,
            leaves: Leaves::Far,
        };
        let near =
            |keys| AttentionDense { layout: l.clone(), affinity: PairAffinity::Softmax, bias: 0.0, keys };
        let states =
            |blocks| ScanStates { layout: l.clone(), features: features.clone(), source_offset, blocks };
        let prefix = |prefix| ScanPrefix { layout: l.clone(), size, prefix };
        let of_slots = TensorType::f32(shape![Unit::Slots, l.heads, size]);
        let state = g.state(&format!("{label}.state"), Purpose::Scan, of_slots);
        let near_label = format!("{label}.output");
        if matches!(mode, Mode::Train | Mode::Transfer | Mode::Forward) {
            let rows @ [queries, keys] = self.rows(g, label, from, KeysAt::Window, None, false)?;
            let blocks = g.apply1(&format!("{label}.states"), states(States::All), &[keys, lanes, table])?;
            let arguments = [blocks, keys, lanes, state];
            let z = g.apply1(&format!("{label}.prefix"), prefix(Prefix::Resume), &arguments)?;
            let far = g.apply1(&format!("{label}.far"), far, &[queries, keys, lanes, table, z])?;
            let kernel = near(Keys::Near { trained: mode == Mode::Train });
            let o = g.apply(&near_label, kernel, &[queries, keys, lanes, far, from.rotations], &[])?[0];
            return Ok(LayerHandles { state: Some(state), ..LayerHandles::of(rows, o) });
        }
        let rows = TensorType::f32(shape![Unit::Slots, l.heads, l.ring_rows(), l.key_width()]);
        let ring = g.state(&format!("{label}.ring"), Purpose::Ring, rows);
        if mode == Mode::Decode {
            g.apply(&format!("{label}.fold"), states(States::Fold), &[ring, lanes, table], &[state])?;
            let rows @ [queries, _] = self.rows(g, label, from, KeysAt::Ring, Some(ring), true)?;
            let parts = AttentionDenseDecode(near(Keys::Ring));
            let parts =
                g.apply1(&format!("{label}.parts"), parts, &[queries, ring, lanes, from.rotations])?;
            let o = g.apply1(&near_label, ScanDecode(far), &[queries, ring, lanes, table, state, parts])?;
            return Ok(LayerHandles { ring: Some(ring), state: Some(state), ..LayerHandles::of(rows, o) });
        }
        let copy = |load| RingCopy { layout: l.clone(), load };
        let rows @ [queries, keys] = self.rows(g, label, from, KeysAt::Window, Some(ring), false)?;
        g.apply(&format!("{label}.ring_load"), copy(true), &[lanes, ring], &[keys])?;
        let blocks = g.apply1(&format!("{label}.states"), states(States::Finished), &[keys, lanes, table])?;
        let z =
            g.apply(&format!("{label}.prefix"), prefix(Prefix::Carry), &[blocks, keys, lanes], &[state])?[0];
        let far = g.apply1(&format!("{label}.far"), far, &[queries, keys, lanes, table, z])?;
        let kernel = near(Keys::Near { trained: false });
        let o = g.apply(&near_label, kernel, &[queries, keys, lanes, far, from.rotations], &[])?[0];
        g.apply(&format!("{label}.ring_store"), copy(false), &[lanes, keys], &[ring])?;
        Ok(LayerHandles { ring: Some(ring), state: Some(state), ..LayerHandles::of(rows, o) })
    }

    fn dense(
        &self,
        g: &mut Graph,
        label: &str,
        mode: Mode,
        from: Rows,
        context: usize,
    ) -> Result<LayerHandles> {
        let l = &self.layout;
        let (affinity, bias) = match self.kind {
            Kind::Polynomial { degree, scale } => {
                (PairAffinity::Kernel(LocalAffinity::Power { scale, degree }), self.bias)
            }
            Kind::Taylor { degree, scale } => {
                (PairAffinity::Kernel(LocalAffinity::Taylor { scale, degree }), self.bias)
            }
            _ => (PairAffinity::Softmax, 0.0),
        };
        let lanes = from.lanes;
        let cached = self.mask == Mask::Causal && matches!(mode, Mode::Prefill | Mode::Decode);
        if !cached {
            let rows @ [queries, keys] = self.rows(g, label, from, KeysAt::Window, None, false)?;
            let kernel = AttentionDense { layout: l.clone(), affinity, bias, keys: Keys::Window(self.mask) };
            let o = g.apply(&format!("{label}.output"), kernel, &[queries, keys, lanes], &[])?[0];
            return Ok(LayerHandles::of(rows, o));
        }
        let kernel = AttentionDense { layout: l.clone(), affinity, bias, keys: Keys::Cache(context) };
        let cache = g.state(
            &format!("{label}.cache"),
            Purpose::Cache,
            TensorType::f32(shape![Unit::Slots, l.heads, Unit::Context, l.key_width()]),
        );
        let one_token = mode == Mode::Decode;
        let rows @ [queries, _] =
            self.rows(g, label, from, KeysAt::Cache(context), Some(cache), one_token)?;
        let arguments = [queries, cache, lanes];
        let o = if one_token {
            let parts = AttentionDenseDecode(kernel.clone());
            let parts = g.apply1(&format!("{label}.parts"), parts, &arguments)?;
            g.apply1(&format!("{label}.output"), AttentionDenseMerge(kernel), &[parts])?
        } else {
            g.apply1(&format!("{label}.output"), kernel, &arguments)?
        };
        Ok(LayerHandles { cache: Some(cache), ..LayerHandles::of(rows, o) })
    }

    /// Tells feature tables of different kinds apart.
    fn kind_tag(&self) -> String {
        match &self.kind {
            Kind::Polysketch { .. } | Kind::Linearized { .. } => "sketch".to_string(),
            Kind::Polynomial { scale, .. } => format!("power.{scale}"),
            Kind::Taylor { scale, .. } => format!("taylor.{scale}"),
            Kind::Softmax => "softmax".to_string(),
        }
    }
}

/// The tensors that rows are packed from.
#[derive(Clone, Copy)]
struct Rows {
    qkv: TensorId,
    lanes: TensorId,
    norms: TensorId,
    rotations: TensorId,
    sketch: Option<TensorId>,
}
