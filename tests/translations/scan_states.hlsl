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
    uint parts;
};

static const uint HEADS = 2u;
static const uint HEAD = 16u;
static const uint BLOCK = 16u;
static const uint V_OFFSET = 24u;
static const uint G_OFFSET = 40u;
static const bool GATED = true;
static const uint SINKS = 0u;
static const uint LEAD = 0u;
static const uint WIDTH = 44u;
static const uint GROUP_X = 4u;
static const uint GROUP_Y = 8u;
static const uint ROWS = 4u;
static const uint COLUMNS = 4u;
static const uint DEPTH = 8u;
static const uint LEFT_SIZE = 128u;
static const uint RIGHT_SIZE = 64u;
static const uint SOURCE_OFFSET = 16u;
static const uint SOURCE = 8u;
static const bool EXTENDED = false;
static const uint ORDER = 2u;
static const uint FEATURES = 36u;

cbuffer params : register(b0) { Params params; }
ByteAddressBuffer keys : register(t1);
ByteAddressBuffer lanes : register(t2);
ByteAddressBuffer table : register(t3);
RWByteAddressBuffer states : register(u4);
groupshared float4 tile_left[128];
groupshared float4 tile_right[64];
static float4 sum[16] = (float4[16])0;
static float4x4 next = (float4x4)0;
static uint buffer = (uint)0;
static uint3 here = (uint3)0;
static uint first = (uint)0;
static uint rows = (uint)0;
static uint sinks = (uint)0;
static float2 last_gate = (float2)0;
static uint4 packed_1 = (uint4)0;
static float4 total = (float4)0;
static uint first_vector = (uint)0;

float gate_decay(float2 a, float2 b)
{
    return exp(min(((a.x - b.x) + (a.y - b.y)), 0.0));
}

uint naga_div(uint lhs, uint rhs) {
    return lhs / (rhs == 0u ? 1u : rhs);
}

uint naga_mod(uint lhs, uint rhs) {
    return lhs % (rhs == 0u ? 1u : rhs);
}

uint row_of(uint r_1)
{
    uint _e4 = here.y;
    return ((4u * (_e4 + (naga_div(r_1, 4u) * GROUP_Y))) + naga_mod(r_1, 4u));
}

uint vector_of(uint c_1)
{
    uint _e3 = here.x;
    return (_e3 + (c_1 * GROUP_X));
}

uint vectors_sum()
{
    return 1u;
}

float4 staged_left(uint k, uint r_2)
{
    uint _e4 = buffer;
    uint _e21 = here.y;
    float4 _e27 = tile_left[min(uint(((((_e4 * 64u) + (k * 8u)) + _e21) + (r_2 * GROUP_Y))), 127u)];
    return _e27;
}

uint left_blocks()
{
    return 16u;
}

void keep_left(uint block)
{
    uint j = 0u;

    uint _e9 = buffer;
    uint at_1 = (((_e9 * 64u) + ((4u * naga_div(block, 8u)) * 8u)) + naga_mod(block, 8u));
    uint2 loop_bound = uint2(4294967295u, 4294967295u);
    bool loop_init = true;
    while(true) {
        if (all(loop_bound == uint2(0u, 0u))) { break; }
        loop_bound -= uint2(loop_bound.y == 0u, 1u);
        if (!loop_init) {
            uint _e37 = j;
            j = (_e37 + 1u);
        }
        loop_init = false;
        uint _e24 = j;
        if ((_e24 < 4u)) {
        } else {
            break;
        }
        {
            uint _e28 = j;
            uint _e33 = j;
            float4 _e35 = next[min(uint(_e33), 3u)];
            tile_left[min(uint((at_1 + (_e28 * 8u))), 127u)] = _e35;
        }
    }
    return;
}

void keep_right(uint block_1, uint wide)
{
    uint j_1 = 0u;

    uint _e3 = buffer;
    uint at_2 = (((_e3 * 32u) + ((4u * naga_div(block_1, wide)) * wide)) + naga_mod(block_1, wide));
    uint2 loop_bound_1 = uint2(4294967295u, 4294967295u);
    bool loop_init_1 = true;
    while(true) {
        if (all(loop_bound_1 == uint2(0u, 0u))) { break; }
        loop_bound_1 -= uint2(loop_bound_1.y == 0u, 1u);
        if (!loop_init_1) {
            uint _e31 = j_1;
            j_1 = (_e31 + 1u);
        }
        loop_init_1 = false;
        uint _e18 = j_1;
        if ((_e18 < 4u)) {
        } else {
            break;
        }
        {
            uint _e22 = j_1;
            uint _e27 = j_1;
            float4 _e29 = next[min(uint(_e27), 3u)];
            tile_right[min(uint((at_2 + (_e22 * wide))), 63u)] = _e29;
        }
    }
    return;
}

float4 left_of_sum(uint k_1, uint r_3)
{
    const float4 _e2 = staged_left(k_1, r_3);
    return _e2;
}

typedef float4 ret_ZeroValuearray4_float4_[4];
ret_ZeroValuearray4_float4_ ZeroValuearray4_float4_() {
    return (float4[4])0;
}

void outer_sum(uint k_2)
{
    float4 b_1[4] = ZeroValuearray4_float4_();
    uint c_2 = 0u;
    uint r_4 = 0u;
    uint c_3 = (uint)0;

    const uint _e2 = vectors_sum();
    uint wide_1 = (GROUP_X * _e2);
    uint _e5 = buffer;
    uint _e15 = here.x;
    uint right = (((_e5 * 32u) + (k_2 * wide_1)) + _e15);
    uint2 loop_bound_2 = uint2(4294967295u, 4294967295u);
    bool loop_init_2 = true;
    while(true) {
        if (all(loop_bound_2 == uint2(0u, 0u))) { break; }
        loop_bound_2 -= uint2(loop_bound_2.y == 0u, 1u);
        if (!loop_init_2) {
            uint _e34 = c_2;
            c_2 = (_e34 + 1u);
        }
        loop_init_2 = false;
        uint _e21 = c_2;
        const uint _e22 = vectors_sum();
        if ((_e21 < _e22)) {
        } else {
            break;
        }
        {
            uint _e24 = c_2;
            uint _e27 = c_2;
            float4 _e32 = tile_right[min(uint((right + (_e27 * GROUP_X))), 63u)];
            b_1[min(uint(_e24), 3u)] = _e32;
        }
    }
    uint2 loop_bound_3 = uint2(4294967295u, 4294967295u);
    bool loop_init_3 = true;
    while(true) {
        if (all(loop_bound_3 == uint2(0u, 0u))) { break; }
        loop_bound_3 -= uint2(loop_bound_3.y == 0u, 1u);
        if (!loop_init_3) {
            uint _e126 = r_4;
            r_4 = (_e126 + 1u);
        }
        loop_init_3 = false;
        uint _e38 = r_4;
        if ((_e38 < 1u)) {
        } else {
            break;
        }
        {
            uint _e44 = r_4;
            const float4 _e45 = left_of_sum(k_2, _e44);
            c_3 = 0u;
            uint2 loop_bound_4 = uint2(4294967295u, 4294967295u);
            bool loop_init_4 = true;
            while(true) {
                if (all(loop_bound_4 == uint2(0u, 0u))) { break; }
                loop_bound_4 -= uint2(loop_bound_4.y == 0u, 1u);
                if (!loop_init_4) {
                    uint _e123 = c_3;
                    c_3 = (_e123 + 1u);
                }
                loop_init_4 = false;
                uint _e48 = c_3;
                const uint _e49 = vectors_sum();
                if ((_e48 < _e49)) {
                } else {
                    break;
                }
                {
                    uint _e52 = r_4;
                    const uint _e54 = vectors_sum();
                    uint _e56 = c_3;
                    uint at_3 = (((4u * _e52) * _e54) + _e56);
                    uint _e62 = c_3;
                    float4 _e64 = b_1[min(uint(_e62), 3u)];
                    float4 _e67 = sum[min(uint(at_3), 15u)];
                    sum[min(uint(at_3), 15u)] = mad((_e45.x).xxxx, _e64, _e67);
                    const uint _e70 = vectors_sum();
                    uint _e75 = c_3;
                    float4 _e77 = b_1[min(uint(_e75), 3u)];
                    const uint _e79 = vectors_sum();
                    float4 _e82 = sum[min(uint((at_3 + _e79)), 15u)];
                    sum[min(uint((at_3 + _e70)), 15u)] = mad((_e45.y).xxxx, _e77, _e82);
                    const uint _e86 = vectors_sum();
                    uint _e92 = c_3;
                    float4 _e94 = b_1[min(uint(_e92), 3u)];
                    const uint _e97 = vectors_sum();
                    float4 _e101 = sum[min(uint((at_3 + (2u * _e97))), 15u)];
                    sum[min(uint((at_3 + (2u * _e86))), 15u)] = mad((_e45.z).xxxx, _e94, _e101);
                    const uint _e105 = vectors_sum();
                    uint _e111 = c_3;
                    float4 _e113 = b_1[min(uint(_e111), 3u)];
                    const uint _e116 = vectors_sum();
                    float4 _e120 = sum[min(uint((at_3 + (3u * _e116))), 15u)];
                    sum[min(uint((at_3 + (3u * _e105))), 15u)] = mad((_e45.w).xxxx, _e113, _e120);
                }
            }
        }
    }
    return;
}

void multiply_sum()
{
    uint k_3 = 0u;
    uint j_2 = (uint)0;

    uint2 loop_bound_5 = uint2(4294967295u, 4294967295u);
    bool loop_init_5 = true;
    while(true) {
        if (all(loop_bound_5 == uint2(0u, 0u))) { break; }
        loop_bound_5 -= uint2(loop_bound_5.y == 0u, 1u);
        if (!loop_init_5) {
            uint _e16 = k_3;
            k_3 = (_e16 + 4u);
        }
        loop_init_5 = false;
        uint _e2 = k_3;
        if ((_e2 < DEPTH)) {
        } else {
            break;
        }
        {
            j_2 = 0u;
            uint2 loop_bound_6 = uint2(4294967295u, 4294967295u);
            bool loop_init_6 = true;
            while(true) {
                if (all(loop_bound_6 == uint2(0u, 0u))) { break; }
                loop_bound_6 -= uint2(loop_bound_6.y == 0u, 1u);
                if (!loop_init_6) {
                    uint _e14 = j_2;
                    j_2 = (_e14 + 1u);
                }
                loop_init_6 = false;
                uint _e7 = j_2;
                if ((_e7 < 4u)) {
                } else {
                    break;
                }
                {
                    uint _e10 = k_3;
                    uint _e11 = j_2;
                    outer_sum((_e10 + _e11));
                }
            }
        }
    }
    return;
}

uint vectors_rows()
{
    const uint _e0 = vectors_sum();
    return _e0;
}

uint row_at(uint j_3)
{
    uint _e2 = first;
    uint _e4 = rows;
    return (_e2 + min(j_3, (_e4 - 1u)));
}

float2 gate_sum(uint row)
{
    float4 _e9 = asfloat(keys.Load4(naga_div(((row * WIDTH) + G_OFFSET), 4u)*16));
    return _e9.xy;
}

float decay(float2 last, uint row_1)
{
    const float2 _e2 = gate_sum(row_1);
    const float _e3 = gate_decay(last, _e2);
    return _e3;
}

float factor(uint at, uint index_1)
{
    uint i_3 = (at + (EXTENDED ? min(index_1, 7u) : index_1));
    float _e17 = asfloat(keys.Load(naga_mod(i_3, 4u)*4+naga_div(i_3, 4u)*16));
    return ((EXTENDED & (index_1 == SOURCE)) ? 1.0 : _e17);
}

float feature(uint row_2, uint packed)
{
    float value_2 = (float)0;

    const float _e4 = factor(row_2, (packed & 255u));
    value_2 = _e4;
    if (true) {
        float _e10 = value_2;
        const float _e15 = factor(row_2, ((packed >> 8u) & 255u));
        value_2 = (_e10 * _e15);
    }
    if (false) {
        float _e21 = value_2;
        const float _e26 = factor(row_2, ((packed >> 16u) & 255u));
        value_2 = (_e21 * _e26);
    }
    if (false) {
        float _e32 = value_2;
        const float _e35 = factor(row_2, (packed >> 24u));
        value_2 = (_e32 * _e35);
    }
    float _e37 = value_2;
    return _e37;
}

float part_of_total(uint row_3)
{
    return 1.0;
}

float4 features(uint j_4)
{
    float scale = (float)0;
    bool local_4 = (bool)0;

    const uint _e1 = row_at(j_4);
    uint at_4 = ((_e1 * WIDTH) + SOURCE_OFFSET);
    uint _e7 = rows;
    scale = ((j_4 < _e7) ? 1.0 : 0.0);
    if (false) {
        uint _e20 = sinks;
        local_4 = (j_4 < _e20);
    } else {
        local_4 = false;
    }
    bool _e23 = local_4;
    if (_e23) {
        scale = 0.0;
    }
    if (GATED) {
        float _e26 = scale;
        float2 _e28 = last_gate;
        const float _e29 = decay(_e28, _e1);
        scale = (_e26 * _e29);
    }
    float _e31 = scale;
    uint _e34 = packed_1.x;
    const float _e35 = feature(at_4, _e34);
    uint _e38 = packed_1.y;
    const float _e39 = feature(at_4, _e38);
    uint _e42 = packed_1.z;
    const float _e43 = feature(at_4, _e42);
    uint _e46 = packed_1.w;
    const float _e47 = feature(at_4, _e46);
    float4 phi = (_e31 * float4(_e35, _e39, _e43, _e47));
    float4 _e51 = total;
    const float _e52 = part_of_total(_e1);
    total = (_e51 + (phi * _e52));
    return phi;
}

float4x4 ZeroValuefloat4x4() {
    return (float4x4)0;
}

float4x4 left_rows(uint feature_1, uint j_5)
{
    float4x4 block_2 = ZeroValuefloat4x4();
    uint i_1 = 0u;

    uint2 loop_bound_7 = uint2(4294967295u, 4294967295u);
    bool loop_init_7 = true;
    while(true) {
        if (all(loop_bound_7 == uint2(0u, 0u))) { break; }
        loop_bound_7 -= uint2(loop_bound_7.y == 0u, 1u);
        if (!loop_init_7) {
            uint _e15 = i_1;
            i_1 = (_e15 + 1u);
        }
        loop_init_7 = false;
        uint _e6 = i_1;
        if ((_e6 < 4u)) {
        } else {
            break;
        }
        {
            uint _e9 = i_1;
            uint _e11 = i_1;
            const float4 _e13 = features((j_5 + _e11));
            block_2[min(uint(_e9), 3u)] = _e13;
        }
    }
    float4x4 _e17 = block_2;
    return _e17;
}

float4 value_3(uint row_4, uint vector_)
{
    float4 _e11 = asfloat(keys.Load4((naga_div(((row_4 * WIDTH) + V_OFFSET), 4u) + vector_)*16));
    return _e11;
}

float4x4 right_rows(uint vector_1, uint j_6)
{
    float4x4 block_3 = ZeroValuefloat4x4();
    uint i_2 = 0u;

    uint _e3 = first_vector;
    uint at_5 = min((_e3 + vector_1), 3u);
    uint2 loop_bound_8 = uint2(4294967295u, 4294967295u);
    bool loop_init_8 = true;
    while(true) {
        if (all(loop_bound_8 == uint2(0u, 0u))) { break; }
        loop_bound_8 -= uint2(loop_bound_8.y == 0u, 1u);
        if (!loop_init_8) {
            uint _e26 = i_2;
            i_2 = (_e26 + 1u);
        }
        loop_init_8 = false;
        uint _e16 = i_2;
        if ((_e16 < 4u)) {
        } else {
            break;
        }
        {
            uint _e19 = i_2;
            uint _e21 = i_2;
            const uint _e23 = row_at((j_6 + _e21));
            const float4 _e24 = value_3(_e23, at_5);
            block_3[min(uint(_e19), 3u)] = _e24;
        }
    }
    float4x4 _e28 = block_3;
    return _e28;
}

void fetch_rows(uint k_4)
{
    const uint _e9 = vectors_rows();
    uint wide_2 = (GROUP_X * _e9);
    uint _e13 = here.z;
    const uint _e14 = left_blocks();
    uint block_4 = (_e13 - _e14);
    uint _e18 = here.z;
    const uint _e19 = left_blocks();
    if ((_e18 < _e19)) {
        uint _e25 = here.z;
        uint _e31 = here.z;
        const float4x4 _e35 = left_rows((4u * naga_mod(_e25, 8u)), (k_4 + (4u * naga_div(_e31, 8u))));
        next = _e35;
        return;
    } else {
        if ((block_4 < (wide_2 * 2u))) {
            const float4x4 _e48 = right_rows(naga_mod(block_4, wide_2), (k_4 + (4u * naga_div(block_4, wide_2))));
            next = _e48;
            return;
        } else {
            return;
        }
    }
}

void keep_rows()
{
    const uint _e1 = vectors_rows();
    uint wide_3 = (GROUP_X * _e1);
    uint _e5 = here.z;
    const uint _e6 = left_blocks();
    uint block_5 = (_e5 - _e6);
    uint _e11 = buffer;
    buffer = (1u - _e11);
    uint _e15 = here.z;
    const uint _e16 = left_blocks();
    if ((_e15 < _e16)) {
        uint _e20 = here.z;
        keep_left(_e20);
        return;
    } else {
        if ((block_5 < (wide_3 * 2u))) {
            keep_right(block_5, wide_3);
            return;
        } else {
            return;
        }
    }
}

void multiply_rows()
{
    multiply_sum();
    return;
}

void add_rows(uint inner)
{
    uint k_5 = 0u;

    fetch_rows(0u);
    keep_rows();
    GroupMemoryBarrierWithGroupSync();
    uint2 loop_bound_9 = uint2(4294967295u, 4294967295u);
    bool loop_init_9 = true;
    while(true) {
        if (all(loop_bound_9 == uint2(0u, 0u))) { break; }
        loop_bound_9 -= uint2(loop_bound_9.y == 0u, 1u);
        if (!loop_init_9) {
            uint _e13 = k_5;
            k_5 = (_e13 + DEPTH);
        }
        loop_init_9 = false;
        uint _e4 = k_5;
        if ((_e4 < inner)) {
        } else {
            break;
        }
        {
            uint _e6 = k_5;
            bool more = ((_e6 + DEPTH) < inner);
            if (more) {
                uint _e10 = k_5;
                fetch_rows((_e10 + DEPTH));
            }
            multiply_rows();
            if (more) {
                keep_rows();
                GroupMemoryBarrierWithGroupSync();
            }
        }
    }
    return;
}

float key_scale(uint f)
{
    uint _e5 = asuint(table.Load((FEATURES + f)*4));
    return asfloat(_e5);
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

[numthreads(4, 8, 1)]
void main(uint3 group : SV_GroupID, uint3 local : SV_GroupThreadID, uint index : SV_GroupIndex)
{
    if (index == 0) {
        tile_left = (float4[128])0;
        tile_right = (float4[64])0;
    }
    GroupMemoryBarrierWithGroupSync();
    bool local_1 = (bool)0;
    uint r = 0u;
    uint c = (uint)0;
    bool local_2 = (bool)0;
    float4 value = (float4)0;
    bool local_3 = (bool)0;
    float4 value_1 = ZeroValuefloat4();
    uint i = 0u;

    here = uint3(local.xy, index);
    uint _e16 = params.parts;
    uint first_feature = (naga_div(group.x, _e16) * 32u);
    uint _e24 = params.parts;
    uint part = naga_mod(group.x, _e24);
    first_vector = (part * 4u);
    uint block_6 = group.y;
    uint _e39 = params.lane_base;
    Lane lane = ConstructLane(asuint(lanes.Load((_e39 + naga_div(group.z, HEADS))*16+0)), asuint(lanes.Load((_e39 + naga_div(group.z, HEADS))*16+4)), asuint(lanes.Load((_e39 + naga_div(group.z, HEADS))*16+8)), asuint(lanes.Load((_e39 + naga_div(group.z, HEADS))*16+12)));
    uint head = naga_mod(group.z, HEADS);
    uint of_text = (naga_div((lane.position - lane.ring), BLOCK) + block_6);
    uint _e64 = params.tokens;
    uint end = ((0u + lane.ring) + _e64);
    if (!(((((block_6 + LEAD) + 1u) * BLOCK) >= end))) {
        local_1 = (of_text < LEAD);
    } else {
        local_1 = true;
    }
    bool _e79 = local_1;
    if (_e79) {
        return;
    }
    uint _e85 = params.stride;
    first = ((group.z * _e85) + (block_6 * BLOCK));
    uint _e93 = params.blocks;
    uint out_ = ((((group.z * _e93) + block_6) * FEATURES) * 17u);
    sinks = ((of_text == LEAD) ? SINKS : 0u);
    rows = BLOCK;
    if (GATED) {
        uint _e113 = first;
        const float2 _e117 = gate_sum(((_e113 + BLOCK) - 1u));
        last_gate = _e117;
    }
    uint _e121 = here.z;
    uint4 staged = (((first_feature + (4u * naga_mod(_e121, 8u)))).xxxx + uint4(0u, 1u, 2u, 3u));
    uint4 known = min(staged, (35u).xxxx);
    uint _e142 = asuint(table.Load(known.x*4));
    uint _e146 = asuint(table.Load(known.y*4));
    uint _e150 = asuint(table.Load(known.z*4));
    uint _e154 = asuint(table.Load(known.w*4));
    packed_1 = uint4(_e142, _e146, _e150, _e154);
    add_rows(BLOCK);
    uint2 loop_bound_10 = uint2(4294967295u, 4294967295u);
    bool loop_init_10 = true;
    while(true) {
        if (all(loop_bound_10 == uint2(0u, 0u))) { break; }
        loop_bound_10 -= uint2(loop_bound_10.y == 0u, 1u);
        if (!loop_init_10) {
            uint _e216 = r;
            r = (_e216 + 1u);
        }
        loop_init_10 = false;
        uint _e158 = r;
        if ((_e158 < ROWS)) {
        } else {
            break;
        }
        {
            uint _e161 = r;
            const uint _e162 = row_of(_e161);
            uint f_1 = (first_feature + _e162);
            c = 0u;
            uint2 loop_bound_11 = uint2(4294967295u, 4294967295u);
            bool loop_init_11 = true;
            while(true) {
                if (all(loop_bound_11 == uint2(0u, 0u))) { break; }
                loop_bound_11 -= uint2(loop_bound_11.y == 0u, 1u);
                if (!loop_init_11) {
                    uint _e213 = c;
                    c = (_e213 + 1u);
                }
                loop_init_11 = false;
                uint _e166 = c;
                if ((_e166 < 1u)) {
                } else {
                    break;
                }
                {
                    uint _e173 = first_vector;
                    uint _e174 = c;
                    const uint _e175 = vector_of(_e174);
                    uint vector_2 = (_e173 + _e175);
                    if ((f_1 < FEATURES)) {
                        local_2 = (vector_2 < 4u);
                    } else {
                        local_2 = false;
                    }
                    bool _e187 = local_2;
                    if (_e187) {
                        uint at_6 = (naga_div((out_ + (f_1 * HEAD)), 4u) + vector_2);
                        uint _e195 = r;
                        uint _e201 = c;
                        float4 _e204 = sum[min(uint(((_e195 * 1u) + _e201)), 15u)];
                        value = _e204;
                        float4 _e206 = value;
                        const float _e207 = key_scale(f_1);
                        value = (_e206 * _e207);
                        float4 _e211 = value;
                        states.Store4(at_6*16, asuint(_e211));
                    }
                }
            }
        }
    }
    if ((part > 0u)) {
        return;
    }
    GroupMemoryBarrierWithGroupSync();
    uint _e222 = here.z;
    const uint _e223 = left_blocks();
    if ((_e222 < _e223)) {
        uint _e228 = here.z;
        float4 _e231 = total;
        tile_left[min(uint(_e228), 127u)] = _e231;
    }
    GroupMemoryBarrierWithGroupSync();
    uint _e234 = here.z;
    if ((_e234 < 8u)) {
        local_3 = (staged.x < FEATURES);
    } else {
        local_3 = false;
    }
    bool _e242 = local_3;
    if (_e242) {
        uint f_2 = staged.x;
        uint at_7 = naga_div(((out_ + 576u) + f_2), 4u);
        uint2 loop_bound_12 = uint2(4294967295u, 4294967295u);
        bool loop_init_12 = true;
        while(true) {
            if (all(loop_bound_12 == uint2(0u, 0u))) { break; }
            loop_bound_12 -= uint2(loop_bound_12.y == 0u, 1u);
            if (!loop_init_12) {
                uint _e275 = i;
                i = (_e275 + 1u);
            }
            loop_init_12 = false;
            uint _e257 = i;
            if ((_e257 < 2u)) {
            } else {
                break;
            }
            {
                float4 _e263 = value_1;
                uint _e265 = i;
                uint _e269 = here.z;
                float4 _e272 = tile_left[min(uint(((_e265 * 8u) + _e269)), 127u)];
                value_1 = (_e263 + _e272);
            }
        }
        float4 _e277 = value_1;
        const float _e278 = key_scale(f_2);
        const float _e281 = key_scale((f_2 + 1u));
        const float _e284 = key_scale((f_2 + 2u));
        const float _e287 = key_scale((f_2 + 3u));
        value_1 = (_e277 * float4(_e278, _e281, _e284, _e287));
        float4 _e292 = value_1;
        states.Store4(at_7*16, asuint(_e292));
        return;
    } else {
        return;
    }
}
