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
static const uint TILE_W = 128u;

cbuffer params : register(b0) { Params params; }
ByteAddressBuffer x : register(t1);
ByteAddressBuffer w_1 : register(t2);
ByteAddressBuffer bias : register(t3);
RWByteAddressBuffer y : register(u4);
groupshared float4 tile_x[128];
groupshared float4 tile_w[128];

float4 weight4_(float4 w)
{
    return w;
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
        tile_w = (float4[128])0;
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
            uint _e207 = k;
            k = (_e207 + STEP);
        }
        loop_init = false;
        uint _e25 = k;
        if ((_e25 < 8u)) {
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
                    uint _e77 = i;
                    i = (_e77 + 64u);
                }
                loop_init_1 = false;
                uint _e32 = i;
                if ((_e32 < 128u)) {
                } else {
                    break;
                }
                {
                    uint _e42 = k;
                    uint _e43 = i;
                    uint kk = (_e42 + naga_mod(_e43, STEP));
                    value = ZeroValuefloat4();
                    if ((kk < 8u)) {
                        uint _e55 = i;
                        uint _e61 = params.rows;
                        float4 _e72 = asfloat(x.Load4(((min((first_row + naga_div(_e55, STEP)), (_e61 - 1u)) * 8u) + kk)*16));
                        value = _e72;
                    }
                    uint _e74 = i;
                    float4 _e76 = value;
                    tile_x[min(uint(_e74), 127u)] = _e76;
                }
            }
            i_1 = index;
            uint2 loop_bound_2 = uint2(4294967295u, 4294967295u);
            bool loop_init_2 = true;
            while(true) {
                if (all(loop_bound_2 == uint2(0u, 0u))) { break; }
                loop_bound_2 -= uint2(loop_bound_2.y == 0u, 1u);
                if (!loop_init_2) {
                    uint _e130 = i_1;
                    i_1 = (_e130 + 64u);
                }
                loop_init_2 = false;
                uint _e85 = i_1;
                if ((_e85 < 128u)) {
                } else {
                    break;
                }
                {
                    uint _e95 = k;
                    uint _e96 = i_1;
                    uint kk_1 = (_e95 + naga_mod(_e96, STEP));
                    value_1 = ZeroValuefloat4();
                    if ((kk_1 < 8u)) {
                        uint _e108 = i_1;
                        float4 _e124 = asfloat(w_1.Load4(((min((first_column + naga_div(_e108, STEP)), 99u) * 8u) + kk_1)*16));
                        const float4 _e125 = weight4_(_e124);
                        value_1 = _e125;
                    }
                    uint _e127 = i_1;
                    float4 _e129 = value_1;
                    tile_w[min(uint(_e127), 127u)] = _e129;
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
                    uint _e205 = s;
                    s = (_e205 + 1u);
                }
                loop_init_3 = false;
                uint _e139 = s;
                if ((_e139 < STEP)) {
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
                            uint _e162 = c;
                            c = (_e162 + 1u);
                        }
                        loop_init_4 = false;
                        uint _e144 = c;
                        if ((_e144 < COLUMNS)) {
                        } else {
                            break;
                        }
                        {
                            uint _e147 = c;
                            uint _e151 = c;
                            uint _e157 = s;
                            float4 _e160 = tile_w[min(uint((((local.x + (_e151 * GROUP_X)) * STEP) + _e157)), 127u)];
                            b[min(uint(_e147), 7u)] = _e160;
                        }
                    }
                    r = 0u;
                    uint2 loop_bound_5 = uint2(4294967295u, 4294967295u);
                    bool loop_init_5 = true;
                    while(true) {
                        if (all(loop_bound_5 == uint2(0u, 0u))) { break; }
                        loop_bound_5 -= uint2(loop_bound_5.y == 0u, 1u);
                        if (!loop_init_5) {
                            uint _e202 = r;
                            r = (_e202 + 1u);
                        }
                        loop_init_5 = false;
                        uint _e166 = r;
                        if ((_e166 < ROWS)) {
                        } else {
                            break;
                        }
                        {
                            uint _e173 = r;
                            uint _e177 = s;
                            float4 a = tile_x[min(uint(((((local.y * ROWS) + _e173) * STEP) + _e177)), 127u)];
                            c_1 = 0u;
                            uint2 loop_bound_6 = uint2(4294967295u, 4294967295u);
                            bool loop_init_6 = true;
                            while(true) {
                                if (all(loop_bound_6 == uint2(0u, 0u))) { break; }
                                loop_bound_6 -= uint2(loop_bound_6.y == 0u, 1u);
                                if (!loop_init_6) {
                                    uint _e199 = c_1;
                                    c_1 = (_e199 + 1u);
                                }
                                loop_init_6 = false;
                                uint _e183 = c_1;
                                if ((_e183 < COLUMNS)) {
                                } else {
                                    break;
                                }
                                {
                                    uint _e186 = r;
                                    uint _e189 = c_1;
                                    float _e192 = sum[min(uint(((_e186 * COLUMNS) + _e189)), 63u)];
                                    uint _e193 = c_1;
                                    float4 _e195 = b[min(uint(_e193), 7u)];
                                    sum[min(uint(((_e186 * COLUMNS) + _e189)), 63u)] = (_e192 + dot(a, _e195));
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
            uint _e269 = r_1;
            r_1 = (_e269 + 1u);
        }
        loop_init_7 = false;
        uint _e212 = r_1;
        if ((_e212 < ROWS)) {
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
                    uint _e266 = c_2;
                    c_2 = (_e266 + 1u);
                }
                loop_init_8 = false;
                uint _e217 = c_2;
                if ((_e217 < COLUMNS)) {
                } else {
                    break;
                }
                {
                    uint _e220 = r_1;
                    uint _e224 = params.rows;
                    if (((row + _e220) < _e224)) {
                        uint _e228 = c_2;
                        local_1 = ((column + (_e228 * GROUP_X)) < N);
                    } else {
                        local_1 = false;
                    }
                    bool _e235 = local_1;
                    if (_e235) {
                        uint _e238 = params.first_column;
                        uint _e240 = c_2;
                        uint out_ = ((_e238 + column) + (_e240 * GROUP_X));
                        uint _e244 = r_1;
                        uint _e247 = c_2;
                        float _e250 = sum[min(uint(((_e244 * COLUMNS) + _e247)), 63u)];
                        value_2 = _e250;
                        float _e252 = value_2;
                        float _e255 = asfloat(bias.Load(out_*4));
                        value_2 = (_e252 + _e255);
                        uint _e258 = r_1;
                        float _e264 = value_2;
                        y.Store((((row + _e258) * STRIDE) + out_)*4, asuint(_e264));
                    }
                }
            }
        }
    }
    return;
}
