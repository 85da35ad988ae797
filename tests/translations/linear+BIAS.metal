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
struct type_10 {
    metal::float4 inner[2];
};
constant uint DEPTH = 16u;
constant uint K = 32u;
constant uint N = 100u;
constant uint STRIDE = 100u;
constant uint GROUP_X = 8u;
constant uint GROUP_Y = 8u;
constant uint ROWS = 4u;
constant uint COLUMNS = 4u;
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
    uint k_1,
    constant Params& params,
    device type_4 const& x_1,
    constant _mslBufferSizes& _buffer_sizes
) {
    uint _e5 = params.rows;
    metal::float4 _e18 = x_1[(metal::min(row_1, _e5 - 1u) * 8u) + naga_div(k_1, 4u)];
    return _e18;
}

metal::float4x4 left_block(
    uint row_2,
    uint k_2,
    constant Params& params,
    device type_4 const& x_1,
    constant _mslBufferSizes& _buffer_sizes
) {
    if (k_2 >= K) {
        return metal::float4x4 {};
    }
    metal::float4 _e5 = x_at(row_2, k_2, params, x_1, _buffer_sizes);
    metal::float4 _e8 = x_at(row_2 + 1u, k_2, params, x_1, _buffer_sizes);
    metal::float4 _e11 = x_at(row_2 + 2u, k_2, params, x_1, _buffer_sizes);
    metal::float4 _e14 = x_at(row_2 + 3u, k_2, params, x_1, _buffer_sizes);
    return metal::transpose(metal::float4x4(_e5, _e8, _e11, _e14));
}

metal::float4 w_at(
    uint column,
    uint k_3,
    device type_1 const& w,
    constant _mslBufferSizes& _buffer_sizes
) {
    metal::float4 _e13 = w_row4_(metal::min(column, 99u), naga_div(k_3, 4u), 8u, w, _buffer_sizes);
    return _e13;
}

metal::float4x4 right_block(
    uint vector_1,
    uint k_4,
    device type_1 const& w,
    constant _mslBufferSizes& _buffer_sizes
) {
    if (k_4 >= K) {
        return metal::float4x4 {};
    }
    uint column_1 = 4u * vector_1;
    metal::float4 _e7 = w_at(column_1, k_4, w, _buffer_sizes);
    metal::float4 _e10 = w_at(column_1 + 1u, k_4, w, _buffer_sizes);
    metal::float4 _e13 = w_at(column_1 + 2u, k_4, w, _buffer_sizes);
    metal::float4 _e16 = w_at(column_1 + 3u, k_4, w, _buffer_sizes);
    return metal::transpose(metal::float4x4(_e7, _e10, _e13, _e16));
}

void store(
    uint row_3,
    uint vector_2,
    metal::float4 sum,
    constant Params& params,
    device type_5 const& bias,
    device type_5& y_1,
    constant _mslBufferSizes& _buffer_sizes
) {
    uint c_1 = 0u;
    float value = {};
    uint2 loop_bound = uint2(4294967295u);
    bool loop_init = true;
    while(true) {
        if (metal::all(loop_bound == uint2(0u))) { break; }
        loop_bound -= uint2(loop_bound.y == 0u, 1u);
        if (!loop_init) {
            uint _e37 = c_1;
            c_1 = _e37 + 1u;
        }
        loop_init = false;
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
                y_1[(row_3 * STRIDE) + out] = _e35;
            }
        }
    }
    return;
}

uint naga_mod(uint lhs, uint rhs) {
    return lhs % metal::select(rhs, 1u, rhs == 0u);
}

void fetch(
    uint i,
    uint first_row,
    uint first_vector,
    uint k_5,
    device type_1 const& w,
    constant Params& params,
    device type_4 const& x_1,
    thread metal::float4x4& next,
    constant _mslBufferSizes& _buffer_sizes
) {
    if (i < 32u) {
        metal::float4x4 _e23 = left_block(first_row + (4u * naga_mod(i, 8u)), k_5 + (4u * naga_div(i, 8u)), params, x_1, _buffer_sizes);
        next = _e23;
        return;
    } else {
        uint at = i - 32u;
        if (at < 32u) {
            uint _e38 = vectors_1();
            metal::float4x4 _e46 = right_block(metal::min(first_vector + naga_mod(at, 8u), _e38 - 1u), k_5 + (4u * naga_div(at, 8u)), w, _buffer_sizes);
            next = _e46;
            return;
        } else {
            return;
        }
    }
}

void keep(
    uint i_1,
    uint buffer_1,
    threadgroup type_7& tile_left,
    threadgroup type_8& tile_right,
    thread metal::float4x4& next
) {
    uint j = 0u;
    uint j_1 = 0u;
    if (i_1 < 32u) {
        uint at_1 = (((buffer_1 * DEPTH) + (4u * naga_div(i_1, 8u))) * 8u) + naga_mod(i_1, 8u);
        uint2 loop_bound_1 = uint2(4294967295u);
        bool loop_init_1 = true;
        while(true) {
            if (metal::all(loop_bound_1 == uint2(0u))) { break; }
            loop_bound_1 -= uint2(loop_bound_1.y == 0u, 1u);
            if (!loop_init_1) {
                uint _e36 = j;
                j = _e36 + 1u;
            }
            loop_init_1 = false;
            uint _e23 = j;
            if (_e23 < 4u) {
            } else {
                break;
            }
            {
                uint _e27 = j;
                uint _e32 = j;
                metal::float4 _e34 = next[_e32];
                tile_left.inner[at_1 + (_e27 * 8u)] = _e34;
            }
        }
        return;
    } else {
        uint block = i_1 - 32u;
        if (block < 32u) {
            uint at_2 = (((buffer_1 * DEPTH) + (4u * naga_div(block, 8u))) * 8u) + naga_mod(block, 8u);
            uint2 loop_bound_2 = uint2(4294967295u);
            bool loop_init_2 = true;
            while(true) {
                if (metal::all(loop_bound_2 == uint2(0u))) { break; }
                loop_bound_2 -= uint2(loop_bound_2.y == 0u, 1u);
                if (!loop_init_2) {
                    uint _e73 = j_1;
                    j_1 = _e73 + 1u;
                }
                loop_init_2 = false;
                uint _e60 = j_1;
                if (_e60 < 4u) {
                } else {
                    break;
                }
                {
                    uint _e64 = j_1;
                    uint _e69 = j_1;
                    metal::float4 _e71 = next[_e69];
                    tile_right.inner[at_2 + (_e64 * 8u)] = _e71;
                }
            }
            return;
        } else {
            return;
        }
    }
}

void multiply(
    uint buffer_2,
    uint x,
    uint y,
    threadgroup type_7& tile_left,
    threadgroup type_8& tile_right,
    thread type_9& sum_1
) {
    type_10 b = type_10 {};
    uint k_6 = 0u;
    uint c_2 = {};
    uint r_1 = {};
    uint c_3 = {};
    uint2 loop_bound_3 = uint2(4294967295u);
    bool loop_init_3 = true;
    while(true) {
        if (metal::all(loop_bound_3 == uint2(0u))) { break; }
        loop_bound_3 -= uint2(loop_bound_3.y == 0u, 1u);
        if (!loop_init_3) {
            uint _e174 = k_6;
            k_6 = _e174 + 1u;
        }
        loop_init_3 = false;
        uint _e21 = k_6;
        if (_e21 < DEPTH) {
        } else {
            break;
        }
        {
            uint _e26 = k_6;
            uint left = (((buffer_2 * DEPTH) + _e26) * 8u) + y;
            uint _e32 = k_6;
            uint right = (((buffer_2 * DEPTH) + _e32) * 8u) + x;
            c_2 = 0u;
            uint2 loop_bound_4 = uint2(4294967295u);
            bool loop_init_4 = true;
            while(true) {
                if (metal::all(loop_bound_4 == uint2(0u))) { break; }
                loop_bound_4 -= uint2(loop_bound_4.y == 0u, 1u);
                if (!loop_init_4) {
                    uint _e54 = c_2;
                    c_2 = _e54 + 1u;
                }
                loop_init_4 = false;
                uint _e38 = c_2;
                if (_e38 < 1u) {
                } else {
                    break;
                }
                {
                    uint _e44 = c_2;
                    uint _e47 = c_2;
                    metal::float4 _e52 = tile_right.inner[right + (_e47 * GROUP_X)];
                    b.inner[_e44] = _e52;
                }
            }
            r_1 = 0u;
            uint2 loop_bound_5 = uint2(4294967295u);
            bool loop_init_5 = true;
            while(true) {
                if (metal::all(loop_bound_5 == uint2(0u))) { break; }
                loop_bound_5 -= uint2(loop_bound_5.y == 0u, 1u);
                if (!loop_init_5) {
                    uint _e171 = r_1;
                    r_1 = _e171 + 1u;
                }
                loop_init_5 = false;
                uint _e58 = r_1;
                if (_e58 < 1u) {
                } else {
                    break;
                }
                {
                    uint _e65 = r_1;
                    metal::float4 a = tile_left.inner[left + (_e65 * GROUP_Y)];
                    c_3 = 0u;
                    uint2 loop_bound_6 = uint2(4294967295u);
                    bool loop_init_6 = true;
                    while(true) {
                        if (metal::all(loop_bound_6 == uint2(0u))) { break; }
                        loop_bound_6 -= uint2(loop_bound_6.y == 0u, 1u);
                        if (!loop_init_6) {
                            uint _e168 = c_3;
                            c_3 = _e168 + 1u;
                        }
                        loop_init_6 = false;
                        uint _e73 = c_3;
                        if (_e73 < 1u) {
                        } else {
                            break;
                        }
                        {
                            uint _e80 = r_1;
                            uint _e87 = c_3;
                            uint at_3 = ((4u * _e80) * 1u) + _e87;
                            uint _e93 = c_3;
                            metal::float4 _e95 = b.inner[_e93];
                            metal::float4 _e98 = sum_1.inner[at_3];
                            sum_1.inner[at_3] = metal::fma(metal::float4(a.x), _e95, _e98);
                            uint _e109 = c_3;
                            metal::float4 _e111 = b.inner[_e109];
                            metal::float4 _e119 = sum_1.inner[at_3 + 1u];
                            sum_1.inner[at_3 + 1u] = metal::fma(metal::float4(a.y), _e111, _e119);
                            uint _e130 = c_3;
                            metal::float4 _e132 = b.inner[_e130];
                            metal::float4 _e140 = sum_1.inner[at_3 + 2u];
                            sum_1.inner[at_3 + 2u] = metal::fma(metal::float4(a.z), _e132, _e140);
                            uint _e153 = c_3;
                            metal::float4 _e155 = b.inner[_e153];
                            metal::float4 _e165 = sum_1.inner[at_3 + 3u];
                            sum_1.inner[at_3 + 3u] = metal::fma(metal::float4(a.w), _e155, _e165);
                        }
                    }
                }
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
, device type_4 const& x_1 [[user(fake0)]]
, device type_5 const& bias [[user(fake0)]]
, device type_5& y_1 [[user(fake0)]]
, threadgroup type_7& tile_left
, threadgroup type_8& tile_right
, constant _mslBufferSizes& _buffer_sizes [[user(fake0)]]
) {
    type_9 sum_1 = {};
    metal::float4x4 next = {};
    if (index == 0u) {
        for (int __i0 = 0; __i0 < 256; __i0++) {
            tile_left.inner[__i0] = {};
        }
        for (int __i0 = 0; __i0 < 256; __i0++) {
            tile_right.inner[__i0] = {};
        }
    }
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    uint buffer = 0u;
    uint k = DEPTH;
    uint r = 0u;
    uint c = {};
    bool local_1 = {};
    uint first_row_1 = (group.y * GROUP_Y) * ROWS;
    uint first_vector_1 = group.x * 8u;
    fetch(index, first_row_1, first_vector_1, 0u, w, params, x_1, next, _buffer_sizes);
    keep(index, 0u, tile_left, tile_right, next);
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    uint2 loop_bound_7 = uint2(4294967295u);
    bool loop_init_7 = true;
    while(true) {
        if (metal::all(loop_bound_7 == uint2(0u))) { break; }
        loop_bound_7 -= uint2(loop_bound_7.y == 0u, 1u);
        if (!loop_init_7) {
            uint _e34 = k;
            k = _e34 + DEPTH;
        }
        loop_init_7 = false;
        uint _e23 = k;
        uint _e24 = inner();
        if (_e23 < _e24) {
        } else {
            break;
        }
        {
            uint _e26 = k;
            fetch(index, first_row_1, first_vector_1, _e26, w, params, x_1, next, _buffer_sizes);
            uint _e27 = buffer;
            multiply(_e27, local.x, local.y, tile_left, tile_right, sum_1);
            uint _e31 = buffer;
            buffer = 1u - _e31;
            uint _e33 = buffer;
            keep(index, _e33, tile_left, tile_right, next);
            metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
        }
    }
    uint _e37 = buffer;
    multiply(_e37, local.x, local.y, tile_left, tile_right, sum_1);
    uint2 loop_bound_8 = uint2(4294967295u);
    bool loop_init_8 = true;
    while(true) {
        if (metal::all(loop_bound_8 == uint2(0u))) { break; }
        loop_bound_8 -= uint2(loop_bound_8.y == 0u, 1u);
        if (!loop_init_8) {
            uint _e96 = r;
            r = _e96 + 1u;
        }
        loop_init_8 = false;
        uint _e42 = r;
        if (_e42 < ROWS) {
        } else {
            break;
        }
        {
            uint _e47 = r;
            uint _e55 = r;
            uint row_4 = (first_row_1 + (4u * (local.y + (naga_div(_e47, 4u) * GROUP_Y)))) + naga_mod(_e55, 4u);
            c = 0u;
            uint2 loop_bound_9 = uint2(4294967295u);
            bool loop_init_9 = true;
            while(true) {
                if (metal::all(loop_bound_9 == uint2(0u))) { break; }
                loop_bound_9 -= uint2(loop_bound_9.y == 0u, 1u);
                if (!loop_init_9) {
                    uint _e93 = c;
                    c = _e93 + 1u;
                }
                loop_init_9 = false;
                uint _e61 = c;
                if (_e61 < 1u) {
                } else {
                    break;
                }
                {
                    uint _e69 = c;
                    uint vector_3 = (first_vector_1 + local.x) + (_e69 * GROUP_X);
                    uint _e73 = row_count(params);
                    if (row_4 < _e73) {
                        uint _e77 = vectors_1();
                        local_1 = vector_3 < _e77;
                    } else {
                        local_1 = false;
                    }
                    bool _e80 = local_1;
                    if (_e80) {
                        uint _e82 = r;
                        uint _e88 = c;
                        metal::float4 _e91 = sum_1.inner[(_e82 * 1u) + _e88];
                        store(row_4, vector_3, _e91, params, bias, y_1, _buffer_sizes);
                    }
                }
            }
        }
    }
    return;
}
