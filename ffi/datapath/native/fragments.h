/* Fragments of one chunk on their way from devices into a thread's scratch. Used by open, rebuild and verify. */
#ifndef KISEKI_FRAGMENTS_H
#define KISEKI_FRAGMENTS_H
#include "datapath.h"

enum { NO_ENTRY = UINT32_MAX };

/* Bytes [start, end) of a fragment lie at `at`; NULL: nothing is here. */
struct piece {
  uint8_t *at;
  uint32_t start, end;
  uint32_t entry; /* of the record, or NO_ENTRY */
};
struct fragments {
  struct devices *devices;
  struct record *record;
  struct geometry geometry;
  uint8_t *scratch;
  size_t room_size;
  struct piece piece[FRAGMENTS_MAX];
};

/* Checks chunk, profile and all sources of the record. 0, or -1 when one makes no sense. */
int fragments_open(struct fragments *fragments, struct devices *devices, struct record *record, uint8_t *scratch);
/* Reads [start, end) of entry's payload into `room`; header always checked, CRC when [start, end) is all of it. */
enum fault load_entry(struct devices *devices, struct record *record, uint32_t entry, uint32_t start, uint32_t end,
                      uint8_t *room, uint8_t *header_room, uint8_t **at);
/* Brings [start, end) of fragment `index` here, padded with zeros, from its first good source. 0, or -1 for none. */
int fragments_load(struct fragments *fragments, uint32_t index, uint32_t start, uint32_t end);
/* Loads whole fragments in order until `enough` are good; returns the bit set of those. */
uint32_t fragments_load_whole(struct fragments *fragments, uint32_t enough);
/* Makes columns [start, end) of the fragments in bit set `wanted` from those in `present`, which has k bits. */
int fragments_make(struct fragments *fragments, uint32_t present, uint32_t wanted, uint32_t start, uint32_t end,
                   struct piece *made);
/* Rooms after those of the fragments: number 0 .. parity-1 for what is made, parity for joining a segment. */
uint8_t *spare_room(struct fragments *fragments, uint32_t number);
#endif
