//! A case: one call of a small plan, with everything that it reads.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::error::Result;
use crate::graph::{Graph, Plan};
use crate::kernels::DeviceTraits;
use crate::tensor::{Call, Capacity, Lane};

/// 32-bit words of a tensor.
pub type Words = Arc<Vec<u32>>;

/// What a case reads, by name: parameters, inputs, and states that are not zero.
pub type Data = HashMap<String, Words>;

/// Makes the data of a case when they are first wanted.
type Source = Box<dyn Fn() -> Result<Data> + Send + Sync>;

/// One call of a plan, with everything it reads.
pub struct Case {
    /// Name, of letters, digits and `_`.
    pub name: String,
    /// Its operations.
    pub graph: Graph,
    /// What the plan is made for; a little more than the call needs, so that it ends amid buffers.
    pub capacity: Capacity,
    /// The call.
    pub call: Call,
    /// Whether software adapters run it too: the others are many, and shaders compile slowly there.
    pub core: bool,
    source: Source,
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case").field("name", &self.name).field("call", &self.call).finish_non_exhaustive()
    }
}

impl Case {
    /// A case whose data are made by `source`.
    pub fn new(
        name: &str,
        graph: Graph,
        capacity: Capacity,
        call: Call,
        source: impl Fn() -> Result<Data> + Send + Sync + 'static,
    ) -> Self {
        Self { name: slug(name), graph, capacity, call, core: true, source: Box::new(source) }
    }

    /// The same case, but not for software adapters.
    #[must_use]
    pub fn wide(mut self) -> Self {
        self.core = false;
        self
    }

    /// What it reads.
    ///
    /// # Errors
    /// Whatever can go wrong with a model.
    pub fn data(&self) -> Result<Data> {
        (self.source)()
    }

    /// Its plan for a device.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) where it does not fit the device.
    pub fn plan(&self, traits: &DeviceTraits) -> Result<Plan> {
        self.graph.lower(&self.name, traits, self.capacity)
    }
}

/// A name of letters, digits and `_` only.
pub fn slug(text: &str) -> String {
    let word = |part: &str| part.to_lowercase();
    let parts = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '=' && c != '.');
    let parts = parts.map(|part| part.replace(['=', '.'], "")).filter(|part| !part.is_empty());
    parts.map(|part| word(&part)).collect::<Vec<_>>().join("_")
}

/// A call of some lanes from the start.
pub fn start(lanes: usize, tokens: usize) -> Call {
    Call { lanes: (0..lanes).map(|slot| Lane { slot, position: 0, ring: 0 }).collect(), tokens, lane_base: 0 }
}

/// Floats as words.
pub fn bits(values: impl IntoIterator<Item = f32>) -> Vec<u32> {
    values.into_iter().map(f32::to_bits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs() {
        assert_eq!(slug("few: learned local gated h=12"), "few_learned_local_gated_h12");
        assert_eq!(slug("linear 3x41 12 [7, 30, 7] Residual"), "linear_3x41_12_7_30_7_residual");
    }
}
