struct Params {
    uint rows;
    uint first_column;
};

static const uint ROWS = 4u;
static const uint COLUMNS = 4u;
static const uint STEP = 4u;
static const uint K = 32u;
static const uint N = 100u;
static const uint STRIDE = 100u;
static const uint GROUP_X = 16u;
static const uint GROUP_Y = 16u;
static const uint TILE_X = 256u;
static const uint TILE_W = 256u;

cbuffer params : register(b0) { Params params; }
ByteAddressBuffer x : register(t1);
ByteAddressBuffer w_1 : register(t2);
ByteAddressBuffer bias : register(t3);
RWByteAddressBuffer y : register(u4);
groupshared float4 tile_x[256];
groupshared float4 tile_w[256];

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

float4 ZeroValuefloat4() {
    return (float4)0;
}

[numthreads(16, 16, 1)]
void main(uint3 group : SV_GroupID, uint3 local : SV_GroupThreadID, uint index : SV_GroupIndex)
{
    if (index == 0) {
        tile_x = (float4[256])0;
        tile_w = (float4[256])0;
    }
    GroupMemoryBarrierWithGroupSync();
    float4 sum[4] = (float4[4])0;
    uint k = 0u;
    uint i = (uint)0;
    float4 value = (float4)0;
    uint i_1 = (uint)0;
    float4 value_1 = (float4)0;
    uint s = (uint)0;
    uint r = (uint)0;
    uint r_1 = 0u;
    uint c = (uint)0;
    float value_2 = (float)0;

    uint column = (((group.x * GROUP_X) + local.x) * COLUMNS);
    uint row = (((group.y * GROUP_Y) + local.y) * ROWS);
    uint first_row = ((group.y * GROUP_Y) * ROWS);
    uint first_column = ((group.x * GROUP_X) * COLUMNS);
    uint2 loop_bound = uint2(4294967295u, 4294967295u);
    bool loop_init = true;
    while(true) {
        if (all(loop_bound == uint2(0u, 0u))) { break; }
        loop_bound -= uint2(loop_bound.y == 0u, 1u);
        if (!loop_init) {
            uint _e227 = k;
            k = (_e227 + STEP);
        }
        loop_init = false;
        uint _e30 = k;
        if ((_e30 < 8u)) {
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
                    uint _e82 = i;
                    i = (_e82 + 256u);
                }
                loop_init_1 = false;
                uint _e37 = i;
                if ((_e37 < 256u)) {
                } else {
                    break;
                }
                {
                    uint _e47 = k;
                    uint _e48 = i;
                    uint kk = (_e47 + naga_mod(_e48, STEP));
                    value = ZeroValuefloat4();
                    if ((kk < 8u)) {
                        uint _e60 = i;
                        uint _e66 = params.rows;
                        float4 _e77 = asfloat(x.Load4(((min((first_row + naga_div(_e60, STEP)), (_e66 - 1u)) * 8u) + kk)*16));
                        value = _e77;
                    }
                    uint _e79 = i;
                    float4 _e81 = value;
                    tile_x[min(uint(_e79), 255u)] = _e81;
                }
            }
            i_1 = index;
            uint2 loop_bound_2 = uint2(4294967295u, 4294967295u);
            bool loop_init_2 = true;
            while(true) {
                if (all(loop_bound_2 == uint2(0u, 0u))) { break; }
                loop_bound_2 -= uint2(loop_bound_2.y == 0u, 1u);
                if (!loop_init_2) {
                    uint _e135 = i_1;
                    i_1 = (_e135 + 256u);
                }
                loop_init_2 = false;
                uint _e90 = i_1;
                if ((_e90 < 256u)) {
                } else {
                    break;
                }
                {
                    uint _e100 = k;
                    uint _e101 = i_1;
                    uint kk_1 = (_e100 + naga_mod(_e101, STEP));
                    value_1 = ZeroValuefloat4();
                    if ((kk_1 < 8u)) {
                        uint _e113 = i_1;
                        float4 _e129 = asfloat(w_1.Load4(((min((first_column + naga_div(_e113, STEP)), 99u) * 8u) + kk_1)*16));
                        const float4 _e130 = weight4_(_e129);
                        value_1 = _e130;
                    }
                    uint _e132 = i_1;
                    float4 _e134 = value_1;
                    tile_w[min(uint(_e132), 255u)] = _e134;
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
                    uint _e225 = s;
                    s = (_e225 + 1u);
                }
                loop_init_3 = false;
                uint _e144 = s;
                if ((_e144 < STEP)) {
                } else {
                    break;
                }
                {
                    uint _e155 = s;
                    float4 w0_ = tile_w[min(uint(((((local.x * COLUMNS) + 0u) * STEP) + _e155)), 255u)];
                    uint _e167 = s;
                    float4 w1_ = tile_w[min(uint(((((local.x * COLUMNS) + 1u) * STEP) + _e167)), 255u)];
                    uint _e179 = s;
                    float4 w2_ = tile_w[min(uint(((((local.x * COLUMNS) + 2u) * STEP) + _e179)), 255u)];
                    uint _e191 = s;
                    float4 w3_ = tile_w[min(uint(((((local.x * COLUMNS) + 3u) * STEP) + _e191)), 255u)];
                    r = 0u;
                    uint2 loop_bound_4 = uint2(4294967295u, 4294967295u);
                    bool loop_init_4 = true;
                    while(true) {
                        if (all(loop_bound_4 == uint2(0u, 0u))) { break; }
                        loop_bound_4 -= uint2(loop_bound_4.y == 0u, 1u);
                        if (!loop_init_4) {
                            uint _e222 = r;
                            r = (_e222 + 1u);
                        }
                        loop_init_4 = false;
                        uint _e197 = r;
                        if ((_e197 < ROWS)) {
                        } else {
                            break;
                        }
                        {
                            uint _e204 = r;
                            uint _e208 = s;
                            float4 a = tile_x[min(uint(((((local.y * ROWS) + _e204) * STEP) + _e208)), 255u)];
                            uint _e212 = r;
                            float4 _e214 = sum[min(uint(_e212), 3u)];
                            sum[min(uint(_e212), 3u)] = (_e214 + float4(dot(a, w0_), dot(a, w1_), dot(a, w2_), dot(a, w3_)));
                        }
                    }
                }
            }
            GroupMemoryBarrierWithGroupSync();
        }
    }
    uint2 loop_bound_5 = uint2(4294967295u, 4294967295u);
    bool loop_init_5 = true;
    while(true) {
        if (all(loop_bound_5 == uint2(0u, 0u))) { break; }
        loop_bound_5 -= uint2(loop_bound_5.y == 0u, 1u);
        if (!loop_init_5) {
            uint _e279 = r_1;
            r_1 = (_e279 + 1u);
        }
        loop_init_5 = false;
        uint _e232 = r_1;
        if ((_e232 < ROWS)) {
        } else {
            break;
        }
        {
            uint _e235 = r_1;
            uint _e239 = params.rows;
            if (((row + _e235) >= _e239)) {
                break;
            }
            c = 0u;
            uint2 loop_bound_6 = uint2(4294967295u, 4294967295u);
            bool loop_init_6 = true;
            while(true) {
                if (all(loop_bound_6 == uint2(0u, 0u))) { break; }
                loop_bound_6 -= uint2(loop_bound_6.y == 0u, 1u);
                if (!loop_init_6) {
                    uint _e276 = c;
                    c = (_e276 + 1u);
                }
                loop_init_6 = false;
                uint _e243 = c;
                if ((_e243 < COLUMNS)) {
                } else {
                    break;
                }
                {
                    uint _e246 = c;
                    if (((column + _e246) >= N)) {
                        break;
                    }
                    uint _e252 = params.first_column;
                    uint _e254 = c;
                    uint out_ = ((_e252 + column) + _e254);
                    uint _e256 = r_1;
                    uint _e258 = c;
                    float _e260 = sum[min(uint(_e256), 3u)][min(uint(_e258), 3u)];
                    value_2 = _e260;
                    float _e262 = value_2;
                    float _e265 = asfloat(bias.Load(out_*4));
                    value_2 = (_e262 + _e265);
                    uint _e268 = r_1;
                    float _e274 = value_2;
                    y.Store((((row + _e268) * STRIDE) + out_)*4, asuint(_e274));
                }
            }
        }
    }
    return;
}
