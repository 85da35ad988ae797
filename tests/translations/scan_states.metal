// language: metal2.0
#include <metal_stdlib>
#include <simd/simd.h>

using metal::uint;

struct _mslBufferSizes {
    uint size1;
    uint size2;
    uint size3;
    uint size4;
};

struct Lane {
    uint slot;
    uint position;
    uint ring;
    uint unused;
};
struct Params {
    uint blocks;
    uint lane_base;
    uint stride;
    uint tokens;
};
typedef metal::float4 type_4[1];
typedef Lane type_5[1];
typedef uint type_6[1];
typedef float type_7[1];
struct type_8 {
    float inner[128];
};
struct type_9 {
    float inner[512];
};
struct type_12 {
    metal::float4 inner[16];
};
constant uint THREADS = 128u;
constant uint FEATURE_TILE = 32u;
constant uint TOKEN_TILE = 16u;
constant uint HEADS = 2u;
constant uint HEAD = 16u;
constant uint BLOCK = 16u;
constant uint KEY_WIDTH = 44u;
constant uint S_OFFSET = 16u;
constant uint V_OFFSET = 24u;
constant uint GATED = 1u;
constant uint STAGED = 128u;
constant uint ITEMS = 1u;
constant uint SOURCE = 8u;
constant uint FEATURES = 36u;
constant uint ORDER = 2u;
constant uint EXTENDED = 0u;

float gate_decay(
    metal::float2 a,
    metal::float2 b
) {
    return metal::exp(metal::min((a.x - b.x) + (a.y - b.y), 0.0));
}

float factor(
    uint row,
    uint index,
    threadgroup type_8& source
) {
    bool local_4 = {};
    if (false) {
        local_4 = index == SOURCE;
    } else {
        local_4 = false;
    }
    bool _e11 = local_4;
    if (_e11) {
        return 1.0;
    }
    float _e18 = source.inner[(row * SOURCE) + index];
    return _e18;
}

float feature(
    uint row_1,
    uint packed,
    threadgroup type_8& source
) {
    float value_2 = {};
    float _e4 = factor(row_1, packed & 255u, source);
    value_2 = _e4;
    if (true) {
        float _e10 = value_2;
        float _e15 = factor(row_1, (packed >> 8u) & 255u, source);
        value_2 = _e10 * _e15;
    }
    if (false) {
        float _e21 = value_2;
        float _e26 = factor(row_1, (packed >> 16u) & 255u, source);
        value_2 = _e21 * _e26;
    }
    if (false) {
        float _e32 = value_2;
        float _e35 = factor(row_1, packed >> 24u, source);
        value_2 = _e32 * _e35;
    }
    float _e37 = value_2;
    return _e37;
}

float key_weight(
    uint f,
    device type_6 const& table,
    constant _mslBufferSizes& _buffer_sizes
) {
    uint _e5 = table[FEATURES + f];
    return as_type<float>(_e5);
}

uint naga_div(uint lhs, uint rhs) {
    return lhs / metal::select(rhs, 1u, rhs == 0u);
}

metal::float2 gate_sum(
    uint row_2,
    device type_4 const& keys,
    constant _mslBufferSizes& _buffer_sizes
) {
    metal::float4 _e11 = keys[naga_div(((row_2 * KEY_WIDTH) + V_OFFSET) + HEAD, 4u)];
    return _e11.xy;
}
uint naga_mod(uint lhs, uint rhs) {
    return lhs % metal::select(rhs, 1u, rhs == 0u);
}


struct main_Input {
};
kernel void main_(
  metal::uint3 group [[threadgroup_position_in_grid]]
, uint local [[thread_index_in_threadgroup]]
, constant Params& params [[user(fake0)]]
, device type_4 const& keys [[user(fake0)]]
, device type_5 const& lanes [[user(fake0)]]
, device type_6 const& table [[user(fake0)]]
, device type_7& states [[user(fake0)]]
, threadgroup type_8& source
, threadgroup type_9& phi
, constant _mslBufferSizes& _buffer_sizes [[user(fake0)]]
) {
    if (local == 0u) {
        for (int __i0 = 0; __i0 < 128; __i0++) {
            source.inner[__i0] = {};
        }
        phi = {};
    }
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    metal::float2 last_gate = metal::float2 {};
    type_12 sum = type_12 {};
    float total = 0.0;
    uint start = 0u;
    uint i = {};
    metal::float4 value = {};
    uint i_1 = {};
    float value_1 = {};
    bool local_1 = {};
    uint j = {};
    uint k = {};
    uint k_1 = 0u;
    bool local_2 = {};
    uint c = {};
    bool local_3 = {};
    uint first_feature = group.x * FEATURE_TILE;
    uint block = group.y;
    uint _e9 = params.lane_base;
    Lane lane = lanes[_e9 + naga_div(group.z, HEADS)];
    uint head = naga_mod(group.z, HEADS);
    uint _e26 = params.tokens;
    if (((block + 1u) * BLOCK) >= (lane.ring + _e26)) {
        return;
    }
    uint _e33 = params.stride;
    uint first = (group.z * _e33) + (block * BLOCK);
    uint _e41 = params.blocks;
    uint out = (((group.z * _e41) + block) * FEATURES) * 17u;
    if (true) {
        metal::float2 _e60 = gate_sum((first + BLOCK) - 1u, keys, _buffer_sizes);
        last_gate = _e60;
    }
    uint2 loop_bound = uint2(4294967295u);
    bool loop_init = true;
    while(true) {
        if (metal::all(loop_bound == uint2(0u))) { break; }
        loop_bound -= uint2(loop_bound.y == 0u, 1u);
        if (!loop_init) {
            uint _e264 = start;
            start = _e264 + TOKEN_TILE;
        }
        loop_init = false;
        uint _e67 = start;
        if (_e67 < BLOCK) {
        } else {
            break;
        }
        {
            i = local;
            uint2 loop_bound_1 = uint2(4294967295u);
            bool loop_init_1 = true;
            while(true) {
                if (metal::all(loop_bound_1 == uint2(0u))) { break; }
                loop_bound_1 -= uint2(loop_bound_1.y == 0u, 1u);
                if (!loop_init_1) {
                    uint _e141 = i;
                    i = _e141 + THREADS;
                }
                loop_init_1 = false;
                uint _e70 = i;
                if (_e70 < 32u) {
                } else {
                    break;
                }
                {
                    uint _e79 = start;
                    uint _e80 = i;
                    uint j_1 = _e79 + naga_div(_e80, 2u);
                    value = metal::float4 {};
                    if (j_1 < BLOCK) {
                        uint _e98 = i;
                        metal::float4 _e106 = keys[naga_div(((first + j_1) * KEY_WIDTH) + S_OFFSET, 4u) + naga_mod(_e98, 2u)];
                        value = _e106;
                    }
                    uint _e108 = i;
                    float _e113 = value.x;
                    source.inner[_e108 * 4u] = _e113;
                    uint _e115 = i;
                    float _e122 = value.y;
                    source.inner[(_e115 * 4u) + 1u] = _e122;
                    uint _e124 = i;
                    float _e131 = value.z;
                    source.inner[(_e124 * 4u) + 2u] = _e131;
                    uint _e133 = i;
                    float _e140 = value.w;
                    source.inner[(_e133 * 4u) + 3u] = _e140;
                }
            }
            metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
            i_1 = local;
            uint2 loop_bound_2 = uint2(4294967295u);
            bool loop_init_2 = true;
            while(true) {
                if (metal::all(loop_bound_2 == uint2(0u))) { break; }
                loop_bound_2 -= uint2(loop_bound_2.y == 0u, 1u);
                if (!loop_init_2) {
                    uint _e189 = i_1;
                    i_1 = _e189 + THREADS;
                }
                loop_init_2 = false;
                uint _e145 = i_1;
                if (_e145 < 512u) {
                } else {
                    break;
                }
                {
                    uint _e148 = start;
                    uint _e149 = i_1;
                    uint j_2 = _e148 + naga_div(_e149, FEATURE_TILE);
                    uint _e153 = i_1;
                    uint f_1 = first_feature + naga_mod(_e153, FEATURE_TILE);
                    value_1 = 0.0;
                    if (j_2 < BLOCK) {
                        local_1 = f_1 < FEATURES;
                    } else {
                        local_1 = false;
                    }
                    bool _e165 = local_1;
                    if (_e165) {
                        uint _e166 = i_1;
                        uint _e171 = table[f_1];
                        float _e172 = feature(naga_div(_e166, FEATURE_TILE), _e171, source);
                        float _e173 = key_weight(f_1, table, _buffer_sizes);
                        value_1 = _e172 * _e173;
                        if (true) {
                            float _e179 = value_1;
                            metal::float2 _e180 = last_gate;
                            metal::float2 _e182 = gate_sum(first + j_2, keys, _buffer_sizes);
                            float _e183 = gate_decay(_e180, _e182);
                            value_1 = _e179 * _e183;
                        }
                    }
                    uint _e186 = i_1;
                    float _e188 = value_1;
                    phi.inner[_e186] = _e188;
                }
            }
            metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
            j = 0u;
            uint2 loop_bound_3 = uint2(4294967295u);
            bool loop_init_3 = true;
            while(true) {
                if (metal::all(loop_bound_3 == uint2(0u))) { break; }
                loop_bound_3 -= uint2(loop_bound_3.y == 0u, 1u);
                if (!loop_init_3) {
                    uint _e262 = j;
                    j = _e262 + 1u;
                }
                loop_init_3 = false;
                uint _e194 = j;
                uint _e196 = start;
                if (_e194 < metal::min(TOKEN_TILE, BLOCK - _e196)) {
                } else {
                    break;
                }
                {
                    uint _e200 = start;
                    uint _e202 = j;
                    uint v = naga_div((((first + _e200) + _e202) * KEY_WIDTH) + V_OFFSET, 4u);
                    k = 0u;
                    uint2 loop_bound_4 = uint2(4294967295u);
                    bool loop_init_4 = true;
                    while(true) {
                        if (metal::all(loop_bound_4 == uint2(0u))) { break; }
                        loop_bound_4 -= uint2(loop_bound_4.y == 0u, 1u);
                        if (!loop_init_4) {
                            uint _e248 = k;
                            k = _e248 + 1u;
                        }
                        loop_init_4 = false;
                        uint _e212 = k;
                        if (_e212 < ITEMS) {
                        } else {
                            break;
                        }
                        {
                            uint _e215 = k;
                            uint item = local + (_e215 * THREADS);
                            uint _e219 = k;
                            metal::float4 _e221 = sum.inner[_e219];
                            uint _e223 = j;
                            float _e235 = phi.inner[(_e223 * FEATURE_TILE) + naga_mod(naga_div(item, 4u), FEATURE_TILE)];
                            metal::float4 _e244 = keys[v + naga_mod(item, 4u)];
                            sum.inner[_e219] = _e221 + (_e235 * _e244);
                        }
                    }
                    if (local < FEATURE_TILE) {
                        float _e252 = total;
                        uint _e254 = j;
                        float _e259 = phi.inner[(_e254 * FEATURE_TILE) + local];
                        total = _e252 + _e259;
                    }
                }
            }
            metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
        }
    }
    uint2 loop_bound_5 = uint2(4294967295u);
    bool loop_init_5 = true;
    while(true) {
        if (metal::all(loop_bound_5 == uint2(0u))) { break; }
        loop_bound_5 -= uint2(loop_bound_5.y == 0u, 1u);
        if (!loop_init_5) {
            uint _e326 = k_1;
            k_1 = _e326 + 1u;
        }
        loop_init_5 = false;
        uint _e269 = k_1;
        if (_e269 < ITEMS) {
        } else {
            break;
        }
        {
            uint _e272 = k_1;
            uint item_1 = local + (_e272 * THREADS);
            uint f_2 = first_feature + naga_div(item_1, 4u);
            if (!((item_1 >= 128u))) {
                local_2 = f_2 >= FEATURES;
            } else {
                local_2 = true;
            }
            bool _e296 = local_2;
            if (_e296) {
                break;
            }
            uint at = (out + (f_2 * HEAD)) + (naga_mod(item_1, 4u) * 4u);
            c = 0u;
            uint2 loop_bound_6 = uint2(4294967295u);
            bool loop_init_6 = true;
            while(true) {
                if (metal::all(loop_bound_6 == uint2(0u))) { break; }
                loop_bound_6 -= uint2(loop_bound_6.y == 0u, 1u);
                if (!loop_init_6) {
                    uint _e323 = c;
                    c = _e323 + 1u;
                }
                loop_init_6 = false;
                uint _e310 = c;
                if (_e310 < 4u) {
                } else {
                    break;
                }
                {
                    uint _e314 = c;
                    uint _e317 = k_1;
                    uint _e319 = c;
                    float _e321 = sum.inner[_e317][_e319];
                    states[at + _e314] = _e321;
                }
            }
        }
    }
    uint f_3 = first_feature + local;
    if (local < FEATURE_TILE) {
        local_3 = f_3 < FEATURES;
    } else {
        local_3 = false;
    }
    bool _e336 = local_3;
    if (_e336) {
        uint at_1 = (out + 576u) + f_3;
        float _e346 = total;
        states[at_1] = _e346;
        return;
    } else {
        return;
    }
}
