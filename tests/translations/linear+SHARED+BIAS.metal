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
    metal::float4 inner[256];
};
struct type_7 {
    metal::float4 inner[256];
};
struct type_9 {
    metal::float4 inner[4];
};
constant uint ROWS = 4u;
constant uint COLUMNS = 4u;
constant uint STEP = 4u;
constant uint K = 32u;
constant uint N = 100u;
constant uint STRIDE = 100u;
constant uint GROUP_X = 16u;
constant uint GROUP_Y = 16u;
constant uint TILE_X = 256u;
constant uint TILE_W = 256u;

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
        for (int __i0 = 0; __i0 < 256; __i0++) {
            tile_x.inner[__i0] = {};
        }
        for (int __i0 = 0; __i0 < 256; __i0++) {
            tile_w.inner[__i0] = {};
        }
    }
    metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
    type_9 sum = {};
    uint k = 0u;
    uint i = {};
    metal::float4 value = {};
    uint i_1 = {};
    metal::float4 value_1 = {};
    uint s = {};
    uint r = {};
    uint r_1 = 0u;
    uint c = {};
    float value_2 = {};
    uint column = ((group.x * GROUP_X) + local.x) * COLUMNS;
    uint row = ((group.y * GROUP_Y) + local.y) * ROWS;
    uint first_row = (group.y * GROUP_Y) * ROWS;
    uint first_column = (group.x * GROUP_X) * COLUMNS;
    uint2 loop_bound = uint2(4294967295u);
    bool loop_init = true;
    while(true) {
        if (metal::all(loop_bound == uint2(0u))) { break; }
        loop_bound -= uint2(loop_bound.y == 0u, 1u);
        if (!loop_init) {
            uint _e227 = k;
            k = _e227 + STEP;
        }
        loop_init = false;
        uint _e30 = k;
        if (_e30 < 8u) {
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
                    uint _e82 = i;
                    i = _e82 + 256u;
                }
                loop_init_1 = false;
                uint _e37 = i;
                if (_e37 < 256u) {
                } else {
                    break;
                }
                {
                    uint _e47 = k;
                    uint _e48 = i;
                    uint kk = _e47 + naga_mod(_e48, STEP);
                    value = metal::float4 {};
                    if (kk < 8u) {
                        uint _e60 = i;
                        uint _e66 = params.rows;
                        metal::float4 _e77 = x[(metal::min(first_row + naga_div(_e60, STEP), _e66 - 1u) * 8u) + kk];
                        value = _e77;
                    }
                    uint _e79 = i;
                    metal::float4 _e81 = value;
                    tile_x.inner[_e79] = _e81;
                }
            }
            i_1 = index;
            uint2 loop_bound_2 = uint2(4294967295u);
            bool loop_init_2 = true;
            while(true) {
                if (metal::all(loop_bound_2 == uint2(0u))) { break; }
                loop_bound_2 -= uint2(loop_bound_2.y == 0u, 1u);
                if (!loop_init_2) {
                    uint _e135 = i_1;
                    i_1 = _e135 + 256u;
                }
                loop_init_2 = false;
                uint _e90 = i_1;
                if (_e90 < 256u) {
                } else {
                    break;
                }
                {
                    uint _e100 = k;
                    uint _e101 = i_1;
                    uint kk_1 = _e100 + naga_mod(_e101, STEP);
                    value_1 = metal::float4 {};
                    if (kk_1 < 8u) {
                        uint _e113 = i_1;
                        Weight4_ _e129 = w_1[(metal::min(first_column + naga_div(_e113, STEP), 99u) * 8u) + kk_1];
                        metal::float4 _e130 = weight4_(_e129);
                        value_1 = _e130;
                    }
                    uint _e132 = i_1;
                    metal::float4 _e134 = value_1;
                    tile_w.inner[_e132] = _e134;
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
                    uint _e225 = s;
                    s = _e225 + 1u;
                }
                loop_init_3 = false;
                uint _e144 = s;
                if (_e144 < STEP) {
                } else {
                    break;
                }
                {
                    uint _e155 = s;
                    metal::float4 w0_ = tile_w.inner[(((local.x * COLUMNS) + 0u) * STEP) + _e155];
                    uint _e167 = s;
                    metal::float4 w1_ = tile_w.inner[(((local.x * COLUMNS) + 1u) * STEP) + _e167];
                    uint _e179 = s;
                    metal::float4 w2_ = tile_w.inner[(((local.x * COLUMNS) + 2u) * STEP) + _e179];
                    uint _e191 = s;
                    metal::float4 w3_ = tile_w.inner[(((local.x * COLUMNS) + 3u) * STEP) + _e191];
                    r = 0u;
                    uint2 loop_bound_4 = uint2(4294967295u);
                    bool loop_init_4 = true;
                    while(true) {
                        if (metal::all(loop_bound_4 == uint2(0u))) { break; }
                        loop_bound_4 -= uint2(loop_bound_4.y == 0u, 1u);
                        if (!loop_init_4) {
                            uint _e222 = r;
                            r = _e222 + 1u;
                        }
                        loop_init_4 = false;
                        uint _e197 = r;
                        if (_e197 < ROWS) {
                        } else {
                            break;
                        }
                        {
                            uint _e204 = r;
                            uint _e208 = s;
                            metal::float4 a = tile_x.inner[(((local.y * ROWS) + _e204) * STEP) + _e208];
                            uint _e212 = r;
                            metal::float4 _e214 = sum.inner[_e212];
                            sum.inner[_e212] = _e214 + metal::float4(metal::dot(a, w0_), metal::dot(a, w1_), metal::dot(a, w2_), metal::dot(a, w3_));
                        }
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
            uint _e279 = r_1;
            r_1 = _e279 + 1u;
        }
        loop_init_5 = false;
        uint _e232 = r_1;
        if (_e232 < ROWS) {
        } else {
            break;
        }
        {
            uint _e235 = r_1;
            uint _e239 = params.rows;
            if ((row + _e235) >= _e239) {
                break;
            }
            c = 0u;
            uint2 loop_bound_6 = uint2(4294967295u);
            bool loop_init_6 = true;
            while(true) {
                if (metal::all(loop_bound_6 == uint2(0u))) { break; }
                loop_bound_6 -= uint2(loop_bound_6.y == 0u, 1u);
                if (!loop_init_6) {
                    uint _e276 = c;
                    c = _e276 + 1u;
                }
                loop_init_6 = false;
                uint _e243 = c;
                if (_e243 < COLUMNS) {
                } else {
                    break;
                }
                {
                    uint _e246 = c;
                    if ((column + _e246) >= N) {
                        break;
                    }
                    uint _e252 = params.first_column;
                    uint _e254 = c;
                    uint out = (_e252 + column) + _e254;
                    uint _e256 = r_1;
                    uint _e258 = c;
                    float _e260 = sum.inner[_e256][_e258];
                    value_2 = _e260;
                    float _e262 = value_2;
                    float _e265 = bias[out];
                    value_2 = _e262 + _e265;
                    uint _e268 = r_1;
                    float _e274 = value_2;
                    y[((row + _e268) * STRIDE) + out] = _e274;
                }
            }
        }
    }
    return;
}
