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
    metal::float4 inner[128];
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
constant uint TILE_W = 128u;

metal::float4 weight4_(
    Weight4_ w
) {
    return w;
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
        for (int __i0 = 0; __i0 < 128; __i0++) {
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
            uint _e207 = k;
            k = _e207 + STEP;
        }
        loop_init = false;
        uint _e25 = k;
        if (_e25 < 8u) {
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
                    uint _e77 = i;
                    i = _e77 + 64u;
                }
                loop_init_1 = false;
                uint _e32 = i;
                if (_e32 < 128u) {
                } else {
                    break;
                }
                {
                    uint _e42 = k;
                    uint _e43 = i;
                    uint kk = _e42 + naga_mod(_e43, STEP);
                    value = metal::float4 {};
                    if (kk < 8u) {
                        uint _e55 = i;
                        uint _e61 = params.rows;
                        metal::float4 _e72 = x[(metal::min(first_row + naga_div(_e55, STEP), _e61 - 1u) * 8u) + kk];
                        value = _e72;
                    }
                    uint _e74 = i;
                    metal::float4 _e76 = value;
                    tile_x.inner[_e74] = _e76;
                }
            }
            i_1 = index;
            uint2 loop_bound_2 = uint2(4294967295u);
            bool loop_init_2 = true;
            while(true) {
                if (metal::all(loop_bound_2 == uint2(0u))) { break; }
                loop_bound_2 -= uint2(loop_bound_2.y == 0u, 1u);
                if (!loop_init_2) {
                    uint _e130 = i_1;
                    i_1 = _e130 + 64u;
                }
                loop_init_2 = false;
                uint _e85 = i_1;
                if (_e85 < 128u) {
                } else {
                    break;
                }
                {
                    uint _e95 = k;
                    uint _e96 = i_1;
                    uint kk_1 = _e95 + naga_mod(_e96, STEP);
                    value_1 = metal::float4 {};
                    if (kk_1 < 8u) {
                        uint _e108 = i_1;
                        Weight4_ _e124 = w_1[(metal::min(first_column + naga_div(_e108, STEP), 99u) * 8u) + kk_1];
                        metal::float4 _e125 = weight4_(_e124);
                        value_1 = _e125;
                    }
                    uint _e127 = i_1;
                    metal::float4 _e129 = value_1;
                    tile_w.inner[_e127] = _e129;
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
                    uint _e205 = s;
                    s = _e205 + 1u;
                }
                loop_init_3 = false;
                uint _e139 = s;
                if (_e139 < STEP) {
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
                            uint _e162 = c;
                            c = _e162 + 1u;
                        }
                        loop_init_4 = false;
                        uint _e144 = c;
                        if (_e144 < COLUMNS) {
                        } else {
                            break;
                        }
                        {
                            uint _e147 = c;
                            uint _e151 = c;
                            uint _e157 = s;
                            metal::float4 _e160 = tile_w.inner[((local.x + (_e151 * GROUP_X)) * STEP) + _e157];
                            b.inner[_e147] = _e160;
                        }
                    }
                    r = 0u;
                    uint2 loop_bound_5 = uint2(4294967295u);
                    bool loop_init_5 = true;
                    while(true) {
                        if (metal::all(loop_bound_5 == uint2(0u))) { break; }
                        loop_bound_5 -= uint2(loop_bound_5.y == 0u, 1u);
                        if (!loop_init_5) {
                            uint _e202 = r;
                            r = _e202 + 1u;
                        }
                        loop_init_5 = false;
                        uint _e166 = r;
                        if (_e166 < ROWS) {
                        } else {
                            break;
                        }
                        {
                            uint _e173 = r;
                            uint _e177 = s;
                            metal::float4 a = tile_x.inner[(((local.y * ROWS) + _e173) * STEP) + _e177];
                            c_1 = 0u;
                            uint2 loop_bound_6 = uint2(4294967295u);
                            bool loop_init_6 = true;
                            while(true) {
                                if (metal::all(loop_bound_6 == uint2(0u))) { break; }
                                loop_bound_6 -= uint2(loop_bound_6.y == 0u, 1u);
                                if (!loop_init_6) {
                                    uint _e199 = c_1;
                                    c_1 = _e199 + 1u;
                                }
                                loop_init_6 = false;
                                uint _e183 = c_1;
                                if (_e183 < COLUMNS) {
                                } else {
                                    break;
                                }
                                {
                                    uint _e186 = r;
                                    uint _e189 = c_1;
                                    float _e192 = sum.inner[(_e186 * COLUMNS) + _e189];
                                    uint _e193 = c_1;
                                    metal::float4 _e195 = b.inner[_e193];
                                    sum.inner[(_e186 * COLUMNS) + _e189] = _e192 + metal::dot(a, _e195);
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
            uint _e269 = r_1;
            r_1 = _e269 + 1u;
        }
        loop_init_7 = false;
        uint _e212 = r_1;
        if (_e212 < ROWS) {
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
                    uint _e266 = c_2;
                    c_2 = _e266 + 1u;
                }
                loop_init_8 = false;
                uint _e217 = c_2;
                if (_e217 < COLUMNS) {
                } else {
                    break;
                }
                {
                    uint _e220 = r_1;
                    uint _e224 = params.rows;
                    if ((row + _e220) < _e224) {
                        uint _e228 = c_2;
                        local_1 = (column + (_e228 * GROUP_X)) < N;
                    } else {
                        local_1 = false;
                    }
                    bool _e235 = local_1;
                    if (_e235) {
                        uint _e238 = params.first_column;
                        uint _e240 = c_2;
                        uint out = (_e238 + column) + (_e240 * GROUP_X);
                        uint _e244 = r_1;
                        uint _e247 = c_2;
                        float _e250 = sum.inner[(_e244 * COLUMNS) + _e247];
                        value_2 = _e250;
                        float _e252 = value_2;
                        float _e255 = bias[out];
                        value_2 = _e252 + _e255;
                        uint _e258 = r_1;
                        float _e264 = value_2;
                        y[((row + _e258) * STRIDE) + out] = _e264;
                    }
                }
            }
        }
    }
    return;
}
