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
    uint parts;
};
typedef metal::float4 type_5[1];
typedef Lane type_6[1];
typedef uint type_7[1];
struct type_8 {
    metal::float4 inner[128];
};
struct type_9 {
    metal::float4 inner[64];
};
struct type_10 {
    metal::float4 inner[16];
};
struct type_13 {
    metal::float4 inner[4];
};
constant uint HEADS = 2u;
constant uint HEAD = 16u;
constant uint BLOCK = 16u;
constant uint V_OFFSET = 24u;
constant uint G_OFFSET = 40u;
constant bool GATED = true;
constant uint SINKS = 0u;
constant uint LEAD = 0u;
constant uint WIDTH = 44u;
constant uint GROUP_X = 4u;
constant uint GROUP_Y = 8u;
constant uint ROWS = 4u;
constant uint COLUMNS = 4u;
constant uint DEPTH = 8u;
constant uint LEFT_SIZE = 128u;
constant uint RIGHT_SIZE = 64u;
constant uint SOURCE_OFFSET = 16u;
constant uint SOURCE = 8u;
constant bool EXTENDED = false;
constant uint ORDER = 2u;
constant uint FEATURES = 36u;

float gate_decay(
    metal::float2 a,
    metal::float2 b
) {
    return metal::exp(metal::min((a.x - b.x) + (a.y - b.y), 0.0));
}

uint naga_div(uint lhs, uint rhs) {
    return lhs / metal::select(rhs, 1u, rhs == 0u);
}

uint naga_mod(uint lhs, uint rhs) {
    return lhs % metal::select(rhs, 1u, rhs == 0u);
}

uint row_of(
    uint r_1,
    thread metal::uint3& here
) {
    uint _e4 = here.y;
    return (4u * (_e4 + (naga_div(r_1, 4u) * GROUP_Y))) + naga_mod(r_1, 4u);
}

uint vector_of(
    uint c_1,
    thread metal::uint3& here
) {
    uint _e3 = here.x;
    return _e3 + (c_1 * GROUP_X);
}

uint vectors_sum(
) {
    return 1u;
}

metal::float4 staged_left(
    uint k,
    uint r_2,
    threadgroup type_8& tile_left,
    thread uint& buffer,
    thread metal::uint3& here
) {
    uint _e4 = buffer;
    uint _e21 = here.y;
    metal::float4 _e27 = tile_left.inner[(((_e4 * 64u) + (k * 8u)) + _e21) + (r_2 * GROUP_Y)];
    return _e27;
}

uint left_blocks(
) {
    return 16u;
}

void keep_left(
    uint block,
    threadgroup type_8& tile_left,
    thread metal::float4x4& next,
    thread uint& buffer
) {
    uint j = 0u;
    uint _e9 = buffer;
    uint at_1 = ((_e9 * 64u) + ((4u * naga_div(block, 8u)) * 8u)) + naga_mod(block, 8u);
    uint2 loop_bound = uint2(4294967295u);
    bool loop_init = true;
    while(true) {
        if (metal::all(loop_bound == uint2(0u))) { break; }
        loop_bound -= uint2(loop_bound.y == 0u, 1u);
        if (!loop_init) {
            uint _e37 = j;
            j = _e37 + 1u;
        }
        loop_init = false;
        uint _e24 = j;
        if (_e24 < 4u) {
        } else {
            break;
        }
        {
            uint _e28 = j;
            uint _e33 = j;
            metal::float4 _e35 = next[_e33];
            tile_left.inner[at_1 + (_e28 * 8u)] = _e35;
        }
    }
    return;
}

void keep_right(
    uint block_1,
    uint wide,
    threadgroup type_9& tile_right,
    thread metal::float4x4& next,
    thread uint& buffer
) {
    uint j_1 = 0u;
    uint _e3 = buffer;
    uint at_2 = ((_e3 * 32u) + ((4u * naga_div(block_1, wide)) * wide)) + naga_mod(block_1, wide);
    uint2 loop_bound_1 = uint2(4294967295u);
    bool loop_init_1 = true;
    while(true) {
        if (metal::all(loop_bound_1 == uint2(0u))) { break; }
        loop_bound_1 -= uint2(loop_bound_1.y == 0u, 1u);
        if (!loop_init_1) {
            uint _e31 = j_1;
            j_1 = _e31 + 1u;
        }
        loop_init_1 = false;
        uint _e18 = j_1;
        if (_e18 < 4u) {
        } else {
            break;
        }
        {
            uint _e22 = j_1;
            uint _e27 = j_1;
            metal::float4 _e29 = next[_e27];
            tile_right.inner[at_2 + (_e22 * wide)] = _e29;
        }
    }
    return;
}

metal::float4 left_of_sum(
    uint k_1,
    uint r_3,
    threadgroup type_8& tile_left,
    thread uint& buffer,
    thread metal::uint3& here
) {
    metal::float4 _e2 = staged_left(k_1, r_3, tile_left, buffer, here);
    return _e2;
}

void outer_sum(
    uint k_2,
    threadgroup type_8& tile_left,
    threadgroup type_9& tile_right,
    thread type_10& sum,
    thread uint& buffer,
    thread metal::uint3& here
) {
    type_13 b_1 = type_13 {};
    uint c_2 = 0u;
    uint r_4 = 0u;
    uint c_3 = {};
    uint _e2 = vectors_sum();
    uint wide_1 = GROUP_X * _e2;
    uint _e5 = buffer;
    uint _e15 = here.x;
    uint right = ((_e5 * 32u) + (k_2 * wide_1)) + _e15;
    uint2 loop_bound_2 = uint2(4294967295u);
    bool loop_init_2 = true;
    while(true) {
        if (metal::all(loop_bound_2 == uint2(0u))) { break; }
        loop_bound_2 -= uint2(loop_bound_2.y == 0u, 1u);
        if (!loop_init_2) {
            uint _e34 = c_2;
            c_2 = _e34 + 1u;
        }
        loop_init_2 = false;
        uint _e21 = c_2;
        uint _e22 = vectors_sum();
        if (_e21 < _e22) {
        } else {
            break;
        }
        {
            uint _e24 = c_2;
            uint _e27 = c_2;
            metal::float4 _e32 = tile_right.inner[right + (_e27 * GROUP_X)];
            b_1.inner[_e24] = _e32;
        }
    }
    uint2 loop_bound_3 = uint2(4294967295u);
    bool loop_init_3 = true;
    while(true) {
        if (metal::all(loop_bound_3 == uint2(0u))) { break; }
        loop_bound_3 -= uint2(loop_bound_3.y == 0u, 1u);
        if (!loop_init_3) {
            uint _e126 = r_4;
            r_4 = _e126 + 1u;
        }
        loop_init_3 = false;
        uint _e38 = r_4;
        if (_e38 < 1u) {
        } else {
            break;
        }
        {
            uint _e44 = r_4;
            metal::float4 _e45 = left_of_sum(k_2, _e44, tile_left, buffer, here);
            c_3 = 0u;
            uint2 loop_bound_4 = uint2(4294967295u);
            bool loop_init_4 = true;
            while(true) {
                if (metal::all(loop_bound_4 == uint2(0u))) { break; }
                loop_bound_4 -= uint2(loop_bound_4.y == 0u, 1u);
                if (!loop_init_4) {
                    uint _e123 = c_3;
                    c_3 = _e123 + 1u;
                }
                loop_init_4 = false;
                uint _e48 = c_3;
                uint _e49 = vectors_sum();
                if (_e48 < _e49) {
                } else {
                    break;
                }
                {
                    uint _e52 = r_4;
                    uint _e54 = vectors_sum();
                    uint _e56 = c_3;
                    uint at_3 = ((4u * _e52) * _e54) + _e56;
                    uint _e62 = c_3;
                    metal::float4 _e64 = b_1.inner[_e62];
                    metal::float4 _e67 = sum.inner[at_3];
                    sum.inner[at_3] = metal::fma(metal::float4(_e45.x), _e64, _e67);
                    uint _e70 = vectors_sum();
                    uint _e75 = c_3;
                    metal::float4 _e77 = b_1.inner[_e75];
                    uint _e79 = vectors_sum();
                    metal::float4 _e82 = sum.inner[at_3 + _e79];
                    sum.inner[at_3 + _e70] = metal::fma(metal::float4(_e45.y), _e77, _e82);
                    uint _e86 = vectors_sum();
                    uint _e92 = c_3;
                    metal::float4 _e94 = b_1.inner[_e92];
                    uint _e97 = vectors_sum();
                    metal::float4 _e101 = sum.inner[at_3 + (2u * _e97)];
                    sum.inner[at_3 + (2u * _e86)] = metal::fma(metal::float4(_e45.z), _e94, _e101);
                    uint _e105 = vectors_sum();
                    uint _e111 = c_3;
                    metal::float4 _e113 = b_1.inner[_e111];
                    uint _e116 = vectors_sum();
                    metal::float4 _e120 = sum.inner[at_3 + (3u * _e116)];
                    sum.inner[at_3 + (3u * _e105)] = metal::fma(metal::float4(_e45.w), _e113, _e120);
                }
            }
        }
    }
    return;
}

void multiply_sum(
    threadgroup type_8& tile_left,
    threadgroup type_9& tile_right,
    thread type_10& sum,
    thread uint& buffer,
    thread metal::uint3& here
) {
    uint k_3 = 0u;
    uint j_2 = {};
    uint2 loop_bound_5 = uint2(4294967295u);
    bool loop_init_5 = true;
    while(true) {
        if (metal::all(loop_bound_5 == uint2(0u))) { break; }
        loop_bound_5 -= uint2(loop_bound_5.y == 0u, 1u);
        if (!loop_init_5) {
            uint _e16 = k_3;
            k_3 = _e16 + 4u;
        }
        loop_init_5 = false;
        uint _e2 = k_3;
        if (_e2 < DEPTH) {
        } else {
            break;
        }
        {
            j_2 = 0u;
            uint2 loop_bound_6 = uint2(4294967295u);
            bool loop_init_6 = true;
            while(true) {
                if (metal::all(loop_bound_6 == uint2(0u))) { break; }
                loop_bound_6 -= uint2(loop_bound_6.y == 0u, 1u);
                if (!loop_init_6) {
                    uint _e14 = j_2;
                    j_2 = _e14 + 1u;
                }
                loop_init_6 = false;
                uint _e7 = j_2;
                if (_e7 < 4u) {
                } else {
                    break;
                }
                {
                    uint _e10 = k_3;
                    uint _e11 = j_2;
                    outer_sum(_e10 + _e11, tile_left, tile_right, sum, buffer, here);
                }
            }
        }
    }
    return;
}

uint vectors_rows(
) {
    uint _e0 = vectors_sum();
    return _e0;
}

uint row_at(
    uint j_3,
    thread uint& first,
    thread uint& rows
) {
    uint _e2 = first;
    uint _e4 = rows;
    return _e2 + metal::min(j_3, _e4 - 1u);
}

metal::float2 gate_sum(
    uint row,
    device type_5 const& keys,
    constant _mslBufferSizes& _buffer_sizes
) {
    metal::float4 _e9 = keys[naga_div((row * WIDTH) + G_OFFSET, 4u)];
    return _e9.xy;
}

float decay(
    metal::float2 last,
    uint row_1,
    device type_5 const& keys,
    constant _mslBufferSizes& _buffer_sizes
) {
    metal::float2 _e2 = gate_sum(row_1, keys, _buffer_sizes);
    float _e3 = gate_decay(last, _e2);
    return _e3;
}

float factor(
    uint at,
    uint index_1,
    device type_5 const& keys,
    constant _mslBufferSizes& _buffer_sizes
) {
    uint i_3 = at + (EXTENDED ? metal::min(index_1, 7u) : index_1);
    float _e17 = keys[naga_div(i_3, 4u)][naga_mod(i_3, 4u)];
    return (EXTENDED & (index_1 == SOURCE)) ? 1.0 : _e17;
}

float feature(
    uint row_2,
    uint packed,
    device type_5 const& keys,
    constant _mslBufferSizes& _buffer_sizes
) {
    float value_2 = {};
    float _e4 = factor(row_2, packed & 255u, keys, _buffer_sizes);
    value_2 = _e4;
    if (true) {
        float _e10 = value_2;
        float _e15 = factor(row_2, (packed >> 8u) & 255u, keys, _buffer_sizes);
        value_2 = _e10 * _e15;
    }
    if (false) {
        float _e21 = value_2;
        float _e26 = factor(row_2, (packed >> 16u) & 255u, keys, _buffer_sizes);
        value_2 = _e21 * _e26;
    }
    if (false) {
        float _e32 = value_2;
        float _e35 = factor(row_2, packed >> 24u, keys, _buffer_sizes);
        value_2 = _e32 * _e35;
    }
    float _e37 = value_2;
    return _e37;
}

float part_of_total(
    uint row_3
) {
    return 1.0;
}

metal::float4 features(
    uint j_4,
    device type_5 const& keys,
    thread uint& first,
    thread uint& rows,
    thread uint& sinks,
    thread metal::float2& last_gate,
    thread metal::uint4& packed_1,
    thread metal::float4& total,
    constant _mslBufferSizes& _buffer_sizes
) {
    float scale = {};
    bool local_4 = {};
    uint _e1 = row_at(j_4, first, rows);
    uint at_4 = (_e1 * WIDTH) + SOURCE_OFFSET;
    uint _e7 = rows;
    scale = (j_4 < _e7) ? 1.0 : 0.0;
    if (false) {
        uint _e20 = sinks;
        local_4 = j_4 < _e20;
    } else {
        local_4 = false;
    }
    bool _e23 = local_4;
    if (_e23) {
        scale = 0.0;
    }
    if (GATED) {
        float _e26 = scale;
        metal::float2 _e28 = last_gate;
        float _e29 = decay(_e28, _e1, keys, _buffer_sizes);
        scale = _e26 * _e29;
    }
    float _e31 = scale;
    uint _e34 = packed_1.x;
    float _e35 = feature(at_4, _e34, keys, _buffer_sizes);
    uint _e38 = packed_1.y;
    float _e39 = feature(at_4, _e38, keys, _buffer_sizes);
    uint _e42 = packed_1.z;
    float _e43 = feature(at_4, _e42, keys, _buffer_sizes);
    uint _e46 = packed_1.w;
    float _e47 = feature(at_4, _e46, keys, _buffer_sizes);
    metal::float4 phi = _e31 * metal::float4(_e35, _e39, _e43, _e47);
    metal::float4 _e51 = total;
    float _e52 = part_of_total(_e1);
    total = _e51 + (phi * _e52);
    return phi;
}

metal::float4x4 left_rows(
    uint feature_1,
    uint j_5,
    device type_5 const& keys,
    thread uint& first,
    thread uint& rows,
    thread uint& sinks,
    thread metal::float2& last_gate,
    thread metal::uint4& packed_1,
    thread metal::float4& total,
    constant _mslBufferSizes& _buffer_sizes
) {
    metal::float4x4 block_2 = metal::float4x4 {};
    uint i_1 = 0u;
    uint2 loop_bound_7 = uint2(4294967295u);
    bool loop_init_7 = true;
    while(true) {
        if (metal::all(loop_bound_7 == uint2(0u))) { break; }
        loop_bound_7 -= uint2(loop_bound_7.y == 0u, 1u);
        if (!loop_init_7) {
            uint _e15 = i_1;
            i_1 = _e15 + 1u;
        }
        loop_init_7 = false;
        uint _e6 = i_1;
        if (_e6 < 4u) {
        } else {
            break;
        }
        {
            uint _e9 = i_1;
            uint _e11 = i_1;
            metal::float4 _e13 = features(j_5 + _e11, keys, first, rows, sinks, last_gate, packed_1, total, _buffer_sizes);
            block_2[_e9] = _e13;
        }
    }
    metal::float4x4 _e17 = block_2;
    return _e17;
}

metal::float4 value_3(
    uint row_4,
    uint vector,
    device type_5 const& keys,
    constant _mslBufferSizes& _buffer_sizes
) {
    metal::float4 _e11 = keys[naga_div((row_4 * WIDTH) + V_OFFSET, 4u) + vector];
    return _e11;
}

metal::float4x4 right_rows(
    uint vector_1,
    uint j_6,
    device type_5 const& keys,
    thread uint& first,
    thread uint& rows,
    thread uint& first_vector,
    constant _mslBufferSizes& _buffer_sizes
) {
    metal::float4x4 block_3 = metal::float4x4 {};
    uint i_2 = 0u;
    uint _e3 = first_vector;
    uint at_5 = metal::min(_e3 + vector_1, 3u);
    uint2 loop_bound_8 = uint2(4294967295u);
    bool loop_init_8 = true;
    while(true) {
        if (metal::all(loop_bound_8 == uint2(0u))) { break; }
        loop_bound_8 -= uint2(loop_bound_8.y == 0u, 1u);
        if (!loop_init_8) {
            uint _e26 = i_2;
            i_2 = _e26 + 1u;
        }
        loop_init_8 = false;
        uint _e16 = i_2;
        if (_e16 < 4u) {
        } else {
            break;
        }
        {
            uint _e19 = i_2;
            uint _e21 = i_2;
            uint _e23 = row_at(j_6 + _e21, first, rows);
            metal::float4 _e24 = value_3(_e23, at_5, keys, _buffer_sizes);
            block_3[_e19] = _e24;
        }
    }
    metal::float4x4 _e28 = block_3;
    return _e28;
}

void fetch_rows(
    uint k_4,
    device type_5 const& keys,
    thread metal::float4x4& next,
    thread metal::uint3& here,
    thread uint& first,
    thread uint& rows,
    thread uint& sinks,
    thread metal::float2& last_gate,
    thread metal::uint4& packed_1,
    thread metal::float4& total,
    thread uint& first_vector,
    constant _mslBufferSizes& _buffer_sizes
) {
    uint _e9 = vectors_rows();
    uint wide_2 = GROUP_X * _e9;
    uint _e13 = here.z;
    uint _e14 = left_blocks();
    uint block_4 = _e13 - _e14;
    uint _e18 = here.z;
    uint _e19 = left_blocks();
    if (_e18 < _e19) {
        uint _e25 = here.z;
        uint _e31 = here.z;
        metal::float4x4 _e35 = left_rows(4u * naga_mod(_e25, 8u), k_4 + (4u * naga_div(_e31, 8u)), keys, first, rows, sinks, last_gate, packed_1, total, _buffer_sizes);
        next = _e35;
        return;
    } else {
        if (block_4 < (wide_2 * 2u)) {
            metal::float4x4 _e48 = right_rows(naga_mod(block_4, wide_2), k_4 + (4u * naga_div(block_4, wide_2)), keys, first, rows, first_vector, _buffer_sizes);
            next = _e48;
            return;
        } else {
            return;
        }
    }
}

void keep_rows(
    threadgroup type_8& tile_left,
    threadgroup type_9& tile_right,
    thread metal::float4x4& next,
    thread uint& buffer,
    thread metal::uint3& here
) {
    uint _e1 = vectors_rows();
    uint wide_3 = GROUP_X * _e1;
    uint _e5 = here.z;
    uint _e6 = left_blocks();
    uint block_5 = _e5 - _e6;
    uint _e11 = buffer;
    buffer = 1u - _e11;
    uint _e15 = here.z;
    uint _e16 = left_blocks();
    if (_e15 < _e16) {
        uint _e20 = here.z;
        keep_left(_e20, tile_left, next, buffer);
        return;
    } else {
        if (block_5 < (wide_3 * 2u)) {
            keep_right(block_5, wide_3, tile_right, next, buffer);
            return;
        } else {
            return;
        }
    }
}

void multiply_rows(
    threadgroup type_8& tile_left,
    threadgroup type_9& tile_right,
    thread type_10& sum,
    thread uint& buffer,
    thread metal::uint3& here
) {
    multiply_sum(tile_left, tile_right, sum, buffer, here);
    return;
}

void add_rows(
    uint inner,
    device type_5 const& keys,
    threadgroup type_8& tile_left,
    threadgroup type_9& tile_right,
    thread type_10& sum,
    thread metal::float4x4& next,
    thread uint& buffer,
    thread metal::uint3& here,
    thread uint& first,
    thread uint& rows,
    thread uint& sinks,
    thread metal::float2& last_gate,
    thread metal::uint4& packed_1,
    thread metal::float4& total,
    thread uint& first_vector,
    constant _mslBufferSizes& _buffer_sizes
) {
    uint k_5 = 0u;
    fetch_rows(0u, keys, next, here, first, rows, sinks, last_gate, packed_1, total, first_vector, _buffer_sizes);
    keep_rows(tile_left, tile_right, next, buffer, here);
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    uint2 loop_bound_9 = uint2(4294967295u);
    bool loop_init_9 = true;
    while(true) {
        if (metal::all(loop_bound_9 == uint2(0u))) { break; }
        loop_bound_9 -= uint2(loop_bound_9.y == 0u, 1u);
        if (!loop_init_9) {
            uint _e13 = k_5;
            k_5 = _e13 + DEPTH;
        }
        loop_init_9 = false;
        uint _e4 = k_5;
        if (_e4 < inner) {
        } else {
            break;
        }
        {
            uint _e6 = k_5;
            bool more = (_e6 + DEPTH) < inner;
            if (more) {
                uint _e10 = k_5;
                fetch_rows(_e10 + DEPTH, keys, next, here, first, rows, sinks, last_gate, packed_1, total, first_vector, _buffer_sizes);
            }
            multiply_rows(tile_left, tile_right, sum, buffer, here);
            if (more) {
                keep_rows(tile_left, tile_right, next, buffer, here);
                metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
            }
        }
    }
    return;
}

float key_scale(
    uint f,
    device type_7 const& table,
    constant _mslBufferSizes& _buffer_sizes
) {
    uint _e5 = table[FEATURES + f];
    return as_type<float>(_e5);
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
, threadgroup type_8& tile_left
, threadgroup type_9& tile_right
, constant _mslBufferSizes& _buffer_sizes [[user(fake0)]]
) {
    type_10 sum = {};
    metal::float4x4 next = {};
    uint buffer = {};
    metal::uint3 here = {};
    uint first = {};
    uint rows = {};
    uint sinks = {};
    metal::float2 last_gate = {};
    metal::uint4 packed_1 = {};
    metal::float4 total = {};
    uint first_vector = {};
    if (index == 0u) {
        for (int __i0 = 0; __i0 < 128; __i0++) {
            tile_left.inner[__i0] = {};
        }
        for (int __i0 = 0; __i0 < 64; __i0++) {
            tile_right.inner[__i0] = {};
        }
    }
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    bool local_1 = {};
    uint r = 0u;
    uint c = {};
    bool local_2 = {};
    metal::float4 value = {};
    bool local_3 = {};
    metal::float4 value_1 = metal::float4 {};
    uint i = 0u;
    here = metal::uint3(local.xy, index);
    uint _e16 = params.parts;
    uint first_feature = naga_div(group.x, _e16) * 32u;
    uint _e24 = params.parts;
    uint part = naga_mod(group.x, _e24);
    first_vector = part * 4u;
    uint block_6 = group.y;
    uint _e39 = params.lane_base;
    Lane lane = lanes[_e39 + naga_div(group.z, HEADS)];
    uint head = naga_mod(group.z, HEADS);
    uint of_text = naga_div(lane.position - lane.ring, BLOCK) + block_6;
    uint _e64 = params.tokens;
    uint end = (0u + lane.ring) + _e64;
    if (!(((((block_6 + LEAD) + 1u) * BLOCK) >= end))) {
        local_1 = of_text < LEAD;
    } else {
        local_1 = true;
    }
    bool _e79 = local_1;
    if (_e79) {
        return;
    }
    uint _e85 = params.stride;
    first = (group.z * _e85) + (block_6 * BLOCK);
    uint _e93 = params.blocks;
    uint out = (((group.z * _e93) + block_6) * FEATURES) * 17u;
    sinks = (of_text == LEAD) ? SINKS : 0u;
    rows = BLOCK;
    if (GATED) {
        uint _e113 = first;
        metal::float2 _e117 = gate_sum((_e113 + BLOCK) - 1u, keys, _buffer_sizes);
        last_gate = _e117;
    }
    uint _e121 = here.z;
    metal::uint4 staged = metal::uint4(first_feature + (4u * naga_mod(_e121, 8u))) + metal::uint4(0u, 1u, 2u, 3u);
    metal::uint4 known = metal::min(staged, metal::uint4(35u));
    uint _e142 = table[known.x];
    uint _e146 = table[known.y];
    uint _e150 = table[known.z];
    uint _e154 = table[known.w];
    packed_1 = metal::uint4(_e142, _e146, _e150, _e154);
    add_rows(BLOCK, keys, tile_left, tile_right, sum, next, buffer, here, first, rows, sinks, last_gate, packed_1, total, first_vector, _buffer_sizes);
    uint2 loop_bound_10 = uint2(4294967295u);
    bool loop_init_10 = true;
    while(true) {
        if (metal::all(loop_bound_10 == uint2(0u))) { break; }
        loop_bound_10 -= uint2(loop_bound_10.y == 0u, 1u);
        if (!loop_init_10) {
            uint _e216 = r;
            r = _e216 + 1u;
        }
        loop_init_10 = false;
        uint _e158 = r;
        if (_e158 < ROWS) {
        } else {
            break;
        }
        {
            uint _e161 = r;
            uint _e162 = row_of(_e161, here);
            uint f_1 = first_feature + _e162;
            c = 0u;
            uint2 loop_bound_11 = uint2(4294967295u);
            bool loop_init_11 = true;
            while(true) {
                if (metal::all(loop_bound_11 == uint2(0u))) { break; }
                loop_bound_11 -= uint2(loop_bound_11.y == 0u, 1u);
                if (!loop_init_11) {
                    uint _e213 = c;
                    c = _e213 + 1u;
                }
                loop_init_11 = false;
                uint _e166 = c;
                if (_e166 < 1u) {
                } else {
                    break;
                }
                {
                    uint _e173 = first_vector;
                    uint _e174 = c;
                    uint _e175 = vector_of(_e174, here);
                    uint vector_2 = _e173 + _e175;
                    if (f_1 < FEATURES) {
                        local_2 = vector_2 < 4u;
                    } else {
                        local_2 = false;
                    }
                    bool _e187 = local_2;
                    if (_e187) {
                        uint at_6 = naga_div(out + (f_1 * HEAD), 4u) + vector_2;
                        uint _e195 = r;
                        uint _e201 = c;
                        metal::float4 _e204 = sum.inner[(_e195 * 1u) + _e201];
                        value = _e204;
                        metal::float4 _e206 = value;
                        float _e207 = key_scale(f_1, table, _buffer_sizes);
                        value = _e206 * _e207;
                        metal::float4 _e211 = value;
                        states[at_6] = _e211;
                    }
                }
            }
        }
    }
    if (part > 0u) {
        return;
    }
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    uint _e222 = here.z;
    uint _e223 = left_blocks();
    if (_e222 < _e223) {
        uint _e228 = here.z;
        metal::float4 _e231 = total;
        tile_left.inner[_e228] = _e231;
    }
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    uint _e234 = here.z;
    if (_e234 < 8u) {
        local_3 = staged.x < FEATURES;
    } else {
        local_3 = false;
    }
    bool _e242 = local_3;
    if (_e242) {
        uint f_2 = staged.x;
        uint at_7 = naga_div((out + 576u) + f_2, 4u);
        uint2 loop_bound_12 = uint2(4294967295u);
        bool loop_init_12 = true;
        while(true) {
            if (metal::all(loop_bound_12 == uint2(0u))) { break; }
            loop_bound_12 -= uint2(loop_bound_12.y == 0u, 1u);
            if (!loop_init_12) {
                uint _e275 = i;
                i = _e275 + 1u;
            }
            loop_init_12 = false;
            uint _e257 = i;
            if (_e257 < 2u) {
            } else {
                break;
            }
            {
                metal::float4 _e263 = value_1;
                uint _e265 = i;
                uint _e269 = here.z;
                metal::float4 _e272 = tile_left.inner[(_e265 * 8u) + _e269];
                value_1 = _e263 + _e272;
            }
        }
        metal::float4 _e277 = value_1;
        float _e278 = key_scale(f_2, table, _buffer_sizes);
        float _e281 = key_scale(f_2 + 1u, table, _buffer_sizes);
        float _e284 = key_scale(f_2 + 2u, table, _buffer_sizes);
        float _e287 = key_scale(f_2 + 3u, table, _buffer_sizes);
        value_1 = _e277 * metal::float4(_e278, _e281, _e284, _e287);
        metal::float4 _e292 = value_1;
        states[at_7] = _e292;
        return;
    } else {
        return;
    }
}
