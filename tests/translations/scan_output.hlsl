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
    float4 sum[16] = (float4[16])0;
    float total[16] = (float[16])0;
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
            uint _e308 = start;
            start = (_e308 + TILE);
        }
        loop_init_2 = false;
        uint _e100 = start;
        if ((_e100 < keys_end)) {
        } else {
            break;
        }
        {
            uint _e102 = start;
            uint j = (_e102 + naga_mod(local, TILE));
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
                        uint _e183 = c;
                        c = (_e183 + 1u);
                    }
                    loop_init_3 = false;
                    uint _e118 = c;
                    if ((_e118 < 4u)) {
                    } else {
                        break;
                    }
                    {
                        uint _e125 = c;
                        float4 k4_ = asfloat(keys.Load4((key + _e125)*16));
                        k = 0u;
                        uint2 loop_bound_4 = uint2(4294967295u, 4294967295u);
                        bool loop_init_4 = true;
                        while(true) {
                            if (all(loop_bound_4 == uint2(0u, 0u))) { break; }
                            loop_bound_4 -= uint2(loop_bound_4.y == 0u, 1u);
                            if (!loop_init_4) {
                                uint _e180 = k;
                                k = (_e180 + 1u);
                            }
                            loop_init_4 = false;
                            uint _e131 = k;
                            if ((_e131 < WEIGHTS)) {
                            } else {
                                break;
                            }
                            {
                                uint _e136 = k;
                                uint _e142 = c;
                                uint at = (((naga_div(local, TILE) + (_e136 * 4u)) * LOCAL) + (_e142 * 4u));
                                uint _e146 = k;
                                float _e148 = dots[min(uint(_e146), 7u)];
                                float _e151 = source[min(uint(at), 511u)];
                                float _e158 = source[min(uint((at + 1u)), 511u)];
                                float _e166 = source[min(uint((at + 2u)), 511u)];
                                float _e174 = source[min(uint((at + 3u)), 511u)];
                                dots[min(uint(_e146), 7u)] = (_e148 + ((((_e151 * k4_.x) + (_e158 * k4_.y)) + (_e166 * k4_.z)) + (_e174 * k4_.w)));
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
                    uint _e241 = k_1;
                    k_1 = (_e241 + 1u);
                }
                loop_init_5 = false;
                uint _e187 = k_1;
                if ((_e187 < WEIGHTS)) {
                } else {
                    break;
                }
                {
                    uint _e192 = k_1;
                    uint row_2 = (naga_div(local, TILE) + (_e192 * 4u));
                    w = 0.0;
                    if ((j <= (tile + row_2))) {
                        local_4 = (j < keys_end);
                    } else {
                        local_4 = false;
                    }
                    bool _e204 = local_4;
                    if (_e204) {
                        uint _e205 = k_1;
                        float _e207 = dots[min(uint(_e205), 7u)];
                        const float _e208 = local_weight(_e207);
                        w = _e208;
                        if (true) {
                            float _e213 = w;
                            float2 _e216 = row_gate[min(uint(row_2), 31u)];
                            float4 _e228 = asfloat(keys.Load4(naga_div(((((block_row + j) * KEY_WIDTH) + V_OFFSET) + HEAD), 4u)*16));
                            const float _e230 = gate_decay(_e216, _e228.xy);
                            w = (_e213 * _e230);
                        }
                    }
                    float _e239 = w;
                    weights[min(uint(((row_2 * TILE) + naga_mod(local, TILE))), 1023u)] = _e239;
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
                    uint _e306 = jj;
                    jj = (_e306 + 1u);
                }
                loop_init_6 = false;
                uint _e245 = jj;
                uint _e247 = start;
                if ((_e245 < min(TILE, (keys_end - _e247)))) {
                } else {
                    break;
                }
                {
                    uint _e251 = start;
                    uint _e253 = jj;
                    uint v = naga_div(((((block_row + _e251) + _e253) * KEY_WIDTH) + V_OFFSET), 4u);
                    k_2 = 0u;
                    uint2 loop_bound_7 = uint2(4294967295u, 4294967295u);
                    bool loop_init_7 = true;
                    while(true) {
                        if (all(loop_bound_7 == uint2(0u, 0u))) { break; }
                        loop_bound_7 -= uint2(loop_bound_7.y == 0u, 1u);
                        if (!loop_init_7) {
                            uint _e303 = k_2;
                            k_2 = (_e303 + 1u);
                        }
                        loop_init_7 = false;
                        uint _e263 = k_2;
                        if ((_e263 < ITEMS)) {
                        } else {
                            break;
                        }
                        {
                            uint _e266 = k_2;
                            uint item = (local + (_e266 * THREADS));
                            uint _e280 = jj;
                            float w_2 = weights[min(uint(((naga_mod(naga_div(item, 4u), ROW_TILE) * TILE) + _e280)), 1023u)];
                            uint _e284 = k_2;
                            float4 _e286 = sum[min(uint(_e284), 15u)];
                            float4 _e295 = asfloat(keys.Load4((v + naga_mod(item, 4u))*16));
                            sum[min(uint(_e284), 15u)] = (_e286 + (w_2 * _e295));
                            uint _e298 = k_2;
                            float _e300 = total[min(uint(_e298), 15u)];
                            total[min(uint(_e298), 15u)] = (_e300 + w_2);
                        }
                    }
                }
            }
            GroupMemoryBarrierWithGroupSync();
        }
    }
    uint _e314 = params.blocks;
    uint z = ((((group.z * _e314) + block) * FEATURES) * 17u);
    if (((lane.position + (block * BLOCK)) > lane.ring)) {
        stage(group.z, first_token_1, S_OFFSET, SOURCE, local);
        GroupMemoryBarrierWithGroupSync();
        uint2 loop_bound_8 = uint2(4294967295u, 4294967295u);
        bool loop_init_8 = true;
        while(true) {
            if (all(loop_bound_8 == uint2(0u, 0u))) { break; }
            loop_bound_8 -= uint2(loop_bound_8.y == 0u, 1u);
            if (!loop_init_8) {
                uint _e469 = start_1;
                start_1 = (_e469 + TILE);
            }
            loop_init_8 = false;
            uint _e335 = start_1;
            if ((_e335 < FEATURES)) {
            } else {
                break;
            }
            {
                uint _e338 = start_1;
                uint f = (_e338 + naga_mod(local, TILE));
                k_3 = 0u;
                uint2 loop_bound_9 = uint2(4294967295u, 4294967295u);
                bool loop_init_9 = true;
                while(true) {
                    if (all(loop_bound_9 == uint2(0u, 0u))) { break; }
                    loop_bound_9 -= uint2(loop_bound_9.y == 0u, 1u);
                    if (!loop_init_9) {
                        uint _e381 = k_3;
                        k_3 = (_e381 + 1u);
                    }
                    loop_init_9 = false;
                    uint _e344 = k_3;
                    if ((_e344 < WEIGHTS)) {
                    } else {
                        break;
                    }
                    {
                        uint _e349 = k_3;
                        uint row_3 = (naga_div(local, TILE) + (_e349 * 4u));
                        value = 0.0;
                        if ((f < FEATURES)) {
                            uint _e359 = asuint(table.Load(f*4));
                            const float _e360 = feature(row_3, _e359);
                            value = _e360;
                            if (true) {
                                float _e365 = value;
                                float2 _e368 = row_gate[min(uint(row_3), 31u)];
                                const float _e370 = gate_decay(_e368, ZeroValuefloat2());
                                value = (_e365 * _e370);
                            }
                        }
                        float _e379 = value;
                        weights[min(uint(((row_3 * TILE) + naga_mod(local, TILE))), 1023u)] = _e379;
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
                        uint _e467 = ff;
                        ff = (_e467 + 1u);
                    }
                    loop_init_10 = false;
                    uint _e385 = ff;
                    uint _e388 = start_1;
                    if ((_e385 < min(TILE, (FEATURES - _e388)))) {
                    } else {
                        break;
                    }
                    {
                        uint _e392 = start_1;
                        uint _e393 = ff;
                        uint zrow = naga_div((z + ((_e392 + _e393) * HEAD)), 4u);
                        uint _e407 = start_1;
                        uint _e409 = ff;
                        uint _e414 = start_1;
                        uint _e415 = ff;
                        float z_total = asfloat(prefix.Load(naga_mod((_e414 + _e415), 4u)*4+naga_div((((z + 576u) + _e407) + _e409), 4u)*16));
                        k_4 = 0u;
                        uint2 loop_bound_11 = uint2(4294967295u, 4294967295u);
                        bool loop_init_11 = true;
                        while(true) {
                            if (all(loop_bound_11 == uint2(0u, 0u))) { break; }
                            loop_bound_11 -= uint2(loop_bound_11.y == 0u, 1u);
                            if (!loop_init_11) {
                                uint _e464 = k_4;
                                k_4 = (_e464 + 1u);
                            }
                            loop_init_11 = false;
                            uint _e423 = k_4;
                            if ((_e423 < ITEMS)) {
                            } else {
                                break;
                            }
                            {
                                uint _e426 = k_4;
                                uint item_1 = (local + (_e426 * THREADS));
                                uint _e440 = ff;
                                float p = weights[min(uint(((naga_mod(naga_div(item_1, 4u), ROW_TILE) * TILE) + _e440)), 1023u)];
                                uint _e444 = k_4;
                                float4 _e446 = sum[min(uint(_e444), 15u)];
                                float4 _e455 = asfloat(prefix.Load4((zrow + naga_mod(item_1, 4u))*16));
                                sum[min(uint(_e444), 15u)] = (_e446 + (p * _e455));
                                uint _e458 = k_4;
                                float _e460 = total[min(uint(_e458), 15u)];
                                total[min(uint(_e458), 15u)] = (_e460 + (p * z_total));
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
            uint _e540 = k_5;
            k_5 = (_e540 + 1u);
        }
        loop_init_12 = false;
        uint _e474 = k_5;
        if ((_e474 < ITEMS)) {
        } else {
            break;
        }
        {
            uint _e477 = k_5;
            uint item_2 = (local + (_e477 * THREADS));
            uint row_4 = naga_div(item_2, 4u);
            int token_1 = asint(asuint(first_token_1) + asuint(int(row_4)));
            if ((row_4 < rows)) {
                local_5 = (token_1 >= int(0));
            } else {
                local_5 = false;
            }
            bool _e494 = local_5;
            if (_e494) {
                uint _e499 = params.tokens;
                local_6 = (token_1 < int(_e499));
            } else {
                local_6 = false;
            }
            bool _e503 = local_6;
            if (_e503) {
                uint _e509 = params.tokens;
                uint out_ = ((((naga_div(group.z, HEADS) * _e509) + uint(token_1)) * HEADS) + head);
                uint _e529 = k_5;
                float4 _e531 = sum[min(uint(_e529), 15u)];
                uint _e533 = k_5;
                float _e535 = total[min(uint(_e533), 15u)];
                o.Store4(((out_ * 4u) + naga_mod(item_2, 4u))*16, asuint((_e531 / ((BIAS + _e535)).xxxx)));
            }
        }
    }
    return;
}
