/* Whose message is it: the definition of src/sip/steer.rs, for the kernel. tests/ebpf compares the two.
 *
 * Verifier-friendly: chunks are found from the loop's index alone, nothing but the result is carried from one to the
 * next, and the global functions are verified once. Only bpf_skb_load_bytes reads the message, so datagrams put
 * together from fragments work. Needs bpf_loop (Linux 5.17). Offsets are bytes from the UDP header. */
#ifndef SIPEDGE_STEER_H
#define SIPEDGE_STEER_H

#include "shared.h"

#define PAYLOAD 8           /* behind the UDP header */
#define SCAN_BYTES_MAX 16384
#define HEAD_BYTES_MAX 32
#define VALUE_BYTES_MAX 64
#define CHUNK_BYTES 256     /* on the stack, which has 512 */

#define HASH_START 0xcbf29ce484222325ULL
#define HASH_FACTOR 0x00000100000001b3ULL
#define HASH_SPREAD 0x9e3779b97f4a7c15ULL

#define ONES 0x0101010101010101ULL
#define HIGHS 0x8080808080808080ULL

#define NOT_FOUND (-1)

/* Set before the program is loaded. */
const volatile __u32 shards = 1;

/* Loads up to `max` bytes at `offset`; behind the end of the datagram the buffer stays as it was. */
static __always_inline int load(struct sk_reuseport_md *md, __u32 offset, void *to, __u32 max)
{
	__u32 left;

	if (offset >= md->len)
		return NOT_FOUND;
	left = md->len - offset;
	if (left >= max)
		return bpf_skb_load_bytes(md, offset, to, max);
	/* The mask tells the verifier what the comparison said (max is a power of two); without the barrier the
	 * compiler knows it already, and leaves the mask out. */
	barrier_var(left);
	left &= max - 1;
	if (!left)
		return NOT_FOUND;
	return bpf_skb_load_bytes(md, offset, to, left);
}

static __always_inline int shard_of_digit(__u8 digit)
{
	if (digit >= 'A' && digit <= 'Z')
		return digit - 'A';
	if (digit >= 'a' && digit <= 'z')
		return digit - 'a' + 26;
	if (digit >= '0' && digit <= '9')
		return digit - '0' + 52;
	if (digit == '-')
		return 62;
	if (digit == '_')
		return 63;
	return NOT_FOUND;
}

/* The shard of a mark at `offset`, or NOT_FOUND. */
__noinline int mark_owner(struct sk_reuseport_md *md, __u32 offset)
{
	__u8 mark[4] = {};
	int shard;

	if (bpf_skb_load_bytes(md, offset, mark, sizeof(mark)))
		return NOT_FOUND;
	if (mark[0] != '~' || mark[1] != 'e' || mark[2] != '~')
		return NOT_FOUND;
	shard = shard_of_digit(mark[3]);
	if (shard < 0 || shard >= shards)
		return NOT_FOUND;
	return shard;
}

/* Where the value of a Call-ID field at `offset` starts, or 0. */
__noinline int value_start(struct sk_reuseport_md *md, __u32 offset)
{
	__u8 head[HEAD_BYTES_MAX] = {};
	__u32 size, start, i;
	int colon = 0;

	if (offset >= md->len || load(md, offset, head, sizeof(head)))
		return 0;
	size = md->len - offset;
	if ((head[0] | 0x20) == 'i')
		start = 1;
	else if ((head[0] | 0x20) == 'c' && (head[1] | 0x20) == 'a' && (head[2] | 0x20) == 'l' &&
		 (head[3] | 0x20) == 'l' && head[4] == '-' && (head[5] | 0x20) == 'i' &&
		 (head[6] | 0x20) == 'd')
		start = 7;
	else
		return 0;
	for (i = 1; i < HEAD_BYTES_MAX; i++) {
		__u8 byte = head[i];

		if (i < start || byte == ' ' || byte == '\t')
			continue;
		if (colon)
			return i < size ? offset + i : 0;
		if (byte != ':')
			return 0;
		colon = 1;
	}
	return 0;
}

/* The shard of the value at `offset`. */
__noinline int value_owner(struct sk_reuseport_md *md, __u32 offset)
{
	__u8 value[VALUE_BYTES_MAX] = {};
	__u64 hash = HASH_START;
	__u32 i;

	if (load(md, offset, value, sizeof(value)))
		return NOT_FOUND;
	for (i = 0; i < VALUE_BYTES_MAX; i++) {
		if (value[i] <= ' ')
			break;
		hash = (hash ^ value[i]) * HASH_FACTOR;
	}
	hash = (hash ^ (hash >> 32)) * HASH_SPREAD;
	return ((hash >> 32) * shards) >> 32;
}

/* The scan's state: what the loop's callback sees. */
struct scan {
	struct sk_reuseport_md *md;
	int shard;
	enum pick pick;
	__u64 words[CHUNK_BYTES / 8];
};

static __always_inline int field_found(struct scan *scan, __u32 offset)
{
	int value = value_start(scan->md, offset);

	if (value <= 0)
		return 0;
	scan->shard = value_owner(scan->md, value);
	scan->pick = PICK_CALL_ID;
	return scan->shard >= 0;
}

/* Tests the byte at `offset`: a tilde may start a mark, an LF may stand before a field. */
static __always_inline int byte_found(struct scan *scan, __u8 byte, __u32 offset)
{
	if (byte == '\n')
		return field_found(scan, offset + 1);
	if (byte != '~')
		return 0;
	scan->shard = mark_owner(scan->md, offset);
	scan->pick = PICK_MARK;
	return scan->shard >= 0;
}

/* The high bit of each byte of `word` that is zero (and of some behind one that is). */
static __always_inline __u64 zeros(__u64 word)
{
	return (word - ONES) & ~word & HIGHS;
}

/* One chunk. Bytes behind the end of the datagram are those of an earlier chunk; what they seem to start is
 * behind the end too, and not found when it is looked at. */
static long scan_chunk(__u32 index, struct scan *scan)
{
	__u32 offset = PAYLOAD + index * CHUNK_BYTES;
	__u32 i, j;

	if (load(scan->md, offset, scan->words, CHUNK_BYTES))
		return 1;
	for (i = 0; i < CHUNK_BYTES / 8; i++) {
		__u64 word = scan->words[i];

		if (!(zeros(word ^ (ONES * '\n')) | zeros(word ^ (ONES * '~'))))
			continue;
		for (j = 0; j < 8; j++)
			if (byte_found(scan, word >> (8 * j), offset + 8 * i + j))
				return 1;
	}
	return 0;
}

/* Sets shard (or NOT_FOUND) and pick. */
static __always_inline void steer(struct scan *scan)
{
	__u32 chunks = (scan->md->len + CHUNK_BYTES - 1 - PAYLOAD) / CHUNK_BYTES;

	if (field_found(scan, PAYLOAD))
		return;
	if (chunks > SCAN_BYTES_MAX / CHUNK_BYTES)
		chunks = SCAN_BYTES_MAX / CHUNK_BYTES;
	bpf_loop(chunks, scan_chunk, scan, 0);
}

#endif
