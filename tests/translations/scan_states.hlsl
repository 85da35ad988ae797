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

typedef float4 ret_ZeroValuearray16_float4_[16];
ret_ZeroValuearray16_float4_ ZeroValuearray16_float4_() {
    return (float4[16])0;
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
    float4 sum[16] = ZeroValuearray16_float4_();
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
            uint _e264 = start;
            start = (_e264 + TOKEN_TILE);
        }
        loop_init = false;
        uint _e67 = start;
        if ((_e67 < BLOCK)) {
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
                    uint _e141 = i;
                    i = (_e141 + THREADS);
                }
                loop_init_1 = false;
                uint _e70 = i;
                if ((_e70 < 32u)) {
                } else {
                    break;
                }
                {
                    uint _e79 = start;
                    uint _e80 = i;
                    uint j_1 = (_e79 + naga_div(_e80, 2u));
                    value = ZeroValuefloat4();
                    if ((j_1 < BLOCK)) {
                        uint _e98 = i;
                        float4 _e106 = asfloat(keys.Load4((naga_div((((first + j_1) * KEY_WIDTH) + S_OFFSET), 4u) + naga_mod(_e98, 2u))*16));
                        value = _e106;
                    }
                    uint _e108 = i;
                    float _e113 = value.x;
                    source[min(uint((_e108 * 4u)), 127u)] = _e113;
                    uint _e115 = i;
                    float _e122 = value.y;
                    source[min(uint(((_e115 * 4u) + 1u)), 127u)] = _e122;
                    uint _e124 = i;
                    float _e131 = value.z;
                    source[min(uint(((_e124 * 4u) + 2u)), 127u)] = _e131;
                    uint _e133 = i;
                    float _e140 = value.w;
                    source[min(uint(((_e133 * 4u) + 3u)), 127u)] = _e140;
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
                    uint _e189 = i_1;
                    i_1 = (_e189 + THREADS);
                }
                loop_init_2 = false;
                uint _e145 = i_1;
                if ((_e145 < 512u)) {
                } else {
                    break;
                }
                {
                    uint _e148 = start;
                    uint _e149 = i_1;
                    uint j_2 = (_e148 + naga_div(_e149, FEATURE_TILE));
                    uint _e153 = i_1;
                    uint f_1 = (first_feature + naga_mod(_e153, FEATURE_TILE));
                    value_1 = 0.0;
                    if ((j_2 < BLOCK)) {
                        local_1 = (f_1 < FEATURES);
                    } else {
                        local_1 = false;
                    }
                    bool _e165 = local_1;
                    if (_e165) {
                        uint _e166 = i_1;
                        uint _e171 = asuint(table.Load(f_1*4));
                        const float _e172 = feature(naga_div(_e166, FEATURE_TILE), _e171);
                        const float _e173 = key_weight(f_1);
                        value_1 = (_e172 * _e173);
                        if (true) {
                            float _e179 = value_1;
                            float2 _e180 = last_gate;
                            const float2 _e182 = gate_sum((first + j_2));
                            const float _e183 = gate_decay(_e180, _e182);
                            value_1 = (_e179 * _e183);
                        }
                    }
                    uint _e186 = i_1;
                    float _e188 = value_1;
                    phi[min(uint(_e186), 511u)] = _e188;
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
                    uint _e262 = j;
                    j = (_e262 + 1u);
                }
                loop_init_3 = false;
                uint _e194 = j;
                uint _e196 = start;
                if ((_e194 < min(TOKEN_TILE, (BLOCK - _e196)))) {
                } else {
                    break;
                }
                {
                    uint _e200 = start;
                    uint _e202 = j;
                    uint v = naga_div(((((first + _e200) + _e202) * KEY_WIDTH) + V_OFFSET), 4u);
                    k = 0u;
                    uint2 loop_bound_4 = uint2(4294967295u, 4294967295u);
                    bool loop_init_4 = true;
                    while(true) {
                        if (all(loop_bound_4 == uint2(0u, 0u))) { break; }
                        loop_bound_4 -= uint2(loop_bound_4.y == 0u, 1u);
                        if (!loop_init_4) {
                            uint _e248 = k;
                            k = (_e248 + 1u);
                        }
                        loop_init_4 = false;
                        uint _e212 = k;
                        if ((_e212 < ITEMS)) {
                        } else {
                            break;
                        }
                        {
                            uint _e215 = k;
                            uint item = (local + (_e215 * THREADS));
                            uint _e219 = k;
                            float4 _e221 = sum[min(uint(_e219), 15u)];
                            uint _e223 = j;
                            float _e235 = phi[min(uint(((_e223 * FEATURE_TILE) + naga_mod(naga_div(item, 4u), FEATURE_TILE))), 511u)];
                            float4 _e244 = asfloat(keys.Load4((v + naga_mod(item, 4u))*16));
                            sum[min(uint(_e219), 15u)] = (_e221 + (_e235 * _e244));
                        }
                    }
                    if ((local < FEATURE_TILE)) {
                        float _e252 = total;
                        uint _e254 = j;
                        float _e259 = phi[min(uint(((_e254 * FEATURE_TILE) + local)), 511u)];
                        total = (_e252 + _e259);
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
            uint _e326 = k_1;
            k_1 = (_e326 + 1u);
        }
        loop_init_5 = false;
        uint _e269 = k_1;
        if ((_e269 < ITEMS)) {
        } else {
            break;
        }
        {
            uint _e272 = k_1;
            uint item_1 = (local + (_e272 * THREADS));
            uint f_2 = (first_feature + naga_div(item_1, 4u));
            if (!((item_1 >= 128u))) {
                local_2 = (f_2 >= FEATURES);
            } else {
                local_2 = true;
            }
            bool _e296 = local_2;
            if (_e296) {
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
                    uint _e323 = c;
                    c = (_e323 + 1u);
                }
                loop_init_6 = false;
                uint _e310 = c;
                if ((_e310 < 4u)) {
                } else {
                    break;
                }
                {
                    uint _e314 = c;
                    uint _e317 = k_1;
                    uint _e319 = c;
                    float _e321 = sum[min(uint(_e317), 15u)][min(uint(_e319), 3u)];
                    states.Store((at + _e314)*4, asuint(_e321));
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
    bool _e336 = local_3;
    if (_e336) {
        uint at_1 = ((out_ + 576u) + f_3);
        float _e346 = total;
        states.Store(at_1*4, asuint(_e346));
        return;
    } else {
        return;
    }
}
