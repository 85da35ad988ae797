//! `inspect`: configuration, parameters, memory plan, and the graph as a drawing. Nothing is allocated.

use std::path::Path;

use clap::{Args, ValueEnum};
use polysketch::files::{Whole, read_text};
use polysketch::model::checkpoint::{Checkpoint, INDEX, SINGLE};
use polysketch::model::config::Linearized;
use polysketch::model::parameters::{ParameterKind, ParameterSpec};
use polysketch::model::transformer;
use polysketch::model::{Blueprint, Engine, Family, MemoryPlan, ModelConfig, StoredWeights, WeightType};
use polysketch::tensor::{Call, DType};
use polysketch::{Error, Result};
use serde_json::{Map, Value, json};

use super::failure::{Outcome, warn};
#[cfg(feature = "train")]
use super::inspect_training;
use super::model;
use super::options::{Common, ModelOptions, count};
use super::output::{self, Align, amount, bytes, print, print_json, table, thousands, wrap};

/// What `inspect` takes.
#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    model: ModelOptions,
    /// Texts that a session holds at the same time
    #[arg(long, value_name = "N", default_value = "1", value_parser = count, help_heading = "Memory")]
    slots: usize,
    /// Print a plan as a Graphviz drawing instead
    #[arg(long, value_name = "PLAN")]
    dot: Option<Which>,
    #[cfg(feature = "train")]
    #[command(flatten)]
    training: inspect_training::Options,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Which {
    /// Reading a prompt, many tokens a call
    Prefill,
    /// Writing, a token a call
    Decode,
}

/// What is known of a model without its numbers.
struct Facts {
    config: ModelConfig,
    stored: Option<StoredWeights>,
    warnings: Vec<String>,
}

/// Runs the command.
pub fn run(common: &Common, options: &Options) -> Outcome {
    let facts = facts(common, &options.model)?;
    if common.talks() {
        facts.warnings.iter().for_each(|text| warn(text));
    }
    let engine = model::precise_engine(common, options.model.precise)?;
    let load = options.model.load.options(options.slots);
    let blueprint = engine.blueprint(&facts.config, facts.stored.clone().unwrap_or(DType::F32.into()), &load);
    if let Some(which) = options.dot {
        let blueprint = blueprint?;
        return print(&if which == Which::Prefill { &blueprint.prefill } else { &blueprint.decode }.dot());
    }
    #[cfg(feature = "train")]
    let training = options.training.plan(&engine, &facts.config, load.segment)?;
    let groups = groups(&facts.config);
    let fits = blueprint.as_ref().map_err(Error::clone).and_then(|b| engine.check_fits(&b.memory()));
    let plan = blueprint.ok().map(|b| (b.memory(), Numbers::new(&b, &facts.config)));
    if common.json {
        let value = as_json(common, options, &facts, &groups, &engine, plan.as_ref(), fits.is_ok());
        #[cfg(feature = "train")]
        let value = inspect_training::joined(value, training.as_ref());
        print_json(&value)?;
    } else {
        let text = as_text(common, options, &facts, &groups, &engine, plan.as_ref());
        #[cfg(feature = "train")]
        let text = with_training(text, training.as_ref(), &engine);
        print(&text)?;
    }
    Ok(fits?)
}

#[cfg(feature = "train")]
fn with_training(mut text: String, training: Option<&inspect_training::Training>, engine: &Engine) -> String {
    if let Some(training) = training {
        let (title, rows) = training.rows(&engine.name());
        section(&mut text, &title, rows, output::columns());
    }
    text
}

/// A folder may lack the weights, and a `config.json` alone will do: a plan needs only the configuration.
fn facts(common: &Common, options: &ModelOptions) -> Result<Facts> {
    let place = model::place(common, options.model.as_ref())?;
    let is_config = |path: &Path| path.is_file() && path.extension().is_some_and(|end| end == "json");
    let Some(path) =
        place.model.as_deref().filter(|path| (path.is_dir() && place.adapter.is_none()) || is_config(path))
    else {
        let source = model::open(&place)?;
        return Ok(Facts { stored: Some(source.stored()), config: source.config, warnings: source.warnings });
    };
    planned(path).map_err(|error| model::if_damaged(path, error))
}

/// Of a folder, or a `config.json`.
fn planned(path: &Path) -> Result<Facts> {
    let folder = Some(path).filter(|path| path.is_dir());
    let path = folder.map_or(path.to_path_buf(), |folder| folder.join("config.json"));
    let (mut config, mut warnings) =
        ModelConfig::from_json(&read_text(&path, Whole::Settings)?, &path.display().to_string())?;
    let weights = folder.filter(|folder| [SINGLE, INDEX].iter().any(|name| folder.join(name).exists()));
    let Some(folder) = weights else {
        return Ok(Facts { config, stored: None, warnings });
    };
    let (checkpoint, notes) = Checkpoint::open(folder)?.of(&mut config)?;
    warnings.extend(notes);
    let stored = StoredWeights::of(&config, &checkpoint);
    Ok(Facts { config, stored: Some(stored), warnings })
}

/// Parameters by what they do.
fn groups(config: &ModelConfig) -> Vec<(&'static str, u64)> {
    let group = |spec: &ParameterSpec| match spec.kind {
        _ if spec.name.starts_with("lm_head.") => 7,
        _ if spec.name.contains("embed_positions") => 6,
        ParameterKind::Embedding => 0,
        _ if spec.name.contains(".sketch.") || spec.name.ends_with(".sketch") => 2,
        ParameterKind::GateWeight | ParameterKind::GateBias => 3,
        _ if spec.name.contains(".mlp.") => 4,
        ParameterKind::NormScale | ParameterKind::NormBias => 5,
        _ => 1,
    };
    let names = [
        "embedding",
        "attention projections",
        "sketch",
        "gate",
        "MLP",
        "norms",
        "positions",
        "output matrix",
    ];
    // All layers are alike: count one, so that a model of a million layers takes no longer.
    let mut sums = [0u64; 8];
    let mut add = |layers: usize, times: i64| {
        for spec in (ModelConfig { num_hidden_layers: layers, ..config.clone() }).parameters() {
            let elements = spec.shape.iter().fold(1u64, |a, n| a.saturating_mul(*n as u64));
            sums[group(&spec)] =
                sums[group(&spec)].saturating_add_signed(times.saturating_mul(elements as i64));
        }
    };
    let layers = config.num_hidden_layers as i64;
    add(1, layers);
    add(0, 1 - layers);
    names.into_iter().zip(sums).filter(|(_, n)| *n > 0).collect()
}

/// What is derived from the plans.
struct Numbers {
    /// Bytes of state of one text, the cache left out.
    state: u64,
    /// Bytes of the key-value cache of one text.
    cache: u64,
    /// Dispatches a layer of a decoding step and of a prefill call.
    layer: [usize; 2],
    /// f32 operations of a decoding step.
    flops: u64,
}

impl Numbers {
    fn new(b: &Blueprint, config: &ModelConfig) -> Self {
        let (memory, slots) = (b.memory(), b.capacity.slots.max(1) as u64);
        let per_layer = |plan: &polysketch::graph::Plan| {
            let inside = plan.steps.iter().filter(|step| step.label.starts_with("layers.")).count();
            inside.div_ceil(config.num_hidden_layers.max(1))
        };
        Self {
            state: (memory.state - memory.cache) / slots,
            cache: memory.cache / slots,
            layer: [per_layer(&b.decode), per_layer(&b.prefill)],
            flops: b.decode.flops(&Call::start(1)),
        }
    }
}

const LENGTHS: [(&str, u64); 3] = [("1k", 1 << 10), ("32k", 32 << 10), ("1M", 1 << 20)];

fn as_json(
    common: &Common,
    options: &Options,
    facts: &Facts,
    groups: &[(&str, u64)],
    engine: &Engine,
    plan: Option<&(MemoryPlan, Numbers)>,
    fits: bool,
) -> Value {
    let config: Value = serde_json::from_str(&facts.config.to_json()).unwrap_or_default();
    let lengths: Map<String, Value> =
        LENGTHS.iter().map(|(_, n)| (n.to_string(), json!(facts.config.softmax_cache_bytes(*n)))).collect();
    let memory = plan.map(|(memory, n)| {
        let mut value = json!(memory);
        value["slots"] = json!(options.slots);
        value["state_per_text"] = json!(n.state);
        value["cache_per_text"] = json!(n.cache);
        value["dispatches_per_layer"] = json!({ "decode": n.layer[0], "prefill": n.layer[1] });
        value["flops_per_token"] = json!(n.flops);
        value
    });
    json!({
        "model": common.named(&options.model),
        "config": config,
        "parameters": {
            "total": facts.config.parameter_count(),
            "groups": groups.iter().map(|(name, n)| (name.to_string(), json!(n))).collect::<Map<_, _>>(),
        },
        "backend": common.backend.to_string(),
        "device": engine.name(),
        "fits": fits,
        "memory": memory,
        "softmax_cache_bytes": lengths,
    })
}

/// A titled table: name, number, note.
fn section(
    text: &mut String,
    title: &str,
    rows: impl IntoIterator<Item = [String; 3]>,
    columns: Option<usize>,
) {
    text.push('\n');
    wrap(title, 0, columns).into_iter().for_each(|line| *text += &(line + "\n"));
    let rows: Vec<Vec<String>> = rows.into_iter().map(|row| row.to_vec()).collect();
    let room = columns.map(|columns| columns.saturating_sub(2));
    table(&[Align::Left, Align::Right, Align::Left], 2, &rows, room)
        .into_iter()
        .for_each(|line| *text += &format!("  {line}\n"));
}

fn as_text(
    common: &Common,
    options: &Options,
    facts: &Facts,
    groups: &[(&str, u64)],
    engine: &Engine,
    plan: Option<&(MemoryPlan, Numbers)>,
) -> String {
    let columns = output::columns();
    let total = facts.config.parameter_count();
    let mut text = format!("{}\n", common.named(&options.model));
    for sentence in sentences(&facts.config) {
        wrap(&sentence, 2, columns).into_iter().for_each(|line| text += &(line + "\n"));
    }
    let share = |n: u64| format!("{:.1}%", 100.0 * n as f64 / total.max(1) as f64);
    let rows = groups.iter().map(|(name, n)| [name.to_string(), thousands(*n), share(*n)]);
    let stored = match &facts.stored {
        Some(stored) if *stored == DType::F32.into() => "stored as f32".into(),
        Some(stored) => format!("large matrices stored as {}", stored.name()),
        None => {
            let as_type = options.model.load.weights.map_or("f32", WeightType::name);
            format!("no weights here: a plan for {as_type}")
        }
    };
    let sum = ["in all".into(), thousands(total), String::new()];
    section(&mut text, &format!("parameters ({}, {stored})", amount(total)), rows.chain([sum]), columns);
    let Some((memory, n)) = plan else { return text };

    let row = |name: &str, size: u64, note: String| [name.to_string(), bytes(size), note];
    let slots = options.slots as u64;
    let mut rows = vec![row("weights", memory.weights, String::new())];
    let each = |size: u64| if slots > 1 { format!("{} a text, ", bytes(size)) } else { String::new() };
    let constant = match n.cache {
        0 => "the same at any length",
        _ if facts.config.keeps_softmax() => "of the linear layers, the same at any length",
        _ => "logits and sampler",
    };
    rows.push(row("state", memory.state - memory.cache, format!("{}{constant}", each(n.state))));
    if n.cache > 0 {
        let most = thousands(options.model.load.max_context as u64);
        rows.push(row("key-value cache", memory.cache, format!("{}for {most} tokens", each(n.cache))));
    }
    rows.push(row(
        "scratch",
        memory.scratch,
        format!("prefill {} tokens at a time", thousands(memory.segment as u64)),
    ));
    rows.push(row("in all", memory.total(), format!("largest buffer {}", bytes(memory.largest_buffer))));
    section(&mut text, &format!("memory on {}", engine.name()), rows, columns);

    let dispatches = |name: &str, all: usize, layer: usize| {
        [name.to_string(), format!("{all} dispatches"), format!("{layer} a layer")]
    };
    let rows = [
        dispatches("prefill call", memory.dispatches[0], n.layer[1]),
        dispatches("decoding step", memory.dispatches[1], n.layer[0]),
        [
            "arithmetic".to_string(),
            format!("{} operations", amount(n.flops)),
            "a token, when decoding".into(),
        ],
    ];
    section(&mut text, "work", rows, columns);

    if !transformer::has_cache(&facts.config) {
        let rows = LENGTHS.iter().map(|(name, tokens)| {
            let need = facts.config.softmax_cache_bytes(*tokens);
            let times = output::digits3(need as f64 / n.state.max(1) as f64);
            [format!("{name} tokens"), bytes(need), format!("{times} times the state")]
        });
        section(
            &mut text,
            "for comparison: a key-value cache, as softmax attention of this shape would need (f32)",
            rows,
            columns,
        );
    }
    text
}

/// Linearised attention in words.
fn made_linear(l: &Linearized) -> String {
    let usual = l.near.iter().copied().filter(|near| *near > 0).min().unwrap_or(0);
    let long = |near: usize| l.near.iter().filter(|n| **n == near).count();
    let mut others: Vec<usize> = l.near.iter().copied().filter(|near| *near > usual).collect();
    others.sort_unstable();
    others.dedup();
    let reach = match l.sink_reach {
        tokens if tokens > 0 && l.sinks > 0 => {
            format!(" (seen {} away at most)", thousands(tokens + l.block_size - 1))
        }
        _ => String::new(),
    };
    let others = others.into_iter().map(|near| {
        format!(", {} in {}", output::plural(near, "block"), output::plural(long(near), "layer"))
    });
    let memory = match l.kept().len() {
        0 => "constant state".to_string(),
        n => format!("softmax in {}: state grows with the text", output::plural(n, "layer")),
    };
    format!(
        "{} of {} and the first {}{reach} exactly{}, all others through sketches of {} with {} hidden units, \
         {}{memory}",
        output::plural(usual, "block"),
        l.block_size,
        output::plural(l.sinks, "token"),
        others.collect::<String>(),
        l.sketch,
        l.hidden,
        if l.rank > 0 { format!("updates of rank {}, ", l.rank) } else { String::new() }
    )
}

/// The configuration in words.
fn sentences(c: &ModelConfig) -> Vec<String> {
    let a = &c.attention;
    let mut model = format!(
        "{}, width {}, {} of {}, MLP {}, vocabulary {}",
        output::plural(c.num_hidden_layers, "layer"),
        c.hidden_size,
        output::plural(c.num_attention_heads, "head"),
        c.head_size(),
        c.intermediate_size,
        thousands(c.vocab_size as u64)
    );
    if c.num_key_value_heads != c.num_attention_heads {
        model += &format!(", {} for keys and values", output::plural(c.num_key_value_heads, "head"));
    }
    if c.family != Family::Polysketch {
        model = format!("{} model: {model}", c.family);
    }
    if c.learned_positions > 0 {
        model += &format!(", {} learned positions", thousands(c.learned_positions as u64));
    }
    if c.sinusoidal {
        model += ", sinusoidal positions";
    }
    let mut attention = format!("{} attention", a.kind);
    if a.degree > 0 {
        attention += &format!(" of degree {}", a.degree);
    }
    if let Some(sketch) = &a.sketch {
        attention += &format!(", {} sketch of size {} on {} input", sketch.kind, sketch.size, a.sketch_input);
        attention += if a.local_exact { ", exact inside blocks" } else { "" };
    }
    match (&c.linearized, a.feature_count(c.head_size())) {
        (Some(l), _) => {
            attention += if c.adapted().is_some() { " made linear: " } else { ": " };
            attention += &made_linear(l);
        }
        (_, Some(features)) => {
            attention += &format!(
                ", blocks of {}, {} features a head, constant state",
                a.block_size,
                thousands(features as u64)
            );
        }
        (_, None) => attention += ", state grows with the text (key-value cache)",
    }
    let gate = match (c.adapted(), a.gate.as_str()) {
        (Some(_), _) => "a gate for far keys".to_string(),
        (None, "none") => "no gate".to_string(),
        (None, kind) => format!("{kind} gate"),
    };
    let rope = if c.rope.where_.as_str() == "none" {
        "no rotation".to_string()
    } else {
        format!(
            "rotary positions on {} queries and keys (theta {}, {})",
            c.rope.where_, c.rope.theta, c.rope.layout
        )
    };
    vec![model, attention, format!("{gate}, {rope}")]
}
