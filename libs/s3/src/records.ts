/** Elements of documents as records and leaves. */
import type { XmlElement } from "./xml-read.ts";

/** The children by name when each name is known and stands at most once. */
export function readRecord(
  element: XmlElement,
  names: readonly string[],
): ReadonlyMap<string, XmlElement> | undefined {
  const record = new Map<string, XmlElement>();
  for (const child of element.children) {
    if (!names.includes(child.name) || record.has(child.name)) return undefined;
    record.set(child.name, child);
  }
  return element.text.trim() === "" ? record : undefined;
}

/** The text of a leaf. */
export const leafText = (element: XmlElement | undefined): string | undefined =>
  element === undefined || element.children.length > 0 ? undefined : element.text;
