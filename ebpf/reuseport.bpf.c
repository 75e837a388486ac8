/* Picks the shard's socket of a UDP listener (sk_reuseport): by our own mark, else by the Call-ID.
 *
 * Knows ports, shards and bytes; not calls. Sees whole datagrams, fragments put together. Without an answer the
 * kernel's own hash picks, and the shard that gets the message looks at it again. */
#include <linux/types.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "shared.h"
#include "steer.h"

struct {
	__uint(type, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY);
	__uint(max_entries, SHARDS_MAX);
	__type(key, __u32);
	__type(value, __u64);
} sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, PICKS);
	__type(key, __u32);
	__type(value, __u64);
} picks SEC(".maps");

static __always_inline void count(__u32 pick)
{
	__u64 *counter = bpf_map_lookup_elem(&picks, &pick);

	if (counter)
		*counter += 1;
}

SEC("sk_reuseport")
int pick_shard(struct sk_reuseport_md *md)
{
	struct scan scan = { .md = md, .shard = NOT_FOUND };
	__u32 shard;

	steer(&scan);
	if (scan.shard < 0) {
		count(PICK_NONE);
		return SK_PASS;
	}
	shard = scan.shard;
	count(bpf_sk_select_reuseport(md, &sockets, &shard, 0) ? PICK_REFUSED : scan.pick);
	return SK_PASS;
}

char _license[] SEC("license") = "GPL";
