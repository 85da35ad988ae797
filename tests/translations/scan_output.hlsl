struct Lane {
    uint slot;
    uint position;
    uint ring;
    uint unused;
};

struct Params {
    uint tokens;
    uint lane_base;
    uint blocks;
    uint stride;
    uint tiles;
};

struct Near {
    uint queries;
    int row;
    uint keys;
    uint own;
    uint end;
};

static const uint HEADS = 2u;
static const uint GROUP = 1u;
static const uint HEAD = 16u;
static const uint BLOCK = 16u;
static const uint QUERY_WIDTH = 24u;
static const uint KEY_WIDTH = 44u;
static const uint V_OFFSET = 24u;
static const uint G_OFFSET = 40u;
static const bool GATED = true;
static const uint LOCAL = 16u;
static const uint LOCAL_OFFSET = 0u;
static const float BIAS = 1.0;
static const uint CHUNK = 4u;
static const uint GROUP_X = 4u;
static const uint GROUP_Y = 16u;
static const uint ROWS = 1u;
static const uint VECTORS = 1u;
static const uint KEYS = 2u;
static const uint TILE = 32u;
static const uint ROW_TILE = 16u;
static const uint COEFFICIENTS = 144u;
static const uint STAGED = 200u;
static const float SCALE = 0.25;
static const uint DEGREE = 4u;
static const uint SOURCE = 8u;
static const uint SOURCE_OFFSET = 16u;
static const uint FEATURES = 36u;
static const uint ORDER = 2u;
static const uint PITCH = 12u;

cbuffer params : register(b0) { Params params; }
ByteAddressBuffer queries : register(t1);
ByteAddressBuffer keys : register(t2);
ByteAddressBuffer lanes : register(t3);
ByteAddressBuffer table : register(t4);
ByteAddressBuffer prefix : register(t5);
RWByteAddressBuffer o : register(u6);
groupshared float4 coefficients[144];
groupshared float4 staged[200];
static float4 sum[16] = (float4[16])0;
static float total[8] = (float[8])0;
static uint3 here = (uint3)0;
groupshared float2 row_state[16];
static float4 dots[16] = (float4[16])0;

float gate_decay(float2 a, float2 b)
{
    return exp(min(((a.x - b.x) + (a.y - b.y)), 0.0));
}

uint row_of(uint r)
{
    uint _e3 = here.y;
    return (_e3 + (r * GROUP_Y));
}

uint coefficient_at(uint row, uint vector_)
{
    return ((row * 9u) + vector_);
}

uint4 tile_keys(uint k)
{
    uint _e8 = here.x;
    return ((((16u * k) + _e8)).xxxx + uint4(0u, 4u, 8u, 12u));
}

void share_totals()
{
    uint r_1 = 0u;

    GroupMemoryBarrierWithGroupSync();
    uint2 loop_bound = uint2(4294967295u, 4294967295u);
    bool loop_init = true;
    while(true) {
        if (all(loop_bound == uint2(0u, 0u))) { break; }
        loop_bound -= uint2(loop_bound.y == 0u, 1u);
        if (!loop_init) {
            uint _e19 = r_1;
            r_1 = (_e19 + 1u);
        }
        loop_init = false;
        uint _e2 = r_1;
        if ((_e2 < ROWS)) {
        } else {
            break;
        }
        {
            uint _e6 = r_1;
            const uint _e7 = row_of(_e6);
            uint _e10 = here.x;
            const uint _e11 = coefficient_at(_e7, _e10);
            uint _e14 = r_1;
            float _e16 = total[min(uint(_e14), 7u)];
            coefficients[min(uint(_e11), 143u)] = (_e16).xxxx;
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
            float _e14 = coefficients[min(uint(_e11), 143u)].x;
            all_ = (_e8 + _e14);
        }
    }
    float _e19 = all_;
    return _e19;
}

uint naga_div(uint lhs, uint rhs) {
    return lhs / (rhs == 0u ? 1u : rhs);
}

float4 value_near(uint first, uint key, uint vector_1)
{
    float4 _e13 = asfloat(keys.Load4((naga_div((((first + key) * KEY_WIDTH) + V_OFFSET), 4u) + vector_1)*16));
    return _e13;
}

typedef float4 ret_ZeroValuearray8_float4_[8];
ret_ZeroValuearray8_float4_ ZeroValuearray8_float4_() {
    return (float4[8])0;
}

void add_near(uint first_1, uint start, uint end)
{
    float4 a_1[8] = ZeroValuearray8_float4_();
    uint k_1 = 0u;
    uint x_1 = (uint)0;
    uint r_2 = (uint)0;
    uint c = (uint)0;
    uint r_3 = (uint)0;

    uint2 loop_bound_2 = uint2(4294967295u, 4294967295u);
    bool loop_init_2 = true;
    while(true) {
        if (all(loop_bound_2 == uint2(0u, 0u))) { break; }
        loop_bound_2 -= uint2(loop_bound_2.y == 0u, 1u);
        if (!loop_init_2) {
            uint _e146 = k_1;
            k_1 = (_e146 + 1u);
        }
        loop_init_2 = false;
        uint _e7 = k_1;
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
                    uint _e19 = k_1;
                    uint _e22 = x_1;
                    uint key_2 = ((start + (16u * _e19)) + _e22);
                    uint k0_ = min(key_2, (end - 1u));
                    uint k1_ = min((key_2 + GROUP_X), (end - 1u));
                    uint k2_ = min((key_2 + 8u), (end - 1u));
                    uint k3_ = min((key_2 + 12u), (end - 1u));
                    r_2 = 0u;
                    uint2 loop_bound_4 = uint2(4294967295u, 4294967295u);
                    bool loop_init_4 = true;
                    while(true) {
                        if (all(loop_bound_4 == uint2(0u, 0u))) { break; }
                        loop_bound_4 -= uint2(loop_bound_4.y == 0u, 1u);
                        if (!loop_init_4) {
                            uint _e67 = r_2;
                            r_2 = (_e67 + 1u);
                        }
                        loop_init_4 = false;
                        uint _e50 = r_2;
                        if ((_e50 < ROWS)) {
                        } else {
                            break;
                        }
                        {
                            uint _e53 = r_2;
                            uint _e56 = r_2;
                            const uint _e57 = row_of(_e56);
                            uint _e58 = k_1;
                            uint _e61 = x_1;
                            const uint _e63 = coefficient_at(_e57, ((_e58 * GROUP_X) + _e61));
                            float4 _e65 = coefficients[min(uint(_e63), 143u)];
                            a_1[min(uint(_e53), 7u)] = _e65;
                        }
                    }
                    c = 0u;
                    uint2 loop_bound_5 = uint2(4294967295u, 4294967295u);
                    bool loop_init_5 = true;
                    while(true) {
                        if (all(loop_bound_5 == uint2(0u, 0u))) { break; }
                        loop_bound_5 -= uint2(loop_bound_5.y == 0u, 1u);
                        if (!loop_init_5) {
                            uint _e140 = c;
                            c = (_e140 + 1u);
                        }
                        loop_init_5 = false;
                        uint _e71 = c;
                        if ((_e71 < VECTORS)) {
                        } else {
                            break;
                        }
                        {
                            uint _e76 = here.x;
                            uint _e77 = c;
                            uint vector_5 = min((_e76 + (_e77 * GROUP_X)), 3u);
                            const float4 _e88 = value_near(first_1, k0_, vector_5);
                            const float4 _e89 = value_near(first_1, k1_, vector_5);
                            const float4 _e90 = value_near(first_1, k2_, vector_5);
                            const float4 _e91 = value_near(first_1, k3_, vector_5);
                            r_3 = 0u;
                            uint2 loop_bound_6 = uint2(4294967295u, 4294967295u);
                            bool loop_init_6 = true;
                            while(true) {
                                if (all(loop_bound_6 == uint2(0u, 0u))) { break; }
                                loop_bound_6 -= uint2(loop_bound_6.y == 0u, 1u);
                                if (!loop_init_6) {
                                    uint _e137 = r_3;
                                    r_3 = (_e137 + 1u);
                                }
                                loop_init_6 = false;
                                uint _e94 = r_3;
                                if ((_e94 < ROWS)) {
                                } else {
                                    break;
                                }
                                {
                                    uint _e98 = r_3;
                                    uint _e101 = c;
                                    uint _e105 = r_3;
                                    uint _e108 = c;
                                    float4 _e111 = sum[min(uint(((_e105 * VECTORS) + _e108)), 15u)];
                                    uint _e112 = r_3;
                                    float _e115 = a_1[min(uint(_e112), 7u)].x;
                                    uint _e118 = r_3;
                                    float _e121 = a_1[min(uint(_e118), 7u)].y;
                                    uint _e124 = r_3;
                                    float _e127 = a_1[min(uint(_e124), 7u)].z;
                                    uint _e130 = r_3;
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

float local_affinity(float t)
{
    float w = 1.0;
    uint m = 0u;

    float s = (SCALE * t);
    float square = (s * s);
    uint2 loop_bound_7 = uint2(4294967295u, 4294967295u);
    bool loop_init_7 = true;
    while(true) {
        if (all(loop_bound_7 == uint2(0u, 0u))) { break; }
        loop_bound_7 -= uint2(loop_bound_7.y == 0u, 1u);
        if (!loop_init_7) {
            uint _e17 = m;
            m = (_e17 + 1u);
        }
        loop_init_7 = false;
        uint _e8 = m;
        if ((_e8 < 2u)) {
        } else {
            break;
        }
        {
            float _e14 = w;
            w = (_e14 * square);
        }
    }
    float _e19 = w;
    return _e19;
}

float2 gate_of_key(Near near, uint key_1)
{
    float4 _e16 = asfloat(keys.Load4(naga_div((((near.keys + min(key_1, (near.end - 1u))) * KEY_WIDTH) + G_OFFSET), 4u)*16));
    return _e16.xy;
}

float4 query_vector(Near near_1, uint row_2, uint column, uint vector_2)
{
    uint _e9 = params.tokens;
    int own = clamp(asint(asuint(near_1.row) + asuint(int(row_2))), int(0), asint(asuint(int((_e9 * GROUP))) - asuint(int(1))));
    float4 _e28 = asfloat(queries.Load4((naga_div((((near_1.queries + uint(own)) * QUERY_WIDTH) + column), 4u) + vector_2)*16));
    return _e28;
}

void keep_row_gates(Near near_2)
{
    uint row_3 = (uint)0;

    if (false) {
        return;
    }
    uint _e6 = here.z;
    row_3 = _e6;
    uint2 loop_bound_8 = uint2(4294967295u, 4294967295u);
    bool loop_init_8 = true;
    while(true) {
        if (all(loop_bound_8 == uint2(0u, 0u))) { break; }
        loop_bound_8 -= uint2(loop_bound_8.y == 0u, 1u);
        if (!loop_init_8) {
            uint _e20 = row_3;
            row_3 = (_e20 + 64u);
        }
        loop_init_8 = false;
        uint _e8 = row_3;
        if ((_e8 < ROW_TILE)) {
        } else {
            break;
        }
        {
            uint _e12 = row_3;
            uint _e15 = row_3;
            const float2 _e19 = gate_of_key(near_2, naga_div((near_2.own + _e15), GROUP));
            row_state[min(uint(_e12), 15u)] = _e19;
        }
    }
    return;
}

void add_dots()
{
    uint c_1 = 0u;
    uint k_2 = (uint)0;
    uint r_4 = (uint)0;

    uint2 loop_bound_9 = uint2(4294967295u, 4294967295u);
    bool loop_init_9 = true;
    while(true) {
        if (all(loop_bound_9 == uint2(0u, 0u))) { break; }
        loop_bound_9 -= uint2(loop_bound_9.y == 0u, 1u);
        if (!loop_init_9) {
            uint _e152 = c_1;
            c_1 = (_e152 + 1u);
        }
        loop_init_9 = false;
        uint _e2 = c_1;
        if ((_e2 < CHUNK)) {
        } else {
            break;
        }
        {
            uint _e12 = c_1;
            uint key_3 = (68u + (_e12 * 33u));
            k_2 = 0u;
            uint2 loop_bound_10 = uint2(4294967295u, 4294967295u);
            bool loop_init_10 = true;
            while(true) {
                if (all(loop_bound_10 == uint2(0u, 0u))) { break; }
                loop_bound_10 -= uint2(loop_bound_10.y == 0u, 1u);
                if (!loop_init_10) {
                    uint _e149 = k_2;
                    k_2 = (_e149 + 1u);
                }
                loop_init_10 = false;
                uint _e21 = k_2;
                if ((_e21 < KEYS)) {
                } else {
                    break;
                }
                {
                    uint _e24 = k_2;
                    const uint4 _e25 = tile_keys(_e24);
                    uint4 j = (_e25 + (key_3).xxxx);
                    float4 b0_ = staged[min(uint(j.x), 199u)];
                    float4 b1_ = staged[min(uint(j.y), 199u)];
                    float4 b2_ = staged[min(uint(j.z), 199u)];
                    float4 b3_ = staged[min(uint(j.w), 199u)];
                    r_4 = 0u;
                    uint2 loop_bound_11 = uint2(4294967295u, 4294967295u);
                    bool loop_init_11 = true;
                    while(true) {
                        if (all(loop_bound_11 == uint2(0u, 0u))) { break; }
                        loop_bound_11 -= uint2(loop_bound_11.y == 0u, 1u);
                        if (!loop_init_11) {
                            uint _e146 = r_4;
                            r_4 = (_e146 + 1u);
                        }
                        loop_init_11 = false;
                        uint _e46 = r_4;
                        if ((_e46 < ROWS)) {
                        } else {
                            break;
                        }
                        {
                            uint _e50 = c_1;
                            uint _e56 = r_4;
                            const uint _e57 = row_of(_e56);
                            float4 a_3 = staged[min(uint(((_e50 * 17u) + _e57)), 199u)];
                            uint _e62 = r_4;
                            uint _e65 = k_2;
                            float4 d = dots[min(uint(((_e62 * KEYS) + _e65)), 15u)];
                            uint _e70 = r_4;
                            uint _e73 = k_2;
                            dots[min(uint(((_e70 * KEYS) + _e73)), 15u)] = float4(((((d.x + (a_3.x * b0_.x)) + (a_3.y * b0_.y)) + (a_3.z * b0_.z)) + (a_3.w * b0_.w)), ((((d.y + (a_3.x * b1_.x)) + (a_3.y * b1_.y)) + (a_3.z * b1_.z)) + (a_3.w * b1_.w)), ((((d.z + (a_3.x * b2_.x)) + (a_3.y * b2_.y)) + (a_3.z * b2_.z)) + (a_3.w * b2_.w)), ((((d.w + (a_3.x * b3_.x)) + (a_3.y * b3_.y)) + (a_3.z * b3_.z)) + (a_3.w * b3_.w)));
                        }
                    }
                }
            }
        }
    }
    return;
}

typedef float2 ret_Constructarray4_float2_[4];
ret_Constructarray4_float2_ Constructarray4_float2_(float2 arg0, float2 arg1, float2 arg2, float2 arg3) {
    float2 ret[4] = { arg0, arg1, arg2, arg3 };
    return ret;
}

typedef float2 ret_ZeroValuearray4_float2_[4];
ret_ZeroValuearray4_float2_ ZeroValuearray4_float2_() {
    return (float2[4])0;
}

float4 ZeroValuefloat4() {
    return (float4)0;
}

void relate(Near near_3, uint start_1)
{
    uint k_3 = 0u;
    float2 gates[4] = (float2[4])0;
    uint r_5 = (uint)0;
    float4 w_1 = (float4)0;

    uint2 loop_bound_12 = uint2(4294967295u, 4294967295u);
    bool loop_init_12 = true;
    while(true) {
        if (all(loop_bound_12 == uint2(0u, 0u))) { break; }
        loop_bound_12 -= uint2(loop_bound_12.y == 0u, 1u);
        if (!loop_init_12) {
            uint _e93 = k_3;
            k_3 = (_e93 + 1u);
        }
        loop_init_12 = false;
        uint _e4 = k_3;
        if ((_e4 < KEYS)) {
        } else {
            break;
        }
        {
            uint _e7 = k_3;
            const uint4 _e8 = tile_keys(_e7);
            uint4 j_1 = (_e8 + (start_1).xxxx);
            gates = ZeroValuearray4_float2_();
            if (GATED) {
                const float2 _e15 = gate_of_key(near_3, j_1.x);
                const float2 _e17 = gate_of_key(near_3, j_1.y);
                const float2 _e19 = gate_of_key(near_3, j_1.z);
                const float2 _e21 = gate_of_key(near_3, j_1.w);
                gates = Constructarray4_float2_(_e15, _e17, _e19, _e21);
            }
            r_5 = 0u;
            uint2 loop_bound_13 = uint2(4294967295u, 4294967295u);
            bool loop_init_13 = true;
            while(true) {
                if (all(loop_bound_13 == uint2(0u, 0u))) { break; }
                loop_bound_13 -= uint2(loop_bound_13.y == 0u, 1u);
                if (!loop_init_13) {
                    uint _e90 = r_5;
                    r_5 = (_e90 + 1u);
                }
                loop_init_13 = false;
                uint _e25 = r_5;
                if ((_e25 < ROWS)) {
                } else {
                    break;
                }
                {
                    uint _e29 = r_5;
                    uint _e32 = k_3;
                    float4 d_1 = dots[min(uint(((_e29 * KEYS) + _e32)), 15u)];
                    uint _e38 = r_5;
                    const uint _e39 = row_of(_e38);
                    bool4 seen = (j_1 < (min(near_3.end, (naga_div((near_3.own + _e39), GROUP) + 1u))).xxxx);
                    const float _e49 = local_affinity(d_1.x);
                    const float _e51 = local_affinity(d_1.y);
                    const float _e53 = local_affinity(d_1.z);
                    const float _e55 = local_affinity(d_1.w);
                    w_1 = float4(_e49, _e51, _e53, _e55);
                    if (GATED) {
                        uint _e60 = r_5;
                        const uint _e61 = row_of(_e60);
                        float2 own_1 = row_state[min(uint(_e61), 15u)];
                        float4 _e64 = w_1;
                        float2 _e66 = gates[0];
                        const float _e67 = gate_decay(own_1, _e66);
                        float2 _e69 = gates[1];
                        const float _e70 = gate_decay(own_1, _e69);
                        float2 _e72 = gates[2];
                        const float _e73 = gate_decay(own_1, _e72);
                        float2 _e75 = gates[3];
                        const float _e76 = gate_decay(own_1, _e75);
                        w_1 = (_e64 * float4(_e67, _e70, _e73, _e76));
                    }
                    uint _e80 = r_5;
                    uint _e83 = k_3;
                    float4 _e87 = w_1;
                    dots[min(uint(((_e80 * KEYS) + _e83)), 15u)] = (seen ? _e87 : ZeroValuefloat4());
                }
            }
        }
    }
    return;
}

uint naga_mod(uint lhs, uint rhs) {
    return lhs % (rhs == 0u ? 1u : rhs);
}

void add_near_keys(Near near_4)
{
    uint start_2 = 0u;
    uint i = (uint)0;
    uint chunk = (uint)0;
    bool local_2 = (bool)0;
    uint i_1 = (uint)0;
    uint i_2 = (uint)0;
    uint r_6 = (uint)0;
    uint k_4 = (uint)0;

    uint2 loop_bound_14 = uint2(4294967295u, 4294967295u);
    bool loop_init_14 = true;
    while(true) {
        if (all(loop_bound_14 == uint2(0u, 0u))) { break; }
        loop_bound_14 -= uint2(loop_bound_14.y == 0u, 1u);
        if (!loop_init_14) {
            uint _e211 = start_2;
            start_2 = (_e211 + TILE);
        }
        loop_init_14 = false;
        uint _e3 = start_2;
        if ((_e3 < near_4.end)) {
        } else {
            break;
        }
        {
            i = 0u;
            uint2 loop_bound_15 = uint2(4294967295u, 4294967295u);
            bool loop_init_15 = true;
            while(true) {
                if (all(loop_bound_15 == uint2(0u, 0u))) { break; }
                loop_bound_15 -= uint2(loop_bound_15.y == 0u, 1u);
                if (!loop_init_15) {
                    uint _e20 = i;
                    i = (_e20 + 1u);
                }
                loop_init_15 = false;
                uint _e8 = i;
                if ((_e8 < 2u)) {
                } else {
                    break;
                }
                {
                    uint _e16 = i;
                    dots[min(uint(_e16), 15u)] = ZeroValuefloat4();
                }
            }
            chunk = 0u;
            uint2 loop_bound_16 = uint2(4294967295u, 4294967295u);
            bool loop_init_16 = true;
            while(true) {
                if (all(loop_bound_16 == uint2(0u, 0u))) { break; }
                loop_bound_16 -= uint2(loop_bound_16.y == 0u, 1u);
                if (!loop_init_16) {
                    uint _e156 = chunk;
                    chunk = (_e156 + CHUNK);
                }
                loop_init_16 = false;
                uint _e24 = chunk;
                if ((_e24 < 4u)) {
                } else {
                    break;
                }
                {
                    uint _e30 = chunk;
                    if ((_e30 > 0u)) {
                        GroupMemoryBarrierWithGroupSync();
                    }
                    uint _e33 = start_2;
                    if (!((_e33 == 0u))) {
                        local_2 = false;
                    } else {
                        local_2 = true;
                    }
                    bool _e47 = local_2;
                    if (_e47) {
                        uint _e50 = here.z;
                        i_1 = _e50;
                        uint2 loop_bound_17 = uint2(4294967295u, 4294967295u);
                        bool loop_init_17 = true;
                        while(true) {
                            if (all(loop_bound_17 == uint2(0u, 0u))) { break; }
                            loop_bound_17 -= uint2(loop_bound_17.y == 0u, 1u);
                            if (!loop_init_17) {
                                uint _e83 = i_1;
                                i_1 = (_e83 + 64u);
                            }
                            loop_init_17 = false;
                            uint _e52 = i_1;
                            if ((_e52 < 64u)) {
                            } else {
                                break;
                            }
                            {
                                uint _e60 = i_1;
                                uint _e68 = i_1;
                                uint _e73 = i_1;
                                uint _e77 = chunk;
                                uint _e78 = i_1;
                                const float4 _e82 = query_vector(near_4, naga_div(_e73, CHUNK), LOCAL_OFFSET, (_e77 + naga_mod(_e78, CHUNK)));
                                staged[min(uint(((naga_mod(_e60, CHUNK) * 17u) + naga_div(_e68, CHUNK))), 199u)] = _e82;
                            }
                        }
                    }
                    uint _e92 = here.z;
                    i_2 = _e92;
                    uint2 loop_bound_18 = uint2(4294967295u, 4294967295u);
                    bool loop_init_18 = true;
                    while(true) {
                        if (all(loop_bound_18 == uint2(0u, 0u))) { break; }
                        loop_bound_18 -= uint2(loop_bound_18.y == 0u, 1u);
                        if (!loop_init_18) {
                            uint _e149 = i_2;
                            i_2 = (_e149 + 64u);
                        }
                        loop_init_18 = false;
                        uint _e94 = i_2;
                        if ((_e94 < 128u)) {
                        } else {
                            break;
                        }
                        {
                            uint _e102 = start_2;
                            uint _e103 = i_2;
                            uint key_4 = (near_4.keys + min((_e102 + naga_div(_e103, CHUNK)), (near_4.end - 1u)));
                            uint _e120 = i_2;
                            uint _e129 = i_2;
                            uint _e141 = chunk;
                            uint _e143 = i_2;
                            float4 _e148 = asfloat(keys.Load4(((naga_div(((key_4 * KEY_WIDTH) + LOCAL_OFFSET), 4u) + _e141) + naga_mod(_e143, CHUNK))*16));
                            staged[min(uint(((68u + (naga_mod(_e120, CHUNK) * 33u)) + naga_div(_e129, CHUNK))), 199u)] = _e148;
                        }
                    }
                    GroupMemoryBarrierWithGroupSync();
                    add_dots();
                }
            }
            uint _e159 = start_2;
            relate(near_4, _e159);
            r_6 = 0u;
            uint2 loop_bound_19 = uint2(4294967295u, 4294967295u);
            bool loop_init_19 = true;
            while(true) {
                if (all(loop_bound_19 == uint2(0u, 0u))) { break; }
                loop_bound_19 -= uint2(loop_bound_19.y == 0u, 1u);
                if (!loop_init_19) {
                    uint _e206 = r_6;
                    r_6 = (_e206 + 1u);
                }
                loop_init_19 = false;
                uint _e162 = r_6;
                if ((_e162 < ROWS)) {
                } else {
                    break;
                }
                {
                    k_4 = 0u;
                    uint2 loop_bound_20 = uint2(4294967295u, 4294967295u);
                    bool loop_init_20 = true;
                    while(true) {
                        if (all(loop_bound_20 == uint2(0u, 0u))) { break; }
                        loop_bound_20 -= uint2(loop_bound_20.y == 0u, 1u);
                        if (!loop_init_20) {
                            uint _e203 = k_4;
                            k_4 = (_e203 + 1u);
                        }
                        loop_init_20 = false;
                        uint _e167 = k_4;
                        if ((_e167 < KEYS)) {
                        } else {
                            break;
                        }
                        {
                            uint _e171 = r_6;
                            uint _e174 = k_4;
                            float4 w_2 = dots[min(uint(((_e171 * KEYS) + _e174)), 15u)];
                            uint _e179 = r_6;
                            float _e181 = total[min(uint(_e179), 7u)];
                            total[min(uint(_e179), 7u)] = (_e181 + (((w_2.x + w_2.y) + w_2.z) + w_2.w));
                            uint _e191 = r_6;
                            const uint _e192 = row_of(_e191);
                            uint _e193 = k_4;
                            uint _e198 = here.x;
                            const uint _e200 = coefficient_at(_e192, ((_e193 * GROUP_X) + _e198));
                            coefficients[min(uint(_e200), 143u)] = w_2;
                        }
                    }
                }
            }
            GroupMemoryBarrierWithGroupSync();
            uint _e209 = start_2;
            add_near(near_4.keys, _e209, near_4.end);
        }
    }
    return;
}

void keep(uint row_4, uint query, float all_1)
{
    return;
}

void store_outputs(Near near_5, uint rows, uint lane, uint head)
{
    uint r_7 = 0u;
    bool local_3 = (bool)0;
    bool local_4 = (bool)0;
    uint c_2 = (uint)0;

    share_totals();
    uint2 loop_bound_21 = uint2(4294967295u, 4294967295u);
    bool loop_init_21 = true;
    while(true) {
        if (all(loop_bound_21 == uint2(0u, 0u))) { break; }
        loop_bound_21 -= uint2(loop_bound_21.y == 0u, 1u);
        if (!loop_init_21) {
            uint _e99 = r_7;
            r_7 = (_e99 + 1u);
        }
        loop_init_21 = false;
        uint _e6 = r_7;
        if ((_e6 < ROWS)) {
        } else {
            break;
        }
        {
            uint _e9 = r_7;
            const uint _e10 = row_of(_e9);
            int own_2 = asint(asuint(near_5.row) + asuint(int(_e10)));
            if ((_e10 < rows)) {
                local_3 = (own_2 >= int(0));
            } else {
                local_3 = false;
            }
            bool _e20 = local_3;
            if (_e20) {
                uint _e25 = params.tokens;
                local_4 = (own_2 < int((_e25 * GROUP)));
            } else {
                local_4 = false;
            }
            bool _e31 = local_4;
            if (_e31) {
                const float _e32 = row_total(_e10);
                uint _e35 = params.tokens;
                uint token = ((lane * _e35) + naga_div(uint(own_2), GROUP));
                uint to = (((((token * HEADS) + head) * GROUP) + naga_mod(uint(own_2), GROUP)) * 4u);
                c_2 = 0u;
                uint2 loop_bound_22 = uint2(4294967295u, 4294967295u);
                bool loop_init_22 = true;
                while(true) {
                    if (all(loop_bound_22 == uint2(0u, 0u))) { break; }
                    loop_bound_22 -= uint2(loop_bound_22.y == 0u, 1u);
                    if (!loop_init_22) {
                        uint _e88 = c_2;
                        c_2 = (_e88 + 1u);
                    }
                    loop_init_22 = false;
                    uint _e57 = c_2;
                    if ((_e57 < VECTORS)) {
                    } else {
                        break;
                    }
                    {
                        uint _e62 = here.x;
                        uint _e63 = c_2;
                        uint vector_6 = (_e62 + (_e63 * GROUP_X));
                        if ((vector_6 < 4u)) {
                            uint _e76 = r_7;
                            uint _e79 = c_2;
                            float4 _e82 = sum[min(uint(((_e76 * VECTORS) + _e79)), 15u)];
                            o.Store4((to + vector_6)*16, asuint((_e82 / ((BIAS + _e32)).xxxx)));
                        }
                    }
                }
                uint _e92 = here.x;
                if ((_e92 == 0u)) {
                    keep(_e10, (near_5.queries + uint(own_2)), _e32);
                }
            }
        }
    }
    return;
}

float factor(uint row_5, uint index_1)
{
    uint at = ((row_5 * PITCH) + index_1);
    float _e12 = staged[min(uint(naga_div(at, 4u)), 199u)][min(uint(naga_mod(at, 4u)), 3u)];
    return _e12;
}

float feature(uint row_6, uint packed)
{
    float value = (float)0;

    const float _e4 = factor(row_6, (packed & 255u));
    value = _e4;
    if (true) {
        float _e10 = value;
        const float _e15 = factor(row_6, ((packed >> 8u) & 255u));
        value = (_e10 * _e15);
    }
    if (false) {
        float _e21 = value;
        const float _e26 = factor(row_6, ((packed >> 16u) & 255u));
        value = (_e21 * _e26);
    }
    if (false) {
        float _e32 = value;
        const float _e35 = factor(row_6, (packed >> 24u));
        value = (_e32 * _e35);
    }
    float _e37 = value;
    return _e37;
}

float4 features(uint row_7, uint4 packed_1)
{
    const float _e3 = feature(row_7, packed_1.x);
    const float _e5 = feature(row_7, packed_1.y);
    const float _e7 = feature(row_7, packed_1.z);
    const float _e9 = feature(row_7, packed_1.w);
    return float4(_e3, _e5, _e7, _e9);
}

void stage_vector(uint row_8, uint vector_3, float4 value_1)
{
    staged[min(uint(((row_8 * 3u) + vector_3)), 199u)] = ((vector_3 < 2u) ? value_1 : (1.0).xxxx);
    return;
}

float4 value_far(uint z, uint f, uint vector_4)
{
    float4 _e11 = asfloat(prefix.Load4((naga_div((z + (f * HEAD)), 4u) + vector_4)*16));
    return _e11;
}

void add_far(uint first_2, uint start_3, uint end_1)
{
    float4 a_2[8] = ZeroValuearray8_float4_();
    uint k_5 = 0u;
    uint x_2 = (uint)0;
    uint r_8 = (uint)0;
    uint c_3 = (uint)0;
    uint r_9 = (uint)0;

    uint2 loop_bound_23 = uint2(4294967295u, 4294967295u);
    bool loop_init_23 = true;
    while(true) {
        if (all(loop_bound_23 == uint2(0u, 0u))) { break; }
        loop_bound_23 -= uint2(loop_bound_23.y == 0u, 1u);
        if (!loop_init_23) {
            uint _e146 = k_5;
            k_5 = (_e146 + 1u);
        }
        loop_init_23 = false;
        uint _e7 = k_5;
        if ((_e7 < KEYS)) {
        } else {
            break;
        }
        {
            x_2 = 0u;
            uint2 loop_bound_24 = uint2(4294967295u, 4294967295u);
            bool loop_init_24 = true;
            while(true) {
                if (all(loop_bound_24 == uint2(0u, 0u))) { break; }
                loop_bound_24 -= uint2(loop_bound_24.y == 0u, 1u);
                if (!loop_init_24) {
                    uint _e143 = x_2;
                    x_2 = (_e143 + 1u);
                }
                loop_init_24 = false;
                uint _e12 = x_2;
                if ((_e12 < GROUP_X)) {
                } else {
                    break;
                }
                {
                    uint _e19 = k_5;
                    uint _e22 = x_2;
                    uint key_5 = ((start_3 + (16u * _e19)) + _e22);
                    uint k0_1 = min(key_5, (end_1 - 1u));
                    uint k1_1 = min((key_5 + GROUP_X), (end_1 - 1u));
                    uint k2_1 = min((key_5 + 8u), (end_1 - 1u));
                    uint k3_1 = min((key_5 + 12u), (end_1 - 1u));
                    r_8 = 0u;
                    uint2 loop_bound_25 = uint2(4294967295u, 4294967295u);
                    bool loop_init_25 = true;
                    while(true) {
                        if (all(loop_bound_25 == uint2(0u, 0u))) { break; }
                        loop_bound_25 -= uint2(loop_bound_25.y == 0u, 1u);
                        if (!loop_init_25) {
                            uint _e67 = r_8;
                            r_8 = (_e67 + 1u);
                        }
                        loop_init_25 = false;
                        uint _e50 = r_8;
                        if ((_e50 < ROWS)) {
                        } else {
                            break;
                        }
                        {
                            uint _e53 = r_8;
                            uint _e56 = r_8;
                            const uint _e57 = row_of(_e56);
                            uint _e58 = k_5;
                            uint _e61 = x_2;
                            const uint _e63 = coefficient_at(_e57, ((_e58 * GROUP_X) + _e61));
                            float4 _e65 = coefficients[min(uint(_e63), 143u)];
                            a_2[min(uint(_e53), 7u)] = _e65;
                        }
                    }
                    c_3 = 0u;
                    uint2 loop_bound_26 = uint2(4294967295u, 4294967295u);
                    bool loop_init_26 = true;
                    while(true) {
                        if (all(loop_bound_26 == uint2(0u, 0u))) { break; }
                        loop_bound_26 -= uint2(loop_bound_26.y == 0u, 1u);
                        if (!loop_init_26) {
                            uint _e140 = c_3;
                            c_3 = (_e140 + 1u);
                        }
                        loop_init_26 = false;
                        uint _e71 = c_3;
                        if ((_e71 < VECTORS)) {
                        } else {
                            break;
                        }
                        {
                            uint _e76 = here.x;
                            uint _e77 = c_3;
                            uint vector_7 = min((_e76 + (_e77 * GROUP_X)), 3u);
                            const float4 _e88 = value_far(first_2, k0_1, vector_7);
                            const float4 _e89 = value_far(first_2, k1_1, vector_7);
                            const float4 _e90 = value_far(first_2, k2_1, vector_7);
                            const float4 _e91 = value_far(first_2, k3_1, vector_7);
                            r_9 = 0u;
                            uint2 loop_bound_27 = uint2(4294967295u, 4294967295u);
                            bool loop_init_27 = true;
                            while(true) {
                                if (all(loop_bound_27 == uint2(0u, 0u))) { break; }
                                loop_bound_27 -= uint2(loop_bound_27.y == 0u, 1u);
                                if (!loop_init_27) {
                                    uint _e137 = r_9;
                                    r_9 = (_e137 + 1u);
                                }
                                loop_init_27 = false;
                                uint _e94 = r_9;
                                if ((_e94 < ROWS)) {
                                } else {
                                    break;
                                }
                                {
                                    uint _e98 = r_9;
                                    uint _e101 = c_3;
                                    uint _e105 = r_9;
                                    uint _e108 = c_3;
                                    float4 _e111 = sum[min(uint(((_e105 * VECTORS) + _e108)), 15u)];
                                    uint _e112 = r_9;
                                    float _e115 = a_2[min(uint(_e112), 7u)].x;
                                    uint _e118 = r_9;
                                    float _e121 = a_2[min(uint(_e118), 7u)].y;
                                    uint _e124 = r_9;
                                    float _e127 = a_2[min(uint(_e124), 7u)].z;
                                    uint _e130 = r_9;
                                    float _e133 = a_2[min(uint(_e130), 7u)].w;
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

float z_total(uint z_1, uint f_1)
{
    float _e16 = asfloat(prefix.Load(naga_mod(f_1, 4u)*4+naga_div(((z_1 + 576u) + f_1), 4u)*16));
    return _e16;
}

float2 ZeroValuefloat2() {
    return (float2)0;
}

void add_far_state(Near near_6, uint z_2)
{
    uint i_3 = (uint)0;
    uint start_4 = 0u;
    uint k_6 = (uint)0;
    uint r_10 = (uint)0;
    float4 phi = (float4)0;

    uint _e4 = here.z;
    i_3 = _e4;
    uint2 loop_bound_28 = uint2(4294967295u, 4294967295u);
    bool loop_init_28 = true;
    while(true) {
        if (all(loop_bound_28 == uint2(0u, 0u))) { break; }
        loop_bound_28 -= uint2(loop_bound_28.y == 0u, 1u);
        if (!loop_init_28) {
            uint _e50 = i_3;
            i_3 = (_e50 + 64u);
        }
        loop_init_28 = false;
        uint _e6 = i_3;
        if ((_e6 < 48u)) {
        } else {
            break;
        }
        {
            uint _e17 = i_3;
            uint c_4 = naga_mod(_e17, 3u);
            uint _e25 = i_3;
            uint _e33 = i_3;
            const float4 _e49 = query_vector(near_6, naga_div(_e33, 3u), SOURCE_OFFSET, min(c_4, 1u));
            stage_vector(naga_div(_e25, 3u), c_4, _e49);
        }
    }
    GroupMemoryBarrierWithGroupSync();
    uint2 loop_bound_29 = uint2(4294967295u, 4294967295u);
    bool loop_init_29 = true;
    while(true) {
        if (all(loop_bound_29 == uint2(0u, 0u))) { break; }
        loop_bound_29 -= uint2(loop_bound_29.y == 0u, 1u);
        if (!loop_init_29) {
            uint _e173 = start_4;
            start_4 = (_e173 + TILE);
        }
        loop_init_29 = false;
        uint _e59 = start_4;
        if ((_e59 < FEATURES)) {
        } else {
            break;
        }
        {
            k_6 = 0u;
            uint2 loop_bound_30 = uint2(4294967295u, 4294967295u);
            bool loop_init_30 = true;
            while(true) {
                if (all(loop_bound_30 == uint2(0u, 0u))) { break; }
                loop_bound_30 -= uint2(loop_bound_30.y == 0u, 1u);
                if (!loop_init_30) {
                    uint _e169 = k_6;
                    k_6 = (_e169 + 1u);
                }
                loop_init_30 = false;
                uint _e64 = k_6;
                if ((_e64 < KEYS)) {
                } else {
                    break;
                }
                {
                    uint _e67 = k_6;
                    const uint4 _e68 = tile_keys(_e67);
                    uint _e69 = start_4;
                    uint4 f_2 = (_e68 + (_e69).xxxx);
                    bool4 seen_1 = (f_2 < (36u).xxxx);
                    uint4 at_1 = min(f_2, (35u).xxxx);
                    uint _e85 = asuint(table.Load(at_1.x*4));
                    uint _e89 = asuint(table.Load(at_1.y*4));
                    uint _e93 = asuint(table.Load(at_1.z*4));
                    uint _e97 = asuint(table.Load(at_1.w*4));
                    uint4 packed_2 = uint4(_e85, _e89, _e93, _e97);
                    const float _e100 = z_total(z_2, at_1.x);
                    const float _e102 = z_total(z_2, at_1.y);
                    const float _e104 = z_total(z_2, at_1.z);
                    const float _e106 = z_total(z_2, at_1.w);
                    float4 totals = float4(_e100, _e102, _e104, _e106);
                    r_10 = 0u;
                    uint2 loop_bound_31 = uint2(4294967295u, 4294967295u);
                    bool loop_init_31 = true;
                    while(true) {
                        if (all(loop_bound_31 == uint2(0u, 0u))) { break; }
                        loop_bound_31 -= uint2(loop_bound_31.y == 0u, 1u);
                        if (!loop_init_31) {
                            uint _e166 = r_10;
                            r_10 = (_e166 + 1u);
                        }
                        loop_init_31 = false;
                        uint _e110 = r_10;
                        if ((_e110 < ROWS)) {
                        } else {
                            break;
                        }
                        {
                            uint _e113 = r_10;
                            const uint _e114 = row_of(_e113);
                            const float4 _e116 = features(_e114, packed_2);
                            phi = (seen_1 ? _e116 : ZeroValuefloat4());
                            if (GATED) {
                                float4 _e120 = phi;
                                float2 _e123 = row_state[min(uint(_e114), 15u)];
                                const float _e125 = gate_decay(_e123, ZeroValuefloat2());
                                phi = (_e120 * _e125);
                            }
                            uint _e128 = r_10;
                            uint _e131 = r_10;
                            float _e133 = total[min(uint(_e131), 7u)];
                            float _e135 = phi.x;
                            float _e140 = phi.y;
                            float _e145 = phi.z;
                            float _e150 = phi.w;
                            total[min(uint(_e128), 7u)] = ((((_e133 + (_e135 * totals.x)) + (_e140 * totals.y)) + (_e145 * totals.z)) + (_e150 * totals.w));
                            uint _e155 = k_6;
                            uint _e160 = here.x;
                            const uint _e162 = coefficient_at(_e114, ((_e155 * GROUP_X) + _e160));
                            float4 _e164 = phi;
                            coefficients[min(uint(_e162), 143u)] = _e164;
                        }
                    }
                }
            }
            GroupMemoryBarrierWithGroupSync();
            uint _e171 = start_4;
            add_far(z_2, _e171, FEATURES);
            GroupMemoryBarrierWithGroupSync();
        }
    }
    return;
}

Near ConstructNear(uint arg0, int arg1, uint arg2, uint arg3, uint arg4) {
    Near ret = (Near)0;
    ret.queries = arg0;
    ret.row = arg1;
    ret.keys = arg2;
    ret.own = arg3;
    ret.end = arg4;
    return ret;
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
        coefficients = (float4[144])0;
        staged = (float4[200])0;
        row_state = (float2[16])0;
    }
    GroupMemoryBarrierWithGroupSync();
    bool local_1 = (bool)0;

    here = uint3(local.xy, index);
    uint block = group.y;
    uint _e10 = params.lane_base;
    Lane lane_1 = ConstructLane(asuint(lanes.Load((_e10 + naga_div(group.z, HEADS))*16+0)), asuint(lanes.Load((_e10 + naga_div(group.z, HEADS))*16+4)), asuint(lanes.Load((_e10 + naga_div(group.z, HEADS))*16+8)), asuint(lanes.Load((_e10 + naga_div(group.z, HEADS))*16+12)));
    uint head_1 = naga_mod(group.z, HEADS);
    uint _e23 = params.tokens;
    uint end_2 = ((lane_1.ring + _e23) * GROUP);
    uint tile = (group.x * ROW_TILE);
    uint first_3 = (((block * BLOCK) * GROUP) + tile);
    uint rows_1 = min((16u - tile), ROW_TILE);
    if (!((first_3 >= end_2))) {
        local_1 = ((first_3 + rows_1) <= (lane_1.ring * GROUP));
    } else {
        local_1 = true;
    }
    bool _e53 = local_1;
    if (_e53) {
        return;
    }
    uint _e64 = params.tokens;
    uint keys_end = min((naga_div(((tile + rows_1) - 1u), GROUP) + 1u), ((lane_1.ring + _e64) - (block * BLOCK)));
    uint _e73 = params.tokens;
    uint _e86 = params.stride;
    Near near_7 = ConstructNear(((group.z * _e73) * GROUP), asint(asuint(int(first_3)) - asuint(int((lane_1.ring * GROUP)))), ((group.z * _e86) + (block * BLOCK)), tile, keys_end);
    keep_row_gates(near_7);
    add_near_keys(near_7);
    if (((lane_1.position + (block * BLOCK)) > lane_1.ring)) {
        GroupMemoryBarrierWithGroupSync();
        uint _e101 = params.blocks;
        add_far_state(near_7, ((((group.z * _e101) + block) * FEATURES) * 17u));
    }
    store_outputs(near_7, rows_1, naga_div(group.z, HEADS), head_1);
    return;
}
