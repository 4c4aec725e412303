/* What a file system has taken but not made durable, and what of it a power cut leaves. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Folder of hard links to files that a cut may bring back; beside the backing folder. */
void losses_open(int objects_folder);

/* `fd` is about to be written (data) or cut and extended with zeros (data = NULL). Takes what is there now. */
void losses_note_write(int fd, uint64_t offset, uint64_t size, const void *data);
/* The size of `fd` is about to become `size`. */
void losses_note_size(int fd, uint64_t size);
/* Everything of the file is durable. */
void losses_sync_file(int fd);

/* `name` was made in the directory `parent`. */
void losses_note_create(int parent, const char *name, bool is_folder);
/* `name` is about to go. */
void losses_note_unlink(int parent, const char *name);
/* `from` is about to become `to`, in the same directory. */
void losses_note_rename(int parent, const char *from, const char *to);
/* All names of the directory are durable. */
void losses_sync_directory(int parent);

/* The power goes: decides with `seed` what of the rest is there, and makes the backing folder so. Says what it did. */
void losses_cut(uint64_t seed);
