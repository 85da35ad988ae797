// In the page: a GGUF file as large as models are, of which only the header is real. Its weights are one small
// piece of zeros, over and over.

const TYPES = { F32: [0, 1, 4], F16: [1, 1, 2], Q4_0: [2, 32, 18], Q6_K: [14, 256, 210], Q8_0: [8, 32, 34] }
const [U32, F32, STRING, ARRAY] = [4, 6, 8, 9]
const ALIGNMENT = 32

class Writer {
  parts = []
  length = 0

  bytes(bytes) {
    this.parts.push(bytes)
    this.length += bytes.length
  }

  number(bytes, set) {
    const view = new DataView(new ArrayBuffer(bytes))
    set(view)
    this.bytes(new Uint8Array(view.buffer))
  }

  u32 = (x) => this.number(4, (view) => view.setUint32(0, x, true))
  u64 = (x) => this.number(8, (view) => view.setBigUint64(0, BigInt(x), true))
  f32 = (x) => this.number(4, (view) => view.setFloat32(0, x, true))

  text(text) {
    const bytes = new TextEncoder().encode(text)
    this.u64(bytes.length)
    this.bytes(bytes)
  }

  value(type, value) {
    this.u32(type)
    if (type === U32) this.u32(value)
    if (type === F32) this.f32(value)
    if (type === STRING) this.text(value)
  }

  list(type, values) {
    this.u32(ARRAY)
    this.u32(type)
    this.u64(values.length)
    for (const value of values) type === U32 ? this.u32(value) : this.text(value)
  }
}

/** Like Llama 3.2 3B, or of other sizes; `matrices` is the type of all but the embedding. */
export function largeGguf({
  layers = 28,
  width = 3072,
  inner = 8192,
  heads = 24,
  keyHeads = 8,
  vocabulary = 128256,
  matrices = "Q4_0",
  embedding = "Q6_K",
} = {}) {
  const head = width / heads
  const keys = [
    ["general.architecture", STRING, "llama"],
    ["llama.embedding_length", U32, width],
    ["llama.block_count", U32, layers],
    ["llama.feed_forward_length", U32, inner],
    ["llama.attention.head_count", U32, heads],
    ["llama.attention.head_count_kv", U32, keyHeads],
    ["llama.attention.layer_norm_rms_epsilon", F32, 1e-5],
    ["llama.context_length", U32, 131072],
    ["llama.rope.freq_base", F32, 500000],
    ["tokenizer.ggml.model", STRING, "gpt2"],
    ["tokenizer.ggml.pre", STRING, "llama-bpe"],
    ["tokenizer.ggml.eos_token_id", U32, 1],
  ]
  const tensors = [
    ["token_embd.weight", embedding, [width, vocabulary]],
    ["output_norm.weight", "F32", [width]],
  ]
  for (let i = 0; i < layers; i++) {
    const matrix = (name, rows, columns) =>
      tensors.push([`blk.${i}.${name}.weight`, matrices, [columns, rows]])
    tensors.push([`blk.${i}.attn_norm.weight`, "F32", [width]], [`blk.${i}.ffn_norm.weight`, "F32", [width]])
    matrix("attn_q", width, width)
    matrix("attn_k", keyHeads * head, width)
    matrix("attn_v", keyHeads * head, width)
    matrix("attn_output", width, width)
    matrix("ffn_gate", inner, width)
    matrix("ffn_up", inner, width)
    matrix("ffn_down", width, inner)
  }
  const writer = new Writer()
  writer.bytes(new TextEncoder().encode("GGUF"))
  writer.u32(3)
  writer.u64(tensors.length)
  writer.u64(keys.length + 2)
  for (const [key, type, value] of keys) {
    writer.text(key)
    writer.value(type, value)
  }
  writer.text("tokenizer.ggml.tokens")
  writer.list(
    STRING,
    Array.from({ length: vocabulary }, (_, i) => `token${i}`),
  )
  writer.text("tokenizer.ggml.merges")
  writer.list(STRING, [])
  let [at, parameters] = [0, 0]
  for (const [name, type, sizes] of tensors) {
    const [number, values, bytes] = TYPES[type]
    writer.text(name)
    writer.u32(sizes.length)
    for (const size of sizes) writer.u64(size)
    writer.u32(number)
    writer.u64(at)
    const elements = sizes.reduce((a, b) => a * b)
    parameters += elements
    at = Math.ceil((at + (elements / values) * bytes) / ALIGNMENT) * ALIGNMENT
  }
  const pad = (ALIGNMENT - (writer.length % ALIGNMENT)) % ALIGNMENT
  writer.bytes(new Uint8Array(pad))
  const piece = new Blob([new Uint8Array(16 << 20)])
  const whole = Math.floor(at / piece.size)
  const data = [...Array(whole).fill(piece), piece.slice(0, at - whole * piece.size)]
  return { file: new Blob([...writer.parts, ...data]), header: writer.length, parameters }
}
