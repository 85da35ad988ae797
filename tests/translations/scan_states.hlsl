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

static const uint THREADS = 128u;
static const uint FEATURE_TILE = 32u;
static const uint TOKEN_TILE = 16u;
static const uint HEADS = 2u;
static const uint HEAD = 16u;
static const uint BLOCK = 16u;
static const uint KEY_WIDTH = 44u;
static const uint S_OFFSET = 16u;
static const uint V_OFFSET = 24u;
static const uint GATED = 1u;
static const uint STAGED = 128u;
static const uint ITEMS = 1u;
static const uint SOURCE = 8u;
static const uint FEATURES = 36u;
static const uint ORDER = 2u;
static const uint EXTENDED = 0u;

cbuffer params : register(b0) { Params params; }
ByteAddressBuffer keys : register(t1);
ByteAddressBuffer lanes : register(t2);
ByteAddressBuffer table : register(t3);
RWByteAddressBuffer states : register(u4);
groupshared float source[128];
groupshared float phi[512];

float gate_decay(float2 a, float2 b)
{
    return exp(min(((a.x - b.x) + (a.y - b.y)), 0.0));
}

float factor(uint row, uint index)
{
    bool local_4 = (bool)0;

    if (false) {
        local_4 = (index == SOURCE);
    } else {
        local_4 = false;
    }
    bool _e11 = local_4;
    if (_e11) {
        return 1.0;
    }
    float _e18 = source[min(uint(((row * SOURCE) + index)), 127u)];
    return _e18;
}

float feature(uint row_1, uint packed)
{
    float value_2 = (float)0;

    const float _e4 = factor(row_1, (packed & 255u));
    value_2 = _e4;
    if (true) {
        float _e10 = value_2;
        const float _e15 = factor(row_1, ((packed >> 8u) & 255u));
        value_2 = (_e10 * _e15);
    }
    if (false) {
        float _e21 = value_2;
        const float _e26 = factor(row_1, ((packed >> 16u) & 255u));
        value_2 = (_e21 * _e26);
    }
    if (false) {
        float _e32 = value_2;
        const float _e35 = factor(row_1, (packed >> 24u));
        value_2 = (_e32 * _e35);
    }
    float _e37 = value_2;
    return _e37;
}

float key_weight(uint f)
{
    uint _e5 = asuint(table.Load((FEATURES + f)*4));
    return asfloat(_e5);
}

uint naga_div(uint lhs, uint rhs) {
    return lhs / (rhs == 0u ? 1u : rhs);
}

float2 gate_sum(uint row_2)
{
    float4 _e11 = asfloat(keys.Load4(naga_div((((row_2 * KEY_WIDTH) + V_OFFSET) + HEAD), 4u)*16));
    return _e11.xy;
}

uint naga_mod(uint lhs, uint rhs) {
    return lhs % (rhs == 0u ? 1u : rhs);
}

float2 ZeroValuefloat2() {
    return (float2)0;
}

float4 ZeroValuefloat4() {
    return (float4)0;
}

Lane ConstructLane(uint arg0, uint arg1, uint arg2, uint arg3) {
    Lane ret = (Lane)0;
    ret.slot = arg0;
    ret.position = arg1;
    ret.ring = arg2;
    ret.unused = arg3;
    return ret;
}

[numthreads(128, 1, 1)]
void main(uint3 group : SV_GroupID, uint local : SV_GroupIndex)
{
    if (local == 0) {
        source = (float[128])0;
        phi = (float[512])0;
    }
    GroupMemoryBarrierWithGroupSync();
    float2 last_gate = ZeroValuefloat2();
    float4 sum[16] = (float4[16])0;
    float total = 0.0;
    uint start = 0u;
    uint i = (uint)0;
    float4 value = (float4)0;
    uint i_1 = (uint)0;
    float value_1 = (float)0;
    bool local_1 = (bool)0;
    uint j = (uint)0;
    uint k = (uint)0;
    uint k_1 = 0u;
    bool local_2 = (bool)0;
    uint c = (uint)0;
    bool local_3 = (bool)0;

    uint first_feature = (group.x * FEATURE_TILE);
    uint block = group.y;
    uint _e9 = params.lane_base;
    Lane lane = ConstructLane(asuint(lanes.Load((_e9 + naga_div(group.z, HEADS))*16+0)), asuint(lanes.Load((_e9 + naga_div(group.z, HEADS))*16+4)), asuint(lanes.Load((_e9 + naga_div(group.z, HEADS))*16+8)), asuint(lanes.Load((_e9 + naga_div(group.z, HEADS))*16+12)));
    uint head = naga_mod(group.z, HEADS);
    uint _e26 = params.tokens;
    if ((((block + 1u) * BLOCK) >= (lane.ring + _e26))) {
        return;
    }
    uint _e33 = params.stride;
    uint first = ((group.z * _e33) + (block * BLOCK));
    uint _e41 = params.blocks;
    uint out_ = ((((group.z * _e41) + block) * FEATURES) * 17u);
    if (true) {
        const float2 _e60 = gate_sum(((first + BLOCK) - 1u));
        last_gate = _e60;
    }
    uint2 loop_bound = uint2(4294967295u, 4294967295u);
    bool loop_init = true;
    while(true) {
        if (all(loop_bound == uint2(0u, 0u))) { break; }
        loop_bound -= uint2(loop_bound.y == 0u, 1u);
        if (!loop_init) {
            uint _e263 = start;
            start = (_e263 + TOKEN_TILE);
        }
        loop_init = false;
        uint _e66 = start;
        if ((_e66 < BLOCK)) {
        } else {
            break;
        }
        {
            i = local;
            uint2 loop_bound_1 = uint2(4294967295u, 4294967295u);
            bool loop_init_1 = true;
            while(true) {
                if (all(loop_bound_1 == uint2(0u, 0u))) { break; }
                loop_bound_1 -= uint2(loop_bound_1.y == 0u, 1u);
                if (!loop_init_1) {
                    uint _e140 = i;
                    i = (_e140 + THREADS);
                }
                loop_init_1 = false;
                uint _e69 = i;
                if ((_e69 < 32u)) {
                } else {
                    break;
                }
                {
                    uint _e78 = start;
                    uint _e79 = i;
                    uint j_1 = (_e78 + naga_div(_e79, 2u));
                    value = ZeroValuefloat4();
                    if ((j_1 < BLOCK)) {
                        uint _e97 = i;
                        float4 _e105 = asfloat(keys.Load4((naga_div((((first + j_1) * KEY_WIDTH) + S_OFFSET), 4u) + naga_mod(_e97, 2u))*16));
                        value = _e105;
                    }
                    uint _e107 = i;
                    float _e112 = value.x;
                    source[min(uint((_e107 * 4u)), 127u)] = _e112;
                    uint _e114 = i;
                    float _e121 = value.y;
                    source[min(uint(((_e114 * 4u) + 1u)), 127u)] = _e121;
                    uint _e123 = i;
                    float _e130 = value.z;
                    source[min(uint(((_e123 * 4u) + 2u)), 127u)] = _e130;
                    uint _e132 = i;
                    float _e139 = value.w;
                    source[min(uint(((_e132 * 4u) + 3u)), 127u)] = _e139;
                }
            }
            GroupMemoryBarrierWithGroupSync();
            i_1 = local;
            uint2 loop_bound_2 = uint2(4294967295u, 4294967295u);
            bool loop_init_2 = true;
            while(true) {
                if (all(loop_bound_2 == uint2(0u, 0u))) { break; }
                loop_bound_2 -= uint2(loop_bound_2.y == 0u, 1u);
                if (!loop_init_2) {
                    uint _e188 = i_1;
                    i_1 = (_e188 + THREADS);
                }
                loop_init_2 = false;
                uint _e144 = i_1;
                if ((_e144 < 512u)) {
                } else {
                    break;
                }
                {
                    uint _e147 = start;
                    uint _e148 = i_1;
                    uint j_2 = (_e147 + naga_div(_e148, FEATURE_TILE));
                    uint _e152 = i_1;
                    uint f_1 = (first_feature + naga_mod(_e152, FEATURE_TILE));
                    value_1 = 0.0;
                    if ((j_2 < BLOCK)) {
                        local_1 = (f_1 < FEATURES);
                    } else {
                        local_1 = false;
                    }
                    bool _e164 = local_1;
                    if (_e164) {
                        uint _e165 = i_1;
                        uint _e170 = asuint(table.Load(f_1*4));
                        const float _e171 = feature(naga_div(_e165, FEATURE_TILE), _e170);
                        const float _e172 = key_weight(f_1);
                        value_1 = (_e171 * _e172);
                        if (true) {
                            float _e178 = value_1;
                            float2 _e179 = last_gate;
                            const float2 _e181 = gate_sum((first + j_2));
                            const float _e182 = gate_decay(_e179, _e181);
                            value_1 = (_e178 * _e182);
                        }
                    }
                    uint _e185 = i_1;
                    float _e187 = value_1;
                    phi[min(uint(_e185), 511u)] = _e187;
                }
            }
            GroupMemoryBarrierWithGroupSync();
            j = 0u;
            uint2 loop_bound_3 = uint2(4294967295u, 4294967295u);
            bool loop_init_3 = true;
            while(true) {
                if (all(loop_bound_3 == uint2(0u, 0u))) { break; }
                loop_bound_3 -= uint2(loop_bound_3.y == 0u, 1u);
                if (!loop_init_3) {
                    uint _e261 = j;
                    j = (_e261 + 1u);
                }
                loop_init_3 = false;
                uint _e193 = j;
                uint _e195 = start;
                if ((_e193 < min(TOKEN_TILE, (BLOCK - _e195)))) {
                } else {
                    break;
                }
                {
                    uint _e199 = start;
                    uint _e201 = j;
                    uint v = naga_div(((((first + _e199) + _e201) * KEY_WIDTH) + V_OFFSET), 4u);
                    k = 0u;
                    uint2 loop_bound_4 = uint2(4294967295u, 4294967295u);
                    bool loop_init_4 = true;
                    while(true) {
                        if (all(loop_bound_4 == uint2(0u, 0u))) { break; }
                        loop_bound_4 -= uint2(loop_bound_4.y == 0u, 1u);
                        if (!loop_init_4) {
                            uint _e247 = k;
                            k = (_e247 + 1u);
                        }
                        loop_init_4 = false;
                        uint _e211 = k;
                        if ((_e211 < ITEMS)) {
                        } else {
                            break;
                        }
                        {
                            uint _e214 = k;
                            uint item = (local + (_e214 * THREADS));
                            uint _e218 = k;
                            float4 _e220 = sum[min(uint(_e218), 15u)];
                            uint _e222 = j;
                            float _e234 = phi[min(uint(((_e222 * FEATURE_TILE) + naga_mod(naga_div(item, 4u), FEATURE_TILE))), 511u)];
                            float4 _e243 = asfloat(keys.Load4((v + naga_mod(item, 4u))*16));
                            sum[min(uint(_e218), 15u)] = (_e220 + (_e234 * _e243));
                        }
                    }
                    if ((local < FEATURE_TILE)) {
                        float _e251 = total;
                        uint _e253 = j;
                        float _e258 = phi[min(uint(((_e253 * FEATURE_TILE) + local)), 511u)];
                        total = (_e251 + _e258);
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
            uint _e325 = k_1;
            k_1 = (_e325 + 1u);
        }
        loop_init_5 = false;
        uint _e268 = k_1;
        if ((_e268 < ITEMS)) {
        } else {
            break;
        }
        {
            uint _e271 = k_1;
            uint item_1 = (local + (_e271 * THREADS));
            uint f_2 = (first_feature + naga_div(item_1, 4u));
            if (!((item_1 >= 128u))) {
                local_2 = (f_2 >= FEATURES);
            } else {
                local_2 = true;
            }
            bool _e295 = local_2;
            if (_e295) {
                break;
            }
            uint at = ((out_ + (f_2 * HEAD)) + (naga_mod(item_1, 4u) * 4u));
            c = 0u;
            uint2 loop_bound_6 = uint2(4294967295u, 4294967295u);
            bool loop_init_6 = true;
            while(true) {
                if (all(loop_bound_6 == uint2(0u, 0u))) { break; }
                loop_bound_6 -= uint2(loop_bound_6.y == 0u, 1u);
                if (!loop_init_6) {
                    uint _e322 = c;
                    c = (_e322 + 1u);
                }
                loop_init_6 = false;
                uint _e309 = c;
                if ((_e309 < 4u)) {
                } else {
                    break;
                }
                {
                    uint _e313 = c;
                    uint _e316 = k_1;
                    uint _e318 = c;
                    float _e320 = sum[min(uint(_e316), 15u)][min(uint(_e318), 3u)];
                    states.Store((at + _e313)*4, asuint(_e320));
                }
            }
        }
    }
    uint f_3 = (first_feature + local);
    if ((local < FEATURE_TILE)) {
        local_3 = (f_3 < FEATURES);
    } else {
        local_3 = false;
    }
    bool _e335 = local_3;
    if (_e335) {
        uint at_1 = ((out_ + 576u) + f_3);
        float _e345 = total;
        states.Store(at_1*4, asuint(_e345));
        return;
    } else {
        return;
    }
}
