struct Params {
    uint rows;
    uint first_column;
};

static const uint STEP = 4u;
static const uint K = 32u;
static const uint N = 100u;
static const uint STRIDE = 100u;
static const uint GROUP_X = 8u;
static const uint GROUP_Y = 8u;
static const uint ROWS = 4u;
static const uint COLUMNS = 4u;
static const uint TILE_X = 128u;
static const uint TILE_W = 132u;

cbuffer params : register(b0) { Params params; }
ByteAddressBuffer x : register(t1);
ByteAddressBuffer w_1 : register(t2);
ByteAddressBuffer bias : register(t3);
RWByteAddressBuffer y : register(u4);
groupshared float4 tile_x[128];
groupshared float4 tile_w[132];

float4 weight4_(float4 w)
{
    return w;
}

float dot_add(float sum_1, float4 a, float4 b_1)
{
    float s_1 = (float)0;

    s_1 = sum_1;
    float _e4 = s_1;
    s_1 = (_e4 + (a.x * b_1.x));
    float _e9 = s_1;
    s_1 = (_e9 + (a.y * b_1.y));
    float _e14 = s_1;
    s_1 = (_e14 + (a.z * b_1.z));
    float _e19 = s_1;
    s_1 = (_e19 + (a.w * b_1.w));
    float _e24 = s_1;
    return _e24;
}

uint naga_mod(uint lhs, uint rhs) {
    return lhs % (rhs == 0u ? 1u : rhs);
}

uint naga_div(uint lhs, uint rhs) {
    return lhs / (rhs == 0u ? 1u : rhs);
}

typedef float ret_ZeroValuearray64_float_[64];
ret_ZeroValuearray64_float_ ZeroValuearray64_float_() {
    return (float[64])0;
}

typedef float4 ret_ZeroValuearray8_float4_[8];
ret_ZeroValuearray8_float4_ ZeroValuearray8_float4_() {
    return (float4[8])0;
}

float4 ZeroValuefloat4() {
    return (float4)0;
}

[numthreads(8, 8, 1)]
void main(uint3 group : SV_GroupID, uint3 local : SV_GroupThreadID, uint index : SV_GroupIndex)
{
    if (index == 0) {
        tile_x = (float4[128])0;
        tile_w = (float4[132])0;
    }
    GroupMemoryBarrierWithGroupSync();
    float sum[64] = ZeroValuearray64_float_();
    float4 b[8] = ZeroValuearray8_float4_();
    uint k = 0u;
    uint i = (uint)0;
    float4 value = (float4)0;
    uint i_1 = (uint)0;
    float4 value_1 = (float4)0;
    uint s = (uint)0;
    uint c = (uint)0;
    uint r = (uint)0;
    uint c_1 = (uint)0;
    uint r_1 = 0u;
    uint c_2 = (uint)0;
    bool local_1 = (bool)0;
    float value_2 = (float)0;

    uint first_column = ((group.x * GROUP_X) * COLUMNS);
    uint first_row = ((group.y * GROUP_Y) * ROWS);
    uint column = (first_column + local.x);
    uint row = (first_row + (local.y * ROWS));
    uint2 loop_bound = uint2(4294967295u, 4294967295u);
    bool loop_init = true;
    while(true) {
        if (all(loop_bound == uint2(0u, 0u))) { break; }
        loop_bound -= uint2(loop_bound.y == 0u, 1u);
        if (!loop_init) {
            uint _e225 = k;
            k = (_e225 + STEP);
        }
        loop_init = false;
        uint _e32 = k;
        if ((_e32 < 8u)) {
        } else {
            break;
        }
        {
            i = index;
            uint2 loop_bound_1 = uint2(4294967295u, 4294967295u);
            bool loop_init_1 = true;
            while(true) {
                if (all(loop_bound_1 == uint2(0u, 0u))) { break; }
                loop_bound_1 -= uint2(loop_bound_1.y == 0u, 1u);
                if (!loop_init_1) {
                    uint _e84 = i;
                    i = (_e84 + 64u);
                }
                loop_init_1 = false;
                uint _e39 = i;
                if ((_e39 < 128u)) {
                } else {
                    break;
                }
                {
                    uint _e49 = k;
                    uint _e50 = i;
                    uint kk = (_e49 + naga_mod(_e50, STEP));
                    value = ZeroValuefloat4();
                    if ((kk < 8u)) {
                        uint _e62 = i;
                        uint _e68 = params.rows;
                        float4 _e79 = asfloat(x.Load4(((min((first_row + naga_div(_e62, STEP)), (_e68 - 1u)) * 8u) + kk)*16));
                        value = _e79;
                    }
                    uint _e81 = i;
                    float4 _e83 = value;
                    tile_x[min(uint(_e81), 127u)] = _e83;
                }
            }
            i_1 = index;
            uint2 loop_bound_2 = uint2(4294967295u, 4294967295u);
            bool loop_init_2 = true;
            while(true) {
                if (all(loop_bound_2 == uint2(0u, 0u))) { break; }
                loop_bound_2 -= uint2(loop_bound_2.y == 0u, 1u);
                if (!loop_init_2) {
                    uint _e144 = i_1;
                    i_1 = (_e144 + 64u);
                }
                loop_init_2 = false;
                uint _e92 = i_1;
                if ((_e92 < 128u)) {
                } else {
                    break;
                }
                {
                    uint _e102 = k;
                    uint _e103 = i_1;
                    uint kk_1 = (_e102 + naga_mod(_e103, STEP));
                    value_1 = ZeroValuefloat4();
                    if ((kk_1 < 8u)) {
                        uint _e115 = i_1;
                        float4 _e131 = asfloat(w_1.Load4(((min((first_column + naga_div(_e115, STEP)), 99u) * 8u) + kk_1)*16));
                        const float4 _e132 = weight4_(_e131);
                        value_1 = _e132;
                    }
                    uint _e134 = i_1;
                    uint _e138 = i_1;
                    float4 _e143 = value_1;
                    tile_w[min(uint(((naga_mod(_e134, STEP) * 33u) + naga_div(_e138, STEP))), 131u)] = _e143;
                }
            }
            GroupMemoryBarrierWithGroupSync();
            s = 0u;
            uint2 loop_bound_3 = uint2(4294967295u, 4294967295u);
            bool loop_init_3 = true;
            while(true) {
                if (all(loop_bound_3 == uint2(0u, 0u))) { break; }
                loop_bound_3 -= uint2(loop_bound_3.y == 0u, 1u);
                if (!loop_init_3) {
                    uint _e223 = s;
                    s = (_e223 + 1u);
                }
                loop_init_3 = false;
                uint _e153 = s;
                if ((_e153 < STEP)) {
                } else {
                    break;
                }
                {
                    c = 0u;
                    uint2 loop_bound_4 = uint2(4294967295u, 4294967295u);
                    bool loop_init_4 = true;
                    while(true) {
                        if (all(loop_bound_4 == uint2(0u, 0u))) { break; }
                        loop_bound_4 -= uint2(loop_bound_4.y == 0u, 1u);
                        if (!loop_init_4) {
                            uint _e175 = c;
                            c = (_e175 + 1u);
                        }
                        loop_init_4 = false;
                        uint _e158 = c;
                        if ((_e158 < COLUMNS)) {
                        } else {
                            break;
                        }
                        {
                            uint _e161 = c;
                            uint _e164 = s;
                            uint _e168 = c;
                            float4 _e173 = tile_w[min(uint((((_e164 * 33u) + local.x) + (_e168 * GROUP_X))), 131u)];
                            b[min(uint(_e161), 7u)] = _e173;
                        }
                    }
                    r = 0u;
                    uint2 loop_bound_5 = uint2(4294967295u, 4294967295u);
                    bool loop_init_5 = true;
                    while(true) {
                        if (all(loop_bound_5 == uint2(0u, 0u))) { break; }
                        loop_bound_5 -= uint2(loop_bound_5.y == 0u, 1u);
                        if (!loop_init_5) {
                            uint _e220 = r;
                            r = (_e220 + 1u);
                        }
                        loop_init_5 = false;
                        uint _e179 = r;
                        if ((_e179 < ROWS)) {
                        } else {
                            break;
                        }
                        {
                            uint _e186 = r;
                            uint _e190 = s;
                            float4 a_1 = tile_x[min(uint(((((local.y * ROWS) + _e186) * STEP) + _e190)), 127u)];
                            c_1 = 0u;
                            uint2 loop_bound_6 = uint2(4294967295u, 4294967295u);
                            bool loop_init_6 = true;
                            while(true) {
                                if (all(loop_bound_6 == uint2(0u, 0u))) { break; }
                                loop_bound_6 -= uint2(loop_bound_6.y == 0u, 1u);
                                if (!loop_init_6) {
                                    uint _e217 = c_1;
                                    c_1 = (_e217 + 1u);
                                }
                                loop_init_6 = false;
                                uint _e196 = c_1;
                                if ((_e196 < COLUMNS)) {
                                } else {
                                    break;
                                }
                                {
                                    uint _e199 = r;
                                    uint _e202 = c_1;
                                    uint _e205 = r;
                                    uint _e208 = c_1;
                                    float _e211 = sum[min(uint(((_e205 * COLUMNS) + _e208)), 63u)];
                                    uint _e212 = c_1;
                                    float4 _e214 = b[min(uint(_e212), 7u)];
                                    const float _e215 = dot_add(_e211, a_1, _e214);
                                    sum[min(uint(((_e199 * COLUMNS) + _e202)), 63u)] = _e215;
                                }
                            }
                        }
                    }
                }
            }
            GroupMemoryBarrierWithGroupSync();
        }
    }
    uint2 loop_bound_7 = uint2(4294967295u, 4294967295u);
    bool loop_init_7 = true;
    while(true) {
        if (all(loop_bound_7 == uint2(0u, 0u))) { break; }
        loop_bound_7 -= uint2(loop_bound_7.y == 0u, 1u);
        if (!loop_init_7) {
            uint _e287 = r_1;
            r_1 = (_e287 + 1u);
        }
        loop_init_7 = false;
        uint _e230 = r_1;
        if ((_e230 < ROWS)) {
        } else {
            break;
        }
        {
            c_2 = 0u;
            uint2 loop_bound_8 = uint2(4294967295u, 4294967295u);
            bool loop_init_8 = true;
            while(true) {
                if (all(loop_bound_8 == uint2(0u, 0u))) { break; }
                loop_bound_8 -= uint2(loop_bound_8.y == 0u, 1u);
                if (!loop_init_8) {
                    uint _e284 = c_2;
                    c_2 = (_e284 + 1u);
                }
                loop_init_8 = false;
                uint _e235 = c_2;
                if ((_e235 < COLUMNS)) {
                } else {
                    break;
                }
                {
                    uint _e238 = r_1;
                    uint _e242 = params.rows;
                    if (((row + _e238) < _e242)) {
                        uint _e246 = c_2;
                        local_1 = ((column + (_e246 * GROUP_X)) < N);
                    } else {
                        local_1 = false;
                    }
                    bool _e253 = local_1;
                    if (_e253) {
                        uint _e256 = params.first_column;
                        uint _e258 = c_2;
                        uint out_ = ((_e256 + column) + (_e258 * GROUP_X));
                        uint _e262 = r_1;
                        uint _e265 = c_2;
                        float _e268 = sum[min(uint(((_e262 * COLUMNS) + _e265)), 63u)];
                        value_2 = _e268;
                        float _e270 = value_2;
                        float _e273 = asfloat(bias.Load(out_*4));
                        value_2 = (_e270 + _e273);
                        uint _e276 = r_1;
                        float _e282 = value_2;
                        y.Store((((row + _e276) * STRIDE) + out_)*4, asuint(_e282));
                    }
                }
            }
        }
    }
    return;
}
