import type { BlockCache, ContentStore, StagedFiles } from "@kiseki/vfs";

/** What a client's caches did since it started; sizes are those of now (spec §7.10). */
export interface CacheStats {
  readonly l1Hits: number;
  readonly l2Hits: number;
  readonly misses: number;
  readonly bypasses: number;
  readonly errors: number;
  readonly l1Bytes: number;
  readonly l2Bytes: number;
  readonly metaHits: number;
  readonly metaMisses: number;
  readonly wipes: number;
}

/** Counts what goes through the cache in memory, and what goes into and past the one on disk. */
export class CacheCounters {
  #l1Hits = 0;
  /** Reads of those who had nothing in memory. */
  #reads = 0;
  #imageHits = 0;
  /** Reads of nodes. */
  #fetches = 0;
  errors = 0;
  metaHits = 0;
  metaMisses = 0;
  wipes = 0;
  readonly isBypass: boolean;

  constructor(isBypass: boolean) {
    this.isBypass = isBypass;
  }

  memory(cache: BlockCache): BlockCache {
    return {
      memory: (size) => cache.memory(size),
      get: (key) => {
        const found = cache.get(key);
        if (found !== undefined) this.#l1Hits += 1;
        return found;
      },
      has: (key) => cache.has(key),
      put: (key, block) => cache.put(key, block),
      wipe: () => cache.wipe(),
    };
  }
  /** Files that are on disk as a whole; what the kernel reads of them by itself is not seen here. */
  images(staged: StagedFiles): StagedFiles {
    return {
      view: (inode) => staged.view(inode),
      open: (inode) => {
        const image = staged.open(inode);
        return (
          image && {
            ...image,
            read: (offset, target) => {
              const isRead = image.read(offset, target);
              if (isRead) this.#imageHits += 1;
              return isRead;
            },
          }
        );
      },
    };
  }
  /** Around the cache on disk. */
  reads(content: ContentStore): ContentStore {
    return {
      write: (...request) => content.write(...request),
      read: (...request) => {
        this.#reads += 1;
        return content.read(...request);
      },
      readNow: (...request) => {
        const isRead = content.readNow?.(...request) ?? false;
        if (isRead) this.#reads += 1;
        return isRead;
      },
      isNear: (...request) => content.isNear?.(...request) ?? false,
      lend: (...request) => content.lend?.(...request),
    };
  }
  /** Behind the cache on disk. */
  fetches(content: ContentStore): ContentStore {
    return {
      write: (...request) => content.write(...request),
      read: (...request) => {
        this.#fetches += 1;
        return content.read(...request);
      },
    };
  }

  /** `lentReads`: answered out of the cache on disk without anybody here. */
  stats(l1Bytes: number, l2Bytes: number, lentReads = 0): CacheStats {
    return {
      l1Hits: this.#l1Hits,
      l2Hits: lentReads + this.#imageHits + Math.max(0, this.#reads - this.#fetches),
      misses: this.isBypass ? 0 : this.#fetches,
      bypasses: this.isBypass ? this.#fetches : 0,
      errors: this.errors,
      l1Bytes,
      l2Bytes,
      metaHits: this.metaHits,
      metaMisses: this.metaMisses,
      wipes: this.wipes,
    };
  }
}
