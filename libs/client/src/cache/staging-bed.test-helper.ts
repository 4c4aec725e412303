import type { StagedFile } from "@kiseki/cache";
import { namespace } from "./cache-bed.test-helper.ts";
import type { ImageStore } from "./image-store.ts";

/** Writes an image of `content` without a manifest. */
export async function writeImage(
  images: ImageStore,
  inode: bigint,
  content: Uint8Array,
): Promise<StagedFile> {
  const writer = await images.begin(content.byteLength);
  if ("kind" in writer) throw new Error(writer.kind);
  const half = content.byteLength >> 1;
  await writer.append(content.subarray(0, half));
  await writer.append(content.subarray(half));
  const written = await writer.commit();
  const path = `file-${inode}`;
  return { path, inode, home: 1n, version: 1n, modified: 5n, chunks: [], ...written };
}
/** Makes `content` all that is staged of `dataset`. */
export async function stageFile(
  images: ImageStore,
  dataset: string,
  inode: bigint,
  content: Uint8Array,
): Promise<StagedFile> {
  const file = await writeImage(images, inode, content);
  await images.saveManifest({
    dataset,
    namespace,
    isComplete: true,
    stagedAt: 0,
    files: [file],
  });
  return file;
}
