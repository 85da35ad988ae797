// language: metal2.0
#include <metal_stdlib>
#include <simd/simd.h>

using metal::uint;

struct _mslBufferSizes {
    uint size0;
    uint size2;
    uint size3;
    uint size4;
};

typedef metal::float4 Weight4_;
typedef Weight4_ type_1[1];
struct Params {
    uint rows;
    uint first_column;
};
typedef metal::float4 type_4[1];
typedef float type_5[1];
struct type_7 {
    metal::float4 inner[256];
};
struct type_8 {
    metal::float4 inner[256];
};
struct type_9 {
    metal::float4 inner[16];
};
struct type_11 {
    metal::float4 inner[4];
};
constant uint K = 32u;
constant uint N = 100u;
constant uint STRIDE = 100u;
constant uint GROUP_X = 8u;
constant uint GROUP_Y = 8u;
constant uint ROWS = 4u;
constant uint COLUMNS = 4u;
constant uint DEPTH = 16u;
constant uint LEFT_SIZE = 256u;
constant uint RIGHT_SIZE = 256u;

metal::float4 w_row4_(
    uint row,
    uint vector,
    uint vectors,
    device type_1 const& w,
    constant _mslBufferSizes& _buffer_sizes
) {
    Weight4_ _e7 = w[(row * vectors) + vector];
    return _e7;
}

uint inner(
    uint part
) {
    return K;
}

uint row_count(
    constant Params& params
) {
    uint _e2 = params.rows;
    return _e2;
}

uint vectors_1(
) {
    return 25u;
}

uint naga_div(uint lhs, uint rhs) {
    return lhs / metal::select(rhs, 1u, rhs == 0u);
}

metal::float4 x_at(
    uint row_1,
    uint k,
    constant Params& params,
    device type_4 const& x,
    constant _mslBufferSizes& _buffer_sizes
) {
    uint _e5 = params.rows;
    metal::float4 _e18 = x[(metal::min(row_1, _e5 - 1u) * 8u) + naga_div(k, 4u)];
    return _e18;
}

metal::float4x4 left_block(
    uint row_2,
    uint k_1,
    constant Params& params,
    device type_4 const& x,
    constant _mslBufferSizes& _buffer_sizes
) {
    metal::float4x4 block = metal::float4x4 {};
    uint i = 0u;
    if (k_1 >= K) {
        return metal::float4x4 {};
    }
    uint2 loop_bound = uint2(4294967295u);
    bool loop_init = true;
    while(true) {
        if (metal::all(loop_bound == uint2(0u))) { break; }
        loop_bound -= uint2(loop_bound.y == 0u, 1u);
        if (!loop_init) {
            uint _e18 = i;
            i = _e18 + 1u;
        }
        loop_init = false;
        uint _e9 = i;
        if (_e9 < 4u) {
        } else {
            break;
        }
        {
            uint _e12 = i;
            uint _e14 = i;
            metal::float4 _e16 = x_at(row_2 + _e14, k_1, params, x, _buffer_sizes);
            block[_e12] = _e16;
        }
    }
    metal::float4x4 _e20 = block;
    return metal::transpose(_e20);
}

metal::float4 w_at(
    uint column,
    uint k_2,
    device type_1 const& w,
    constant _mslBufferSizes& _buffer_sizes
) {
    metal::float4 _e13 = w_row4_(metal::min(column, 99u), naga_div(k_2, 4u), 8u, w, _buffer_sizes);
    return _e13;
}

metal::float4x4 right_block(
    uint vector_1,
    uint k_3,
    device type_1 const& w,
    constant _mslBufferSizes& _buffer_sizes
) {
    metal::float4x4 block_1 = metal::float4x4 {};
    uint j = 0u;
    if (k_3 >= K) {
        return metal::float4x4 {};
    }
    uint2 loop_bound_1 = uint2(4294967295u);
    bool loop_init_1 = true;
    while(true) {
        if (metal::all(loop_bound_1 == uint2(0u))) { break; }
        loop_bound_1 -= uint2(loop_bound_1.y == 0u, 1u);
        if (!loop_init_1) {
            uint _e20 = j;
            j = _e20 + 1u;
        }
        loop_init_1 = false;
        uint _e9 = j;
        if (_e9 < 4u) {
        } else {
            break;
        }
        {
            uint _e12 = j;
            uint _e16 = j;
            metal::float4 _e18 = w_at((4u * vector_1) + _e16, k_3, w, _buffer_sizes);
            block_1[_e12] = _e18;
        }
    }
    metal::float4x4 _e22 = block_1;
    return metal::transpose(_e22);
}

void store(
    uint row_3,
    uint vector_2,
    metal::float4 sum,
    constant Params& params,
    device type_5 const& bias,
    device type_5& y,
    constant _mslBufferSizes& _buffer_sizes
) {
    uint c_1 = 0u;
    float value = {};
    uint2 loop_bound_2 = uint2(4294967295u);
    bool loop_init_2 = true;
    while(true) {
        if (metal::all(loop_bound_2 == uint2(0u))) { break; }
        loop_bound_2 -= uint2(loop_bound_2.y == 0u, 1u);
        if (!loop_init_2) {
            uint _e37 = c_1;
            c_1 = _e37 + 1u;
        }
        loop_init_2 = false;
        uint _e5 = c_1;
        if (_e5 < 4u) {
        } else {
            break;
        }
        {
            uint _e10 = c_1;
            if (((4u * vector_2) + _e10) < N) {
                uint _e16 = params.first_column;
                uint _e20 = c_1;
                uint out = (_e16 + (4u * vector_2)) + _e20;
                uint _e22 = c_1;
                value = sum[_e22];
                float _e25 = value;
                float _e28 = bias[out];
                value = _e25 + _e28;
                float _e35 = value;
                y[(row_3 * STRIDE) + out] = _e35;
            }
        }
    }
    return;
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
    uint c_2,
    thread metal::uint3& here
) {
    uint _e3 = here.x;
    return _e3 + (c_2 * GROUP_X);
}

uint vectors_sum(
) {
    return 1u;
}

metal::float4 staged_left(
    uint k_4,
    uint r_2,
    threadgroup type_7& tile_left,
    thread uint& buffer,
    thread metal::uint3& here
) {
    uint _e4 = buffer;
    uint _e21 = here.y;
    metal::float4 _e27 = tile_left.inner[(((_e4 * 128u) + (k_4 * 8u)) + _e21) + (r_2 * GROUP_Y)];
    return _e27;
}

uint left_blocks(
) {
    return 32u;
}

void keep_left(
    uint block_2,
    threadgroup type_7& tile_left,
    thread metal::float4x4& next,
    thread uint& buffer
) {
    uint j_1 = 0u;
    uint _e9 = buffer;
    uint at = ((_e9 * 128u) + ((4u * naga_div(block_2, 8u)) * 8u)) + naga_mod(block_2, 8u);
    uint2 loop_bound_3 = uint2(4294967295u);
    bool loop_init_3 = true;
    while(true) {
        if (metal::all(loop_bound_3 == uint2(0u))) { break; }
        loop_bound_3 -= uint2(loop_bound_3.y == 0u, 1u);
        if (!loop_init_3) {
            uint _e37 = j_1;
            j_1 = _e37 + 1u;
        }
        loop_init_3 = false;
        uint _e24 = j_1;
        if (_e24 < 4u) {
        } else {
            break;
        }
        {
            uint _e28 = j_1;
            uint _e33 = j_1;
            metal::float4 _e35 = next[_e33];
            tile_left.inner[at + (_e28 * 8u)] = _e35;
        }
    }
    return;
}

void keep_right(
    uint block_3,
    uint wide,
    threadgroup type_8& tile_right,
    thread metal::float4x4& next,
    thread uint& buffer
) {
    uint j_2 = 0u;
    uint _e3 = buffer;
    uint at_1 = ((_e3 * 128u) + ((4u * naga_div(block_3, wide)) * wide)) + naga_mod(block_3, wide);
    uint2 loop_bound_4 = uint2(4294967295u);
    bool loop_init_4 = true;
    while(true) {
        if (metal::all(loop_bound_4 == uint2(0u))) { break; }
        loop_bound_4 -= uint2(loop_bound_4.y == 0u, 1u);
        if (!loop_init_4) {
            uint _e31 = j_2;
            j_2 = _e31 + 1u;
        }
        loop_init_4 = false;
        uint _e18 = j_2;
        if (_e18 < 4u) {
        } else {
            break;
        }
        {
            uint _e22 = j_2;
            uint _e27 = j_2;
            metal::float4 _e29 = next[_e27];
            tile_right.inner[at_1 + (_e22 * wide)] = _e29;
        }
    }
    return;
}

metal::float4 left_of_sum(
    uint k_5,
    uint r_3,
    threadgroup type_7& tile_left,
    thread uint& buffer,
    thread metal::uint3& here
) {
    metal::float4 _e2 = staged_left(k_5, r_3, tile_left, buffer, here);
    return _e2;
}

void outer_sum(
    uint k_6,
    threadgroup type_7& tile_left,
    threadgroup type_8& tile_right,
    thread type_9& sum_1,
    thread uint& buffer,
    thread metal::uint3& here
) {
    type_11 b = type_11 {};
    uint c_3 = 0u;
    uint r_4 = 0u;
    uint c_4 = {};
    uint _e2 = vectors_sum();
    uint wide_1 = GROUP_X * _e2;
    uint _e5 = buffer;
    uint _e15 = here.x;
    uint right = ((_e5 * 128u) + (k_6 * wide_1)) + _e15;
    uint2 loop_bound_5 = uint2(4294967295u);
    bool loop_init_5 = true;
    while(true) {
        if (metal::all(loop_bound_5 == uint2(0u))) { break; }
        loop_bound_5 -= uint2(loop_bound_5.y == 0u, 1u);
        if (!loop_init_5) {
            uint _e34 = c_3;
            c_3 = _e34 + 1u;
        }
        loop_init_5 = false;
        uint _e21 = c_3;
        uint _e22 = vectors_sum();
        if (_e21 < _e22) {
        } else {
            break;
        }
        {
            uint _e24 = c_3;
            uint _e27 = c_3;
            metal::float4 _e32 = tile_right.inner[right + (_e27 * GROUP_X)];
            b.inner[_e24] = _e32;
        }
    }
    uint2 loop_bound_6 = uint2(4294967295u);
    bool loop_init_6 = true;
    while(true) {
        if (metal::all(loop_bound_6 == uint2(0u))) { break; }
        loop_bound_6 -= uint2(loop_bound_6.y == 0u, 1u);
        if (!loop_init_6) {
            uint _e126 = r_4;
            r_4 = _e126 + 1u;
        }
        loop_init_6 = false;
        uint _e38 = r_4;
        if (_e38 < 1u) {
        } else {
            break;
        }
        {
            uint _e44 = r_4;
            metal::float4 _e45 = left_of_sum(k_6, _e44, tile_left, buffer, here);
            c_4 = 0u;
            uint2 loop_bound_7 = uint2(4294967295u);
            bool loop_init_7 = true;
            while(true) {
                if (metal::all(loop_bound_7 == uint2(0u))) { break; }
                loop_bound_7 -= uint2(loop_bound_7.y == 0u, 1u);
                if (!loop_init_7) {
                    uint _e123 = c_4;
                    c_4 = _e123 + 1u;
                }
                loop_init_7 = false;
                uint _e48 = c_4;
                uint _e49 = vectors_sum();
                if (_e48 < _e49) {
                } else {
                    break;
                }
                {
                    uint _e52 = r_4;
                    uint _e54 = vectors_sum();
                    uint _e56 = c_4;
                    uint at_2 = ((4u * _e52) * _e54) + _e56;
                    uint _e62 = c_4;
                    metal::float4 _e64 = b.inner[_e62];
                    metal::float4 _e67 = sum_1.inner[at_2];
                    sum_1.inner[at_2] = metal::fma(metal::float4(_e45.x), _e64, _e67);
                    uint _e70 = vectors_sum();
                    uint _e75 = c_4;
                    metal::float4 _e77 = b.inner[_e75];
                    uint _e79 = vectors_sum();
                    metal::float4 _e82 = sum_1.inner[at_2 + _e79];
                    sum_1.inner[at_2 + _e70] = metal::fma(metal::float4(_e45.y), _e77, _e82);
                    uint _e86 = vectors_sum();
                    uint _e92 = c_4;
                    metal::float4 _e94 = b.inner[_e92];
                    uint _e97 = vectors_sum();
                    metal::float4 _e101 = sum_1.inner[at_2 + (2u * _e97)];
                    sum_1.inner[at_2 + (2u * _e86)] = metal::fma(metal::float4(_e45.z), _e94, _e101);
                    uint _e105 = vectors_sum();
                    uint _e111 = c_4;
                    metal::float4 _e113 = b.inner[_e111];
                    uint _e116 = vectors_sum();
                    metal::float4 _e120 = sum_1.inner[at_2 + (3u * _e116)];
                    sum_1.inner[at_2 + (3u * _e105)] = metal::fma(metal::float4(_e45.w), _e113, _e120);
                }
            }
        }
    }
    return;
}

void multiply_sum(
    threadgroup type_7& tile_left,
    threadgroup type_8& tile_right,
    thread type_9& sum_1,
    thread uint& buffer,
    thread metal::uint3& here
) {
    uint k_7 = 0u;
    uint j_3 = {};
    uint2 loop_bound_8 = uint2(4294967295u);
    bool loop_init_8 = true;
    while(true) {
        if (metal::all(loop_bound_8 == uint2(0u))) { break; }
        loop_bound_8 -= uint2(loop_bound_8.y == 0u, 1u);
        if (!loop_init_8) {
            uint _e16 = k_7;
            k_7 = _e16 + 4u;
        }
        loop_init_8 = false;
        uint _e2 = k_7;
        if (_e2 < DEPTH) {
        } else {
            break;
        }
        {
            j_3 = 0u;
            uint2 loop_bound_9 = uint2(4294967295u);
            bool loop_init_9 = true;
            while(true) {
                if (metal::all(loop_bound_9 == uint2(0u))) { break; }
                loop_bound_9 -= uint2(loop_bound_9.y == 0u, 1u);
                if (!loop_init_9) {
                    uint _e14 = j_3;
                    j_3 = _e14 + 1u;
                }
                loop_init_9 = false;
                uint _e7 = j_3;
                if (_e7 < 4u) {
                } else {
                    break;
                }
                {
                    uint _e10 = k_7;
                    uint _e11 = j_3;
                    outer_sum(_e10 + _e11, tile_left, tile_right, sum_1, buffer, here);
                }
            }
        }
    }
    return;
}

uint vectors_whole(
) {
    uint _e0 = vectors_sum();
    return _e0;
}

metal::float4x4 left_whole(
    uint row_4,
    uint k_8,
    constant Params& params,
    device type_4 const& x,
    thread metal::uint2& corner,
    constant _mslBufferSizes& _buffer_sizes
) {
    uint _e4 = corner.x;
    metal::float4x4 _e6 = left_block(_e4 + row_4, k_8, params, x, _buffer_sizes);
    return _e6;
}

metal::float4x4 right_whole(
    uint vector_3,
    uint k_9,
    device type_1 const& w,
    thread metal::uint2& corner,
    constant _mslBufferSizes& _buffer_sizes
) {
    uint _e4 = corner.y;
    uint _e6 = vectors_1();
    metal::float4x4 _e10 = right_block(metal::min(_e4 + vector_3, _e6 - 1u), k_9, w, _buffer_sizes);
    return _e10;
}

void fetch_whole(
    uint k_10,
    device type_1 const& w,
    constant Params& params,
    device type_4 const& x,
    thread metal::float4x4& next,
    thread metal::uint3& here,
    thread metal::uint2& corner,
    constant _mslBufferSizes& _buffer_sizes
) {
    uint _e9 = vectors_whole();
    uint wide_2 = GROUP_X * _e9;
    uint _e13 = here.z;
    uint _e14 = left_blocks();
    uint block_4 = _e13 - _e14;
    uint _e18 = here.z;
    uint _e19 = left_blocks();
    if (_e18 < _e19) {
        uint _e25 = here.z;
        uint _e31 = here.z;
        metal::float4x4 _e35 = left_whole(4u * naga_mod(_e25, 8u), k_10 + (4u * naga_div(_e31, 8u)), params, x, corner, _buffer_sizes);
        next = _e35;
        return;
    } else {
        if (block_4 < (wide_2 * 4u)) {
            metal::float4x4 _e48 = right_whole(naga_mod(block_4, wide_2), k_10 + (4u * naga_div(block_4, wide_2)), w, corner, _buffer_sizes);
            next = _e48;
            return;
        } else {
            return;
        }
    }
}

void keep_whole(
    threadgroup type_7& tile_left,
    threadgroup type_8& tile_right,
    thread metal::float4x4& next,
    thread uint& buffer,
    thread metal::uint3& here
) {
    uint _e1 = vectors_whole();
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
        if (block_5 < (wide_3 * 4u)) {
            keep_right(block_5, wide_3, tile_right, next, buffer);
            return;
        } else {
            return;
        }
    }
}

void multiply_whole(
    threadgroup type_7& tile_left,
    threadgroup type_8& tile_right,
    thread type_9& sum_1,
    thread uint& buffer,
    thread metal::uint3& here
) {
    multiply_sum(tile_left, tile_right, sum_1, buffer, here);
    return;
}

void add_whole(
    uint inner_1,
    device type_1 const& w,
    constant Params& params,
    device type_4 const& x,
    threadgroup type_7& tile_left,
    threadgroup type_8& tile_right,
    thread type_9& sum_1,
    thread metal::float4x4& next,
    thread uint& buffer,
    thread metal::uint3& here,
    thread metal::uint2& corner,
    constant _mslBufferSizes& _buffer_sizes
) {
    uint k_11 = 0u;
    fetch_whole(0u, w, params, x, next, here, corner, _buffer_sizes);
    keep_whole(tile_left, tile_right, next, buffer, here);
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    uint2 loop_bound_10 = uint2(4294967295u);
    bool loop_init_10 = true;
    while(true) {
        if (metal::all(loop_bound_10 == uint2(0u))) { break; }
        loop_bound_10 -= uint2(loop_bound_10.y == 0u, 1u);
        if (!loop_init_10) {
            uint _e13 = k_11;
            k_11 = _e13 + DEPTH;
        }
        loop_init_10 = false;
        uint _e4 = k_11;
        if (_e4 < inner_1) {
        } else {
            break;
        }
        {
            uint _e6 = k_11;
            bool more = (_e6 + DEPTH) < inner_1;
            if (more) {
                uint _e10 = k_11;
                fetch_whole(_e10 + DEPTH, w, params, x, next, here, corner, _buffer_sizes);
            }
            multiply_whole(tile_left, tile_right, sum_1, buffer, here);
            if (more) {
                keep_whole(tile_left, tile_right, next, buffer, here);
                metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
            }
        }
    }
    return;
}

struct main_Input {
};
kernel void main_(
  metal::uint3 group [[threadgroup_position_in_grid]]
, metal::uint3 local [[thread_position_in_threadgroup]]
, uint index [[thread_index_in_threadgroup]]
, device type_1 const& w [[user(fake0)]]
, constant Params& params [[user(fake0)]]
, device type_4 const& x [[user(fake0)]]
, device type_5 const& bias [[user(fake0)]]
, device type_5& y [[user(fake0)]]
, threadgroup type_7& tile_left
, threadgroup type_8& tile_right
, constant _mslBufferSizes& _buffer_sizes [[user(fake0)]]
) {
    type_9 sum_1 = {};
    metal::float4x4 next = {};
    uint buffer = {};
    metal::uint3 here = {};
    metal::uint2 corner = {};
    uint slice = {};
    if (index == 0u) {
        for (int __i0 = 0; __i0 < 256; __i0++) {
            tile_left.inner[__i0] = {};
        }
        for (int __i0 = 0; __i0 < 256; __i0++) {
            tile_right.inner[__i0] = {};
        }
    }
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    uint r = 0u;
    uint c = {};
    bool local_1 = {};
    here = metal::uint3(local.xy, index);
    slice = group.z;
    corner = metal::uint2((group.y * GROUP_Y) * ROWS, group.x * 8u);
    uint _e25 = inner(group.z);
    add_whole(_e25, w, params, x, tile_left, tile_right, sum_1, next, buffer, here, corner, _buffer_sizes);
    uint2 loop_bound_11 = uint2(4294967295u);
    bool loop_init_11 = true;
    while(true) {
        if (metal::all(loop_bound_11 == uint2(0u))) { break; }
        loop_bound_11 -= uint2(loop_bound_11.y == 0u, 1u);
        if (!loop_init_11) {
            uint _e74 = r;
            r = _e74 + 1u;
        }
        loop_init_11 = false;
        uint _e28 = r;
        if (_e28 < ROWS) {
        } else {
            break;
        }
        {
            uint _e33 = corner.x;
            uint _e34 = r;
            uint _e35 = row_of(_e34, here);
            uint row_5 = _e33 + _e35;
            c = 0u;
            uint2 loop_bound_12 = uint2(4294967295u);
            bool loop_init_12 = true;
            while(true) {
                if (metal::all(loop_bound_12 == uint2(0u))) { break; }
                loop_bound_12 -= uint2(loop_bound_12.y == 0u, 1u);
                if (!loop_init_12) {
                    uint _e71 = c;
                    c = _e71 + 1u;
                }
                loop_init_12 = false;
                uint _e39 = c;
                if (_e39 < 1u) {
                } else {
                    break;
                }
                {
                    uint _e47 = corner.y;
                    uint _e48 = c;
                    uint _e49 = vector_of(_e48, here);
                    uint vector_4 = _e47 + _e49;
                    uint _e51 = row_count(params);
                    if (row_5 < _e51) {
                        uint _e55 = vectors_1();
                        local_1 = vector_4 < _e55;
                    } else {
                        local_1 = false;
                    }
                    bool _e58 = local_1;
                    if (_e58) {
                        uint _e60 = r;
                        uint _e66 = c;
                        metal::float4 _e69 = sum_1.inner[(_e60 * 1u) + _e66];
                        store(row_5, vector_4, _e69, params, bias, y, _buffer_sizes);
                    }
                }
            }
        }
    }
    return;
}
