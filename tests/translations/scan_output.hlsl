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

static const uint THREADS = 128u;
static const uint TILE = 32u;
static const uint HEADS = 2u;
static const uint HEAD = 16u;
static const uint BLOCK = 16u;
static const uint QUERY_WIDTH = 24u;
static const uint KEY_WIDTH = 44u;
static const uint LOCAL = 16u;
static const uint LOCAL_OFFSET = 0u;
static const uint S_OFFSET = 16u;
static const uint V_OFFSET = 24u;
static const uint GATED = 1u;
static const float BIAS = 1.0;
static const uint ROW_TILE = 32u;
static const uint STAGED = 512u;
static const uint TILE_WEIGHTS = 1024u;
static const uint ITEMS = 1u;
static const uint WEIGHTS = 8u;
static const uint SOURCE = 8u;
static const uint FEATURES = 36u;
static const uint ORDER = 2u;
static const uint EXTENDED = 0u;
static const float SCALE = 0.25;
static const uint DEGREE = 4u;

cbuffer params : register(b0) { Params params; }
ByteAddressBuffer queries : register(t1);
ByteAddressBuffer keys : register(t2);
ByteAddressBuffer lanes : register(t3);
ByteAddressBuffer table : register(t4);
ByteAddressBuffer prefix : register(t5);
RWByteAddressBuffer o : register(u6);
groupshared float source[512];
groupshared float weights[1024];
groupshared float2 row_gate[32];

float gate_decay(float2 a, float2 b)
{
    return exp(min(((a.x - b.x) + (a.y - b.y)), 0.0));
}

float factor(uint row, uint index)
{
    bool local_7 = (bool)0;

    if (false) {
        local_7 = (index == SOURCE);
    } else {
        local_7 = false;
    }
    bool _e11 = local_7;
    if (_e11) {
        return 1.0;
    }
    float _e18 = source[min(uint(((row * SOURCE) + index)), 511u)];
    return _e18;
}

float feature(uint row_1, uint packed)
{
    float value_1 = (float)0;

    const float _e4 = factor(row_1, (packed & 255u));
    value_1 = _e4;
    if (true) {
        float _e10 = value_1;
        const float _e15 = factor(row_1, ((packed >> 8u) & 255u));
        value_1 = (_e10 * _e15);
    }
    if (false) {
        float _e21 = value_1;
        const float _e26 = factor(row_1, ((packed >> 16u) & 255u));
        value_1 = (_e21 * _e26);
    }
    if (false) {
        float _e32 = value_1;
        const float _e35 = factor(row_1, (packed >> 24u));
        value_1 = (_e32 * _e35);
    }
    float _e37 = value_1;
    return _e37;
}

float local_weight(float t)
{
    float w_1 = 1.0;
    uint m = 0u;

    float s = (SCALE * t);
    float square = (s * s);
    uint2 loop_bound = uint2(4294967295u, 4294967295u);
    bool loop_init = true;
    while(true) {
        if (all(loop_bound == uint2(0u, 0u))) { break; }
        loop_bound -= uint2(loop_bound.y == 0u, 1u);
        if (!loop_init) {
            uint _e17 = m;
            m = (_e17 + 1u);
        }
        loop_init = false;
        uint _e8 = m;
        if ((_e8 < 2u)) {
        } else {
            break;
        }
        {
            float _e14 = w_1;
            w_1 = (_e14 * square);
        }
    }
    float _e19 = w_1;
    return _e19;
}

uint naga_div(uint lhs, uint rhs) {
    return lhs / (rhs == 0u ? 1u : rhs);
}

uint naga_mod(uint lhs, uint rhs) {
    return lhs % (rhs == 0u ? 1u : rhs);
}

float4 ZeroValuefloat4() {
    return (float4)0;
}

void stage(uint lane_head, int first_token, uint offset, uint width, uint local_8)
{
    uint i = (uint)0;
    float4 value_2 = (float4)0;
    bool local_9 = (bool)0;

    i = local_8;
    uint2 loop_bound_1 = uint2(4294967295u, 4294967295u);
    bool loop_init_1 = true;
    while(true) {
        if (all(loop_bound_1 == uint2(0u, 0u))) { break; }
        loop_bound_1 -= uint2(loop_bound_1.y == 0u, 1u);
        if (!loop_init_1) {
            uint _e84 = i;
            i = (_e84 + THREADS);
        }
        loop_init_1 = false;
        uint _e6 = i;
        if ((_e6 < naga_div((ROW_TILE * width), 4u))) {
        } else {
            break;
        }
        {
            uint _e12 = i;
            int token = asint(asuint(first_token) + asuint(int(naga_div(_e12, naga_div(width, 4u)))));
            value_2 = ZeroValuefloat4();
            if ((token >= int(0))) {
                uint _e26 = params.tokens;
                local_9 = (token < int(_e26));
            } else {
                local_9 = false;
            }
            bool _e30 = local_9;
            if (_e30) {
                uint _e34 = params.tokens;
                uint _e43 = i;
                float4 _e49 = asfloat(queries.Load4((naga_div(((((lane_head * _e34) + uint(token)) * QUERY_WIDTH) + offset), 4u) + naga_mod(_e43, naga_div(width, 4u)))*16));
                value_2 = _e49;
            }
            uint _e51 = i;
            float _e56 = value_2.x;
            source[min(uint((_e51 * 4u)), 511u)] = _e56;
            uint _e58 = i;
            float _e65 = value_2.y;
            source[min(uint(((_e58 * 4u) + 1u)), 511u)] = _e65;
            uint _e67 = i;
            float _e74 = value_2.z;
            source[min(uint(((_e67 * 4u) + 2u)), 511u)] = _e74;
            uint _e76 = i;
            float _e83 = value_2.w;
            source[min(uint(((_e76 * 4u) + 3u)), 511u)] = _e83;
        }
    }
    return;
}

float2 ZeroValuefloat2() {
    return (float2)0;
}

typedef float4 ret_ZeroValuearray16_float4_[16];
ret_ZeroValuearray16_float4_ ZeroValuearray16_float4_() {
    return (float4[16])0;
}

typedef float ret_ZeroValuearray16_float_[16];
ret_ZeroValuearray16_float_ ZeroValuearray16_float_() {
    return (float[16])0;
}

typedef float ret_ZeroValuearray8_float_[8];
ret_ZeroValuearray8_float_ ZeroValuearray8_float_() {
    return (float[8])0;
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
        source = (float[512])0;
        weights = (float[1024])0;
        row_gate = (float2[32])0;
    }
    GroupMemoryBarrierWithGroupSync();
    bool local_1 = (bool)0;
    bool local_2 = (bool)0;
    bool local_3 = (bool)0;
    float4 sum[16] = ZeroValuearray16_float4_();
    float total[16] = ZeroValuearray16_float_();
    uint start = 0u;
    float dots[8] = (float[8])0;
    uint c = (uint)0;
    uint k = (uint)0;
    uint k_1 = (uint)0;
    float w = (float)0;
    bool local_4 = (bool)0;
    uint jj = (uint)0;
    uint k_2 = (uint)0;
    uint start_1 = 0u;
    uint k_3 = (uint)0;
    float value = (float)0;
    uint ff = (uint)0;
    uint k_4 = (uint)0;
    uint k_5 = 0u;
    bool local_5 = (bool)0;
    bool local_6 = (bool)0;

    uint block = group.y;
    uint _e6 = params.lane_base;
    Lane lane = ConstructLane(asuint(lanes.Load((_e6 + naga_div(group.z, HEADS))*16+0)), asuint(lanes.Load((_e6 + naga_div(group.z, HEADS))*16+4)), asuint(lanes.Load((_e6 + naga_div(group.z, HEADS))*16+8)), asuint(lanes.Load((_e6 + naga_div(group.z, HEADS))*16+12)));
    uint head = naga_mod(group.z, HEADS);
    uint _e19 = params.tokens;
    uint end = (lane.ring + _e19);
    uint tile = (group.x * ROW_TILE);
    uint first = ((block * BLOCK) + tile);
    uint rows = min((BLOCK - tile), ROW_TILE);
    if (!((first >= end))) {
        local_1 = ((first + rows) <= lane.ring);
    } else {
        local_1 = true;
    }
    bool _e39 = local_1;
    if (_e39) {
        return;
    }
    uint _e43 = params.stride;
    uint block_row = ((group.z * _e43) + (block * BLOCK));
    int first_token_1 = asint(asuint(int(first)) - asuint(int(lane.ring)));
    if (true) {
        local_2 = (local < ROW_TILE);
    } else {
        local_2 = false;
    }
    bool _e61 = local_2;
    if (_e61) {
        row_gate[min(uint(local), 31u)] = ZeroValuefloat2();
        if ((local < rows)) {
            local_3 = ((first + local) < end);
        } else {
            local_3 = false;
        }
        bool _e71 = local_3;
        if (_e71) {
            float4 _e86 = asfloat(keys.Load4(naga_div((((((block_row + tile) + local) * KEY_WIDTH) + V_OFFSET) + HEAD), 4u)*16));
            row_gate[min(uint(local), 31u)] = _e86.xy;
        }
    }
    stage(group.z, first_token_1, LOCAL_OFFSET, LOCAL, local);
    GroupMemoryBarrierWithGroupSync();
    uint keys_end = min((tile + rows), (end - (block * BLOCK)));
    uint2 loop_bound_2 = uint2(4294967295u, 4294967295u);
    bool loop_init_2 = true;
    while(true) {
        if (all(loop_bound_2 == uint2(0u, 0u))) { break; }
        loop_bound_2 -= uint2(loop_bound_2.y == 0u, 1u);
        if (!loop_init_2) {
            uint _e310 = start;
            start = (_e310 + TILE);
        }
        loop_init_2 = false;
        uint _e102 = start;
        if ((_e102 < keys_end)) {
        } else {
            break;
        }
        {
            uint _e104 = start;
            uint j = (_e104 + naga_mod(local, TILE));
            dots = ZeroValuearray8_float_();
            if ((j < keys_end)) {
                uint key = naga_div((((block_row + j) * KEY_WIDTH) + LOCAL_OFFSET), 4u);
                c = 0u;
                uint2 loop_bound_3 = uint2(4294967295u, 4294967295u);
                bool loop_init_3 = true;
                while(true) {
                    if (all(loop_bound_3 == uint2(0u, 0u))) { break; }
                    loop_bound_3 -= uint2(loop_bound_3.y == 0u, 1u);
                    if (!loop_init_3) {
                        uint _e185 = c;
                        c = (_e185 + 1u);
                    }
                    loop_init_3 = false;
                    uint _e120 = c;
                    if ((_e120 < 4u)) {
                    } else {
                        break;
                    }
                    {
                        uint _e127 = c;
                        float4 k4_ = asfloat(keys.Load4((key + _e127)*16));
                        k = 0u;
                        uint2 loop_bound_4 = uint2(4294967295u, 4294967295u);
                        bool loop_init_4 = true;
                        while(true) {
                            if (all(loop_bound_4 == uint2(0u, 0u))) { break; }
                            loop_bound_4 -= uint2(loop_bound_4.y == 0u, 1u);
                            if (!loop_init_4) {
                                uint _e182 = k;
                                k = (_e182 + 1u);
                            }
                            loop_init_4 = false;
                            uint _e133 = k;
                            if ((_e133 < WEIGHTS)) {
                            } else {
                                break;
                            }
                            {
                                uint _e138 = k;
                                uint _e144 = c;
                                uint at = (((naga_div(local, TILE) + (_e138 * 4u)) * LOCAL) + (_e144 * 4u));
                                uint _e148 = k;
                                float _e150 = dots[min(uint(_e148), 7u)];
                                float _e153 = source[min(uint(at), 511u)];
                                float _e160 = source[min(uint((at + 1u)), 511u)];
                                float _e168 = source[min(uint((at + 2u)), 511u)];
                                float _e176 = source[min(uint((at + 3u)), 511u)];
                                dots[min(uint(_e148), 7u)] = (_e150 + ((((_e153 * k4_.x) + (_e160 * k4_.y)) + (_e168 * k4_.z)) + (_e176 * k4_.w)));
                            }
                        }
                    }
                }
            }
            k_1 = 0u;
            uint2 loop_bound_5 = uint2(4294967295u, 4294967295u);
            bool loop_init_5 = true;
            while(true) {
                if (all(loop_bound_5 == uint2(0u, 0u))) { break; }
                loop_bound_5 -= uint2(loop_bound_5.y == 0u, 1u);
                if (!loop_init_5) {
                    uint _e243 = k_1;
                    k_1 = (_e243 + 1u);
                }
                loop_init_5 = false;
                uint _e189 = k_1;
                if ((_e189 < WEIGHTS)) {
                } else {
                    break;
                }
                {
                    uint _e194 = k_1;
                    uint row_2 = (naga_div(local, TILE) + (_e194 * 4u));
                    w = 0.0;
                    if ((j <= (tile + row_2))) {
                        local_4 = (j < keys_end);
                    } else {
                        local_4 = false;
                    }
                    bool _e206 = local_4;
                    if (_e206) {
                        uint _e207 = k_1;
                        float _e209 = dots[min(uint(_e207), 7u)];
                        const float _e210 = local_weight(_e209);
                        w = _e210;
                        if (true) {
                            float _e215 = w;
                            float2 _e218 = row_gate[min(uint(row_2), 31u)];
                            float4 _e230 = asfloat(keys.Load4(naga_div(((((block_row + j) * KEY_WIDTH) + V_OFFSET) + HEAD), 4u)*16));
                            const float _e232 = gate_decay(_e218, _e230.xy);
                            w = (_e215 * _e232);
                        }
                    }
                    float _e241 = w;
                    weights[min(uint(((row_2 * TILE) + naga_mod(local, TILE))), 1023u)] = _e241;
                }
            }
            GroupMemoryBarrierWithGroupSync();
            jj = 0u;
            uint2 loop_bound_6 = uint2(4294967295u, 4294967295u);
            bool loop_init_6 = true;
            while(true) {
                if (all(loop_bound_6 == uint2(0u, 0u))) { break; }
                loop_bound_6 -= uint2(loop_bound_6.y == 0u, 1u);
                if (!loop_init_6) {
                    uint _e308 = jj;
                    jj = (_e308 + 1u);
                }
                loop_init_6 = false;
                uint _e247 = jj;
                uint _e249 = start;
                if ((_e247 < min(TILE, (keys_end - _e249)))) {
                } else {
                    break;
                }
                {
                    uint _e253 = start;
                    uint _e255 = jj;
                    uint v = naga_div(((((block_row + _e253) + _e255) * KEY_WIDTH) + V_OFFSET), 4u);
                    k_2 = 0u;
                    uint2 loop_bound_7 = uint2(4294967295u, 4294967295u);
                    bool loop_init_7 = true;
                    while(true) {
                        if (all(loop_bound_7 == uint2(0u, 0u))) { break; }
                        loop_bound_7 -= uint2(loop_bound_7.y == 0u, 1u);
                        if (!loop_init_7) {
                            uint _e305 = k_2;
                            k_2 = (_e305 + 1u);
                        }
                        loop_init_7 = false;
                        uint _e265 = k_2;
                        if ((_e265 < ITEMS)) {
                        } else {
                            break;
                        }
                        {
                            uint _e268 = k_2;
                            uint item = (local + (_e268 * THREADS));
                            uint _e282 = jj;
                            float w_2 = weights[min(uint(((naga_mod(naga_div(item, 4u), ROW_TILE) * TILE) + _e282)), 1023u)];
                            uint _e286 = k_2;
                            float4 _e288 = sum[min(uint(_e286), 15u)];
                            float4 _e297 = asfloat(keys.Load4((v + naga_mod(item, 4u))*16));
                            sum[min(uint(_e286), 15u)] = (_e288 + (w_2 * _e297));
                            uint _e300 = k_2;
                            float _e302 = total[min(uint(_e300), 15u)];
                            total[min(uint(_e300), 15u)] = (_e302 + w_2);
                        }
                    }
                }
            }
            GroupMemoryBarrierWithGroupSync();
        }
    }
    uint _e316 = params.blocks;
    uint z = ((((group.z * _e316) + block) * FEATURES) * 17u);
    if (((lane.position + (block * BLOCK)) > lane.ring)) {
        stage(group.z, first_token_1, S_OFFSET, SOURCE, local);
        GroupMemoryBarrierWithGroupSync();
        uint2 loop_bound_8 = uint2(4294967295u, 4294967295u);
        bool loop_init_8 = true;
        while(true) {
            if (all(loop_bound_8 == uint2(0u, 0u))) { break; }
            loop_bound_8 -= uint2(loop_bound_8.y == 0u, 1u);
            if (!loop_init_8) {
                uint _e471 = start_1;
                start_1 = (_e471 + TILE);
            }
            loop_init_8 = false;
            uint _e337 = start_1;
            if ((_e337 < FEATURES)) {
            } else {
                break;
            }
            {
                uint _e340 = start_1;
                uint f = (_e340 + naga_mod(local, TILE));
                k_3 = 0u;
                uint2 loop_bound_9 = uint2(4294967295u, 4294967295u);
                bool loop_init_9 = true;
                while(true) {
                    if (all(loop_bound_9 == uint2(0u, 0u))) { break; }
                    loop_bound_9 -= uint2(loop_bound_9.y == 0u, 1u);
                    if (!loop_init_9) {
                        uint _e383 = k_3;
                        k_3 = (_e383 + 1u);
                    }
                    loop_init_9 = false;
                    uint _e346 = k_3;
                    if ((_e346 < WEIGHTS)) {
                    } else {
                        break;
                    }
                    {
                        uint _e351 = k_3;
                        uint row_3 = (naga_div(local, TILE) + (_e351 * 4u));
                        value = 0.0;
                        if ((f < FEATURES)) {
                            uint _e361 = asuint(table.Load(f*4));
                            const float _e362 = feature(row_3, _e361);
                            value = _e362;
                            if (true) {
                                float _e367 = value;
                                float2 _e370 = row_gate[min(uint(row_3), 31u)];
                                const float _e372 = gate_decay(_e370, ZeroValuefloat2());
                                value = (_e367 * _e372);
                            }
                        }
                        float _e381 = value;
                        weights[min(uint(((row_3 * TILE) + naga_mod(local, TILE))), 1023u)] = _e381;
                    }
                }
                GroupMemoryBarrierWithGroupSync();
                ff = 0u;
                uint2 loop_bound_10 = uint2(4294967295u, 4294967295u);
                bool loop_init_10 = true;
                while(true) {
                    if (all(loop_bound_10 == uint2(0u, 0u))) { break; }
                    loop_bound_10 -= uint2(loop_bound_10.y == 0u, 1u);
                    if (!loop_init_10) {
                        uint _e469 = ff;
                        ff = (_e469 + 1u);
                    }
                    loop_init_10 = false;
                    uint _e387 = ff;
                    uint _e390 = start_1;
                    if ((_e387 < min(TILE, (FEATURES - _e390)))) {
                    } else {
                        break;
                    }
                    {
                        uint _e394 = start_1;
                        uint _e395 = ff;
                        uint zrow = naga_div((z + ((_e394 + _e395) * HEAD)), 4u);
                        uint _e409 = start_1;
                        uint _e411 = ff;
                        uint _e416 = start_1;
                        uint _e417 = ff;
                        float z_total = asfloat(prefix.Load(naga_mod((_e416 + _e417), 4u)*4+naga_div((((z + 576u) + _e409) + _e411), 4u)*16));
                        k_4 = 0u;
                        uint2 loop_bound_11 = uint2(4294967295u, 4294967295u);
                        bool loop_init_11 = true;
                        while(true) {
                            if (all(loop_bound_11 == uint2(0u, 0u))) { break; }
                            loop_bound_11 -= uint2(loop_bound_11.y == 0u, 1u);
                            if (!loop_init_11) {
                                uint _e466 = k_4;
                                k_4 = (_e466 + 1u);
                            }
                            loop_init_11 = false;
                            uint _e425 = k_4;
                            if ((_e425 < ITEMS)) {
                            } else {
                                break;
                            }
                            {
                                uint _e428 = k_4;
                                uint item_1 = (local + (_e428 * THREADS));
                                uint _e442 = ff;
                                float p = weights[min(uint(((naga_mod(naga_div(item_1, 4u), ROW_TILE) * TILE) + _e442)), 1023u)];
                                uint _e446 = k_4;
                                float4 _e448 = sum[min(uint(_e446), 15u)];
                                float4 _e457 = asfloat(prefix.Load4((zrow + naga_mod(item_1, 4u))*16));
                                sum[min(uint(_e446), 15u)] = (_e448 + (p * _e457));
                                uint _e460 = k_4;
                                float _e462 = total[min(uint(_e460), 15u)];
                                total[min(uint(_e460), 15u)] = (_e462 + (p * z_total));
                            }
                        }
                    }
                }
                GroupMemoryBarrierWithGroupSync();
            }
        }
    }
    uint2 loop_bound_12 = uint2(4294967295u, 4294967295u);
    bool loop_init_12 = true;
    while(true) {
        if (all(loop_bound_12 == uint2(0u, 0u))) { break; }
        loop_bound_12 -= uint2(loop_bound_12.y == 0u, 1u);
        if (!loop_init_12) {
            uint _e542 = k_5;
            k_5 = (_e542 + 1u);
        }
        loop_init_12 = false;
        uint _e476 = k_5;
        if ((_e476 < ITEMS)) {
        } else {
            break;
        }
        {
            uint _e479 = k_5;
            uint item_2 = (local + (_e479 * THREADS));
            uint row_4 = naga_div(item_2, 4u);
            int token_1 = asint(asuint(first_token_1) + asuint(int(row_4)));
            if ((row_4 < rows)) {
                local_5 = (token_1 >= int(0));
            } else {
                local_5 = false;
            }
            bool _e496 = local_5;
            if (_e496) {
                uint _e501 = params.tokens;
                local_6 = (token_1 < int(_e501));
            } else {
                local_6 = false;
            }
            bool _e505 = local_6;
            if (_e505) {
                uint _e511 = params.tokens;
                uint out_ = ((((naga_div(group.z, HEADS) * _e511) + uint(token_1)) * HEADS) + head);
                uint _e531 = k_5;
                float4 _e533 = sum[min(uint(_e531), 15u)];
                uint _e535 = k_5;
                float _e537 = total[min(uint(_e535), 15u)];
                o.Store4(((out_ * 4u) + naga_mod(item_2, 4u))*16, asuint((_e533 / ((BIAS + _e537)).xxxx)));
            }
        }
    }
    return;
}
