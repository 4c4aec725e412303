/* The arena: one mapping, cut into pages; runs of pages are lent by good fit and merged when they come back.
 *
 * Freed pages keep their bytes: zeroing 4 MiB costs more than sealing it saves, and the next borrower is this same
 * process. They stay out of core dumps (MADV_DONTDUMP), and out of swap where mlock is asked for and allowed. */
#include "datapath.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { CLASSES = 32, NONE = UINT32_MAX };
static const uint64_t HUGE_SIZE = 2 << 20;
/* No run crosses such a border: TypeScript sees the arena as one ArrayBuffer for each window. */
static const uint64_t WINDOW_SIZE = 1 << 30;

struct page {
  uint32_t run;        /* pages of the run that begins or ends here */
  uint32_t next, prev; /* in the list of its class; of the first page of a free run */
  uint8_t is_free, is_start;
};
struct arena {
  pthread_mutex_t mutex;
  uint8_t *base;
  uint64_t size, lent;
  uint32_t pages;
  struct page *page;
  uint32_t list[CLASSES];
};

static uint32_t class_of(uint32_t pages) { return 31 - (uint32_t)__builtin_clz(pages); }

static void link_run(struct arena *arena, uint32_t first, uint32_t run) {
  struct page *page = arena->page;
  uint32_t *head = &arena->list[class_of(run)];
  page[first] = (struct page){.run = run, .next = *head, .prev = NONE, .is_free = 1, .is_start = 1};
  if (run > 1) page[first + run - 1] = (struct page){.run = run, .is_free = 1};
  if (*head != NONE) page[*head].prev = first;
  *head = first;
}

static void unlink_run(struct arena *arena, uint32_t first) {
  struct page *page = arena->page;
  uint32_t next = page[first].next, prev = page[first].prev;
  if (next != NONE) page[next].prev = prev;
  if (prev != NONE) page[prev].next = next;
  else arena->list[class_of(page[first].run)] = next;
}

void *secret_pages(size_t size) {
  void *place = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (place == MAP_FAILED) return NULL;
  madvise(place, size, MADV_DONTDUMP);
  return place;
}

static uint8_t *map_huge(uint64_t size, int lock) {
  uint8_t *place = secret_pages(size + HUGE_SIZE);
  if (!place) return NULL;
  uint8_t *base = (uint8_t *)round_up((uintptr_t)place, HUGE_SIZE);
  if (base > place) munmap(place, (size_t)(base - place));
  size_t rest = (size_t)(place + HUGE_SIZE - base);
  if (rest > 0) munmap(base + size, rest);
  madvise(base, size, MADV_HUGEPAGE);
  if (lock && mlock(base, size) != 0) {
    munmap(base, size);
    return NULL;
  }
  return base;
}

struct arena *arena_open(uint64_t size, int lock) {
  if (size < PAGE_SIZE || size > (uint64_t)1 << 43) return NULL;
  struct arena *arena = calloc(1, sizeof *arena);
  if (!arena) return NULL;
  arena->size = round_up(size, HUGE_SIZE);
  arena->pages = (uint32_t)(arena->size / PAGE_SIZE);
  arena->page = calloc(arena->pages, sizeof *arena->page);
  arena->base = arena->page ? map_huge(arena->size, lock) : NULL;
  if (!arena->base) {
    free(arena->page);
    free(arena);
    return NULL;
  }
  pthread_mutex_init(&arena->mutex, NULL);
  memset(arena->list, 0xff, sizeof arena->list);
  uint32_t window = (uint32_t)(WINDOW_SIZE / PAGE_SIZE);
  for (uint32_t first = 0; first < arena->pages; first += window) {
    uint32_t rest = arena->pages - first;
    link_run(arena, first, rest < window ? rest : window);
  }
  return arena;
}

void arena_close(struct arena *arena) {
  if (!arena) return;
  munmap(arena->base, arena->size);
  pthread_mutex_destroy(&arena->mutex);
  free(arena->page);
  free(arena);
}

uint8_t *arena_base(const struct arena *arena) { return arena->base; }
uint64_t arena_size(const struct arena *arena) { return arena->size; }

uint64_t arena_lent(struct arena *arena) {
  pthread_mutex_lock(&arena->mutex);
  uint64_t lent = arena->lent;
  pthread_mutex_unlock(&arena->mutex);
  return lent;
}

/* The smallest fitting run of its class, else any of a higher one. */
static uint32_t find_run(const struct arena *arena, uint32_t pages) {
  uint32_t best = NONE, kind = class_of(pages);
  for (uint32_t at = arena->list[kind]; at != NONE; at = arena->page[at].next) {
    uint32_t run = arena->page[at].run;
    if (run >= pages && (best == NONE || run < arena->page[best].run)) best = at;
    if (run == pages) break;
  }
  while (best == NONE && ++kind < CLASSES) best = arena->list[kind];
  return best;
}

int64_t arena_lend(struct arena *arena, uint64_t size) {
  if (size == 0 || size > arena->size) return -1;
  uint32_t pages = (uint32_t)((size + PAGE_SIZE - 1) / PAGE_SIZE);
  pthread_mutex_lock(&arena->mutex);
  uint32_t first = find_run(arena, pages);
  if (first != NONE) {
    uint32_t run = arena->page[first].run;
    unlink_run(arena, first);
    if (run > pages) link_run(arena, first + pages, run - pages);
    arena->page[first + pages - 1] = (struct page){.run = pages};
    arena->page[first] = (struct page){.run = pages, .is_start = 1};
    arena->lent += (uint64_t)pages * PAGE_SIZE;
  }
  pthread_mutex_unlock(&arena->mutex);
  return first == NONE ? -1 : (int64_t)first * PAGE_SIZE;
}

static int give_back_locked(struct arena *arena, uint64_t offset) {
  struct page *page = arena->page;
  uint32_t first = (uint32_t)(offset / PAGE_SIZE), window = (uint32_t)(WINDOW_SIZE / PAGE_SIZE);
  if (offset >= arena->size || offset % PAGE_SIZE || page[first].is_free || !page[first].is_start) return -1;
  uint32_t run = page[first].run, after = first + run;
  arena->lent -= (uint64_t)run * PAGE_SIZE;
  page[first].is_start = 0;
  if (after < arena->pages && after % window && page[after].is_free) {
    unlink_run(arena, after);
    run += page[after].run;
    page[after].is_start = 0;
  }
  if (first % window && page[first - 1].is_free) {
    uint32_t before = first - page[first - 1].run;
    unlink_run(arena, before);
    run += first - before;
    first = before;
  }
  link_run(arena, first, run);
  return 0;
}

int arena_give_back(struct arena *arena, uint64_t offset) {
  pthread_mutex_lock(&arena->mutex);
  int result = give_back_locked(arena, offset);
  pthread_mutex_unlock(&arena->mutex);
  return result;
}

uint8_t *arena_at(const struct arena *arena, uint64_t offset, uint64_t size) {
  if (offset > arena->size || size > arena->size - offset) return NULL;
  return arena->base + offset;
}
