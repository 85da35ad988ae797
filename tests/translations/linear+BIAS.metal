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

typedef metal::float4 Weight4_;
struct Params {
    uint rows;
    uint first_column;
};
typedef metal::float4 type_3[1];
typedef Weight4_ type_4[1];
typedef float type_5[1];
struct type_6 {
    metal::float4 inner[128];
};
struct type_7 {
    metal::float4 inner[132];
};
struct type_9 {
    float inner[64];
};
struct type_10 {
    metal::float4 inner[8];
};
constant uint STEP = 4u;
constant uint K = 32u;
constant uint N = 100u;
constant uint STRIDE = 100u;
constant uint GROUP_X = 8u;
constant uint GROUP_Y = 8u;
constant uint ROWS = 4u;
constant uint COLUMNS = 4u;
constant uint TILE_X = 128u;
constant uint TILE_W = 132u;

metal::float4 weight4_(
    Weight4_ w
) {
    return w;
}

float dot_add(
    float sum_1,
    metal::float4 a,
    metal::float4 b_1
) {
    float s_1 = {};
    s_1 = sum_1;
    float _e4 = s_1;
    s_1 = _e4 + (a.x * b_1.x);
    float _e9 = s_1;
    s_1 = _e9 + (a.y * b_1.y);
    float _e14 = s_1;
    s_1 = _e14 + (a.z * b_1.z);
    float _e19 = s_1;
    s_1 = _e19 + (a.w * b_1.w);
    float _e24 = s_1;
    return _e24;
}
uint naga_mod(uint lhs, uint rhs) {
    return lhs % metal::select(rhs, 1u, rhs == 0u);
}

uint naga_div(uint lhs, uint rhs) {
    return lhs / metal::select(rhs, 1u, rhs == 0u);
}


struct main_Input {
};
kernel void main_(
  metal::uint3 group [[threadgroup_position_in_grid]]
, metal::uint3 local [[thread_position_in_threadgroup]]
, uint index [[thread_index_in_threadgroup]]
, constant Params& params [[user(fake0)]]
, device type_3 const& x [[user(fake0)]]
, device type_4 const& w_1 [[user(fake0)]]
, device type_5 const& bias [[user(fake0)]]
, device type_5& y [[user(fake0)]]
, threadgroup type_6& tile_x
, threadgroup type_7& tile_w
, constant _mslBufferSizes& _buffer_sizes [[user(fake0)]]
) {
    if (index == 0u) {
        for (int __i0 = 0; __i0 < 128; __i0++) {
            tile_x.inner[__i0] = {};
        }
        for (int __i0 = 0; __i0 < 132; __i0++) {
            tile_w.inner[__i0] = {};
        }
    }
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    type_9 sum = type_9 {};
    type_10 b = type_10 {};
    uint k = 0u;
    uint i = {};
    metal::float4 value = {};
    uint i_1 = {};
    metal::float4 value_1 = {};
    uint s = {};
    uint c = {};
    uint r = {};
    uint c_1 = {};
    uint r_1 = 0u;
    uint c_2 = {};
    bool local_1 = {};
    float value_2 = {};
    uint first_column = (group.x * GROUP_X) * COLUMNS;
    uint first_row = (group.y * GROUP_Y) * ROWS;
    uint column = first_column + local.x;
    uint row = first_row + (local.y * ROWS);
    uint2 loop_bound = uint2(4294967295u);
    bool loop_init = true;
    while(true) {
        if (metal::all(loop_bound == uint2(0u))) { break; }
        loop_bound -= uint2(loop_bound.y == 0u, 1u);
        if (!loop_init) {
            uint _e225 = k;
            k = _e225 + STEP;
        }
        loop_init = false;
        uint _e32 = k;
        if (_e32 < 8u) {
        } else {
            break;
        }
        {
            i = index;
            uint2 loop_bound_1 = uint2(4294967295u);
            bool loop_init_1 = true;
            while(true) {
                if (metal::all(loop_bound_1 == uint2(0u))) { break; }
                loop_bound_1 -= uint2(loop_bound_1.y == 0u, 1u);
                if (!loop_init_1) {
                    uint _e84 = i;
                    i = _e84 + 64u;
                }
                loop_init_1 = false;
                uint _e39 = i;
                if (_e39 < 128u) {
                } else {
                    break;
                }
                {
                    uint _e49 = k;
                    uint _e50 = i;
                    uint kk = _e49 + naga_mod(_e50, STEP);
                    value = metal::float4 {};
                    if (kk < 8u) {
                        uint _e62 = i;
                        uint _e68 = params.rows;
                        metal::float4 _e79 = x[(metal::min(first_row + naga_div(_e62, STEP), _e68 - 1u) * 8u) + kk];
                        value = _e79;
                    }
                    uint _e81 = i;
                    metal::float4 _e83 = value;
                    tile_x.inner[_e81] = _e83;
                }
            }
            i_1 = index;
            uint2 loop_bound_2 = uint2(4294967295u);
            bool loop_init_2 = true;
            while(true) {
                if (metal::all(loop_bound_2 == uint2(0u))) { break; }
                loop_bound_2 -= uint2(loop_bound_2.y == 0u, 1u);
                if (!loop_init_2) {
                    uint _e144 = i_1;
                    i_1 = _e144 + 64u;
                }
                loop_init_2 = false;
                uint _e92 = i_1;
                if (_e92 < 128u) {
                } else {
                    break;
                }
                {
                    uint _e102 = k;
                    uint _e103 = i_1;
                    uint kk_1 = _e102 + naga_mod(_e103, STEP);
                    value_1 = metal::float4 {};
                    if (kk_1 < 8u) {
                        uint _e115 = i_1;
                        Weight4_ _e131 = w_1[(metal::min(first_column + naga_div(_e115, STEP), 99u) * 8u) + kk_1];
                        metal::float4 _e132 = weight4_(_e131);
                        value_1 = _e132;
                    }
                    uint _e134 = i_1;
                    uint _e138 = i_1;
                    metal::float4 _e143 = value_1;
                    tile_w.inner[(naga_mod(_e134, STEP) * 33u) + naga_div(_e138, STEP)] = _e143;
                }
            }
            metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
            s = 0u;
            uint2 loop_bound_3 = uint2(4294967295u);
            bool loop_init_3 = true;
            while(true) {
                if (metal::all(loop_bound_3 == uint2(0u))) { break; }
                loop_bound_3 -= uint2(loop_bound_3.y == 0u, 1u);
                if (!loop_init_3) {
                    uint _e223 = s;
                    s = _e223 + 1u;
                }
                loop_init_3 = false;
                uint _e153 = s;
                if (_e153 < STEP) {
                } else {
                    break;
                }
                {
                    c = 0u;
                    uint2 loop_bound_4 = uint2(4294967295u);
                    bool loop_init_4 = true;
                    while(true) {
                        if (metal::all(loop_bound_4 == uint2(0u))) { break; }
                        loop_bound_4 -= uint2(loop_bound_4.y == 0u, 1u);
                        if (!loop_init_4) {
                            uint _e175 = c;
                            c = _e175 + 1u;
                        }
                        loop_init_4 = false;
                        uint _e158 = c;
                        if (_e158 < COLUMNS) {
                        } else {
                            break;
                        }
                        {
                            uint _e161 = c;
                            uint _e164 = s;
                            uint _e168 = c;
                            metal::float4 _e173 = tile_w.inner[((_e164 * 33u) + local.x) + (_e168 * GROUP_X)];
                            b.inner[_e161] = _e173;
                        }
                    }
                    r = 0u;
                    uint2 loop_bound_5 = uint2(4294967295u);
                    bool loop_init_5 = true;
                    while(true) {
                        if (metal::all(loop_bound_5 == uint2(0u))) { break; }
                        loop_bound_5 -= uint2(loop_bound_5.y == 0u, 1u);
                        if (!loop_init_5) {
                            uint _e220 = r;
                            r = _e220 + 1u;
                        }
                        loop_init_5 = false;
                        uint _e179 = r;
                        if (_e179 < ROWS) {
                        } else {
                            break;
                        }
                        {
                            uint _e186 = r;
                            uint _e190 = s;
                            metal::float4 a_1 = tile_x.inner[(((local.y * ROWS) + _e186) * STEP) + _e190];
                            c_1 = 0u;
                            uint2 loop_bound_6 = uint2(4294967295u);
                            bool loop_init_6 = true;
                            while(true) {
                                if (metal::all(loop_bound_6 == uint2(0u))) { break; }
                                loop_bound_6 -= uint2(loop_bound_6.y == 0u, 1u);
                                if (!loop_init_6) {
                                    uint _e217 = c_1;
                                    c_1 = _e217 + 1u;
                                }
                                loop_init_6 = false;
                                uint _e196 = c_1;
                                if (_e196 < COLUMNS) {
                                } else {
                                    break;
                                }
                                {
                                    uint _e199 = r;
                                    uint _e202 = c_1;
                                    uint _e205 = r;
                                    uint _e208 = c_1;
                                    float _e211 = sum.inner[(_e205 * COLUMNS) + _e208];
                                    uint _e212 = c_1;
                                    metal::float4 _e214 = b.inner[_e212];
                                    float _e215 = dot_add(_e211, a_1, _e214);
                                    sum.inner[(_e199 * COLUMNS) + _e202] = _e215;
                                }
                            }
                        }
                    }
                }
            }
            metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
        }
    }
    uint2 loop_bound_7 = uint2(4294967295u);
    bool loop_init_7 = true;
    while(true) {
        if (metal::all(loop_bound_7 == uint2(0u))) { break; }
        loop_bound_7 -= uint2(loop_bound_7.y == 0u, 1u);
        if (!loop_init_7) {
            uint _e287 = r_1;
            r_1 = _e287 + 1u;
        }
        loop_init_7 = false;
        uint _e230 = r_1;
        if (_e230 < ROWS) {
        } else {
            break;
        }
        {
            c_2 = 0u;
            uint2 loop_bound_8 = uint2(4294967295u);
            bool loop_init_8 = true;
            while(true) {
                if (metal::all(loop_bound_8 == uint2(0u))) { break; }
                loop_bound_8 -= uint2(loop_bound_8.y == 0u, 1u);
                if (!loop_init_8) {
                    uint _e284 = c_2;
                    c_2 = _e284 + 1u;
                }
                loop_init_8 = false;
                uint _e235 = c_2;
                if (_e235 < COLUMNS) {
                } else {
                    break;
                }
                {
                    uint _e238 = r_1;
                    uint _e242 = params.rows;
                    if ((row + _e238) < _e242) {
                        uint _e246 = c_2;
                        local_1 = (column + (_e246 * GROUP_X)) < N;
                    } else {
                        local_1 = false;
                    }
                    bool _e253 = local_1;
                    if (_e253) {
                        uint _e256 = params.first_column;
                        uint _e258 = c_2;
                        uint out = (_e256 + column) + (_e258 * GROUP_X);
                        uint _e262 = r_1;
                        uint _e265 = c_2;
                        float _e268 = sum.inner[(_e262 * COLUMNS) + _e265];
                        value_2 = _e268;
                        float _e270 = value_2;
                        float _e273 = bias[out];
                        value_2 = _e270 + _e273;
                        uint _e276 = r_1;
                        float _e282 = value_2;
                        y[((row + _e276) * STRIDE) + out] = _e282;
                    }
                }
            }
        }
    }
    return;
}
