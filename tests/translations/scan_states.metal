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
typedef metal::float4 type_5[1];
typedef Lane type_6[1];
typedef uint type_7[1];
struct type_8 {
    metal::float4 inner[576];
};
struct type_9 {
    metal::float4 inner[96];
};
struct type_10 {
    metal::float4 inner[16];
};
struct type_11 {
    float inner[8];
};
struct type_14 {
    metal::float4 inner[8];
};
struct type_15 {
    uint inner[8];
};
constant uint HEADS = 2u;
constant uint HEAD = 16u;
constant uint BLOCK = 16u;
constant uint V_OFFSET = 24u;
constant uint G_OFFSET = 40u;
constant bool GATED = true;
constant uint WIDTH = 44u;
constant uint GROUP_X = 4u;
constant uint GROUP_Y = 16u;
constant uint ROWS = 4u;
constant uint VECTORS = 1u;
constant uint KEYS = 2u;
constant uint TILE = 32u;
constant uint ROW_TILE = 64u;
constant uint COEFFICIENTS = 576u;
constant uint STAGED = 96u;
constant uint SOURCE = 8u;
constant uint SOURCE_OFFSET = 16u;
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

uint coefficient_at(
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
    threadgroup type_8& coefficients,
    thread type_11& total,
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
            uint _e11 = coefficient_at(_e7, _e10);
            uint _e14 = r_4;
            float _e16 = total.inner[_e14];
            coefficients.inner[_e11] = metal::float4(_e16);
        }
    }
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    return;
}

float row_total(
    uint row_1,
    threadgroup type_8& coefficients
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
            uint _e11 = coefficient_at(row_1, _e10);
            float _e14 = coefficients.inner[_e11].x;
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
    threadgroup type_9& staged
) {
    uint at = (row_2 * PITCH) + index_1;
    float _e12 = staged.inner[naga_div(at, 4u)][naga_mod(at, 4u)];
    return _e12;
}

float feature(
    uint row_3,
    uint packed_1,
    threadgroup type_9& staged
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

float key_scale(
    uint f,
    device type_7 const& table,
    constant _mslBufferSizes& _buffer_sizes
) {
    uint _e5 = table[FEATURES + f];
    return as_type<float>(_e5);
}

void stage_vector(
    uint row_4,
    uint vector_1,
    metal::float4 value_3,
    threadgroup type_9& staged
) {
    staged.inner[(row_4 * 3u) + vector_1] = (vector_1 < 2u) ? value_3 : metal::float4(1.0);
    return;
}

metal::float4 value_rows(
    uint first,
    uint row_5,
    uint vector_2,
    device type_5 const& keys,
    constant _mslBufferSizes& _buffer_sizes
) {
    metal::float4 _e13 = keys[naga_div(((first + row_5) * WIDTH) + V_OFFSET, 4u) + vector_2];
    return _e13;
}

void add_rows(
    uint first_1,
    uint start_1,
    uint end,
    device type_5 const& keys,
    threadgroup type_8& coefficients,
    thread type_10& sum,
    thread metal::uint3& here,
    constant _mslBufferSizes& _buffer_sizes
) {
    type_14 a_1 = type_14 {};
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
                            uint _e63 = coefficient_at(_e57, (_e58 * GROUP_X) + _e61);
                            metal::float4 _e65 = coefficients.inner[_e63];
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
    device type_5 const& keys,
    constant _mslBufferSizes& _buffer_sizes
) {
    metal::float4 _e9 = keys[naga_div((row_7 * WIDTH) + G_OFFSET, 4u)];
    return _e9.xy;
}

float decay(
    metal::float2 last,
    uint row_8,
    device type_5 const& keys,
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
, device type_5 const& keys [[user(fake0)]]
, device type_6 const& lanes [[user(fake0)]]
, device type_7 const& table [[user(fake0)]]
, device type_5& states [[user(fake0)]]
, threadgroup type_8& coefficients
, threadgroup type_9& staged
, constant _mslBufferSizes& _buffer_sizes [[user(fake0)]]
) {
    type_10 sum = {};
    type_11 total = {};
    metal::uint3 here = {};
    if (index == 0u) {
        for (int __i0 = 0; __i0 < 576; __i0++) {
            coefficients.inner[__i0] = {};
        }
        for (int __i0 = 0; __i0 < 96; __i0++) {
            staged.inner[__i0] = {};
        }
    }
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    metal::float2 last_gate = metal::float2 {};
    type_15 packed = type_15 {};
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
    if (GATED) {
        metal::float2 _e61 = gate_sum((first_2 + BLOCK) - 1u, keys, _buffer_sizes);
        last_gate = _e61;
    }
    uint2 loop_bound_7 = uint2(4294967295u);
    bool loop_init_7 = true;
    while(true) {
        if (metal::all(loop_bound_7 == uint2(0u))) { break; }
        loop_bound_7 -= uint2(loop_bound_7.y == 0u, 1u);
        if (!loop_init_7) {
            uint _e83 = r;
            r = _e83 + 1u;
        }
        loop_init_7 = false;
        uint _e66 = r;
        if (_e66 < ROWS) {
        } else {
            break;
        }
        {
            uint _e69 = r;
            uint _e72 = r;
            uint _e73 = row_of(_e72, here);
            uint _e81 = table[metal::min(first_feature + _e73, 35u)];
            packed.inner[_e69] = _e81;
        }
    }
    uint2 loop_bound_8 = uint2(4294967295u);
    bool loop_init_8 = true;
    while(true) {
        if (metal::all(loop_bound_8 == uint2(0u))) { break; }
        loop_bound_8 -= uint2(loop_bound_8.y == 0u, 1u);
        if (!loop_init_8) {
            uint _e265 = start;
            start = _e265 + TILE;
        }
        loop_init_8 = false;
        uint _e87 = start;
        if (_e87 < BLOCK) {
        } else {
            break;
        }
        {
            uint _e91 = here.z;
            i = _e91;
            uint2 loop_bound_9 = uint2(4294967295u);
            bool loop_init_9 = true;
            while(true) {
                if (metal::all(loop_bound_9 == uint2(0u))) { break; }
                loop_bound_9 -= uint2(loop_bound_9.y == 0u, 1u);
                if (!loop_init_9) {
                    uint _e144 = i;
                    i = _e144 + 64u;
                }
                loop_init_9 = false;
                uint _e93 = i;
                if (_e93 < 96u) {
                } else {
                    break;
                }
                {
                    uint _e104 = i;
                    uint c_2 = naga_mod(_e104, 3u);
                    uint _e112 = i;
                    uint j = naga_div(_e112, 3u);
                    uint _e121 = start;
                    metal::float4 _e143 = keys[naga_div(((first_2 + metal::min(_e121 + j, 15u)) * WIDTH) + SOURCE_OFFSET, 4u) + metal::min(c_2, 1u)];
                    stage_vector(j, c_2, _e143, staged);
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
                    uint _e262 = k;
                    k = _e262 + 1u;
                }
                loop_init_10 = false;
                uint _e153 = k;
                if (_e153 < KEYS) {
                } else {
                    break;
                }
                {
                    uint _e156 = k;
                    metal::uint4 _e157 = tile_keys(_e156, here);
                    uint _e159 = start;
                    metal::uint4 at_1 = metal::uint4(first_2) + metal::min(_e157 + metal::uint4(_e159), metal::uint4(15u));
                    uint _e171 = start;
                    scale = metal::select(metal::float4 {}, metal::float4(1.0), (_e157 + metal::uint4(_e171)) < metal::uint4(16u));
                    if (GATED) {
                        metal::float4 _e180 = scale;
                        metal::float2 _e181 = last_gate;
                        float _e183 = decay(_e181, at_1.x, keys, _buffer_sizes);
                        metal::float2 _e184 = last_gate;
                        float _e186 = decay(_e184, at_1.y, keys, _buffer_sizes);
                        metal::float2 _e187 = last_gate;
                        float _e189 = decay(_e187, at_1.z, keys, _buffer_sizes);
                        metal::float2 _e190 = last_gate;
                        float _e192 = decay(_e190, at_1.w, keys, _buffer_sizes);
                        scale = _e180 * metal::float4(_e183, _e186, _e189, _e192);
                    }
                    float _e196 = part_of_total(at_1.x);
                    float _e198 = part_of_total(at_1.y);
                    float _e200 = part_of_total(at_1.z);
                    float _e202 = part_of_total(at_1.w);
                    metal::float4 parts = metal::float4(_e196, _e198, _e200, _e202);
                    r_1 = 0u;
                    uint2 loop_bound_11 = uint2(4294967295u);
                    bool loop_init_11 = true;
                    while(true) {
                        if (metal::all(loop_bound_11 == uint2(0u))) { break; }
                        loop_bound_11 -= uint2(loop_bound_11.y == 0u, 1u);
                        if (!loop_init_11) {
                            uint _e259 = r_1;
                            r_1 = _e259 + 1u;
                        }
                        loop_init_11 = false;
                        uint _e206 = r_1;
                        if (_e206 < ROWS) {
                        } else {
                            break;
                        }
                        {
                            uint _e209 = r_1;
                            uint f_1 = packed.inner[_e209];
                            metal::float4 _e212 = scale;
                            float _e214 = feature(_e157.x, f_1, staged);
                            float _e216 = feature(_e157.y, f_1, staged);
                            float _e218 = feature(_e157.z, f_1, staged);
                            float _e220 = feature(_e157.w, f_1, staged);
                            metal::float4 phi = _e212 * metal::float4(_e214, _e216, _e218, _e220);
                            uint _e224 = r_1;
                            uint _e227 = r_1;
                            float _e229 = total.inner[_e227];
                            total.inner[_e224] = (((_e229 + (phi.x * parts.x)) + (phi.y * parts.y)) + (phi.z * parts.z)) + (phi.w * parts.w);
                            uint _e247 = r_1;
                            uint _e248 = row_of(_e247, here);
                            uint _e249 = k;
                            uint _e254 = here.x;
                            uint _e256 = coefficient_at(_e248, (_e249 * GROUP_X) + _e254);
                            coefficients.inner[_e256] = phi;
                        }
                    }
                }
            }
            metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
            uint _e264 = start;
            add_rows(first_2, _e264, BLOCK, keys, coefficients, sum, here, _buffer_sizes);
        }
    }
    share_totals(coefficients, total, here);
    uint2 loop_bound_12 = uint2(4294967295u);
    bool loop_init_12 = true;
    while(true) {
        if (metal::all(loop_bound_12 == uint2(0u))) { break; }
        loop_bound_12 -= uint2(loop_bound_12.y == 0u, 1u);
        if (!loop_init_12) {
            uint _e324 = r_2;
            r_2 = _e324 + 1u;
        }
        loop_init_12 = false;
        uint _e270 = r_2;
        if (_e270 < ROWS) {
        } else {
            break;
        }
        {
            uint _e273 = r_2;
            uint _e274 = row_of(_e273, here);
            uint f_2 = first_feature + _e274;
            c = 0u;
            uint2 loop_bound_13 = uint2(4294967295u);
            bool loop_init_13 = true;
            while(true) {
                if (metal::all(loop_bound_13 == uint2(0u))) { break; }
                loop_bound_13 -= uint2(loop_bound_13.y == 0u, 1u);
                if (!loop_init_13) {
                    uint _e321 = c;
                    c = _e321 + 1u;
                }
                loop_init_13 = false;
                uint _e278 = c;
                if (_e278 < VECTORS) {
                } else {
                    break;
                }
                {
                    uint _e283 = here.x;
                    uint _e284 = c;
                    uint vector_4 = _e283 + (_e284 * GROUP_X);
                    if (f_2 < FEATURES) {
                        local_1 = vector_4 < 4u;
                    } else {
                        local_1 = false;
                    }
                    bool _e298 = local_1;
                    if (_e298) {
                        uint at_2 = naga_div(out + (f_2 * HEAD), 4u) + vector_4;
                        uint _e306 = r_2;
                        uint _e309 = c;
                        metal::float4 _e312 = sum.inner[(_e306 * VECTORS) + _e309];
                        value = _e312;
                        metal::float4 _e314 = value;
                        float _e315 = key_scale(f_2, table, _buffer_sizes);
                        value = _e314 * _e315;
                        metal::float4 _e319 = value;
                        states[at_2] = _e319;
                    }
                }
            }
        }
    }
    uint _e328 = here.z;
    i_1 = _e328;
    uint2 loop_bound_14 = uint2(4294967295u);
    bool loop_init_14 = true;
    while(true) {
        if (metal::all(loop_bound_14 == uint2(0u))) { break; }
        loop_bound_14 -= uint2(loop_bound_14.y == 0u, 1u);
        if (!loop_init_14) {
            uint _e391 = i_1;
            i_1 = _e391 + 64u;
        }
        loop_init_14 = false;
        uint _e330 = i_1;
        if (_e330 < 16u) {
        } else {
            break;
        }
        {
            uint _e337 = i_1;
            uint f_3 = first_feature + (4u * _e337);
            if (f_3 < FEATURES) {
                uint at_3 = naga_div((out + 576u) + f_3, 4u);
                uint _e352 = i_1;
                float _e354 = row_total(4u * _e352, coefficients);
                uint _e356 = i_1;
                float _e360 = row_total((4u * _e356) + 1u, coefficients);
                uint _e362 = i_1;
                float _e366 = row_total((4u * _e362) + 2u, coefficients);
                uint _e368 = i_1;
                float _e372 = row_total((4u * _e368) + 3u, coefficients);
                value_1 = metal::float4(_e354, _e360, _e366, _e372);
                metal::float4 _e375 = value_1;
                float _e376 = key_scale(f_3, table, _buffer_sizes);
                float _e379 = key_scale(f_3 + 1u, table, _buffer_sizes);
                float _e382 = key_scale(f_3 + 2u, table, _buffer_sizes);
                float _e385 = key_scale(f_3 + 3u, table, _buffer_sizes);
                value_1 = _e375 * metal::float4(_e376, _e379, _e382, _e385);
                metal::float4 _e390 = value_1;
                states[at_3] = _e390;
            }
        }
    }
    return;
}
