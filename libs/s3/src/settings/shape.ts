/**
 * Shapes of settings' documents: one description from which a document is read, written and kept as JSON.
 * Reading refuses what the shape does not name, from the client and from the disk alike.
 */
import type { XmlElement } from "../xml-read.ts";
import type { XmlNode } from "../xml-write.ts";

/** What does not fit its shape. */
export const misfit: unique symbol = Symbol("misfit");
type Misfit = typeof misfit;

/** One element's content as a value. */
export interface Shape<T> {
  readonly read: (element: XmlElement) => T | Misfit;
  readonly write: (value: T) => XmlNode[1];
  /** The value again, when JSON holds one of this shape. */
  readonly check: (json: unknown) => T | Misfit;
}

/** One property of a record, and the elements it stands for. */
interface Field<T> {
  readonly element: string;
  readonly read: (found: readonly XmlElement[]) => T | Misfit;
  readonly write: (value: T) => readonly XmlNode[];
  readonly check: (json: unknown) => T | Misfit;
}

/** A leaf. `parse` reads its text, `isValue` knows its values. */
function leaf<T extends string | number | boolean>(
  parse: (text: string) => T | undefined,
  isValue: (value: unknown) => value is T,
): Shape<T> {
  return {
    read: (element) => (element.children.length > 0 ? misfit : (parse(element.text) ?? misfit)),
    write: (value) => value,
    check: (json) => (isValue(json) ? json : misfit),
  };
}

export const text: Shape<string> = leaf(
  (source) => source,
  (value) => typeof value === "string",
);
/** Digits, or a sign and digits: what is too small is the schema's matter nowhere, and each rule's own. */
export const integer: Shape<number> = leaf(
  (source) => (/^-?[0-9]{1,15}$/.test(source.trim()) ? Number(source) : undefined),
  (value): value is number => Number.isSafeInteger(value),
);
export const flag: Shape<boolean> = leaf(
  (source) => {
    const word = source.trim().toLowerCase();
    return word === "true" ? true : word === "false" ? false : undefined;
  },
  (value) => typeof value === "boolean",
);
/** One word of a closed list. */
export function word<const Words extends readonly string[]>(words: Words): Shape<Words[number]> {
  const isWord = (value: unknown): value is Words[number] =>
    typeof value === "string" && words.includes(value);
  return leaf((source) => (isWord(source.trim()) ? source.trim() : undefined), isWord);
}

/** Stands exactly once. */
export function one<T>(element: string, shape: Shape<T>): Field<T> {
  return {
    element,
    read: (found) => (found.length === 1 ? shape.read(found[0]!) : misfit),
    write: (value) => [[element, shape.write(value)]],
    check: shape.check,
  };
}
/** Stands once or not at all. */
export function optional<T>(element: string, shape: Shape<T>): Field<T | undefined> {
  return {
    element,
    read: (found) =>
      found.length === 0 ? undefined : found.length === 1 ? shape.read(found[0]!) : misfit,
    write: (value) => (value === undefined ? [] : [[element, shape.write(value)]]),
    check: (json) => (json === undefined ? undefined : shape.check(json)),
  };
}
/** Stands as often as it likes, one element an item. */
export function many<T>(element: string, shape: Shape<T>): Field<readonly T[]> {
  return {
    element,
    read: (found) => all(found, shape.read),
    write: (values) => values.map((value) => [element, shape.write(value)]),
    check: (json) => (Array.isArray(json) ? all(json as readonly unknown[], shape.check) : misfit),
  };
}

function all<Source, T>(
  sources: readonly Source[],
  read: (source: Source) => T | Misfit,
): readonly T[] | Misfit {
  const values: T[] = [];
  for (const source of sources) {
    const value = read(source);
    if (value === misfit) return misfit;
    values.push(value);
  }
  return values;
}

type RecordOf<Fields> = {
  readonly [Name in keyof Fields]: Fields[Name] extends Field<infer T> ? T : never;
};
// A field of any type: what each holds is known by `RecordOf` alone.
type AnyField = Field<never>;

/** Elements by name, each a property; written in the order given. An element it does not name does not fit. */
export function record<const Fields extends Readonly<Record<string, unknown>>>(
  fields: Fields,
): Shape<RecordOf<Fields>> {
  const entries = Object.entries(fields) as [string, AnyField][];
  const elements = new Set(entries.map(([, field]) => field.element));
  return {
    read(element) {
      if (element.text.trim() !== "") return misfit;
      const byName = new Map<string, XmlElement[]>();
      for (const child of element.children) {
        if (!elements.has(child.name)) return misfit;
        const found = byName.get(child.name);
        if (found === undefined) byName.set(child.name, [child]);
        else found.push(child);
      }
      return gather<Fields>(entries, (field) => field.read(byName.get(field.element) ?? []));
    },
    write: (value) =>
      entries.flatMap(([name, field]) => field.write(value[name as keyof Fields] as never)),
    check(json) {
      if (typeof json !== "object" || json === null || Array.isArray(json)) return misfit;
      const source = json as Readonly<Record<string, unknown>>;
      if (Object.keys(source).some((name) => !Object.hasOwn(fields, name))) return misfit;
      return gather<Fields>(entries, (field, name) =>
        field.check(Object.hasOwn(source, name) ? source[name] : undefined),
      );
    },
  };
}

function gather<Fields>(
  entries: readonly (readonly [string, AnyField])[],
  read: (field: AnyField, name: string) => unknown,
): RecordOf<Fields> | Misfit {
  const value: Record<string, unknown> = {};
  for (const [name, field] of entries) {
    const part = read(field, name);
    if (part === misfit) return misfit;
    if (part !== undefined) value[name] = part;
  }
  return value as RecordOf<Fields>;
}

/** The value type of a shape. */
export type ValueOf<S> = S extends Shape<infer T> ? T : never;
