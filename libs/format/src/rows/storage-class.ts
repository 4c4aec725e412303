/** The S3 storage classes that content may be in, by the code that an entry row has. Append only. */
export const storageClasses = [
  "STANDARD",
  "REDUCED_REDUNDANCY",
  "STANDARD_IA",
  "ONEZONE_IA",
  "INTELLIGENT_TIERING",
  "GLACIER_IR",
] as const;
export type StorageClass = (typeof storageClasses)[number];

export const isStorageClass = (name: string): name is StorageClass =>
  (storageClasses as readonly string[]).includes(name);
export const storageClassCode = (name: StorageClass): number => storageClasses.indexOf(name);
/** `undefined`: a newer program's. */
export const storageClassOf = (code: number): StorageClass | undefined => storageClasses[code];
