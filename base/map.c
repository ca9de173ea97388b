#include "base/base.h"

#include <string.h>
#include <unistd.h>

struct xg_map_slot {
    const char *key; /* NULL = free; a copy in the map's arena */
    uint64_t hash;
    uint32_t value;
};

uint64_t xg_hash(const void *p, size_t n) {
    const uint8_t *b = p;
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a, 64 bits */
    for (size_t i = 0; i < n; i++) h = (h ^ b[i]) * 0x100000001b3u;
    return h;
}

/* The table's own hash starts from a secret, because names come from outside and FNV collisions can
 * be made by the thousand. Nothing that a user sees depends on it: a map cannot be iterated. */
static uint64_t keyed_hash(const char *key, uint64_t secret) {
    size_t n = strlen(key);
    uint64_t h = secret ^ n;
    for (size_t i = 0; i < n; i += 8) {
        uint64_t word = 0;
        memcpy(&word, key + i, n - i < 8 ? n - i : 8);
        uint64_t state = h ^ word;
        h = xg_random(&state);
    }
    return h;
}

static struct xg_map_slot *find(struct xg_map_slot *slot, uint32_t cap, const char *key,
                                uint64_t h) {
    for (uint64_t i = h;; i++) {
        struct xg_map_slot *s = &slot[i & (cap - 1)];
        if (!s->key || (s->hash == h && strcmp(s->key, key) == 0)) return s;
    }
}

uint32_t xg_map_get(const xg_map *m, const char *key) {
    if (!m->cap) return XG_NONE;
    struct xg_map_slot *s = find(m->slot, m->cap, key, keyed_hash(key, m->secret));
    return s->key ? s->value : XG_NONE;
}

static void grow(xg_map *m) {
    uint32_t cap = m->cap ? m->cap * 2 : 16;
    struct xg_map_slot *fresh = xg_newn(m->arena, struct xg_map_slot, cap);
    for (uint32_t i = 0; i < m->cap; i++) {
        if (m->slot[i].key) *find(fresh, cap, m->slot[i].key, m->slot[i].hash) = m->slot[i];
    }
    m->slot = fresh;
    m->cap = cap;
}

void xg_map_set(xg_map *m, const char *key, uint32_t value) {
    if (!m->cap && getentropy(&m->secret, sizeof(m->secret)) != 0) {
        m->secret = (uint64_t)(uintptr_t)m->arena;
    }
    if (m->n >= m->cap / 4 * 3) grow(m);
    uint64_t h = keyed_hash(key, m->secret);
    struct xg_map_slot *s = find(m->slot, m->cap, key, h);
    if (!s->key) {
        s->key = xg_strdup(m->arena, key);
        s->hash = h;
        m->n++;
    }
    s->value = value;
}
