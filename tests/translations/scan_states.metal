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
struct type_7 {
    metal::float4 inner[576];
};
struct type_8 {
    metal::float4 inner[96];
};
struct type_9 {
    metal::float4 inner[16];
};
struct type_10 {
    float inner[8];
};
struct type_13 {
    metal::float4 inner[8];
};
struct type_14 {
    uint inner[8];
};
constant uint HEADS = 2u;
constant uint HEAD = 16u;
constant uint BLOCK = 16u;
constant uint KEY_WIDTH = 44u;
constant uint S_OFFSET = 16u;
constant uint V_OFFSET = 24u;
constant uint GATED = 1u;
constant uint GROUP_X = 4u;
constant uint GROUP_Y = 16u;
constant uint ROWS = 4u;
constant uint VECTORS = 1u;
constant uint KEYS = 2u;
constant uint TILE = 32u;
constant uint ROW_TILE = 64u;
constant uint WEIGHTS = 576u;
constant uint STAGED = 96u;
constant uint SOURCE = 8u;
constant uint FEATURES = 36u;
constant uint ORDER = 2u;
constant uint PITCH = 12u;

float gate_decay(
    metal::float2 a,
    metal::float2 b
) {
    return metal::exp(metal::min((a.x - b.x) + (a.y - b.y), 0.0));
}

uint row_of(
    uint r_3,
    thread metal::uint3& here
) {
    uint _e3 = here.y;
    return _e3 + (r_3 * GROUP_Y);
}

uint weight_at(
    uint row,
    uint vector
) {
    return (row * 9u) + vector;
}

metal::uint4 tile_keys(
    uint k_1,
    thread metal::uint3& here
) {
    uint _e8 = here.x;
    return metal::uint4((16u * k_1) + _e8) + metal::uint4(0u, 4u, 8u, 12u);
}

void share_totals(
    threadgroup type_7& weights,
    thread type_10& total,
    thread metal::uint3& here
) {
    uint r_4 = 0u;
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    uint2 loop_bound = uint2(4294967295u);
    bool loop_init = true;
    while(true) {
        if (metal::all(loop_bound == uint2(0u))) { break; }
        loop_bound -= uint2(loop_bound.y == 0u, 1u);
        if (!loop_init) {
            uint _e19 = r_4;
            r_4 = _e19 + 1u;
        }
        loop_init = false;
        uint _e2 = r_4;
        if (_e2 < ROWS) {
        } else {
            break;
        }
        {
            uint _e6 = r_4;
            uint _e7 = row_of(_e6, here);
            uint _e10 = here.x;
            uint _e11 = weight_at(_e7, _e10);
            uint _e14 = r_4;
            float _e16 = total.inner[_e14];
            weights.inner[_e11] = metal::float4(_e16);
        }
    }
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    return;
}

float row_total(
    uint row_1,
    threadgroup type_7& weights
) {
    float all = 0.0;
    uint x = 0u;
    uint2 loop_bound_1 = uint2(4294967295u);
    bool loop_init_1 = true;
    while(true) {
        if (metal::all(loop_bound_1 == uint2(0u))) { break; }
        loop_bound_1 -= uint2(loop_bound_1.y == 0u, 1u);
        if (!loop_init_1) {
            uint _e17 = x;
            x = _e17 + 1u;
        }
        loop_init_1 = false;
        uint _e5 = x;
        if (_e5 < GROUP_X) {
        } else {
            break;
        }
        {
            float _e8 = all;
            uint _e10 = x;
            uint _e11 = weight_at(row_1, _e10);
            float _e14 = weights.inner[_e11].x;
            all = _e8 + _e14;
        }
    }
    float _e19 = all;
    return _e19;
}

uint naga_div(uint lhs, uint rhs) {
    return lhs / metal::select(rhs, 1u, rhs == 0u);
}

uint naga_mod(uint lhs, uint rhs) {
    return lhs % metal::select(rhs, 1u, rhs == 0u);
}

float factor(
    uint row_2,
    uint index_1,
    threadgroup type_8& staged
) {
    uint at = (row_2 * PITCH) + index_1;
    float _e12 = staged.inner[naga_div(at, 4u)][naga_mod(at, 4u)];
    return _e12;
}

float feature(
    uint row_3,
    uint packed_1,
    threadgroup type_8& staged
) {
    float value_2 = {};
    float _e4 = factor(row_3, packed_1 & 255u, staged);
    value_2 = _e4;
    if (true) {
        float _e10 = value_2;
        float _e15 = factor(row_3, (packed_1 >> 8u) & 255u, staged);
        value_2 = _e10 * _e15;
    }
    if (false) {
        float _e21 = value_2;
        float _e26 = factor(row_3, (packed_1 >> 16u) & 255u, staged);
        value_2 = _e21 * _e26;
    }
    if (false) {
        float _e32 = value_2;
        float _e35 = factor(row_3, packed_1 >> 24u, staged);
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

void stage_vector(
    uint row_4,
    uint vector_1,
    metal::float4 value_3,
    threadgroup type_8& staged
) {
    staged.inner[(row_4 * 3u) + vector_1] = (vector_1 < 2u) ? value_3 : metal::float4(1.0);
    return;
}

metal::float4 value_rows(
    uint first,
    uint row_5,
    uint vector_2,
    device type_4 const& keys,
    constant _mslBufferSizes& _buffer_sizes
) {
    metal::float4 _e13 = keys[naga_div(((first + row_5) * KEY_WIDTH) + V_OFFSET, 4u) + vector_2];
    return _e13;
}

void add_rows(
    uint first_1,
    uint start_1,
    uint end,
    device type_4 const& keys,
    threadgroup type_7& weights,
    thread type_9& sum,
    thread metal::uint3& here,
    constant _mslBufferSizes& _buffer_sizes
) {
    type_13 a_1 = type_13 {};
    uint k_2 = 0u;
    uint x_1 = {};
    uint r_5 = {};
    uint c_1 = {};
    uint r_6 = {};
    uint2 loop_bound_2 = uint2(4294967295u);
    bool loop_init_2 = true;
    while(true) {
        if (metal::all(loop_bound_2 == uint2(0u))) { break; }
        loop_bound_2 -= uint2(loop_bound_2.y == 0u, 1u);
        if (!loop_init_2) {
            uint _e146 = k_2;
            k_2 = _e146 + 1u;
        }
        loop_init_2 = false;
        uint _e7 = k_2;
        if (_e7 < KEYS) {
        } else {
            break;
        }
        {
            x_1 = 0u;
            uint2 loop_bound_3 = uint2(4294967295u);
            bool loop_init_3 = true;
            while(true) {
                if (metal::all(loop_bound_3 == uint2(0u))) { break; }
                loop_bound_3 -= uint2(loop_bound_3.y == 0u, 1u);
                if (!loop_init_3) {
                    uint _e143 = x_1;
                    x_1 = _e143 + 1u;
                }
                loop_init_3 = false;
                uint _e12 = x_1;
                if (_e12 < GROUP_X) {
                } else {
                    break;
                }
                {
                    uint _e19 = k_2;
                    uint _e22 = x_1;
                    uint key = (start_1 + (16u * _e19)) + _e22;
                    uint k0_ = metal::min(key, end - 1u);
                    uint k1_ = metal::min(key + GROUP_X, end - 1u);
                    uint k2_ = metal::min(key + 8u, end - 1u);
                    uint k3_ = metal::min(key + 12u, end - 1u);
                    r_5 = 0u;
                    uint2 loop_bound_4 = uint2(4294967295u);
                    bool loop_init_4 = true;
                    while(true) {
                        if (metal::all(loop_bound_4 == uint2(0u))) { break; }
                        loop_bound_4 -= uint2(loop_bound_4.y == 0u, 1u);
                        if (!loop_init_4) {
                            uint _e67 = r_5;
                            r_5 = _e67 + 1u;
                        }
                        loop_init_4 = false;
                        uint _e50 = r_5;
                        if (_e50 < ROWS) {
                        } else {
                            break;
                        }
                        {
                            uint _e53 = r_5;
                            uint _e56 = r_5;
                            uint _e57 = row_of(_e56, here);
                            uint _e58 = k_2;
                            uint _e61 = x_1;
                            uint _e63 = weight_at(_e57, (_e58 * GROUP_X) + _e61);
                            metal::float4 _e65 = weights.inner[_e63];
                            a_1.inner[_e53] = _e65;
                        }
                    }
                    c_1 = 0u;
                    uint2 loop_bound_5 = uint2(4294967295u);
                    bool loop_init_5 = true;
                    while(true) {
                        if (metal::all(loop_bound_5 == uint2(0u))) { break; }
                        loop_bound_5 -= uint2(loop_bound_5.y == 0u, 1u);
                        if (!loop_init_5) {
                            uint _e140 = c_1;
                            c_1 = _e140 + 1u;
                        }
                        loop_init_5 = false;
                        uint _e71 = c_1;
                        if (_e71 < VECTORS) {
                        } else {
                            break;
                        }
                        {
                            uint _e76 = here.x;
                            uint _e77 = c_1;
                            uint vector_3 = metal::min(_e76 + (_e77 * GROUP_X), 3u);
                            metal::float4 _e88 = value_rows(first_1, k0_, vector_3, keys, _buffer_sizes);
                            metal::float4 _e89 = value_rows(first_1, k1_, vector_3, keys, _buffer_sizes);
                            metal::float4 _e90 = value_rows(first_1, k2_, vector_3, keys, _buffer_sizes);
                            metal::float4 _e91 = value_rows(first_1, k3_, vector_3, keys, _buffer_sizes);
                            r_6 = 0u;
                            uint2 loop_bound_6 = uint2(4294967295u);
                            bool loop_init_6 = true;
                            while(true) {
                                if (metal::all(loop_bound_6 == uint2(0u))) { break; }
                                loop_bound_6 -= uint2(loop_bound_6.y == 0u, 1u);
                                if (!loop_init_6) {
                                    uint _e137 = r_6;
                                    r_6 = _e137 + 1u;
                                }
                                loop_init_6 = false;
                                uint _e94 = r_6;
                                if (_e94 < ROWS) {
                                } else {
                                    break;
                                }
                                {
                                    uint _e98 = r_6;
                                    uint _e101 = c_1;
                                    uint _e105 = r_6;
                                    uint _e108 = c_1;
                                    metal::float4 _e111 = sum.inner[(_e105 * VECTORS) + _e108];
                                    uint _e112 = r_6;
                                    float _e115 = a_1.inner[_e112].x;
                                    uint _e118 = r_6;
                                    float _e121 = a_1.inner[_e118].y;
                                    uint _e124 = r_6;
                                    float _e127 = a_1.inner[_e124].z;
                                    uint _e130 = r_6;
                                    float _e133 = a_1.inner[_e130].w;
                                    sum.inner[(_e98 * VECTORS) + _e101] = (((_e111 + (_e115 * _e88)) + (_e121 * _e89)) + (_e127 * _e90)) + (_e133 * _e91);
                                }
                            }
                        }
                    }
                }
            }
        }
    }
    return;
}

float part_of_total(
    uint row_6
) {
    return 1.0;
}

metal::float2 gate_sum(
    uint row_7,
    device type_4 const& keys,
    constant _mslBufferSizes& _buffer_sizes
) {
    metal::float4 _e11 = keys[naga_div(((row_7 * KEY_WIDTH) + V_OFFSET) + HEAD, 4u)];
    return _e11.xy;
}

float decay(
    metal::float2 last,
    uint row_8,
    device type_4 const& keys,
    constant _mslBufferSizes& _buffer_sizes
) {
    metal::float2 _e2 = gate_sum(row_8, keys, _buffer_sizes);
    float _e3 = gate_decay(last, _e2);
    return _e3;
}

struct main_Input {
};
kernel void main_(
  metal::uint3 group [[threadgroup_position_in_grid]]
, metal::uint3 local [[thread_position_in_threadgroup]]
, uint index [[thread_index_in_threadgroup]]
, constant Params& params [[user(fake0)]]
, device type_4 const& keys [[user(fake0)]]
, device type_5 const& lanes [[user(fake0)]]
, device type_6 const& table [[user(fake0)]]
, device type_4& states [[user(fake0)]]
, threadgroup type_7& weights
, threadgroup type_8& staged
, constant _mslBufferSizes& _buffer_sizes [[user(fake0)]]
) {
    type_9 sum = {};
    type_10 total = {};
    metal::uint3 here = {};
    if (index == 0u) {
        for (int __i0 = 0; __i0 < 576; __i0++) {
            weights.inner[__i0] = {};
        }
        for (int __i0 = 0; __i0 < 96; __i0++) {
            staged.inner[__i0] = {};
        }
    }
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    metal::float2 last_gate = metal::float2 {};
    type_14 packed = type_14 {};
    uint r = 0u;
    uint start = 0u;
    uint i = {};
    uint k = {};
    metal::float4 scale = {};
    uint r_1 = {};
    uint r_2 = 0u;
    uint c = {};
    bool local_1 = {};
    metal::float4 value = {};
    uint i_1 = {};
    metal::float4 value_1 = {};
    here = metal::uint3(local.xy, index);
    uint first_feature = group.x * ROW_TILE;
    uint block = group.y;
    uint _e13 = params.lane_base;
    Lane lane = lanes[_e13 + naga_div(group.z, HEADS)];
    uint head = naga_mod(group.z, HEADS);
    uint _e30 = params.tokens;
    if (((block + 1u) * BLOCK) >= (lane.ring + _e30)) {
        return;
    }
    uint _e37 = params.stride;
    uint first_2 = (group.z * _e37) + (block * BLOCK);
    uint _e45 = params.blocks;
    uint out = (((group.z * _e45) + block) * FEATURES) * 17u;
    if (true) {
        metal::float2 _e64 = gate_sum((first_2 + BLOCK) - 1u, keys, _buffer_sizes);
        last_gate = _e64;
    }
    uint2 loop_bound_7 = uint2(4294967295u);
    bool loop_init_7 = true;
    while(true) {
        if (metal::all(loop_bound_7 == uint2(0u))) { break; }
        loop_bound_7 -= uint2(loop_bound_7.y == 0u, 1u);
        if (!loop_init_7) {
            uint _e86 = r;
            r = _e86 + 1u;
        }
        loop_init_7 = false;
        uint _e69 = r;
        if (_e69 < ROWS) {
        } else {
            break;
        }
        {
            uint _e72 = r;
            uint _e75 = r;
            uint _e76 = row_of(_e75, here);
            uint _e84 = table[metal::min(first_feature + _e76, 35u)];
            packed.inner[_e72] = _e84;
        }
    }
    uint2 loop_bound_8 = uint2(4294967295u);
    bool loop_init_8 = true;
    while(true) {
        if (metal::all(loop_bound_8 == uint2(0u))) { break; }
        loop_bound_8 -= uint2(loop_bound_8.y == 0u, 1u);
        if (!loop_init_8) {
            uint _e271 = start;
            start = _e271 + TILE;
        }
        loop_init_8 = false;
        uint _e90 = start;
        if (_e90 < BLOCK) {
        } else {
            break;
        }
        {
            uint _e94 = here.z;
            i = _e94;
            uint2 loop_bound_9 = uint2(4294967295u);
            bool loop_init_9 = true;
            while(true) {
                if (metal::all(loop_bound_9 == uint2(0u))) { break; }
                loop_bound_9 -= uint2(loop_bound_9.y == 0u, 1u);
                if (!loop_init_9) {
                    uint _e147 = i;
                    i = _e147 + 64u;
                }
                loop_init_9 = false;
                uint _e96 = i;
                if (_e96 < 96u) {
                } else {
                    break;
                }
                {
                    uint _e107 = i;
                    uint c_2 = naga_mod(_e107, 3u);
                    uint _e115 = i;
                    uint j = naga_div(_e115, 3u);
                    uint _e124 = start;
                    metal::float4 _e146 = keys[naga_div(((first_2 + metal::min(_e124 + j, 15u)) * KEY_WIDTH) + S_OFFSET, 4u) + metal::min(c_2, 1u)];
                    stage_vector(j, c_2, _e146, staged);
                }
            }
            metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
            k = 0u;
            uint2 loop_bound_10 = uint2(4294967295u);
            bool loop_init_10 = true;
            while(true) {
                if (metal::all(loop_bound_10 == uint2(0u))) { break; }
                loop_bound_10 -= uint2(loop_bound_10.y == 0u, 1u);
                if (!loop_init_10) {
                    uint _e268 = k;
                    k = _e268 + 1u;
                }
                loop_init_10 = false;
                uint _e156 = k;
                if (_e156 < KEYS) {
                } else {
                    break;
                }
                {
                    uint _e159 = k;
                    metal::uint4 _e160 = tile_keys(_e159, here);
                    uint _e162 = start;
                    metal::uint4 at_1 = metal::uint4(first_2) + metal::min(_e160 + metal::uint4(_e162), metal::uint4(15u));
                    uint _e174 = start;
                    scale = metal::select(metal::float4 {}, metal::float4(1.0), (_e160 + metal::uint4(_e174)) < metal::uint4(16u));
                    if (true) {
                        metal::float4 _e186 = scale;
                        metal::float2 _e187 = last_gate;
                        float _e189 = decay(_e187, at_1.x, keys, _buffer_sizes);
                        metal::float2 _e190 = last_gate;
                        float _e192 = decay(_e190, at_1.y, keys, _buffer_sizes);
                        metal::float2 _e193 = last_gate;
                        float _e195 = decay(_e193, at_1.z, keys, _buffer_sizes);
                        metal::float2 _e196 = last_gate;
                        float _e198 = decay(_e196, at_1.w, keys, _buffer_sizes);
                        scale = _e186 * metal::float4(_e189, _e192, _e195, _e198);
                    }
                    float _e202 = part_of_total(at_1.x);
                    float _e204 = part_of_total(at_1.y);
                    float _e206 = part_of_total(at_1.z);
                    float _e208 = part_of_total(at_1.w);
                    metal::float4 parts = metal::float4(_e202, _e204, _e206, _e208);
                    r_1 = 0u;
                    uint2 loop_bound_11 = uint2(4294967295u);
                    bool loop_init_11 = true;
                    while(true) {
                        if (metal::all(loop_bound_11 == uint2(0u))) { break; }
                        loop_bound_11 -= uint2(loop_bound_11.y == 0u, 1u);
                        if (!loop_init_11) {
                            uint _e265 = r_1;
                            r_1 = _e265 + 1u;
                        }
                        loop_init_11 = false;
                        uint _e212 = r_1;
                        if (_e212 < ROWS) {
                        } else {
                            break;
                        }
                        {
                            uint _e215 = r_1;
                            uint f_1 = packed.inner[_e215];
                            metal::float4 _e218 = scale;
                            float _e220 = feature(_e160.x, f_1, staged);
                            float _e222 = feature(_e160.y, f_1, staged);
                            float _e224 = feature(_e160.z, f_1, staged);
                            float _e226 = feature(_e160.w, f_1, staged);
                            metal::float4 phi = _e218 * metal::float4(_e220, _e222, _e224, _e226);
                            uint _e230 = r_1;
                            uint _e233 = r_1;
                            float _e235 = total.inner[_e233];
                            total.inner[_e230] = (((_e235 + (phi.x * parts.x)) + (phi.y * parts.y)) + (phi.z * parts.z)) + (phi.w * parts.w);
                            uint _e253 = r_1;
                            uint _e254 = row_of(_e253, here);
                            uint _e255 = k;
                            uint _e260 = here.x;
                            uint _e262 = weight_at(_e254, (_e255 * GROUP_X) + _e260);
                            weights.inner[_e262] = phi;
                        }
                    }
                }
            }
            metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
            uint _e270 = start;
            add_rows(first_2, _e270, BLOCK, keys, weights, sum, here, _buffer_sizes);
        }
    }
    share_totals(weights, total, here);
    uint2 loop_bound_12 = uint2(4294967295u);
    bool loop_init_12 = true;
    while(true) {
        if (metal::all(loop_bound_12 == uint2(0u))) { break; }
        loop_bound_12 -= uint2(loop_bound_12.y == 0u, 1u);
        if (!loop_init_12) {
            uint _e330 = r_2;
            r_2 = _e330 + 1u;
        }
        loop_init_12 = false;
        uint _e276 = r_2;
        if (_e276 < ROWS) {
        } else {
            break;
        }
        {
            uint _e279 = r_2;
            uint _e280 = row_of(_e279, here);
            uint f_2 = first_feature + _e280;
            c = 0u;
            uint2 loop_bound_13 = uint2(4294967295u);
            bool loop_init_13 = true;
            while(true) {
                if (metal::all(loop_bound_13 == uint2(0u))) { break; }
                loop_bound_13 -= uint2(loop_bound_13.y == 0u, 1u);
                if (!loop_init_13) {
                    uint _e327 = c;
                    c = _e327 + 1u;
                }
                loop_init_13 = false;
                uint _e284 = c;
                if (_e284 < VECTORS) {
                } else {
                    break;
                }
                {
                    uint _e289 = here.x;
                    uint _e290 = c;
                    uint vector_4 = _e289 + (_e290 * GROUP_X);
                    if (f_2 < FEATURES) {
                        local_1 = vector_4 < 4u;
                    } else {
                        local_1 = false;
                    }
                    bool _e304 = local_1;
                    if (_e304) {
                        uint at_2 = naga_div(out + (f_2 * HEAD), 4u) + vector_4;
                        uint _e312 = r_2;
                        uint _e315 = c;
                        metal::float4 _e318 = sum.inner[(_e312 * VECTORS) + _e315];
                        value = _e318;
                        metal::float4 _e320 = value;
                        float _e321 = key_weight(f_2, table, _buffer_sizes);
                        value = _e320 * _e321;
                        metal::float4 _e325 = value;
                        states[at_2] = _e325;
                    }
                }
            }
        }
    }
    uint _e334 = here.z;
    i_1 = _e334;
    uint2 loop_bound_14 = uint2(4294967295u);
    bool loop_init_14 = true;
    while(true) {
        if (metal::all(loop_bound_14 == uint2(0u))) { break; }
        loop_bound_14 -= uint2(loop_bound_14.y == 0u, 1u);
        if (!loop_init_14) {
            uint _e397 = i_1;
            i_1 = _e397 + 64u;
        }
        loop_init_14 = false;
        uint _e336 = i_1;
        if (_e336 < 16u) {
        } else {
            break;
        }
        {
            uint _e343 = i_1;
            uint f_3 = first_feature + (4u * _e343);
            if (f_3 < FEATURES) {
                uint at_3 = naga_div((out + 576u) + f_3, 4u);
                uint _e358 = i_1;
                float _e360 = row_total(4u * _e358, weights);
                uint _e362 = i_1;
                float _e366 = row_total((4u * _e362) + 1u, weights);
                uint _e368 = i_1;
                float _e372 = row_total((4u * _e368) + 2u, weights);
                uint _e374 = i_1;
                float _e378 = row_total((4u * _e374) + 3u, weights);
                value_1 = metal::float4(_e360, _e366, _e372, _e378);
                metal::float4 _e381 = value_1;
                float _e382 = key_weight(f_3, table, _buffer_sizes);
                float _e385 = key_weight(f_3 + 1u, table, _buffer_sizes);
                float _e388 = key_weight(f_3 + 2u, table, _buffer_sizes);
                float _e391 = key_weight(f_3 + 3u, table, _buffer_sizes);
                value_1 = _e381 * metal::float4(_e382, _e385, _e388, _e391);
                metal::float4 _e396 = value_1;
                states[at_3] = _e396;
            }
        }
    }
    return;
}
