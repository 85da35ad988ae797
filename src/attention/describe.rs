//! Descriptions of attention layers, for use without a model: a constructor a kind, then `with_…` for what
//! differs from the defaults, then [`Attention::check`].

use super::{
    Attention, DEFAULT_BLOCK, HeadLayout, Kind, MOST_TAYLOR, Mask, Norm, RopeScaling, Rotation, Sketch,
};
use crate::error::{Error, ErrorKind, Result};

/// Block size of a polysketch layer unless [`Attention::with_block_size`] says otherwise.
const POLYSKETCH_BLOCK: usize = 128;
/// Most elements of the vector that features are made of: their indices are packed in 8 bits.
const MOST_SOURCE: usize = 256;
/// Most numbers of sinks that are turned on: a workgroup has them beside its tiles, in browsers too.
const MOST_TURNED: usize = 1024;
/// Most features of a scan.
const MOST_FEATURES: usize = 1 << 16;

impl Attention {
    fn new(heads: usize, head: usize, kind: Kind) -> Self {
        let softmax = kind == Kind::Softmax;
        let layout = HeadLayout {
            heads,
            group: 1,
            head,
            size: head,
            exact: true,
            normed: !softmax,
            norm: Norm::LAYER,
            shared_norm: false,
            sketch: 0,
            sketch_normed: true,
            gated: false,
            rotation: Rotation::None,
            rotated: head,
            interleaved: false,
            block: DEFAULT_BLOCK,
            near: 1,
            sinks: 0,
            sink_reach: 0,
            lead: 0,
        };
        Self { layout, kind, bias: 1.0, theta: 10_000.0, scaling: RopeScaling::None, mask: Mask::Causal }
    }

    /// `softmax(q·k/√h)` with `heads` heads of `head` columns: the baseline, with a key-value cache.
    pub fn softmax(heads: usize, head: usize) -> Self {
        Self::new(heads, head, Kind::Softmax)
    }

    /// `(c⟨q̄,k̄⟩)^degree`, degree even, c = 1/√h. Degree 2 is a scan with constant state, more keep a
    /// key-value cache.
    pub fn polynomial(heads: usize, head: usize, degree: usize) -> Self {
        Self::new(heads, head, Kind::Polynomial { degree, scale: root(head) })
    }

    /// `Σ_{m <= degree} (c⟨q̄,k̄⟩)^m / m!`, degree 1 to 4, c = 1/√h: a scan with C(h + degree, degree)
    /// features.
    pub fn taylor(heads: usize, head: usize, degree: usize) -> Self {
        Self::new(heads, head, Kind::Taylor { degree, scale: root(head) })
    }

    /// `⟨s(q), s(k)⟩²` with a sketch of `size` columns, and the exact kernel `(⟨q̄,k̄⟩/√h)^p` inside blocks
    /// of 128 (p = 4; with a random sketch 4 times its leaves).
    pub fn polysketch(heads: usize, head: usize, size: usize, sketch: Sketch) -> Self {
        let degree = if let Sketch::Random { leaves, .. } = sketch { 4 * leaves } else { 4 };
        let mut attention =
            Self::new(heads, head, Kind::Polysketch { degree, scale: root(head), local_exact: true, sketch });
        (attention.layout.sketch, attention.layout.block) = (size, POLYSKETCH_BLOCK);
        attention
    }

    /// Softmax over the own block and the one before it, both of 128, and the first 4 tokens; every other key
    /// through an affine sketch of `size` columns with `hidden` units (SPEC §10).
    pub fn linearized(heads: usize, head: usize, size: usize, hidden: usize) -> Self {
        let mut attention = Self::new(heads, head, Kind::Linearized { hidden, turned: 1024.0 });
        let l = &mut attention.layout;
        (l.sketch, l.block, l.near, l.sinks, l.normed) = (size, POLYSKETCH_BLOCK, 2, 4, false);
        attention.bias = 0.0;
        attention
    }

    /// The blocks that a query of a linearised layer sees exactly, its own among them, and the first tokens of a
    /// text.
    #[must_use]
    pub fn with_near(mut self, blocks: usize, sinks: usize) -> Self {
        if let Kind::Linearized { .. } = self.kind {
            (self.layout.near, self.layout.sinks) = (blocks, sinks);
        }
        self
    }

    /// Tokens from which on a block of a linearised layer is no further from the sinks, by their rotation; 0: it always
    /// is as far as it is.
    #[must_use]
    pub fn with_sink_reach(mut self, tokens: usize) -> Self {
        if let Kind::Linearized { .. } = self.kind {
            self.layout.sink_reach = tokens;
        }
        self
    }

    /// c, the factor of ⟨q̄,k̄⟩ (not softmax).
    #[must_use]
    pub fn with_scale(mut self, c: f64) -> Self {
        if let Kind::Polynomial { scale, .. } | Kind::Taylor { scale, .. } | Kind::Polysketch { scale, .. } =
            &mut self.kind
        {
            *scale = c;
        }
        self
    }

    /// p, the degree of a polysketch's kernel inside a block (4, 8, 16 or 32; 4 times the leaves of a random
    /// sketch).
    #[must_use]
    pub fn with_local_degree(mut self, p: usize) -> Self {
        if let Kind::Polysketch { degree, .. } = &mut self.kind {
            *degree = p;
        }
        self
    }

    /// Whether a polysketch is exact inside a block. A full mask needs `false`.
    #[must_use]
    pub fn with_local_exact(mut self, on: bool) -> Self {
        if let Kind::Polysketch { local_exact, .. } = &mut self.kind {
            *local_exact = on;
            self.layout.exact = on;
            self.layout.normed = on || self.layout.sketch_normed;
        }
        self
    }

    /// Whether a polysketch's sketch sees q̄, k̄ (true) or q, k as they come.
    #[must_use]
    pub fn with_sketch_normed(mut self, on: bool) -> Self {
        if let Kind::Polysketch { local_exact, .. } = self.kind {
            self.layout.sketch_normed = on;
            self.layout.normed = on || local_exact;
        }
        self
    }

    /// b, tokens of a block. Part of the result with `local_exact`, otherwise a matter of speed.
    #[must_use]
    pub fn with_block_size(mut self, b: usize) -> Self {
        self.layout.block = b;
        self
    }

    /// β of the normaliser (not softmax).
    #[must_use]
    pub fn with_denominator_bias(mut self, beta: f64) -> Self {
        self.bias = beta;
        self
    }

    /// A scalar gate per head and token (with a causal mask, not softmax): decay σ(logit).
    #[must_use]
    pub fn with_gate(mut self) -> Self {
        self.layout.gated = true;
        self
    }

    /// Rotary position with angles `position · theta^(-2i/h)`; pairs (2i, 2i+1) where `interleaved`, else (i,
    /// i + h/2).
    #[must_use]
    pub fn with_rotary(mut self, rotation: Rotation, theta: f64, interleaved: bool) -> Self {
        (self.layout.rotation, self.theta, self.layout.interleaved) = (rotation, theta, interleaved);
        self
    }

    /// Grouped queries: `group` query heads share each of the heads' keys, values and gates; there are then
    /// `heads * group` query heads.
    #[must_use]
    pub fn with_group(mut self, group: usize) -> Self {
        self.layout.group = group;
        self
    }

    /// Which keys a query sees.
    #[must_use]
    pub fn with_mask(mut self, mask: Mask) -> Self {
        self.mask = mask;
        self
    }

    /// Keys use the queries' LayerNorm.
    #[must_use]
    pub fn with_shared_norm(mut self) -> Self {
        self.layout.shared_norm = true;
        self
    }

    /// Refuses descriptions that have no meaning or that the kernels cannot run.
    ///
    /// # Errors
    /// [`ErrorKind::Config`], naming the field, its value and what is allowed.
    pub fn check(&self) -> Result<()> {
        let l = &self.layout;
        let full = self.mask == Mask::Full;
        let softmax = self.kind == Kind::Softmax;
        within("heads", l.heads, 1, 4096, 1)?;
        within("group", l.group, 1, 4096, 1)?;
        within("head", l.head, 4, 1024, 4)?;
        within("rotated elements", l.rotated, 0, l.head, 2)?;
        if l.interleaved && l.rotated != l.head {
            return refuse(
                "rotated elements",
                l.rotated,
                format!("all {} where pairs are interleaved", l.head),
            );
        }
        within("block size", l.block, 1, 1 << 14, 1)?;
        if l.gated && (softmax || full) {
            return refuse(
                "gate",
                "on",
                if softmax { "off with softmax" } else { "off without a causal mask" },
            );
        }
        if l.rotation == Rotation::Normed && !l.normed {
            return refuse("rotation", "of normed vectors", "none or raw: nothing is normed here");
        }
        if !(self.theta >= 1.0 && self.theta <= 1e12) {
            return refuse("theta", self.theta, "from 1 to 1e12");
        }
        if !softmax && !(0.0..=1e6).contains(&self.bias) {
            return refuse("denominator bias", self.bias, "from 0 to 1e6");
        }
        let (degree, scale) = match &self.kind {
            Kind::Softmax => return Ok(()),
            Kind::Linearized { hidden, turned } => {
                if full {
                    return refuse("mask", "full", "causal where the near keys are exact");
                }
                within("sketch size", l.sketch, 4, MOST_SOURCE, 4)?;
                within("hidden units of the sketch", *hidden, 4, 1 << 12, 4)?;
                within("near blocks", l.near, 1, 1 << 12, 1)?;
                within("sinks", l.sinks, 0, l.block, 1)?;
                within("sink reach", l.sink_reach, 0, 1 << 30, 1)?;
                if l.sink_reach > 0 && l.sinks * l.head > MOST_TURNED {
                    let allowed =
                        format!("{} with heads of {} and a sink reach", MOST_TURNED / l.head, l.head);
                    return refuse("sinks", l.sinks, format!("at most {allowed}"));
                }
                let near = l.near.saturating_mul(l.block);
                if l.sink_reach > 0 && l.sink_reach < near {
                    return refuse(
                        "sink reach",
                        l.sink_reach,
                        format!("0, or at least {near}, what is near"),
                    );
                }
                if l.sink_reach > 0 && (l.rotation == Rotation::None || l.rotated != l.head) {
                    return refuse("sink reach", l.sink_reach, "0 where heads are not rotated as a whole");
                }
                if turned.is_nan() || *turned < 0.0 {
                    return refuse("longest wavelength of the sketch", turned, "at least 0");
                }
                return Ok(());
            }
            Kind::Polynomial { degree, scale } => {
                within("degree", *degree, 2, 32, 2)?;
                if *degree == 2 {
                    within("head", l.head, 4, MOST_SOURCE, 4)?;
                }
                (*degree, *scale)
            }
            Kind::Taylor { degree, scale } => {
                within("degree", *degree, 1, MOST_TAYLOR, 1)?;
                let features = (1..=*degree).fold(1u64, |c, i| c * (l.head + i) as u64 / i as u64);
                if features > MOST_FEATURES as u64 || l.head >= MOST_SOURCE {
                    let allowed = format!(
                        "less with heads of {}: {features} features, at most {MOST_FEATURES}",
                        l.head
                    );
                    return refuse("degree", degree, allowed);
                }
                (*degree, *scale)
            }
            Kind::Polysketch { degree, scale, local_exact, sketch } => {
                if ![4, 8, 16, 32].contains(degree) {
                    return refuse("degree", degree, "4, 8, 16 or 32");
                }
                if full && *local_exact {
                    return refuse("local_exact", true, "false without a causal mask");
                }
                within("sketch size", l.sketch, 4, MOST_SOURCE, 4)?;
                match sketch {
                    Sketch::Learned { levels, expansion } => {
                        within("levels", *levels, 1, 16, 1)?;
                        within("expansion", *expansion, 1, 256, 1)?;
                    }
                    Sketch::Random { leaves, gain } => {
                        if leaves * 4 != *degree {
                            return refuse(
                                "leaves of the sketch",
                                leaves,
                                format!("{}, a quarter of the degree", degree / 4),
                            );
                        }
                        if !(*gain > 0.0 && *gain <= 1e3) {
                            return refuse("gain", gain, "above 0 and at most 1000");
                        }
                    }
                }
                (*degree, *scale)
            }
        };
        if !(scale > 0.0 && scale <= 1e4) {
            return refuse("scale", scale, format!("above 0 and at most 10000 at degree {degree}"));
        }
        Ok(())
    }
}

fn root(head: usize) -> f64 {
    1.0 / (head.max(1) as f64).sqrt()
}

fn refuse(name: &str, value: impl std::fmt::Display, allowed: impl std::fmt::Display) -> Result<()> {
    Err(Error::new(ErrorKind::Config, format!("attention: {name} is {value}, must be {allowed}")))
}

fn within(name: &str, value: usize, least: usize, most: usize, step: usize) -> Result<()> {
    if (least..=most).contains(&value) && value.is_multiple_of(step) {
        return Ok(());
    }
    let of = if step == 1 { String::new() } else { format!("a multiple of {step} ") };
    refuse(name, value, format!("{of}from {least} to {most}"))
}
