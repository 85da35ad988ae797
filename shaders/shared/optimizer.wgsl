// What the optimiser is told before a step, and what became of the gradients' norm
// (kernels/optimizer/adamw.rs, Settings::at).
struct Settings {
    learning_rate: f32,
    beta1: f32,
    beta2: f32,
    eps: f32,
    weight_decay: f32,
    gathered1: f32,    // 1 - beta1^step
    gathered2: f32,    // 1 - beta2^step
    clip: f32,         // longest norm; not positive: any
}
struct Clip {
    norm: f32,
    factor: f32,       // of every gradient; 0: the norm is not finite
    unused0: f32,
    unused1: f32,
}
