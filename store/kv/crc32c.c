/* CRC-32C, four bits at a step: small amounts only (tips files, the tail of a log). */

#include "store/kv/crc32c.h"

/* The remainders of 0..15 for the reversed polynomial 0x82f63b78. */
static const uint32_t nibbles[16] = {
    0x00000000u, 0x105ec76fu, 0x20bd8edeu, 0x30e349b1u, 0x417b1dbcu, 0x5125dad3u,
    0x61c69362u, 0x7198540du, 0x82f63b78u, 0x92a8fc17u, 0xa24bb5a6u, 0xb21572c9u,
    0xc38d26c4u, 0xd3d3e1abu, 0xe330a81au, 0xf36e6f75u,
};

uint32_t
weir_crc32c (uint32_t crc, struct weir_bytes data)
{
    crc = ~crc;
    for (size_t i = 0; i < data.len; i++) {
        crc ^= data.data[i];
        crc = nibbles[crc & 15] ^ (crc >> 4);
        crc = nibbles[crc & 15] ^ (crc >> 4);
    }
    return ~crc;
}
