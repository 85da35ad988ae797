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

static const uint HEADS = 2u;
static const uint HEAD = 16u;
static const uint BLOCK = 16u;
static const uint V_OFFSET = 24u;
static const uint G_OFFSET = 40u;
static const bool GATED = true;
static const uint WIDTH = 44u;
static const uint GROUP_X = 4u;
static const uint GROUP_Y = 16u;
static const uint ROWS = 4u;
static const uint VECTORS = 1u;
static const uint KEYS = 2u;
static const uint TILE = 32u;
static const uint ROW_TILE = 64u;
static const uint COEFFICIENTS = 576u;
static const uint STAGED = 96u;
static const uint SOURCE = 8u;
static const uint SOURCE_OFFSET = 16u;
static const uint FEATURES = 36u;
static const uint ORDER = 2u;
static const uint PITCH = 12u;

cbuffer params : register(b0) { Params params; }
ByteAddressBuffer keys : register(t1);
ByteAddressBuffer lanes : register(t2);
ByteAddressBuffer table : register(t3);
RWByteAddressBuffer states : register(u4);
groupshared float4 coefficients[576];
groupshared float4 staged[96];
static float4 sum[16] = (float4[16])0;
static float total[8] = (float[8])0;
static uint3 here = (uint3)0;

float gate_decay(float2 a, float2 b)
{
    return exp(min(((a.x - b.x) + (a.y - b.y)), 0.0));
}

uint row_of(uint r_3)
{
    uint _e3 = here.y;
    return (_e3 + (r_3 * GROUP_Y));
}

uint coefficient_at(uint row, uint vector_)
{
    return ((row * 9u) + vector_);
}

uint4 tile_keys(uint k_1)
{
    uint _e8 = here.x;
    return ((((16u * k_1) + _e8)).xxxx + uint4(0u, 4u, 8u, 12u));
}

void share_totals()
{
    uint r_4 = 0u;

    GroupMemoryBarrierWithGroupSync();
    uint2 loop_bound = uint2(4294967295u, 4294967295u);
    bool loop_init = true;
    while(true) {
        if (all(loop_bound == uint2(0u, 0u))) { break; }
        loop_bound -= uint2(loop_bound.y == 0u, 1u);
        if (!loop_init) {
            uint _e19 = r_4;
            r_4 = (_e19 + 1u);
        }
        loop_init = false;
        uint _e2 = r_4;
        if ((_e2 < ROWS)) {
        } else {
            break;
        }
        {
            uint _e6 = r_4;
            const uint _e7 = row_of(_e6);
            uint _e10 = here.x;
            const uint _e11 = coefficient_at(_e7, _e10);
            uint _e14 = r_4;
            float _e16 = total[min(uint(_e14), 7u)];
            coefficients[min(uint(_e11), 575u)] = (_e16).xxxx;
        }
    }
    GroupMemoryBarrierWithGroupSync();
    return;
}

float row_total(uint row_1)
{
    float all_ = 0.0;
    uint x = 0u;

    uint2 loop_bound_1 = uint2(4294967295u, 4294967295u);
    bool loop_init_1 = true;
    while(true) {
        if (all(loop_bound_1 == uint2(0u, 0u))) { break; }
        loop_bound_1 -= uint2(loop_bound_1.y == 0u, 1u);
        if (!loop_init_1) {
            uint _e17 = x;
            x = (_e17 + 1u);
        }
        loop_init_1 = false;
        uint _e5 = x;
        if ((_e5 < GROUP_X)) {
        } else {
            break;
        }
        {
            float _e8 = all_;
            uint _e10 = x;
            const uint _e11 = coefficient_at(row_1, _e10);
            float _e14 = coefficients[min(uint(_e11), 575u)].x;
            all_ = (_e8 + _e14);
        }
    }
    float _e19 = all_;
    return _e19;
}

uint naga_div(uint lhs, uint rhs) {
    return lhs / (rhs == 0u ? 1u : rhs);
}

uint naga_mod(uint lhs, uint rhs) {
    return lhs % (rhs == 0u ? 1u : rhs);
}

float factor(uint row_2, uint index_1)
{
    uint at = ((row_2 * PITCH) + index_1);
    float _e12 = staged[min(uint(naga_div(at, 4u)), 95u)][min(uint(naga_mod(at, 4u)), 3u)];
    return _e12;
}

float feature(uint row_3, uint packed_1)
{
    float value_2 = (float)0;

    const float _e4 = factor(row_3, (packed_1 & 255u));
    value_2 = _e4;
    if (true) {
        float _e10 = value_2;
        const float _e15 = factor(row_3, ((packed_1 >> 8u) & 255u));
        value_2 = (_e10 * _e15);
    }
    if (false) {
        float _e21 = value_2;
        const float _e26 = factor(row_3, ((packed_1 >> 16u) & 255u));
        value_2 = (_e21 * _e26);
    }
    if (false) {
        float _e32 = value_2;
        const float _e35 = factor(row_3, (packed_1 >> 24u));
        value_2 = (_e32 * _e35);
    }
    float _e37 = value_2;
    return _e37;
}

float key_scale(uint f)
{
    uint _e5 = asuint(table.Load((FEATURES + f)*4));
    return asfloat(_e5);
}

void stage_vector(uint row_4, uint vector_1, float4 value_3)
{
    staged[min(uint(((row_4 * 3u) + vector_1)), 95u)] = ((vector_1 < 2u) ? value_3 : (1.0).xxxx);
    return;
}

float4 value_rows(uint first, uint row_5, uint vector_2)
{
    float4 _e13 = asfloat(keys.Load4((naga_div((((first + row_5) * WIDTH) + V_OFFSET), 4u) + vector_2)*16));
    return _e13;
}

typedef float4 ret_ZeroValuearray8_float4_[8];
ret_ZeroValuearray8_float4_ ZeroValuearray8_float4_() {
    return (float4[8])0;
}

void add_rows(uint first_1, uint start_1, uint end)
{
    float4 a_1[8] = ZeroValuearray8_float4_();
    uint k_2 = 0u;
    uint x_1 = (uint)0;
    uint r_5 = (uint)0;
    uint c_1 = (uint)0;
    uint r_6 = (uint)0;

    uint2 loop_bound_2 = uint2(4294967295u, 4294967295u);
    bool loop_init_2 = true;
    while(true) {
        if (all(loop_bound_2 == uint2(0u, 0u))) { break; }
        loop_bound_2 -= uint2(loop_bound_2.y == 0u, 1u);
        if (!loop_init_2) {
            uint _e146 = k_2;
            k_2 = (_e146 + 1u);
        }
        loop_init_2 = false;
        uint _e7 = k_2;
        if ((_e7 < KEYS)) {
        } else {
            break;
        }
        {
            x_1 = 0u;
            uint2 loop_bound_3 = uint2(4294967295u, 4294967295u);
            bool loop_init_3 = true;
            while(true) {
                if (all(loop_bound_3 == uint2(0u, 0u))) { break; }
                loop_bound_3 -= uint2(loop_bound_3.y == 0u, 1u);
                if (!loop_init_3) {
                    uint _e143 = x_1;
                    x_1 = (_e143 + 1u);
                }
                loop_init_3 = false;
                uint _e12 = x_1;
                if ((_e12 < GROUP_X)) {
                } else {
                    break;
                }
                {
                    uint _e19 = k_2;
                    uint _e22 = x_1;
                    uint key = ((start_1 + (16u * _e19)) + _e22);
                    uint k0_ = min(key, (end - 1u));
                    uint k1_ = min((key + GROUP_X), (end - 1u));
                    uint k2_ = min((key + 8u), (end - 1u));
                    uint k3_ = min((key + 12u), (end - 1u));
                    r_5 = 0u;
                    uint2 loop_bound_4 = uint2(4294967295u, 4294967295u);
                    bool loop_init_4 = true;
                    while(true) {
                        if (all(loop_bound_4 == uint2(0u, 0u))) { break; }
                        loop_bound_4 -= uint2(loop_bound_4.y == 0u, 1u);
                        if (!loop_init_4) {
                            uint _e67 = r_5;
                            r_5 = (_e67 + 1u);
                        }
                        loop_init_4 = false;
                        uint _e50 = r_5;
                        if ((_e50 < ROWS)) {
                        } else {
                            break;
                        }
                        {
                            uint _e53 = r_5;
                            uint _e56 = r_5;
                            const uint _e57 = row_of(_e56);
                            uint _e58 = k_2;
                            uint _e61 = x_1;
                            const uint _e63 = coefficient_at(_e57, ((_e58 * GROUP_X) + _e61));
                            float4 _e65 = coefficients[min(uint(_e63), 575u)];
                            a_1[min(uint(_e53), 7u)] = _e65;
                        }
                    }
                    c_1 = 0u;
                    uint2 loop_bound_5 = uint2(4294967295u, 4294967295u);
                    bool loop_init_5 = true;
                    while(true) {
                        if (all(loop_bound_5 == uint2(0u, 0u))) { break; }
                        loop_bound_5 -= uint2(loop_bound_5.y == 0u, 1u);
                        if (!loop_init_5) {
                            uint _e140 = c_1;
                            c_1 = (_e140 + 1u);
                        }
                        loop_init_5 = false;
                        uint _e71 = c_1;
                        if ((_e71 < VECTORS)) {
                        } else {
                            break;
                        }
                        {
                            uint _e76 = here.x;
                            uint _e77 = c_1;
                            uint vector_3 = min((_e76 + (_e77 * GROUP_X)), 3u);
                            const float4 _e88 = value_rows(first_1, k0_, vector_3);
                            const float4 _e89 = value_rows(first_1, k1_, vector_3);
                            const float4 _e90 = value_rows(first_1, k2_, vector_3);
                            const float4 _e91 = value_rows(first_1, k3_, vector_3);
                            r_6 = 0u;
                            uint2 loop_bound_6 = uint2(4294967295u, 4294967295u);
                            bool loop_init_6 = true;
                            while(true) {
                                if (all(loop_bound_6 == uint2(0u, 0u))) { break; }
                                loop_bound_6 -= uint2(loop_bound_6.y == 0u, 1u);
                                if (!loop_init_6) {
                                    uint _e137 = r_6;
                                    r_6 = (_e137 + 1u);
                                }
                                loop_init_6 = false;
                                uint _e94 = r_6;
                                if ((_e94 < ROWS)) {
                                } else {
                                    break;
                                }
                                {
                                    uint _e98 = r_6;
                                    uint _e101 = c_1;
                                    uint _e105 = r_6;
                                    uint _e108 = c_1;
                                    float4 _e111 = sum[min(uint(((_e105 * VECTORS) + _e108)), 15u)];
                                    uint _e112 = r_6;
                                    float _e115 = a_1[min(uint(_e112), 7u)].x;
                                    uint _e118 = r_6;
                                    float _e121 = a_1[min(uint(_e118), 7u)].y;
                                    uint _e124 = r_6;
                                    float _e127 = a_1[min(uint(_e124), 7u)].z;
                                    uint _e130 = r_6;
                                    float _e133 = a_1[min(uint(_e130), 7u)].w;
                                    sum[min(uint(((_e98 * VECTORS) + _e101)), 15u)] = ((((_e111 + (_e115 * _e88)) + (_e121 * _e89)) + (_e127 * _e90)) + (_e133 * _e91));
                                }
                            }
                        }
                    }
                }
            }
        }
    }
    return;
}

float part_of_total(uint row_6)
{
    return 1.0;
}

float2 gate_sum(uint row_7)
{
    float4 _e9 = asfloat(keys.Load4(naga_div(((row_7 * WIDTH) + G_OFFSET), 4u)*16));
    return _e9.xy;
}

float decay(float2 last, uint row_8)
{
    const float2 _e2 = gate_sum(row_8);
    const float _e3 = gate_decay(last, _e2);
    return _e3;
}

float2 ZeroValuefloat2() {
    return (float2)0;
}

typedef uint ret_ZeroValuearray8_uint_[8];
ret_ZeroValuearray8_uint_ ZeroValuearray8_uint_() {
    return (uint[8])0;
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

[numthreads(4, 16, 1)]
void main(uint3 group : SV_GroupID, uint3 local : SV_GroupThreadID, uint index : SV_GroupIndex)
{
    if (index == 0) {
        coefficients = (float4[576])0;
        staged = (float4[96])0;
    }
    GroupMemoryBarrierWithGroupSync();
    float2 last_gate = ZeroValuefloat2();
    uint packed[8] = ZeroValuearray8_uint_();
    uint r = 0u;
    uint start = 0u;
    uint i = (uint)0;
    uint k = (uint)0;
    float4 scale = (float4)0;
    uint r_1 = (uint)0;
    uint r_2 = 0u;
    uint c = (uint)0;
    bool local_1 = (bool)0;
    float4 value = (float4)0;
    uint i_1 = (uint)0;
    float4 value_1 = (float4)0;

    here = uint3(local.xy, index);
    uint first_feature = (group.x * ROW_TILE);
    uint block = group.y;
    uint _e13 = params.lane_base;
    Lane lane = ConstructLane(asuint(lanes.Load((_e13 + naga_div(group.z, HEADS))*16+0)), asuint(lanes.Load((_e13 + naga_div(group.z, HEADS))*16+4)), asuint(lanes.Load((_e13 + naga_div(group.z, HEADS))*16+8)), asuint(lanes.Load((_e13 + naga_div(group.z, HEADS))*16+12)));
    uint head = naga_mod(group.z, HEADS);
    uint _e30 = params.tokens;
    if ((((block + 1u) * BLOCK) >= (lane.ring + _e30))) {
        return;
    }
    uint _e37 = params.stride;
    uint first_2 = ((group.z * _e37) + (block * BLOCK));
    uint _e45 = params.blocks;
    uint out_ = ((((group.z * _e45) + block) * FEATURES) * 17u);
    if (GATED) {
        const float2 _e61 = gate_sum(((first_2 + BLOCK) - 1u));
        last_gate = _e61;
    }
    uint2 loop_bound_7 = uint2(4294967295u, 4294967295u);
    bool loop_init_7 = true;
    while(true) {
        if (all(loop_bound_7 == uint2(0u, 0u))) { break; }
        loop_bound_7 -= uint2(loop_bound_7.y == 0u, 1u);
        if (!loop_init_7) {
            uint _e83 = r;
            r = (_e83 + 1u);
        }
        loop_init_7 = false;
        uint _e66 = r;
        if ((_e66 < ROWS)) {
        } else {
            break;
        }
        {
            uint _e69 = r;
            uint _e72 = r;
            const uint _e73 = row_of(_e72);
            uint _e81 = asuint(table.Load(min((first_feature + _e73), 35u)*4));
            packed[min(uint(_e69), 7u)] = _e81;
        }
    }
    uint2 loop_bound_8 = uint2(4294967295u, 4294967295u);
    bool loop_init_8 = true;
    while(true) {
        if (all(loop_bound_8 == uint2(0u, 0u))) { break; }
        loop_bound_8 -= uint2(loop_bound_8.y == 0u, 1u);
        if (!loop_init_8) {
            uint _e265 = start;
            start = (_e265 + TILE);
        }
        loop_init_8 = false;
        uint _e87 = start;
        if ((_e87 < BLOCK)) {
        } else {
            break;
        }
        {
            uint _e91 = here.z;
            i = _e91;
            uint2 loop_bound_9 = uint2(4294967295u, 4294967295u);
            bool loop_init_9 = true;
            while(true) {
                if (all(loop_bound_9 == uint2(0u, 0u))) { break; }
                loop_bound_9 -= uint2(loop_bound_9.y == 0u, 1u);
                if (!loop_init_9) {
                    uint _e144 = i;
                    i = (_e144 + 64u);
                }
                loop_init_9 = false;
                uint _e93 = i;
                if ((_e93 < 96u)) {
                } else {
                    break;
                }
                {
                    uint _e104 = i;
                    uint c_2 = naga_mod(_e104, 3u);
                    uint _e112 = i;
                    uint j = naga_div(_e112, 3u);
                    uint _e121 = start;
                    float4 _e143 = asfloat(keys.Load4((naga_div((((first_2 + min((_e121 + j), 15u)) * WIDTH) + SOURCE_OFFSET), 4u) + min(c_2, 1u))*16));
                    stage_vector(j, c_2, _e143);
                }
            }
            GroupMemoryBarrierWithGroupSync();
            k = 0u;
            uint2 loop_bound_10 = uint2(4294967295u, 4294967295u);
            bool loop_init_10 = true;
            while(true) {
                if (all(loop_bound_10 == uint2(0u, 0u))) { break; }
                loop_bound_10 -= uint2(loop_bound_10.y == 0u, 1u);
                if (!loop_init_10) {
                    uint _e262 = k;
                    k = (_e262 + 1u);
                }
                loop_init_10 = false;
                uint _e153 = k;
                if ((_e153 < KEYS)) {
                } else {
                    break;
                }
                {
                    uint _e156 = k;
                    const uint4 _e157 = tile_keys(_e156);
                    uint _e159 = start;
                    uint4 at_1 = ((first_2).xxxx + min((_e157 + (_e159).xxxx), (15u).xxxx));
                    uint _e171 = start;
                    scale = (((_e157 + (_e171).xxxx) < (16u).xxxx) ? (1.0).xxxx : ZeroValuefloat4());
                    if (GATED) {
                        float4 _e180 = scale;
                        float2 _e181 = last_gate;
                        const float _e183 = decay(_e181, at_1.x);
                        float2 _e184 = last_gate;
                        const float _e186 = decay(_e184, at_1.y);
                        float2 _e187 = last_gate;
                        const float _e189 = decay(_e187, at_1.z);
                        float2 _e190 = last_gate;
                        const float _e192 = decay(_e190, at_1.w);
                        scale = (_e180 * float4(_e183, _e186, _e189, _e192));
                    }
                    const float _e196 = part_of_total(at_1.x);
                    const float _e198 = part_of_total(at_1.y);
                    const float _e200 = part_of_total(at_1.z);
                    const float _e202 = part_of_total(at_1.w);
                    float4 parts = float4(_e196, _e198, _e200, _e202);
                    r_1 = 0u;
                    uint2 loop_bound_11 = uint2(4294967295u, 4294967295u);
                    bool loop_init_11 = true;
                    while(true) {
                        if (all(loop_bound_11 == uint2(0u, 0u))) { break; }
                        loop_bound_11 -= uint2(loop_bound_11.y == 0u, 1u);
                        if (!loop_init_11) {
                            uint _e259 = r_1;
                            r_1 = (_e259 + 1u);
                        }
                        loop_init_11 = false;
                        uint _e206 = r_1;
                        if ((_e206 < ROWS)) {
                        } else {
                            break;
                        }
                        {
                            uint _e209 = r_1;
                            uint f_1 = packed[min(uint(_e209), 7u)];
                            float4 _e212 = scale;
                            const float _e214 = feature(_e157.x, f_1);
                            const float _e216 = feature(_e157.y, f_1);
                            const float _e218 = feature(_e157.z, f_1);
                            const float _e220 = feature(_e157.w, f_1);
                            float4 phi = (_e212 * float4(_e214, _e216, _e218, _e220));
                            uint _e224 = r_1;
                            uint _e227 = r_1;
                            float _e229 = total[min(uint(_e227), 7u)];
                            total[min(uint(_e224), 7u)] = ((((_e229 + (phi.x * parts.x)) + (phi.y * parts.y)) + (phi.z * parts.z)) + (phi.w * parts.w));
                            uint _e247 = r_1;
                            const uint _e248 = row_of(_e247);
                            uint _e249 = k;
                            uint _e254 = here.x;
                            const uint _e256 = coefficient_at(_e248, ((_e249 * GROUP_X) + _e254));
                            coefficients[min(uint(_e256), 575u)] = phi;
                        }
                    }
                }
            }
            GroupMemoryBarrierWithGroupSync();
            uint _e264 = start;
            add_rows(first_2, _e264, BLOCK);
        }
    }
    share_totals();
    uint2 loop_bound_12 = uint2(4294967295u, 4294967295u);
    bool loop_init_12 = true;
    while(true) {
        if (all(loop_bound_12 == uint2(0u, 0u))) { break; }
        loop_bound_12 -= uint2(loop_bound_12.y == 0u, 1u);
        if (!loop_init_12) {
            uint _e324 = r_2;
            r_2 = (_e324 + 1u);
        }
        loop_init_12 = false;
        uint _e270 = r_2;
        if ((_e270 < ROWS)) {
        } else {
            break;
        }
        {
            uint _e273 = r_2;
            const uint _e274 = row_of(_e273);
            uint f_2 = (first_feature + _e274);
            c = 0u;
            uint2 loop_bound_13 = uint2(4294967295u, 4294967295u);
            bool loop_init_13 = true;
            while(true) {
                if (all(loop_bound_13 == uint2(0u, 0u))) { break; }
                loop_bound_13 -= uint2(loop_bound_13.y == 0u, 1u);
                if (!loop_init_13) {
                    uint _e321 = c;
                    c = (_e321 + 1u);
                }
                loop_init_13 = false;
                uint _e278 = c;
                if ((_e278 < VECTORS)) {
                } else {
                    break;
                }
                {
                    uint _e283 = here.x;
                    uint _e284 = c;
                    uint vector_4 = (_e283 + (_e284 * GROUP_X));
                    if ((f_2 < FEATURES)) {
                        local_1 = (vector_4 < 4u);
                    } else {
                        local_1 = false;
                    }
                    bool _e298 = local_1;
                    if (_e298) {
                        uint at_2 = (naga_div((out_ + (f_2 * HEAD)), 4u) + vector_4);
                        uint _e306 = r_2;
                        uint _e309 = c;
                        float4 _e312 = sum[min(uint(((_e306 * VECTORS) + _e309)), 15u)];
                        value = _e312;
                        float4 _e314 = value;
                        const float _e315 = key_scale(f_2);
                        value = (_e314 * _e315);
                        float4 _e319 = value;
                        states.Store4(at_2*16, asuint(_e319));
                    }
                }
            }
        }
    }
    uint _e328 = here.z;
    i_1 = _e328;
    uint2 loop_bound_14 = uint2(4294967295u, 4294967295u);
    bool loop_init_14 = true;
    while(true) {
        if (all(loop_bound_14 == uint2(0u, 0u))) { break; }
        loop_bound_14 -= uint2(loop_bound_14.y == 0u, 1u);
        if (!loop_init_14) {
            uint _e391 = i_1;
            i_1 = (_e391 + 64u);
        }
        loop_init_14 = false;
        uint _e330 = i_1;
        if ((_e330 < 16u)) {
        } else {
            break;
        }
        {
            uint _e337 = i_1;
            uint f_3 = (first_feature + (4u * _e337));
            if ((f_3 < FEATURES)) {
                uint at_3 = naga_div(((out_ + 576u) + f_3), 4u);
                uint _e352 = i_1;
                const float _e354 = row_total((4u * _e352));
                uint _e356 = i_1;
                const float _e360 = row_total(((4u * _e356) + 1u));
                uint _e362 = i_1;
                const float _e366 = row_total(((4u * _e362) + 2u));
                uint _e368 = i_1;
                const float _e372 = row_total(((4u * _e368) + 3u));
                value_1 = float4(_e354, _e360, _e366, _e372);
                float4 _e375 = value_1;
                const float _e376 = key_scale(f_3);
                const float _e379 = key_scale((f_3 + 1u));
                const float _e382 = key_scale((f_3 + 2u));
                const float _e385 = key_scale((f_3 + 3u));
                value_1 = (_e375 * float4(_e376, _e379, _e382, _e385));
                float4 _e390 = value_1;
                states.Store4(at_3*16, asuint(_e390));
            }
        }
    }
    return;
}
