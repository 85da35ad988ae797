//! What attention of the kind `linearized` has of its own in `config.json` (SPEC §10): reading and rules; layers
//! that stay as they are.

use serde_json::Value;

use super::config::{Linearized, ModelConfig, RopeWhere};
use super::config_reader::{BLOCK, Checked, Fault, Object, Sizes, between};

const NEAR: Sizes = Sizes::new(1, 1 << 12, 1);
/// As many as the largest block has tokens.
const SINKS: Sizes = Sizes::new(0, 1 << 14, 1);
const REACH: Sizes = Sizes::new(0, 1 << 30, 1);
const SKETCH: Sizes = Sizes::new(4, 256, 4);
const UNITS: Sizes = Sizes::new(4, 1 << 12, 4);

/// Reads the sizes.
pub(super) fn near_and_far(
    o: &mut Object<'_>,
    layers: usize,
    notes: &mut Vec<String>,
) -> Checked<Linearized> {
    let usual = Linearized::usual(layers);
    let near = |v: &Value| -> Option<Vec<usize>> {
        let number = |v: &Value| v.as_u64().and_then(|n| usize::try_from(n).ok());
        match v {
            Value::Array(list) => list.iter().map(number).collect(),
            one => number(one).map(|n| vec![n; layers]),
        }
    };
    let allowed = format!("{NEAR}, or a list with one for each layer ({layers})");
    let mut linearized = Linearized {
        block_size: o.size("block_size", &BLOCK)?.unwrap_or(usual.block_size),
        near: o.read("near", &allowed, near)?.unwrap_or(usual.near),
        sinks: o.size("sinks", &SINKS)?.unwrap_or(usual.sinks),
        sink_reach: o.size("sink_reach", &REACH)?.unwrap_or(usual.sink_reach),
        ..usual
    };
    let map = o.object("sketch")?.required(&"an object with \"size\"")?;
    let mut o = Object::new("attention.sketch.", map);
    linearized.sketch = o.size("size", &SKETCH)?.required(&SKETCH)?;
    linearized.hidden = o.size("hidden", &UNITS)?.unwrap_or(usual.hidden);
    linearized.turned = o.number("turned")?.unwrap_or(0.0);
    o.finish(&[], "", notes);
    Ok(linearized)
}

impl Linearized {
    /// Whether a layer keeps its softmax attention.
    pub fn keeps(&self, layer: usize) -> bool {
        self.near.get(layer) == Some(&0)
    }

    /// The layers that do.
    pub fn kept(&self) -> Vec<usize> {
        (0..self.near.len()).filter(|layer| self.keeps(*layer)).collect()
    }

    /// The reach of the sinks of a model that was trained on texts of so many tokens: as far as it has seen them. None
    /// where all of that is near.
    pub fn usual_reach(&self, trained: u64) -> usize {
        let near = self.near.iter().copied().max().unwrap_or(0);
        let trained = usize::try_from(trained).unwrap_or(usize::MAX);
        let blocks = (trained / self.block_size.max(1)).saturating_sub(1);
        if blocks < near { 0 } else { blocks * self.block_size }
    }
}

impl ModelConfig {
    /// How an adapter made a layer linear: some keep their softmax.
    pub fn adapted_in(&self, layer: usize) -> Option<&Linearized> {
        self.adapted().filter(|l| !l.keeps(layer))
    }

    /// Whether layers of a linearised model keep their softmax, so that its state grows with the text.
    pub fn keeps_softmax(&self) -> bool {
        self.adapted().is_some_and(|l| l.near.contains(&0))
    }

    /// The rules of the kind, for configurations of any origin.
    pub(super) fn check_linearized(&self) -> Checked<()> {
        let Some(l) = &self.linearized else {
            let allowed = "given with attention.kind \"linearized\"";
            return Err(Fault::new("attention.sketch", "missing", allowed));
        };
        BLOCK.check("attention.block_size", l.block_size)?;
        if l.near.len() != self.num_hidden_layers {
            let allowed = format!("{}, one for each layer", self.num_hidden_layers);
            return Err(Fault::new("the number of attention.near", l.near.len(), allowed));
        }
        l.near.iter().try_for_each(|near| NEAR.check("attention.near", *near))?;
        Sizes::new(0, l.block_size, 1).check("attention.sinks", l.sinks)?;
        REACH.check("attention.sink_reach", l.sink_reach)?;
        SKETCH.check("attention.sketch.size", l.sketch)?;
        UNITS.check("attention.sketch.hidden", l.hidden)?;
        between("attention.sketch.turned", l.turned, 0.0, 1e12)?;
        let (rope, head) = (&self.rope, self.head_dim);
        if rope.where_ != RopeWhere::None && rope.rotary_dim != head {
            let allowed = format!("{head}, all of a head, with attention.kind \"linearized\"");
            return Err(Fault::new("rope.rotary_dim", rope.rotary_dim, allowed));
        }
        Ok(())
    }
}
